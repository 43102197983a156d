"""Rows that share a composition are those that Hydra composes one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from lineage.config.compose import compose_config
from lineage.launch import compose_rows, composer
from lineage.launch.compose_rows import RowRequest
from lineage.tables import read
from lineage.tables.table import Row

ROOT = Path(__file__).parents[2]
TABLES = ("mask_rcnn/table2c", "faster_rcnn/table8", "cascade_rcnn/table2")


@pytest.mark.parametrize("tier", ["paper", "mini"])
def test_rows_of_equal_choices_are_composed_once(tier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = [read.load_table(ROOT / "experiments", name) for name in TABLES]
    requests = [RowRequest(table.name, row, tier) for table in tables for row in [*table.rows.values()][:3] if row.runs]
    one_by_one: list[str] = []
    compose_alone = composer.compose_alone
    monkeypatch.setattr(composer, "compose_alone", lambda f, row: one_by_one.append(row) or compose_alone(f, row))
    shared = compose_rows._compose_all(ROOT, requests)
    assert one_by_one == []
    monkeypatch.setattr(composer, "compose_alike", lambda _, overrides: [None for _ in overrides])
    alone = compose_rows._compose_all(ROOT, requests)
    assert shared == alone
    assert all(row.error is None and row.training and row.written["model"] for row in shared)


def test_a_key_that_does_not_exist_is_explained_as_hydra_does() -> None:
    table = read.load_table(ROOT / "experiments", "mask_rcnn/table2c")
    row = table.rows["roi_align"]
    unknown = Row("unknown", "", row.choices | {"roi": "nothing"}, {}, {})
    good, bad = compose_rows._compose_all(ROOT, [RowRequest(table.name, one, "paper") for one in (row, unknown)])
    assert good.error is None
    assert bad.error


def test_rows_are_composed_within_a_run_which_stays_as_it_is() -> None:
    """The site at the end of the first run composes rows while Hydra is set up for the run, as `train.py` leaves it."""
    row = read.load_table(ROOT / "experiments", "mask_rcnn/table2c").rows["roi_align"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        HydraConfig.instance().set_config(compose("train", ["seed=7"], return_hydra_config=True))
        outer, config = GlobalHydra.instance().hydra, HydraConfig.get()
        assert outer is not None
        (composed,) = compose_rows._compose_all(ROOT, [RowRequest("mask_rcnn/table2c", row, "mini")])
        assert composed.error is None
        assert GlobalHydra.instance().hydra is outer
        assert HydraConfig.get() == config
        assert compose_config(["seed=3"]).seed == 3
        assert compose("train", ["seed=8"]).seed == 8


def test_a_damaged_row_of_the_cache_is_composed_again(tmp_path: Path) -> None:
    for damaged in ("", "[1]", "{}", '{"other": 1}', "[" * 100_000):
        (tmp_path / "row.json").write_text(damaged)
        assert compose_rows._read_cache(tmp_path / "row.json") is None
    assert compose_rows._read_cache(tmp_path / "absent.json") is None
