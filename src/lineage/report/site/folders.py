"""Where the run folder of an entry is on this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lineage.report.site.parts import KEYS
from lineage.results import paths
from lineage.results.atomic import read_mapping
from lineage.results.entry import Entry
from lineage.results.run_folder import RunFolder

DEEPEST = 6  # folders below the folder of runs: cells/<tier>/<paper>/<table>/<row>/<seed>
ID = re.compile(r'"id":\s*"([^"]+)"')
HEAD = 500  # bytes of an entry that hold its id


def find_run_folders(root: Path, depth: int = DEEPEST) -> Iterator[Path]:
    """Yield the run folders at or below `root`; a run folder has no others in it, and neither has a site."""
    files = RunFolder(root)
    if files.start.is_file() or files.entry.is_file():
        yield root
    elif depth and root.is_dir():
        for folder in sorted(root.iterdir()):
            if folder.is_dir() and not folder.name.startswith(".") and not (folder / KEYS).is_file():
                yield from find_run_folders(folder, depth - 1)


def read_id(folder: Path) -> str:
    """Return the id of the entry that a run folder holds, or will hold; "" if neither is written."""
    files = RunFolder(folder)
    with suppress(OSError), files.entry.open(encoding="utf-8", errors="replace") as file:
        match = ID.search(file.read(HEAD))
        return match[1] if match else ""
    return str(read_mapping(files.start).get("id") or "")


@dataclass(frozen=True)
class RunFolders:
    """Run folders of a store: at the path of the entry, or anywhere below `runs`."""

    runs: Path

    def find(self, entry: Entry) -> Path | None:
        """Return the folder of a run, or None if it is not here or holds another run now."""
        if entry.folder:
            folder = paths.resolve_portable(entry.folder)
            if read_id(folder) == entry.id:
                return folder
        return self._by_id.get(entry.id)

    @cached_property
    def _by_id(self) -> dict[str, Path]:
        return {read_id(folder): folder for folder in find_run_folders(self.runs)}
