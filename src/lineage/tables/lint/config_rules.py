"""Rules about the changes that rows make: T2 to T5, T12, T18, C3. They compare resolved configs, not files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise, product
from typing import Any

from lineage.results import diff
from lineage.results.diff import Difference
from lineage.tables.lint.causes import find_causes, find_differences, list_references
from lineage.tables.lint.rules import NOTE, WARNING, Finding, Subject

TESTED_ON = ("dataset.val", "dataset.evaluator", "evaluator")
BUDGET = ("schedule.steps", "schedule.images_per_step")
PARTS = ("backbone", "roi", "upsampling", "classification", "regression", "suppression")  # a model names those it has
SHOWN = 6  # differences per row


def check_one_factor(subject: Subject) -> Iterator[Finding]:
    """T2, T12: everything that differs from the baseline is the factor, or is listed with a reason."""
    table = subject.table
    if table.kind not in ("one_factor", "ordered") or table.baseline not in subject.configs:
        return
    keys = [key for group in table.factor.values() for key in group]
    yield from _check_two_factors(subject)
    for name, config in subject.configs.items():
        row = table.rows[name]
        if not row.published and _is_parent(subject, name):
            continue
        listed = table.covaries | row.covaries
        extra = _changes(subject, table.baseline, name, [*keys, *listed])
        if extra:
            message = f"differs from {table.baseline} in more than {', '.join(table.factor)}: {_format(extra)}"
            yield Finding("T2", message, name)
        yield from _note_covarying(subject, name, listed, config)
        changed = extra or _changes(subject, table.baseline, name, list(listed))
        if name != table.baseline and not changed and row.uses == table.rows[table.baseline].uses:
            along = _changes(subject, table.baseline, name, ())
            message = "changes only what covaries from" if along else "is the same experiment as"
            yield Finding("T2", f"{message} {table.baseline}", name)


def _check_two_factors(subject: Subject) -> Iterator[Finding]:
    """Report a series of trainings beside a series of tests of the baseline's checkpoint, which are two factors."""
    table, base = subject.table, f"{subject.table.name}/{subject.table.baseline}"
    rows = [table.rows[name] for name in subject.configs if name != table.baseline and subject.list_metrics(name)]
    tests = [row.name for row in rows if row.evaluates == base]
    trains = [row.name for row in rows if row.evaluates is None]
    if len(tests) > 1 and len(trains) > 1:  # a single one is a method that needs no training of its own
        message = f"two factors: {', '.join(trains)} train otherwise than {table.baseline}, "
        yield Finding("T2", f"{message}{', '.join(tests)} only test its checkpoint otherwise; make it two tables")


def _is_parent(subject: Subject, name: str) -> bool:
    """Return whether other rows use its results; such a row needs no published number."""
    full = f"{subject.table.name}/{name}"
    return any(full in row.uses.values() for row in subject.table.rows.values())


def _note_covarying(subject: Subject, name: str, listed: dict[str, str], config: dict[str, Any]) -> Iterator[Finding]:
    base = subject.configs[subject.table.baseline or name]
    for key, reason in listed.items():
        if diff.at(base, key) != diff.at(config, key):
            yield Finding("T12", f"{key} changes along: {reason}", name)


def check_cumulative(subject: Subject) -> Iterator[Finding]:
    """T3: a row differs from the row above in the keys of one step."""
    if subject.table.kind != "cumulative":
        return
    names = [name for name in subject.configs if subject.table.rows[name].published or not _is_parent(subject, name)]
    for above, name in pairwise(names):
        row = subject.table.rows[name]
        listed = subject.table.covaries | row.covaries
        changed = _changes(subject, above, name, list(listed))
        steps = subject.table.factor
        fitting = [step for step, keys in steps.items() if not _changes(subject, above, name, [*keys, *listed])]
        if not changed and row.uses == subject.table.rows[above].uses:
            yield Finding("T3", f"changes nothing from {above}", name)
        elif changed and not fitting:
            yield Finding("T3", f"is no single step of {', '.join(steps)} from {above}: {_format(changed)}", name)


def check_factorial(subject: Subject) -> Iterator[Finding]:
    """T4 and T2: every combination of levels is a row or a listed gap, and nothing else changes."""
    table = subject.table
    if table.kind != "factorial" or len(table.factor) < 2 or not subject.configs:
        return
    levels = {name: _levels(subject, name) for name in subject.configs}
    axes = [list(dict.fromkeys(cell[factor] for cell in levels.values())) for factor in table.factor]
    present = [tuple(cell.values()) for cell in levels.values()]
    gaps = [tuple(gap.get(factor, "") for factor in table.factor) for gap in table.gaps]
    for cell in product(*axes):
        if cell not in present and cell not in gaps:
            levels_text = ", ".join(f"{factor}={level}" for factor, level in zip(table.factor, cell, strict=True))
            yield Finding("T4", f"the grid lacks {levels_text}; add the row, or list it under gaps")
    keys = [key for group in table.factor.values() for key in group]
    first = table.baseline if table.baseline in subject.configs else next(iter(subject.configs))
    for name in subject.configs:
        listed = table.covaries | table.rows[name].covaries
        extra = _changes(subject, first, name, [*keys, *listed])
        if extra:
            yield Finding("T2", f"differs from {first} in more than {', '.join(table.factor)}: {_format(extra)}", name)


