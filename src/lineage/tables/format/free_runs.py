"""Free runs as a list: filtered, sorted, with columns by name; what they varied stands first."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from lineage.results import diff
from lineage.results.entry import Entry
from lineage.results.overrides import Override, shorten_key
from lineage.tables.format.terminal import Grid, align
from lineage.tables.numbers import EMPTY
from lineage.tables.suggest import did_you_mean, nearest
from lineage.tables.table import TableError

CONDITION = re.compile(r"([^=<>!]+?)\s*(>=|<=|!=|=|>|<)\s*(.*)")
FIELDS = (
    "id",
    "origin",
    "tier",
    "status",
    "seed",
    "steps",
    "seconds",
    "parameters",
    "peak_memory",
    "image_ms",
    "step_seconds",
)
METRICS = ("mask/AP", "box/AP", "keypoint/AP", "panoptic/PQ", "frame/PSNR")
LAST = ("status", "tier", "seed", "id")  # columns that stand at the end

Value = str | float | None


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on one value of a run: `model=mask_rcnn`, `steps>500`."""

    name: str
    operator: str
    value: str

    def holds(self, entry: Entry) -> bool:
        """Return whether a run fulfils it; a run without the value fulfils `!=` alone."""
        ours, theirs = read_value(entry, self.name), _parse(self.value)
        if ours is None:
            return self.operator == "!="
        if isinstance(ours, str) != isinstance(theirs, str):
            ours, theirs = str(ours), self.value
        if self.operator in ("=", "!="):
            return (ours == theirs) == (self.operator == "=")
        return _compare(self.operator, ours, theirs)


def parse_condition(text: str) -> Condition:
    """Read `NAME=VALUE`, `NAME!=VALUE`, `NAME>VALUE`, ..."""
    match = CONDITION.fullmatch(text.strip())
    if match is None:
        raise TableError(f"{text!r} is no condition: write model=mask_rcnn, seed!=0 or 'steps>500', which needs quotes")
    condition = Condition(match[1].strip(), match[2], match[3].strip())
    if condition.operator not in ("=", "!=") and not condition.value:
        raise TableError(f"{text!r} compares with nothing: write a value behind {condition.operator}")
    return condition


def render_runs(entries: Sequence[Entry], conditions: Sequence[str], sort: str, columns: Sequence[str]) -> str:
    """Return a line per run that fulfils all conditions. Raises TableError for a name that no run has.

    sort: the name of a value, the largest first; `-NAME` the smallest first; "" the newest first.
    columns: names beside the id; none are what the runs varied, their model and their main metrics.
    """
    if not entries:
        return "No free runs. `python train.py` makes one, `lineage import` brings those of other code bases.\n"
    parsed = [parse_condition(text) for text in conditions]
    _check_names(list_requested(conditions, sort, columns), entries)
    _check_options(parsed, entries)
    chosen = [entry for entry in entries if all(condition.holds(entry) for condition in parsed)]
    ordered = sorted(chosen, key=lambda entry: entry.id, reverse=True)
    if sort:
        ordered = _sort(ordered, sort)
    head = [*columns, "id"] if columns else _choose_columns(ordered)
    body = [[_format(read_value(entry, name)) for name in head] for entry in ordered]
    titles = [_shorten(name, head) for name in head]
    return f"{align(Grid(titles, body))}\n{len(ordered)} of {len(entries)} free runs; `lineage show` one by its id\n"


def list_requested(conditions: Sequence[str], sort: str, columns: Sequence[str]) -> list[str]:
    """Return the names of values that a person asks for."""
    return [*(parse_condition(text).name for text in conditions), *columns, *([sort.removeprefix("-")] if sort else [])]


def _shorten(name: str, names: Sequence[str]) -> str:
    """Return the title of a column: of a key of three parts or more its end, as `val.images` beside `train.images`."""
    return shorten_key(name, names) if name.count(".") > 1 else name


