"""Where the parts of a site go: files of a folder, read when a view needs them, or blocks of one HTML file.

A part is JSON with a name, such as `curves/<id>`. In a folder it is a script that registers the data, because pages
that were opened from disk may load scripts but may not read files.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from lineage.report.site.page import render_page
from lineage.results.atomic import atomic_write

FOLDER = "site"  # its default name, in the folder of runs
PAGE = "index.html"
KEYS = ".parts.json"  # name of a part -> what it was built from
FORMAT = 3  # of the data: parts of another format are built again
UNSAFE = re.compile(r"[^A-Za-z0-9_.\-/]")
INDEX = "index"
PART = re.compile(r'lineageSite\.part\("(?:[^"\\]|\\.)*",(.*)\);\n', re.DOTALL)

Build = Callable[[], Any]


class SiteWriter(Protocol):
    """Writer of a site."""

    def has(self, name: str, key: str) -> bool:
        """Return whether a part is there already, built from the same `key`."""
        ...

    def add(self, name: str, build: Build, key: str = "", again: bool = False) -> Any:
        """Add a part unless it is there already, built from the same `key`; return its `summary` or None.

        again: build it in any case.
        """
        ...

    def add_image(self, name: str, read: Callable[[], bytes]) -> str:
        """Add a JPEG and return its address for the page."""
        ...

    def discard(self, is_stale: Callable[[str], bool]) -> None:
        """Remove the parts of an earlier call whose names are stale, and the images that only they show."""
        ...

    def finish(self, title: str) -> Path:
        """Write what remains and return the path of the page."""
        ...


def dump(data: Any) -> str:
    """Return compact JSON that may stand in a script of a page; NaN and infinities are null."""
    try:
        text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    except ValueError:  # rare, and the search for what is not finite takes ten times as long
        text = json.dumps(replace_nonfinite(data), separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def replace_nonfinite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {str(name): replace_nonfinite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [replace_nonfinite(item) for item in value]
    return value


def file_name(name: str) -> str:
    """Return the path of a part below the site: characters that are unusual in addresses become `_`."""
    return "/".join(part.strip(".") or "_" for part in UNSAFE.sub("_", name).split("/"))


def read_part(folder: Path, name: str) -> Any:
    """Return the data of a part of a site."""
    match = PART.fullmatch((folder / "parts" / f"{file_name(name)}.js").read_text(encoding="utf-8"))
    if match is None:
        raise ValueError(f"{folder}: {name} is no part of a site; `lineage site` writes it again")
    return json.loads(match[1])


class Stored(NamedTuple):
    """A part that is written: what it was built from, its summary, and the images that it shows."""

    key: str
    summary: Any
    images: Sequence[str] = ()  # addresses below the site


def summarize(data: Any) -> Any:
    """Return what the index of the site repeats of a part."""
    return replace_nonfinite(data.get("summary")) if isinstance(data, dict) else None


@dataclass
class FolderWriter:
    """Writer of index.html and of a script per part. Parts of an earlier call stay if their key is the same."""

    folder: Path
    refresh: int = 0  # seconds after which an open page asks for new data; 0: never
    stored: dict[str, Stored] = field(default_factory=dict)
    _images: list[str] = field(default_factory=list)  # of the part that is being built
    _stale: set[str] = field(default_factory=set)  # images of parts that are gone or were built again

    def __post_init__(self) -> None:
        with suppress(OSError, ValueError, RecursionError, TypeError, AttributeError):
            stored = json.loads((self.folder / KEYS).read_text(encoding="utf-8"))
            is_current = stored.get("format") == FORMAT
            self.stored = {name: Stored(*value) if is_current else Stored("", None)
                           for name, value in stored["parts"].items()}  # fmt: skip

    def has(self, name: str, key: str) -> bool:
        return bool(key) and name in self.stored and self.stored[name].key == key and self._path(name).is_file()

    def add(self, name: str, build: Build, key: str = "", again: bool = False) -> Any:
        if again or not self.has(name, key):
            self._images = []
            data = build()
            atomic_write(self._path(name), f"lineageSite.part({dump(name)},{dump(data)});\n")
            self._forget(name)
            self.stored[name] = Stored(key, summarize(data), self._images)
        return self.stored[name].summary

    def read(self, name: str) -> Any:
        """Return the data of a part that is there."""
        return read_part(self.folder, name)

    def _path(self, name: str) -> Path:
        return self.folder / "parts" / f"{file_name(name)}.js"

    def add_image(self, name: str, read: Callable[[], bytes]) -> str:
        address = f"images/{file_name(name)}.jpg"
        if not (self.folder / address).is_file():
            atomic_write(self.folder / address, read())
        self._images.append(address)
        return address

    def discard(self, is_stale: Callable[[str], bool]) -> None:
        for name in [name for name in self.stored if is_stale(name)]:
            self._forget(name)
            _remove(self._path(name))

    def _forget(self, name: str) -> None:
        if name in self.stored:
            self._stale.update(self.stored.pop(name).images)

    def finish(self, title: str) -> Path:
        shown = {address for part in self.stored.values() for address in part.images}
        atomic_write(self.folder / KEYS, json.dumps({"format": FORMAT, "parts": self.stored}))
        page = self.folder / PAGE
        atomic_write(page, render_page(title, refresh=self.refresh))
        for address in sorted(self._stale - shown):
            if address == file_name(address) and address.startswith("images/"):  # the list of parts is a file, too
                _remove(self.folder / address)
        self._stale.clear()
        return page


def _remove(file: Path) -> None:
    """Remove a file of the site, and its folder if that becomes empty."""
    file.unlink(missing_ok=True)
    with suppress(OSError):
        file.parent.rmdir()


@dataclass
class FileWriter:
    """Writer of one HTML file that holds all parts, images included."""

    path: Path
    blocks: dict[str, str] = field(default_factory=dict)

    def has(self, name: str, key: str) -> bool:
        return name in self.blocks

    def add(self, name: str, build: Build, key: str = "", again: bool = False) -> Any:
        data = build()
        self.blocks[name] = dump(data)
        return summarize(data)

    def add_image(self, name: str, read: Callable[[], bytes]) -> str:
        return f"data:image/jpeg;base64,{base64.b64encode(read()).decode('ascii')}"

    def discard(self, is_stale: Callable[[str], bool]) -> None:
        """Leave all as it is: a file holds nothing of an earlier call."""

    def finish(self, title: str) -> Path:
        atomic_write(self.path, render_page(title, self.blocks))
        return self.path
