"""One run as one record: everything needed to believe a number, and to make it again.

An entry is written once and never changed. Runs of equal `config_digest` repeat one experiment and are pooled;
runs with `deviations` differ from their row and are never compared with the paper's number.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, get_type_hints

from lineage.results.field_types import find_mismatch
from lineage.results.key_roles import VOLATILE, role_of, within
from lineage.results.overrides import Override, overrides_today
from lineage.results.renames import choices_today, upgrade

# 2: training, recipe, trained; 3: step_seconds, image_ms; 4: names of 2026-11-26; 5: content_sha256;
# 6: origin, evaluated_weights
VERSION = 6
STATUSES = ("finished", "failed", "stopped")
FORMER_FIELDS = {  # names in entries of before 2026-11-26 -> names today
    "protocol": "config_digest",
    "training": "training_digest",
    "recipe": "cell_digest",
    "evaluation": "evaluation_digest",
    "flops": "macs",
    "weights": "initial_weights_sha256",
    "trained": "trained_weights_sha256",
}


class EntryError(ValueError):
    """A record that cannot be read as an entry."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Record of one run. Results stand first, the whole config last; docs/run_folder.md describes the fields."""

    v: int = VERSION
    id: str  # utc start - config digest - random: the file's name, unique over all machines
    table: str | None  # "mask_rcnn/table2c"; None for a free run
    row: str | None
    tier: str  # paper, mini or smoke
    status: str
    error: str | None = None
    metrics: dict[str, float | None]  # {"box/AP": 37.9, ...}, COCO style, in percent
    deviations: list[str]  # overrides that change what the row says, as typed
    seed: int
    config_digest: str  # of the resolved config without volatile keys; equal ones are repetitions
    training_digest: str = ""  # of all that the weights depend on, except the seed; equal ones share a checkpoint
    cell_digest: str = ""  # of the training and of the test
    evaluation_digest: str  # of the test images, their annotations and the rules of evaluation
    choices: dict[str, str]  # option of each config group: {"model": "mask_rcnn", "roi": "align", ...}
    started: str  # ISO 8601, UTC
    seconds: float = 0.0
    steps: int = 0
    processes: int = 1
    images_per_second: float | None = None  # of training
    step_seconds: float | None = None  # of training, evaluations not counted
    image_ms: float | None = None  # of the network at test time, on one device
    peak_memory: int | None = None  # bytes, of the first process
    parameters: int | None = None
    macs: float | None = None  # multiply-adds of one image at test time
    command: list[str]  # argv of the first process
    commit: str | None
    dirty: bool
    packages: dict[str, str] = field(default_factory=dict)
    hardware: dict[str, Any] = field(default_factory=dict)
    host: str = ""
    dataset: dict[str, str] = field(default_factory=dict)  # fingerprint per split
    initial_weights_sha256: str | None = None
    trained_weights_sha256: str | None = None
    evaluated_weights: str = ""  # how they were chosen: of the last step, averaged, or of the best evaluation
    parents: list[str] = field(default_factory=list)  # entries whose checkpoint, proposals or labels this run used
    supersedes: str | None = None  # id of the entry this one corrects
    folder: str | None = None  # the run folder: checkpoints, logs, report
    dashboard: str | None = None
    origin: str = ""  # code base of a run that was imported, such as "detectron2"; "" is ours
    note: str = ""
    content_sha256: str = field(default="", compare=False)  # of all other fields as they are written
    config: dict[str, Any]
    diff: str | None = None  # against the commit, when dirty

    @property
    def measures_latency(self) -> bool:
        """Return whether the entry measured the speed of a model, which it neither trained nor evaluated."""
        return self.command[1:2] == ["latency"]


FIELD_TYPES = get_type_hints(Entry)


def new_id(started: datetime, config_digest: str) -> str:
    """Return the id of a run that starts now (`started` in UTC); it is the run's id on a dashboard, too."""
    return f"{started:%Y%m%dT%H%M%SZ}-{config_digest[:8]}-{os.urandom(3).hex()}"


def deviations(overrides: Iterable[str]) -> list[str]:
    """Return the overrides that change what a run computes. Its row is no deviation, and no option of `trainer` is."""
    parsed = {text: Override.parse(text) for text in overrides}
    return sorted(text for text, override in parsed.items() if not _is_neutral(override))


