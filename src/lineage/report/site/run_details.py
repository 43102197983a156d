"""Everything of one run that its page shows beside numbers: files of its folder, its config, its commands, its logs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any

from lineage.report.facts import flatten
from lineage.results.entry import Entry
from lineage.results.run_folder import RunFolder

LOG_BYTES = 20_000  # of the end of a log
FIELDS = (
    "host", "hardware", "packages", "processes", "seconds", "steps", "images_per_second", "step_seconds", "image_ms",
    "peak_memory", "parameters", "macs", "commit", "dirty", "note", "dashboard", "config_digest", "cell_digest",
    "evaluation_digest", "training_digest", "dataset", "initial_weights_sha256", "trained_weights_sha256",
)  # fmt: skip


def describe_run(entry: Entry, folder: Path | None, published: Mapping[str, float], path: str) -> dict[str, Any]:
    """Return the details of a run; what its folder would hold is absent if there is none.

    published: the paper's numbers of its row. path: of the entry, for a person.
    """
    details: dict[str, Any] = {name: getattr(entry, name) for name in FIELDS}
    details |= {
        "entry": path,
        "folder": entry.folder,
        "has_folder": folder is not None,
        "commands": list_commands(entry),
        "config": [[key, _show(value)] for key, value in flatten(entry.config)],
        "diff": entry.diff or "",
        "published": dict(published),
        "per_class": {},
        "logs": {},
        "files": [],
    }
    if folder is not None:
        files = RunFolder(folder)
        details["per_class"] = _read_json(files.per_class) or {}
        details["logs"] = {log.name: text for log in (files.run_log, files.terminal_log) if (text := read_tail(log))}
        details["files"] = [[item.name, item.stat().st_size] for item in sorted(folder.iterdir()) if item.is_file()]
    return details


def list_commands(entry: Entry) -> list[str]:
    """Return the command as it was typed, the one that repeats the run, and the one that shows its entry."""
    program, *arguments = map(str, entry.command or ["train.py"])
    short = entry.id.rpartition("-")[2]
    return [f"python {PurePath(program).name} {shlex.join(arguments)}".rstrip(), f"lineage rerun {short}",
            f"lineage show {short}"]  # fmt: skip


def read_tail(path: Path) -> str:
    """Return the end of a log, "" if there is none."""
    with suppress(OSError), path.open("rb") as file:
        size = path.stat().st_size
        file.seek(max(0, size - LOG_BYTES))
        return file.read().decode("utf-8", "replace")
    return ""


def _read_json(path: Path) -> Any:
    with suppress(OSError, ValueError):
        return json.loads(path.read_text(encoding="utf-8"))
    return None


def _show(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
