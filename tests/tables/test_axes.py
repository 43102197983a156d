"""docs/axes.md tells the truth: what it says to type composes, trains, and is what the row beside it does."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from lineage.config.compose import compose_config
from lineage.tables import read
from lineage.tables.table import Row
from tests.tables.step import step

PROJECT = Path(__file__).parents[2]
LINES = re.findall(r"^\| ([^|]*) \| `([^`]+)` \| ([^|]+) \|$", (PROJECT / "docs/axes.md").read_text(), re.MULTILINE)
CHOICES = [choice for _, choice, _ in LINES]
IN_A_TABLE = [(choice, row) for _, choice, row in LINES if not row.startswith("arXiv:")]
OF_THE_MACHINE = ("dataset", "backbone")  # rows name the paper's, the page what `shapes` has in its place


@cache
def _rows(table: str) -> dict[str, Row]:
    return read.load_table(PROJECT / "experiments", table).rows


@pytest.mark.parametrize("choice", CHOICES)
def test_a_choice_composes(choice: str) -> None:
    OmegaConf.resolve(compose_config(choice.split(), PROJECT))


@pytest.mark.parametrize(("choice", "row"), IN_A_TABLE)
def test_a_choice_is_what_its_row_says(choice: str, row: str) -> None:
    said = _rows(row.rpartition("/")[0])[row.rpartition("/")[2]]
    assert said.runs
    for override in OverridesParser.create().parse_overrides(choice.split()):
        key = override.key_or_group
        if key not in OF_THE_MACHINE:
            assert (said.choices | said.assignments)[key] == override.value()


@pytest.mark.slow
@pytest.mark.parametrize("choice", CHOICES)
def test_a_choice_takes_a_step(choice: str) -> None:
    plain = OmegaConf.to_container(compose_config(choice.split(), PROJECT), resolve=True, throw_on_missing=False)
    assert isinstance(plain, dict)
    step({str(key): value for key, value in plain.items()})


def test_every_group_of_choices_is_on_the_page() -> None:
    groups = {text.partition("=")[0] for choice in CHOICES for text in choice.split()}
    assert {"roi", "proposals", "edit", "classification", "regression", "suppression", "tta", "augment"} <= groups
    assert len(CHOICES) > 90
