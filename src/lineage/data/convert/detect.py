"""The layout of a folder by its files: YOLO, VIA, labelme or VOC's XML files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lineage.data.convert import labelme, via, voc_folder, yolo
from lineage.data.convert.labelled import Reading


class Reader(NamedTuple):
    """The functions of a layout."""

    is_layout: Callable[[Path], bool]
    read: Callable[[Path], Reading]


READERS = {
    "via": Reader(via.is_layout, via.read),
    "labelme": Reader(labelme.is_layout, labelme.read),
    "voc": Reader(voc_folder.is_layout, voc_folder.read),
    "yolo": Reader(yolo.is_layout, yolo.read),
}


def find_layout(folder: Path) -> str | None:
    """Return the name of the layout, a key of READERS; None if it is none of them."""
    return next((name for name, reader in READERS.items() if reader.is_layout(folder)), None)
