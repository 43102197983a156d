"""A `.caffemodel` without Caffe: the blobs of a NetParameter, read off the protocol buffer's wire format.

Of caffe.proto only these fields matter: NetParameter.layer = 100 (and .layers = 2 of version 1), the name of a layer
(1; 4 in version 1), its blobs (7; 6), and of a BlobProto the old four sizes (1 to 4), data (5) and shape (7).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 0, 1, 2, 5
LAYERS = {100: (1, 7), 2: (4, 6)}  # field of NetParameter: (field of a layer's name, field of its blobs)
KINDS = ("weight", "bias", "2")  # a third blob counts (the batches that a norm has seen)
OLD_SIZES, DATA, SHAPE, DOUBLES = (1, 2, 3, 4), 5, 7, 8

Value = int | memoryview


class CaffeError(ValueError):
    """Bytes that are no NetParameter."""


def read(content: bytes) -> dict[str, NDArray[np.float32]]:
    """{"conv1.weight": ..., "conv1.bias": ...}; sizes are outputs, inputs, rows, columns, as torch's."""
    arrays = {}
    for field, value in _fields(memoryview(content)):
        if field not in LAYERS or not isinstance(value, memoryview):
            continue
        name_field, blob_field = LAYERS[field]
        parts = [part for part in _fields(value) if isinstance(part[1], memoryview)]
        name = "".join(bytes(part).decode() for number, part in parts if number == name_field)
        blobs = [_blob(part) for number, part in parts if number == blob_field and isinstance(part, memoryview)]
        arrays.update({f"{name}.{kind}": blob for kind, blob in zip(KINDS, blobs, strict=False)})
    if not arrays:
        raise CaffeError("no layer in it has weights, so it is no .caffemodel")
    return arrays


def _blob(message: memoryview) -> NDArray[np.float32]:
    old: dict[int, int] = {}
    shape: list[int] = []
    pieces = [np.zeros(0, np.float32)]
    for field, value in _fields(message):
        if field in OLD_SIZES and isinstance(value, int):
            old[field] = value
        elif field == SHAPE and isinstance(value, memoryview):
            shape = [size for _, part in _fields(value) for size in _sizes(part)]
        elif field in (DATA, DOUBLES) and isinstance(value, memoryview):
            pieces.append(np.frombuffer(value, "<f8" if field == DOUBLES else "<f4").astype(np.float32))
    values = np.concatenate(pieces)
    if not shape:
        shape = _modern([old.get(field, 1) for field in OLD_SIZES])
    if values.size != int(np.prod(shape)):
        raise CaffeError(f"a blob of {values.size} numbers says that it is {tuple(shape)}")
    return values.reshape(shape)


def _modern(sizes: list[int]) -> list[int]:
    """Version 1 gives everything four sizes: a fully connected layer is 1 x 1 x out x in, a bias 1 x 1 x 1 x n."""
    while len(sizes) > 1 and sizes[0] == 1:
        sizes = sizes[1:]
    return sizes


def _sizes(value: Value) -> Iterator[int]:
    """A repeated int64, packed or not."""
    if isinstance(value, int):
        yield value
        return
    place = 0
    while place < len(value):
        size, place = _varint(value, place)
        yield size


def _fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """(field number, value) one after the other; single floats come as the four bytes they are."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        kind = key & 7
        if kind == VARINT:
            value, place = _varint(message, place)
            yield key >> 3, value
            continue
        if kind == LENGTH:
            size, place = _varint(message, place)
        elif kind in (EIGHT_BYTES, FOUR_BYTES):
            size = struct.calcsize("d" if kind == EIGHT_BYTES else "f")
        else:
            raise CaffeError(f"wire type {kind} at byte {place}: not a protocol buffer, or damaged")
        if place + size > len(message):
            raise CaffeError(f"cut off: {place + size - len(message)} bytes are missing")
        yield key >> 3, message[place : place + size]
        place += size


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(message) and shift < 64:
        byte = message[place]
        value, place, shift = value | (byte & 127) << shift, place + 1, shift + 7
        if byte < 128:
            return value, place
    raise CaffeError(f"cut off or damaged at byte {place}")
