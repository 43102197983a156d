"""JSON files of a folder of annotated images: what each holds, or the reason that it cannot be parsed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Unparsed:
    """Reason, with line and column, that a file cannot be parsed; in place of its content."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def read_json(path: Path) -> Any:
    """Return the content of a JSON file, or an Unparsed."""
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        return Unparsed(path, f"cannot be read ({error.strerror})")
    except UnicodeDecodeError as error:
        return Unparsed(path, f"is not text in UTF-8 (byte {error.start}); save it in that encoding")
    except (ValueError, RecursionError) as error:
        return Unparsed(path, f"is not JSON ({error}). It may be cut off: fetch or export it again")


def list_json(folder: Path, levels: int) -> list[Path]:
    """Return the JSON files in a folder and `levels` levels of folders in it, without hidden ones."""
    paths = {path for level in range(levels + 1) for path in folder.glob("*/" * level + "*.json") if path.is_file()}
    return sorted(path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def find_json(folder: Path) -> Iterator[tuple[Path, Any]]:
    """Yield path and content, or an Unparsed, of the JSON files in a folder and two levels of folders in it."""
    for path in list_json(folder, levels=2):
        yield path, read_json(path)


def find_unparsed(folder: Path) -> list[Unparsed]:
    """Return the JSON files in a folder and two levels of folders in it that cannot be parsed."""
    return [content for _, content in find_json(folder) if isinstance(content, Unparsed)]


def format_unparsed(files: Sequence[Unparsed]) -> str:
    """Return the first of the files with its reason, and the number of the others."""
    return f"{files[0]}" + (f" (and {len(files) - 1} more)" if len(files) > 1 else "")
