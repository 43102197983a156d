"""The rules of a tier for the keys that rows set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lineage.tables import read
from lineage.tables.table import TableError
from lineage.tables.tiers import load_tiers, translate_assignments, translate_choices, translate_row

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


def test_a_table_sets_keys_of_its_own_at_a_small_tier() -> None:
    """The rows of RetinaNet's Table 1e vary the short side, so that its images are the largest of them at tier mini."""
    folder = Path(__file__).parents[2] / "experiments"
    row = read.load_table(folder, "retinanet/table1e").rows["r50_400"]
    rules = load_tiers(folder)
    assert translate_row(row, "mini", rules["mini"])[1]["dataset.size"] == [128, 128]
    assert "dataset.size" not in translate_row(row, "smoke", rules["smoke"])[1]
    assert "dataset.size" not in translate_row(row, "paper", {})[1]


def test_a_table_sets_nothing_at_the_tier_of_the_paper() -> None:
    text = "at: {paper: {dataset.size: [9, 9]}}\npaper: P\nlabel: T\nmessage: M\nkind: headline\ndataset: coco\n"
    with pytest.raises(TableError, match=r"at.paper: .*base.set"):
        read.parse_table("p/t", f"{text}metrics: {{box/AP: AP}}\nrows: {{a: {{label: A}}}}\n")
