"""Two entries side by side: what is different about them, in the shortest form, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lineage.results.entry import Entry
from lineage.results.key_roles import SAME_EXPERIMENT, is_neutral, keys_with, within

ABSENT = "(absent)"


@dataclass(frozen=True)
class Difference:
    key: str
    a: Any
    b: Any

    def __str__(self) -> str:
        return self.format()

    def format(self, colour: bool = False) -> str:
        """Return `key: a -> b`; with colour, a is red and b is green."""
        a, b = _shorten_floats(self.a, self.b) or (_short(self.a), _short(self.b))
        return f"{self.key}: \x1b[31m{a}\x1b[0m -> \x1b[32m{b}\x1b[0m" if colour else f"{self.key}: {a} -> {b}"


def configs(a: dict[str, Any], b: dict[str, Any], ignore: Sequence[str] = ()) -> list[Difference]:
    """Return the keys that differ, those aside that an earlier config lacks and that change nothing.

    A node on one side only is one difference; a copy of an ignored value is none.
    """
    pairs = [(at(a, key), at(b, key)) for key in ignore]
    copies = [pair for pair in pairs if any(_is_recognizable(value) for value in pair)]
    differences = [difference for difference in _walk(a, b, "", copies) if not within(difference.key, ignore)]
    return [difference for difference in differences if not _is_younger_key(difference)]


def experiments(a: dict[str, Any], b: dict[str, Any], ignore: Sequence[str] = ()) -> list[Difference]:
    """Return what two configs compute differently, each difference once: no places, seeds, hardware or cells."""
    neutral = [key for config in (a, b) for key in keys_with(config, *SAME_EXPERIMENT)]
    return shortest(configs(a, b, ignore=[*dict.fromkeys(neutral), *ignore]))


def shortest(differences: Sequence[Difference]) -> list[Difference]:
    """Return each difference once: of copies by interpolation, the first."""
    unique: list[Difference] = []
    for difference in differences:
        if not any(_repeats(first, difference) for first in unique):
            unique.append(difference)
    return unique


def _repeats(first: Difference, other: Difference) -> bool:
    """Return whether keys of equal values are copies: of nodes, classes and paths if their last names are equal.

    Of numbers, two names have to be equal: roi.size and model.box.roi.size are copies, pre_nms_top_n.test and
    post_nms_top_n.test are not.
    """
    if (first.a, first.b) != (other.a, other.b):
        return False
    ends = [difference.key.split(".")[-2:] for difference in (first, other)]
    if ends[0][-1] != ends[1][-1]:
        return False
    any_value = any(_is_recognizable(value) for value in (first.a, first.b)) or ends[0][-1] == "_target_"
    return any_value or ends[0] == ends[1] or 1 in map(len, ends)


def at(config: Any, key: str) -> Any:
    """Return the node at a dotted key, or ABSENT."""
    for part in key.split("."):
        if not isinstance(config, dict) or part not in config:
            return ABSENT
        config = config[part]
    return config


def metrics(a: Entry, b: Entry) -> list[Difference]:
    """Return the metrics whose values are not bitwise equal, or that only one side has."""
    names = list(dict.fromkeys([*a.metrics, *b.metrics]))
    values = [(name, a.metrics.get(name, ABSENT), b.metrics.get(name, ABSENT)) for name in names]
    return [Difference(name, ours, theirs) for name, ours, theirs in values if ours != theirs]


def results(a: Entry, b: Entry) -> list[Difference]:
    """Return the metrics that differ; of two runs without evaluation, the trained weights if they differ."""
    return metrics(a, b) if a.metrics or b.metrics else _fields(a, b, "trained_weights_sha256")


def provenance(a: Entry, b: Entry) -> list[Difference]:
    """Return what else could explain a difference: code, packages, hardware, data, weights, processes, seed."""
    return _fields(a, b, "status", "seed", "commit", "dirty", "diff", "processes", "dataset", "initial_weights_sha256",
                   "packages", "hardware", "host")  # fmt: skip


@dataclass(frozen=True)
class Reason:
    kind: str
    weight: str  # how likely it explains another number
    differences: list[Difference]


def explain(a: Entry, b: Entry) -> list[Reason]:
    """Return what two entries did differently; what can explain a difference of metrics best comes first."""
    rules = Difference("evaluation_digest", a.evaluation_digest[:8], b.evaluation_digest[:8])
    tests = [] if rules.a == rules.b else [rules]
    code = [difference for difference in provenance(a, b) if difference.key in ("commit", "dirty", "diff")]
    ranked = [
        ("data", "other images or ground truth are another experiment", _fields(a, b, "dataset") + tests),
        ("config", "it asks for something else", experiments(a.config, b.config)),
        ("weights", "it starts from something else", _fields(a, b, "initial_weights_sha256", "parents")),
        ("code", "look at what changed between the commits", code),
        ("seed", "as much as seeds do: `lineage table` shows the spread", _fields(a, b, "seed")),
        ("packages", "sums in another order; rarely more than the last digits", _fields(a, b, "packages")),
        ("hardware", "sums in another order; rarely more than the last digits", _fields(a, b, "hardware", "processes")),
        ("status", weigh_steps(a, b), _fields(a, b, "status", "steps")),
    ]
    return [Reason(kind, weight, differences) for kind, weight, differences in ranked if differences]


def weigh_steps(a: Entry, b: Entry) -> str:
    """Return what another status or number of steps says: a test of a row trains for 0 steps and is finished."""
    if {a.status, b.status} != {"finished"}:
        return "an unfinished run has trained for less"
    if 0 in (a.steps, b.steps):
        return "a run of 0 steps tests weights that another has trained"
    return "a longer training is another experiment"


def format_section(title: str, differences: Sequence[Difference], colour: bool) -> str:
    """Return a title and a line per difference; empty if there is none."""
    lines = [f"  {difference.format(colour)}" for difference in differences]
    return "\n".join([title, *lines, ""]) if lines else ""


def _shorten_floats(a: Any, b: Any) -> tuple[str, str] | None:
    """Return two long floats with six digits; None if they differ in later digits alone, or are not long floats."""
    if not isinstance(a, float) or not isinstance(b, float) or len(f"{a}{b}") < 16:
        return None
    short = f"{a:.6g}", f"{b:.6g}"
    return short if short[0] != short[1] else None


def _fields(a: Entry, b: Entry, *names: str) -> list[Difference]:
    left, right = ({name: getattr(entry, name) for name in names} for entry in (a, b))
    return list(_walk(left, right, ""))


def _walk(a: Any, b: Any, key: str, originals: Sequence[tuple[Any, Any]] = ()) -> Iterator[Difference]:
    if a == b or _is_copy(a, b, originals):
        return
    if not (isinstance(a, dict) and isinstance(b, dict)):
        yield Difference(key, a, b)
        return
    for name in dict.fromkeys([*a, *b]):
        below = f"{key}.{name}" if key else str(name)
        yield from _walk(a.get(name, ABSENT), b.get(name, ABSENT), below, originals)


def _is_younger_key(difference: Difference) -> bool:
    """Return whether one config lacks the key and the other has it at a value that changes nothing."""
    sides = difference.a, difference.b
    return ABSENT in sides and any(is_neutral(difference.key, value) for value in sides)


def _is_recognizable(value: Any) -> bool:
    """Return whether an equal value elsewhere is a copy: of a node or a path it is, of a number it may be chance."""
    return isinstance(value, dict | list) or (isinstance(value, str) and "/" in value)


def _is_copy(a: Any, b: Any, originals: Sequence[tuple[Any, Any]]) -> bool:
    """Return whether two values differ as an ignored pair does, or by a path that they begin with."""
    if (a, b) in originals:
        return True
    texts = [(x, y) for x, y in originals if isinstance(x, str) and isinstance(y, str)]
    if not isinstance(a, str) or not isinstance(b, str):
        return False
    return any(a.startswith(x) and b.startswith(y) and a[len(x) :] == b[len(y) :] for x, y in texts)


def _short(value: Any) -> str:
    """Return the class of a node, the beginning of a long text, anything else as it is."""
    if isinstance(value, dict):
        return str(value.get("_target_", f"{{{', '.join(map(str, value))}}}"))
    text = str(value).replace("\n", " ")
    return text if len(text) <= 60 else text[:57] + "..."
