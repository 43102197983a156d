"""Two entries side by side: what is different about them, in the shortest form, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lineage.tables.entry import Entry

ABSENT = "(absent)"


@dataclass(frozen=True)
class Difference:
    key: str
    a: Any
    b: Any

    def __str__(self) -> str:
        return f"{self.key}: {_short(self.a)} -> {_short(self.b)}"


def configs(a: dict[str, Any], b: dict[str, Any], ignore: Sequence[str] = ()) -> list[Difference]:
    """The keys that differ; a node on one side only is one difference. Copies of an ignored node are ignored too."""
    copies = [(a[key], b[key]) for key in ignore if isinstance(a.get(key), dict) and key in b]
    return [found for found in _walk(a, b, "", copies) if not any(_at(found.key, key) for key in ignore)]


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


def _walk(a: Any, b: Any, key: str, known: Sequence[tuple[Any, Any]] = ()) -> Iterator[Difference]:
    if a == b or (a, b) in known:
        return
    if not (isinstance(a, dict) and isinstance(b, dict)):
        yield Difference(key, a, b)
        return
    for name in dict.fromkeys([*a, *b]):
        below = f"{key}.{name}" if key else str(name)
        yield from _walk(a.get(name, ABSENT), b.get(name, ABSENT), below, known)


def _at(key: str, root: str) -> bool:
    return key == root or key.startswith(root + ".")


def _short(value: Any) -> str:
    """A node is named by its class; a long text by its beginning."""
    if isinstance(value, dict):
        return str(value.get("_target_", f"{{{', '.join(map(str, value))}}}"))
    text = str(value).replace("\n", " ")
    return text if len(text) <= 60 else text[:57] + "..."