def read_value(entry: Entry, name: str) -> Value:
    """Return a value of a run by its name, or None.

    name: a key or group that it sets, a metric, a choice, a field of its entry, or a key of its config with dots.
    """
    for text in entry.deviations:
        override = Override.parse(text)
        if name in (override.name, override.name.rpartition(".")[2]) and override.value is not None:
            return _parse(override.value)
    if name in entry.metrics:
        return entry.metrics[name]
    if name in entry.choices:
        return entry.choices[name]
    if name in FIELDS:
        value = getattr(entry, name)
        return value if value is None or isinstance(value, str) else float(value)
    return _read_config(entry, name)


def _read_config(entry: Entry, key: str) -> Value:
    """Return the value of a dotted key in the config of a run; None if it has no such key, or a node there."""
    value = diff.at(entry.config, key) if "." in key else diff.ABSENT
    if value == diff.ABSENT or isinstance(value, dict):
        return None
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    return float(value) if isinstance(value, int | float) else str(value)


def list_names(entries: Iterable[Entry]) -> list[str]:
    """Return the names of all values that runs have."""
    names: dict[str, None] = dict.fromkeys(FIELDS)
    for entry in entries:
        names |= dict.fromkeys([*_list_set(entry), *entry.metrics, *entry.choices])
    return list(names)


def _list_set(entry: Entry) -> list[str]:
    return [Override.parse(text).name for text in entry.deviations]


def _check_names(names: Iterable[str], entries: Sequence[Entry]) -> None:
    present = list_names(entries)
    leaves = {name.rpartition(".")[2] for name in present}
    for name in names:
        if name in present or name in leaves or any(read_value(entry, name) is not None for entry in entries):
            continue
        alike = [other for other in present if other.rpartition("/")[2] == name]
        hint = f"Did you mean {' or '.join(alike)}?" if alike else did_you_mean(name, present)
        raise TableError(f"no free run has a value called {name!r}. {hint}")


def _check_options(conditions: Iterable[Condition], entries: Sequence[Entry]) -> None:
    """Raise TableError for `model=mask_rcn`: a word that no run has and that is close to one that a run has."""
    for condition in conditions:
        values = {value for entry in entries if isinstance(value := read_value(entry, condition.name), str)}
        if condition.operator not in ("=", "!=") or condition.value in values:
            continue
        if close := nearest(condition.value, sorted(values)):
            text = f"{condition.name}{condition.operator}{condition.value}"
            raise TableError(f"{text}: no free run has this {condition.name}. Did you mean {' or '.join(close)}?")


def _choose_columns(entries: Sequence[Entry]) -> list[str]:
    """Return what the runs varied, their model, their main metrics, then the rest."""
    named = dict.fromkeys(name for entry in entries for name in _list_set(entry))
    varied = [name for name in named if len({read_value(entry, name) for entry in entries}) > 1]
    metrics = [name for name in METRICS if any(name in entry.metrics for entry in entries)]
    origin = ["origin"] if any(entry.origin for entry in entries) else []
    return list(dict.fromkeys([*varied, *origin, "model", *metrics, *LAST]))


def _sort(entries: Sequence[Entry], sort: str) -> list[Entry]:
    """Sort by a value; runs without it stand last."""
    name, reverse = sort.removeprefix("-"), not sort.startswith("-")
    present = [entry for entry in entries if read_value(entry, name) is not None]
    absent = [entry for entry in entries if read_value(entry, name) is None]
    key: Callable[[Entry], tuple[bool, float, str]] = lambda entry: _rank(read_value(entry, name))  # noqa: E731
    return [*sorted(present, key=key, reverse=reverse), *absent]


def _rank(value: Value) -> tuple[bool, float, str]:
    return (True, 0.0, value) if isinstance(value, str) else (False, value or 0.0, "")


def _compare(operator: str, ours: str | float, theirs: str | float) -> bool:
    pair = (_rank(ours), _rank(theirs))
    results = {">": pair[0] > pair[1], "<": pair[0] < pair[1], ">=": pair[0] >= pair[1], "<=": pair[0] <= pair[1]}
    return results[operator]


def _parse(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def _format(value: Value) -> str:
    if value is None:
        return EMPTY
    return value if isinstance(value, str) else f"{value:.4g}" if abs(value) < 1e6 else f"{value:,.0f}"