def _levels(subject: Subject, row: str) -> dict[str, str]:
    """Return the level of each factor: the option of a group, else the values of its keys."""
    return {
        factor: "+".join(str(_level(subject, row, key)) for key in keys)
        for factor, keys in subject.table.factor.items()
    }


def _level(subject: Subject, row: str, key: str) -> Any:
    return subject.choices[row].get(key, diff.at(subject.configs[row], key))


def check_parts(subject: Subject) -> Iterator[Finding]:
    """T18: a part that rows vary is one that their model has; else they are one experiment."""
    keys = [key for group in subject.table.factor.values() for key in group]
    for key in keys:
        part = key.partition(".")[0]
        without = [name for name in subject.configs if part in PARTS and part not in _list_parts(subject, name)]
        levels = {str(_level(subject, name, key)): name for name in without}
        if len(levels) > 1:
            models = " and ".join(dict.fromkeys(subject.choices[name].get("model", "?") for name in without))
            has = ", ".join(sorted(_list_parts(subject, without[0]))) or "none"
            same = f"{' and '.join(levels.values())} are one experiment"
            yield Finding("T18", f"{same}: {models} has no part {part}; of these it has {has}")


def _list_parts(subject: Subject, name: str) -> set[str]:
    """Return the parts that the config of a row names by interpolation, outside of themselves."""
    written = subject.row_config(name).written
    references = [(key, other) for key in written for other in list_references(written[key], key)]
    named = {(key.partition(".")[0], other.partition(".")[0]) for key, other in references}
    return {part for key, part in named if part in PARTS and part != key}


def check_same_test(subject: Subject) -> Iterator[Finding]:
    """T5: all rows have the same images, ground truth and evaluator; `mixed` allows others, but not within a claim."""
    table = subject.table
    names = [name for name in subject.configs if subject.list_metrics(name)]  # the others only serve these
    level = NOTE if table.mixed else WARNING if table.kind == "zoo" else ""
    because = f" (mixed: {table.mixed})" if table.mixed else ""
    different = [(name, changed) for name in names[1:] if (changed := _compare_tests(subject, names[0], name))]
    for name, changed in different:
        yield Finding("T5", f"is tested otherwise than {names[0]}{because}: {_format(changed)}", name, level)
    for effect in table.effects if table.mixed else ():
        if {effect.better, effect.worse} <= set(names) and _compare_tests(subject, effect.better, effect.worse):
            yield Finding("T5", f"{effect.better} and {effect.worse} are tested differently, and a claim compares them")
    if table.mixed and not different:
        yield Finding("T5", "mixed is declared, but all rows are tested alike", None, WARNING)
    yield from _check_budgets(subject, names)


def _compare_tests(subject: Subject, a: str, b: str) -> list[Difference]:
    return _compare_nodes(subject, a, b, TESTED_ON)


def _compare_nodes(subject: Subject, a: str, b: str, nodes: Sequence[str]) -> list[Difference]:
    """Return the causes of the differences in these nodes, beside what the table declares, each once."""
    allowed, configs = _list_allowed(subject, b), (subject.row_config(a), subject.row_config(b))
    causes = [cause for node in nodes for cause in find_causes(*configs, node, allowed)]
    return list({cause.key: cause for cause in causes}.values())


def _check_budgets(subject: Subject, names: list[str]) -> Iterator[Finding]:
    """T5: note systems of a headline table that were trained for longer or shorter than the first."""
    if subject.table.kind != "headline":
        return
    for name in names[1:]:
        changed = _compare_nodes(subject, names[0], name, BUDGET)
        if changed:
            yield Finding("T5", f"is trained for longer or shorter than {names[0]}: {_format(changed)}", name, NOTE)


def _list_allowed(subject: Subject, name: str) -> list[str]:
    """Return the keys of the factor, and those that change along with it."""
    table = subject.table
    return [*(key for group in table.factor.values() for key in group), *table.covaries, *table.rows[name].covaries]


def check_test_images(subject: Subject) -> Iterator[Finding]:
    """C3: no row is tested on its training images."""
    for name, config in subject.configs.items():
        train, val = diff.at(config, "dataset.train"), diff.at(config, "dataset.val")
        keys = ("annotations", "images", "root", "seed", "split", "list", "year", "image_set", "_target_")
        if isinstance(train, dict) and isinstance(val, dict) and (train.get("annotations") or train.get("seed")):
            same = all(train.get(key) == val.get(key) for key in keys if key not in ("split",))
            if same:
                yield Finding("C3", "is tested on its training images", name)


def _changes(subject: Subject, a: str, b: str, allowed: Sequence[str]) -> list[Difference]:
    """Return the differences of two rows beside the allowed keys; a copy by interpolation is none."""
    return find_differences(subject.row_config(a), subject.row_config(b), allowed)


def _format(changed: Sequence[Difference]) -> str:
    more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
    return "; ".join(map(str, changed[:SHOWN])) + more
