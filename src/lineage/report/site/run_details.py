"""Everything of one run that its page shows beside numbers: files of its folder, its config, its commands, its logs."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any

from PIL import Image

from lineage.report.site.headline import choose_headline
from lineage.report.site.parts import SiteWriter
from lineage.results.entry import Entry
from lineage.results.run_folder import RunFolder

QUALITY = 88  # of a picture as JPEG, a fifth of the size of a PNG
HIDDEN_OPTIONS = ("model", "logger", "tier", "experiment")
PARTS = ("backbone", "roi", "upsampling", "classification", "regression", "suppression")  # of some models, by reference
LOG_BYTES = 20_000  # of the end of a log
FIELDS = (
    "host", "hardware", "packages", "processes", "seconds", "steps", "images_per_second", "step_seconds", "image_ms",
    "peak_memory", "parameters", "macs", "commit", "dirty", "note", "dashboard", "config_digest", "cell_digest",
    "evaluation_digest", "training_digest", "dataset", "initial_weights_sha256", "trained_weights_sha256",
)  # fmt: skip


def describe_run(entry: Entry, files: RunFolder | None, published: Mapping[str, float], path: str) -> dict[str, Any]:
    """Return the details of a run; what its folder would hold is absent if there is none.

    published: the paper's numbers of its row. path: of the entry, for a person.
    """
    details: dict[str, Any] = {name: getattr(entry, name) for name in FIELDS}
    details |= {
        "entry": path,
        "folder": entry.folder,
        "has_folder": files is not None,
        "options": list_options(entry),
        "headline": choose_headline(entry.metrics),
        "commands": list_commands(entry),
        "config": [[key, _show(value)] for key, value in flatten(entry.config)],
        "diff": entry.diff or "",
        "published": dict(published),
        "per_class": {},
        "logs": {},
        "files": [],
    }
    if files is not None:
        details["per_class"] = _read_json(files.per_class) or {}
        details["logs"] = {log.name: text for log in (files.run_log, files.terminal_log) if (text := read_tail(log))}
        details["files"] = [[item.name, item.stat().st_size] for item in sorted(files.path.iterdir()) if item.is_file()]
    return details


def list_options(entry: Entry) -> list[list[str]]:
    """Return [group, option] of what a run was composed of, without groups that add nothing to it."""
    return [
        [group, option]
        for group, option in entry.choices.items()
        if group.isidentifier() and group not in HIDDEN_OPTIONS and option != "none" and is_read(entry, group)
    ]


def is_read(entry: Entry, group: str) -> bool:
    """Return False for an option of `PARTS` whose class the model lacks, such as the RoI layer of a RetinaNet."""
    if group not in PARTS or not isinstance(part := entry.config.get(group), Mapping):
        return True
    return part.get("_target_") in _list_targets(entry.config.get("model"))


def _list_targets(node: Any) -> set[Any]:
    """Return the classes that a config and all nodes in it name."""
    if isinstance(node, Mapping):
        return {node.get("_target_")}.union(*map(_list_targets, node.values()))
    return set().union(*map(_list_targets, node)) if isinstance(node, list | tuple) else set()


def write_run_pictures(writer: SiteWriter, run: str, files: RunFolder) -> list[list[str]]:
    """Add the pictures that a run drew as JPEG, and its reliability diagram; return [name, address] of each."""
    pictures = []
    if files.calibration_diagram.is_file():  # `lineage calibrate` has drawn it
        text = base64.b64encode(files.calibration_diagram.read_bytes()).decode("ascii")
        pictures.append([files.calibration_diagram.stem, f"data:image/svg+xml;base64,{text}"])
    for path in list_pictures(files):
        version = hashlib.sha256(stamp(path).encode()).hexdigest()[:6]  # a picture may be drawn again
        address = writer.add_image(f"runs/{run}/{path.stem}-{version}", lambda path=path: _encode(path))  # type: ignore[misc]
        pictures.append([path.stem, address])
    return pictures


def list_pictures(files: RunFolder) -> list[Path]:
    return sorted(files.pictures.glob("*.png"))


def _encode(path: Path) -> bytes:
    buffer = io.BytesIO()
    with Image.open(path) as image:
        image.convert("RGB").save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return buffer.getvalue()


def stamp_folder(files: RunFolder) -> str:
    """Return what changes when the details of a run do; the report holds them, and counts by being there alone."""
    pictures = [files.calibration_diagram, *list_pictures(files)]
    return f"{stamp(files.per_class, files.run_log, *pictures)} {files.report.is_file()}"


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
    with suppress(OSError, ValueError, RecursionError):
        return json.loads(path.read_text(encoding="utf-8"))
    return None


def _show(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def flatten(node: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Return (dotted key, value) of every leaf, as they are typed on the command line."""
    if not isinstance(node, Mapping) or not node:
        return [(prefix, node)] if prefix else []
    return [pair for key, value in node.items() for pair in flatten(value, f"{prefix}.{key}" if prefix else str(key))]


def stamp(*files: Path) -> str:
    """Return what changes when one of some files does."""
    stats = [file.stat() if file.is_file() else None for file in files]
    return " ".join("-" if stat is None else f"{stat.st_mtime_ns}:{stat.st_size}" for stat in stats)
