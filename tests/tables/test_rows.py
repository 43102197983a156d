"""Every runnable row of every table: it composes, its classes exist, and its model takes a step at tier mini.

Rows whose models are equal are tried once. The first of each model is fast; the others are marked slow.
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch

from lineage.config.build import build
from lineage.launch.compose_rows import ComposedRow, RowRequest, compose_rows
from lineage.results.entry import digest
from lineage.tables import read, tiers
from tests.tables.step import filled, step

PROJECT = Path(__file__).parents[2]
TABLES = PROJECT / "experiments"
ROWS = [
    (name, row) for name in read.list_tables(TABLES) for row in read.load_table(TABLES, name).rows.values() if row.runs
]
MODEL = ("model", "backbone", "trainable", "edit", "proposals", "tta", "optimizer", "loss_weights")  # what a step is of


def _chosen(row: tuple[str, object]) -> str:
    """The family a row stands for: its model."""
    return row[1].choices.get("model", "mask_rcnn")  # type: ignore[attr-defined]


FIRST = {_chosen(row): f"{row[0]}/{row[1].name}" for row in reversed(ROWS)}
FAMILIES = [row for row in ROWS if FIRST[_chosen(row)] == f"{row[0]}/{row[1].name}"]


@lru_cache(maxsize=3)
def _composed(tier: str) -> dict[str, ComposedRow]:
    """Every row that has the tier, by name; of rows that say the same there, which a third of them do, the first."""
    first: dict[str, RowRequest] = {}
    rules = tiers.load_tiers(TABLES).get(tier, {})
    for table, row in ROWS:
        if row.tier not in (tiers.PAPER, tier):
            continue
        choices, assignments = tiers.translate_row(row, tier, rules)
        key = digest({"choices": choices, "assignments": assignments, "uses": row.uses})
        first.setdefault(key, RowRequest(table, row, tier))
    composed = compose_rows(PROJECT, first.values())
    return {f"{ask.table}/{ask.row.name}": one for ask, one in zip(first.values(), composed, strict=True)}


def _differing(tier: str, keys: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """The configs of a tier that differ in these keys, by the first row of each."""
    seen: dict[str, tuple[str, dict[str, Any]]] = {}
    for name, made in _composed(tier).items():
        assert made.error is None, f"{name}: {made.error}"
        seen.setdefault(digest({key: made.config.get(key) for key in keys}), (name, made.config))
    return dict(seen.values())


@pytest.mark.parametrize("name", [f"{table}/{row.name}" for table, row in FAMILIES])
def test_the_first_row_of_each_model_takes_a_step(name: str) -> None:
    table, _, row = name.rpartition("/")
    (made,) = compose_rows(PROJECT, [RowRequest(table, read.load_table(TABLES, table).rows[row], "mini")])
    assert made.error is None, made.error
    step(made.config)


@pytest.mark.slow
def test_every_different_model_of_the_tables_takes_a_step() -> None:
    failed = {}
    for name, config in _differing("mini", MODEL).items():
        try:
            step(config)
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}"
    assert not failed, "\n".join(f"{name}: {reason}" for name, reason in failed.items())


@pytest.mark.slow
@pytest.mark.parametrize("tier", ["mini", "smoke"])
def test_no_row_of_a_tier_needs_a_file(tier: str) -> None:
    """Whatever the paper trains on, a tier trains on what is in this repository, from scratch."""
    for name, made in _composed(tier).items():
        assert made.error is None, f"{name}: {made.error}"
        assert made.config["dataset"]["name"].startswith(("shapes", "moving_shapes")), name
        assert made.config["backbone"]["weights"] is None, name


@pytest.mark.slow
def test_every_row_composes_at_its_papers_size_and_its_classes_exist() -> None:
    for name, made in _composed("paper").items():
        assert made.error is None, f"{name}: {made.error}"
        for target in _targets(made.config):
            assert callable(_imported(target)), f"{name}: {target}"


@pytest.mark.slow
def test_every_model_of_a_paper_is_built_at_its_size() -> None:
    """On `meta`: shapes without numbers."""
    failed = {}
    for name, config in _differing("paper", ("model", "backbone")).items():
        try:
            with torch.device("meta"):
                model = build(filled(config, classes=20).model)
            assert sum(p.numel() for p in model.parameters()) > 100_000
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}"
    assert not failed, "\n".join(f"{name}: {reason}" for name, reason in failed.items())


def test_rows_name_few_enough_models_to_try_all() -> None:
    assert len(FAMILIES) == len({_chosen(row) for row in ROWS}) > 25


def _targets(node: object) -> set[str]:
    if isinstance(node, list):
        return set().union(*map(_targets, node))
    if not isinstance(node, dict):
        return set()
    below = set().union(*map(_targets, node.values()))
    return below | ({node["_target_"]} if "_target_" in node else set())


@lru_cache(maxsize=256)
def _imported(target: str) -> object:
    """What a `_target_` names; Hydra, too, lets it be an attribute of a class."""
    try:
        return importlib.import_module(target)
    except ModuleNotFoundError:
        outer, _, last = target.rpartition(".")
        return getattr(_imported(outer), last)
