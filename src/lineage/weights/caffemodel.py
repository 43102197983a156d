"""A `.caffemodel` without Caffe: the blobs of a NetParameter, parsed from the protocol buffer's wire format.

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
BLOB_NAMES = ("weight", "bias", "2")  # the third of a batch norm counts batches
OLD_SIZES, DATA, SHAPE, DOUBLES = (1, 2, 3, 4), 5, 7, 8

Value = int | memoryview


class CaffeError(ValueError):
    """Bytes that are not a NetParameter."""


def read_blobs(content: bytes) -> dict[str, NDArray[np.float32]]:
    """Return {"conv1.weight": ..., "conv1.bias": ...}; sizes are outputs, inputs, rows, columns, as torch's."""
    arrays = {}
    for field, value in _iter_fields(memoryview(content)):
        if field not in LAYERS or not isinstance(value, memoryview):
            continue
        name_field, blob_field = LAYERS[field]
        messages = [(number, inner) for number, inner in _iter_fields(value) if isinstance(inner, memoryview)]
        name = "".join(bytes(inner).decode() for number, inner in messages if number == name_field)
        blobs = [_read_blob(inner) for number, inner in messages if number == blob_field]
        arrays.update({f"{name}.{leaf}": blob for leaf, blob in zip(BLOB_NAMES, blobs, strict=False)})
    if not arrays:
        raise CaffeError("no layer in it has weights, so it is no .caffemodel")
    return arrays


def _read_blob(message: memoryview) -> NDArray[np.float32]:
    old_sizes: dict[int, int] = {}
    shape: list[int] = []
    chunks = [np.zeros(0, np.float32)]
    for field, value in _iter_fields(message):
        if field in OLD_SIZES and isinstance(value, int):
            old_sizes[field] = value
        elif field == SHAPE and isinstance(value, memoryview):
            shape = [size for _, sizes in _iter_fields(value) for size in _iter_sizes(sizes)]
        elif field in (DATA, DOUBLES) and isinstance(value, memoryview):
            chunks.append(np.frombuffer(value, "<f8" if field == DOUBLES else "<f4").astype(np.float32))
    values = np.concatenate(chunks)
    if not shape:
        shape = _drop_leading_ones([old_sizes.get(field, 1) for field in OLD_SIZES])
    if values.size != int(np.prod(shape)):
        raise CaffeError(f"a blob of {values.size} numbers has the shape {tuple(shape)}")
    return values.reshape(shape)


def _drop_leading_ones(sizes: list[int]) -> list[int]:
    """Convert version 1's four sizes: a fully connected layer is 1 x 1 x out x in there, a bias 1 x 1 x 1 x n."""
    while len(sizes) > 1 and sizes[0] == 1:
        sizes = sizes[1:]
    return sizes


def _iter_sizes(value: Value) -> Iterator[int]:
    """Iterate a repeated int64, packed or not."""
    if isinstance(value, int):
        yield value
        return
    position = 0
    while position < len(value):
        size, position = _read_varint(value, position)
        yield size


def _iter_fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """Iterate (field number, value); a single float is returned as its four bytes."""
    position = 0
    while position < len(message):
        key, position = _read_varint(message, position)
        kind = key & 7
        if kind == VARINT:
            value, position = _read_varint(message, position)
            yield key >> 3, value
            continue
        if kind == LENGTH:
            size, position = _read_varint(message, position)
        elif kind in (EIGHT_BYTES, FOUR_BYTES):
            size = struct.calcsize("d" if kind == EIGHT_BYTES else "f")
        else:
            raise CaffeError(f"wire type {kind} at byte {position}: not a protocol buffer, or damaged")
        if position + size > len(message):
            raise CaffeError(f"cut off: {position + size - len(message)} bytes are missing")
        yield key >> 3, message[position : position + size]
        position += size


def _read_varint(message: memoryview, position: int) -> tuple[int, int]:
    """Return a variable-length integer and the position after it."""
    value = shift = 0
    while position < len(message) and shift < 64:
        byte = message[position]
        value, position, shift = value | (byte & 127) << shift, position + 1, shift + 7
        if byte < 128:
            return value, position
    raise CaffeError(f"cut off or damaged at byte {position}")