def digest(config: dict[str, Any]) -> str:
    """Return the sha256 of a config; the order of its keys does not count."""
    text = json.dumps(_plain(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def dump(entry: Entry) -> str:
    """Return the entry as JSON. Accepts any value, because the result of days must not be lost to a number type."""
    record = {f.name: _plain(getattr(entry, f.name)) for f in fields(entry)}
    record["content_sha256"] = digest_content(record)
    return json.dumps(record, indent=1, allow_nan=False) + "\n"


def digest_content(record: dict[str, Any]) -> str:
    """Return the sha256 of a record as it is written, without the field that holds it."""
    return digest({name: value for name, value in record.items() if name != "content_sha256"})


def parse(text: str) -> Entry:
    """Read an entry. Raises EntryError, with the field that is wrong."""
    try:
        record = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise EntryError(f"not JSON: {error}") from error
    check(record)
    record = rename_fields(record)
    check_fields(record)
    try:
        return Entry(**upgrade_record(record))
    except TypeError as error:
        raise EntryError(str(error).replace("Entry.__init__()", "the entry")) from error
    except (ValueError, AttributeError, KeyError, RecursionError) as error:
        raise EntryError(f"its config cannot be read: {type(error).__name__}: {error}") from error


def upgrade_record(record: dict[str, Any]) -> dict[str, Any]:
    """Translate former names: fields, config, choices, and the command, which a person copies and `rerun` runs."""
    record = rename_fields(record)
    if isinstance(record.get("config"), dict):
        record["config"] = upgrade(record["config"])
    if isinstance(record.get("choices"), dict):
        record["choices"] = choices_today(record["choices"])
    for name in ("command", "deviations"):
        if isinstance(record.get(name), list) and all(isinstance(text, str) for text in record[name]):
            translated = overrides_today(record[name], record.get("config"))
            record[name] = sorted(translated) if name == "deviations" else translated
    return record


def rename_fields(record: dict[str, Any]) -> dict[str, Any]:
    return {FORMER_FIELDS.get(name, name): value for name, value in record.items()}


def check(record: Any) -> None:
    """Raise EntryError unless this is an entry of a known version."""
    if not isinstance(record, dict) or not isinstance(record.get("v"), int):
        raise EntryError("not an entry: it has no version number 'v'")
    if record["v"] > VERSION:
        raise EntryError(f"written by a newer lineage (v {record['v']}, this one reads v {VERSION}): update lineage")
    if record.get("status") not in STATUSES:
        raise EntryError(f"status is {record.get('status')!r}, expected one of {', '.join(STATUSES)}")


def check_fields(record: dict[str, Any]) -> None:
    """Raise EntryError for a field of another type, a negative number, or a name that leads out of the store."""
    for name, value in record.items():
        if name in FIELD_TYPES and (reason := find_mismatch(value, FIELD_TYPES[name])):
            raise EntryError(f"{name}: {reason}")
    for name in ("seed", "seconds", "steps", "processes"):
        if record.get(name, 0) < 0:
            raise EntryError(f"{name}: {record[name]} is negative")
    try:
        datetime.fromisoformat(record.get("started", "2026-01-01"))
    except ValueError as error:
        raise EntryError(f"started: {error}") from error
    check_names(record)


def check_names(record: Mapping[str, Any]) -> None:
    """Raise EntryError unless table, row, model and id are names of folders and a file below the store."""
    names = {"table": record.get("table"), "row": record.get("row")}
    names["choices.model"] = record.get("choices", {}).get("model")
    for name, value in names.items():
        if value is not None and not all(map(is_path_part, value.split("/"))):
            raise EntryError(f"{name}: {value[:100]!r} is no name of folders below the store")
    if not is_path_part(str(record.get("id"))):
        raise EntryError(f"id: {str(record.get('id'))[:100]!r} is no name of a file")


def is_path_part(name: str) -> bool:
    """Return whether a name stays in its folder: no `..`, no separator, nothing that is hidden or cannot be printed."""
    is_plain = name.isprintable() and not any(letter in name for letter in '/\\:*?"<>|')
    return is_plain and 0 < len(name.encode()) <= 200 and not name.startswith((".", "-", "~"))


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _is_neutral(override: Override) -> bool:
    """Return whether an override keeps the config digest: all options of `trainer` do, some of its keys do not."""
    return within(override.key, ("experiment",)) or override.key == "trainer" or role_of(override.key) in VOLATILE


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: NaN becomes null, a numpy scalar its Python value."""
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    return _plain(value.item()) if hasattr(value, "item") else str(value)
