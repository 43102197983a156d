"""Tables that are committed: a draft of one's own beside them changes no test."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lineage.tables import read

ROOT = Path(__file__).parents[1]


def list_tracked_tables() -> list[str]:
    """Return the names of the tables in git; all of them outside of a checkout."""
    command = ["git", "-C", str(ROOT), "ls-files", "experiments/*/*.yaml"]
    files = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    names = {Path(file).relative_to("experiments").with_suffix("").as_posix() for file in files}
    return [name for name in read.list_tables(ROOT / "experiments") if name in names or not names]
