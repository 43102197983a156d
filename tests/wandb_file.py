"""Reader of the .wandb file of an offline run, which `wandb sync` uploads: W&B's own records in a log of LevelDB.

W&B's Python package has had no reader since 0.20; its records are parsed by its own protocol buffers.
"""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK, HEADER = 32768, struct.Struct("<IHB")  # bytes of a block; checksum, length and kind of a piece of a record
FULL, FIRST, LAST = 1, 2, 4


def read_records(path: Path) -> Iterator[Any]:
    """Yield the records of a file. Raises AssertionError for a piece whose checksum is wrong."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, record = path.read_bytes(), 7, b""  # after the head: `:W&B`, magic and version
    assert data[:4] == b":W&B"
    while place + HEADER.size <= len(data):
        if BLOCK - place % BLOCK < HEADER.size:  # the rest of a block is padding
            place += BLOCK - place % BLOCK
            continue
        checksum, length, kind = HEADER.unpack_from(data, place)
        piece = data[place + HEADER.size : place + HEADER.size + length]
        if len(piece) < length:  # W&B is writing it
            return
        assert zlib.crc32(bytes([kind]) + piece) == checksum
        record = piece if kind in (FULL, FIRST) else record + piece
        place += HEADER.size + length
        if kind in (FULL, LAST):
            yield Record.FromString(record)


def read_finished(path: Path) -> list[Any]:
    """Return all records; the process of W&B writes the last of them after the run has ended."""
    for _ in range(600):
        records = list(read_records(path))
        if any(record.HasField("exit") for record in records):
            return records
        time.sleep(0.1)
    raise AssertionError(f"{path} has no end")
