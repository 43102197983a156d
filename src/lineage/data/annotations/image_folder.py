"""The image files below a folder, and the search for one by a name that is not quite that of a file."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm")  # of image files

BACK_SLASHES = "back slashes in a file name"
PERCENT = "file name in the notation of web addresses"
BLANKS = "blanks around a file name"
FOLDERS = "folders of another place in a file name"
CASE = "file name in other letters (A for a, or the same accent in other bytes)"
ENDING = "file name without the ending of its file, or with another"


class Match(NamedTuple):
    """A file that a name means."""

    name: str  # its path inside the folder
    kind: str  # the difference


class Listing:
    """The files of one folder: their names, and the same by two keys that several files may share."""

    def __init__(self, names: Collection[str]) -> None:
        self.names = frozenset(names)

    @cached_property
    def by_letters(self) -> dict[str, list[str]]:
        return group_by(self.names, normalize)

    @cached_property
    def by_stem(self) -> dict[str, list[str]]:
        images = [name for name in self.names if name.lower().endswith(SUFFIXES)]
        return group_by(images, lambda name: normalize(PurePosixPath(name).stem))


@dataclass(slots=True)
class ImageFolder:
    """A folder of images; each folder in it is listed once.

    is_read: whether records were changed after its files, so that they have to be read again if those change
    """

    root: Path
    is_read: bool = False
    listings: dict[str, Listing] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Return whether there is a file of exactly this name, a path inside the folder."""
        parent, _, leaf = name.rpartition("/")
        return leaf in self._list(parent).names

    def folders(self) -> list[Path]:
        """Return the folders whose files decided something."""
        return [self.root / parent for parent in self.listings] if self.is_read else []

    def find(self, name: str) -> Match | None:
        """Return the only file that a name can mean, or None."""
        self.is_read = True
        edits: list[tuple[str, str]] = [(BACK_SLASHES, name.replace("\\", "/"))]
        edits += [(BLANKS, edits[0][1].strip()), (PERCENT, unquote(edits[0][1].strip()))]
        for kind, text in edits:
            parts = PurePosixPath(text).parts
            for start in range(len(parts)):  # the whole path first, then without its first folders
                path = PurePosixPath(*parts[start:])
                if path.is_absolute() or ".." in path.parts:
                    continue
                match = self._match(path, kind if start == 0 else FOLDERS)
                if match is not None:
                    return match
        return None

    def _match(self, path: PurePosixPath, kind: str) -> Match | None:
        """Return the file of a path, by its name, else in other letters, else by its stem."""
        parent = "" if path.parent == PurePosixPath() else str(path.parent)
        listing = self._list(parent)
        stem = path.stem if path.suffix.lower() in SUFFIXES else path.name
        candidates: list[tuple[str, list[str]]] = [
            (kind, [path.name] if path.name in listing.names else []),
            (CASE, listing.by_letters.get(normalize(path.name), [])),
            (ENDING, listing.by_stem.get(normalize(stem), [])),
        ]
        for difference, names in candidates:
            if len(names) == 1:
                return Match(f"{parent}/{names[0]}" if parent else names[0], difference)
            if names:
                return None
        return None

    def _list(self, parent: str) -> Listing:
        if parent not in self.listings:
            path = self.root / parent
            self.listings[parent] = Listing(os.listdir(path) if path.is_dir() else ())
        return self.listings[parent]


def group_by(names: Collection[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[key(name)].append(name)
    return dict(groups)


def normalize(name: str) -> str:
    """Return a name without the difference between capital and small letters, and between the bytes of one accent."""
    return unicodedata.normalize("NFC", name).casefold()
