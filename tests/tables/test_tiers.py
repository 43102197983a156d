"""The rules of a tier for the keys that rows set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lineage.tables import read
from lineage.tables.tiers import translate_assignments, translate_choices

RULES: dict[str, Any] = {
    "a.count": {"scale": 0.1},
    "a.only": {"only": [1, 2]},
    "a.value": {"value": 7},
    "a.drop": "drop",
    "a.*": {"scale": 2},
}


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("a.count", 300, 30),
        ("a.count", 14, 1),
        ("a.count", 5, 1),  # never fewer than one
        ("a.count", 1, 1),
        ("a.count", 0.5, 0.05),  # no count
        ("a.count", [100, 25, [10, 3]], [10, 2, [1, 1]]),
        ("a.only", 2, 2),
        ("a.value", "anything", 7),
        ("a.other", 3, 6),  # the first pattern that matches
        ("b.other", 3, 3),
    ],
)
def test_assignments(key: str, value: Any, expected: Any) -> None:
    found = translate_assignments({key: value}, {"set": RULES})
    assert found == {key: pytest.approx(expected) if isinstance(expected, float) else expected}
    assert type(found[key]) is type(expected)


@pytest.mark.parametrize(("key", "value"), [("a.drop", 1), ("a.only", 3)])
def test_dropped_assignments(key: str, value: Any) -> None:
    assert translate_assignments({key: value}, {"set": RULES}) == {}


def test_choices() -> None:
    tier = {"dataset": {"*": "shapes", "lvis": "shapes_many"}, "augment": {"none": "flip"}}
    choices = {"dataset": "coco", "augment": "none", "roi": "pool"}
    assert translate_choices(choices, tier) == {"dataset": "shapes", "augment": "flip", "roi": "pool"}
    assert translate_choices({"dataset": "lvis", "augment": "lsj"}, tier) == {
        "dataset": "shapes_many",
        "augment": "lsj",
    }


def test_rows_of_a_claim_train_equally_long_at_mini() -> None:
    """A row without a named schedule trains 1,400 steps there, one with a name 400: VOC07 trained longer than 07+12."""
    folder = Path(__file__).parents[2] / "experiments"
    tables = [read.load_table(folder, name) for name in read.list_tables(folder)]
    pairs = [(table, effect.better, effect.worse) for table in tables for effect in table.effects]
    assert not [
        f"{table.name}: {better}, {worse}"
        for table, better, worse in pairs
        if ("schedule" in table.rows[better].choices) != ("schedule" in table.rows[worse].choices)
    ]
