"""Two entries side by side: what is different about them, in the shortest form, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lineage.results.entry import Entry

ABSENT = "(absent)"


@dataclass(frozen=True)
class Difference:
    key: str
    a: Any
    b: Any

    def __str__(self) -> str:
        return self.told()

    def told(self, colour: bool = False) -> str:
        """In a terminal what was is red, and what is is green."""
        a, b = _short(self.a), _short(self.b)
        return f"{self.key}: \x1b[31m{a}\x1b[0m -> \x1b[32m{b}\x1b[0m" if colour else f"{self.key}: {a} -> {b}"


def configs(a: dict[str, Any], b: dict[str, Any], ignore: Sequence[str] = ()) -> list[Difference]:
    """The keys that differ; a node on one side only is one difference. Copies of an ignored node are ignored too."""
    pairs = [(at(a, key), at(b, key)) for key in ignore]
    copies = [pair for pair in pairs if any(isinstance(node, dict | list) for node in pair)]
    return [found for found in _walk(a, b, "", copies) if not any(within(found.key, key) for key in ignore)]


def shortest(found: Sequence[Difference]) -> list[Difference]:
    """Each difference once: what interpolation has copied to other places is told where it stands first."""
    told: list[tuple[str, Any, Any]] = []
    kept = []
    for one in found:
        leaf = one.key.rpartition(".")[2]
        if (leaf, one.a, one.b) not in told:
            told.append((leaf, one.a, one.b))
            kept.append(one)
    return kept


def at(config: Any, key: str) -> Any:
    """The node at a dotted key, or ABSENT."""
    for part in key.split("."):
        if not isinstance(config, dict) or part not in config:
            return ABSENT
        config = config[part]
    return config


def metrics(a: Entry, b: Entry) -> list[Difference]:
    """Metrics whose values are not bitwise equal, those of one side included."""
    names = list(dict.fromkeys([*a.metrics, *b.metrics]))
    values = [(name, a.metrics.get(name, ABSENT), b.metrics.get(name, ABSENT)) for name in names]
    return [Difference(name, ours, theirs) for name, ours, theirs in values if ours != theirs]


def provenance(a: Entry, b: Entry) -> list[Difference]:
    """What else could explain a difference: code, packages, hardware, data, weights, processes, seed."""
    fields = (
        "status",
        "seed",
        "commit",
        "dirty",
        "diff",
        "processes",
        "dataset",
        "weights",
        "packages",
        "hardware",
        "host",
    )
    left, right = ({name: getattr(entry, name) for name in fields} for entry in (a, b))
    return list(_walk(left, right, ""))


@dataclass(frozen=True)
class Reason:
    what: str
    weight: str  # how likely it explains another number
    found: list[Difference]


NOT_COMPUTED = ("cell", "paths", "seed", "logger", "resume", "data", "evaluate_only", "checkpoint_every",
                "dump_proposals", "dump_labels")  # fmt: skip  # keys that say nothing about the numbers


def explain(a: Entry, b: Entry) -> list[Reason]:
    """What two entries did differently, in the order in which it can explain another number."""
    tests = [] if a.evaluation == b.evaluation else [Difference("evaluation", a.evaluation[:8], b.evaluation[:8])]
    code = [found for found in provenance(a, b) if found.key in ("commit", "dirty", "diff")]
    ranked = [
        ("data", "other images or ground truth are another experiment", _fields(a, b, "dataset") + tests),
        ("config", "it asks for something else", shortest(configs(a.config, b.config, ignore=NOT_COMPUTED))),
        ("weights", "it starts from something else", _fields(a, b, "weights", "parents")),
        ("code", "look at what changed between the commits", code),
        ("seed", "as much as seeds do: `lineage table` shows the spread", _fields(a, b, "seed")),
        ("packages", "sums in another order; rarely more than the last digits", _fields(a, b, "packages")),
        ("hardware", "sums in another order; rarely more than the last digits", _fields(a, b, "hardware", "processes")),
        ("status", "an unfinished run has trained for less", _fields(a, b, "status", "steps")),
    ]
    return [Reason(what, weight, found) for what, weight, found in ranked if found]


def _fields(a: Entry, b: Entry, *names: str) -> list[Difference]:
    left, right = ({name: getattr(entry, name) for name in names} for entry in (a, b))
    return list(_walk(left, right, ""))


def _walk(a: Any, b: Any, key: str, known: Sequence[tuple[Any, Any]] = ()) -> Iterator[Difference]:
    if a == b or (a, b) in known:
        return
    if not (isinstance(a, dict) and isinstance(b, dict)):
        yield Difference(key, a, b)
        return
    for name in dict.fromkeys([*a, *b]):
        below = f"{key}.{name}" if key else str(name)
        yield from _walk(a.get(name, ABSENT), b.get(name, ABSENT), below, known)


def within(key: str, root: str) -> bool:
    return key == root or key.startswith(root + ".")


def _short(value: Any) -> str:
    """A node is named by its class; a long text by its beginning."""
    if isinstance(value, dict):
        return str(value.get("_target_", f"{{{', '.join(map(str, value))}}}"))
    text = str(value).replace("\n", " ")
    return text if len(text) <= 60 else text[:57] + "..."
