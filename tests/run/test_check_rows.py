"""Rows of tables are held to the values that a run accepts: all of this project's are, and a wrong one is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineage.results import paths
from lineage.run.checks.rows import find_wrong_rows
from lineage.tables import read
from lineage.tables.tiers import PAPER

TEXT = """\
paper: me
label: score
message: What the threshold changes.
kind: one_factor
factor: model.box.score_thresh
baseline: low
dataset: coco
metrics: {box/AP: AP}
base: {with: {model: faster_rcnn, dataset: coco}}
rows:
  low: {label: low, set: {model.box.score_thresh: 0.05}}
  high: {label: high, set: {model.box.score_thresh: high}}
"""


@pytest.mark.parametrize("tier", [PAPER, "mini"])
def test_a_value_of_a_wrong_type_is_named_with_its_row(
    tier: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of classes, which a run reads from its dataset, is none."""
    path = tmp_path / "experiments" / "me" / "score.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    (finding,) = find_wrong_rows(tmp_path, read.load_table(paths.experiments(), "me/score"), tier)
    assert (finding.rule, finding.row, finding.message) == (
        "T15", "high", "model.box.score_thresh=high: score_thresh of BoxHead is a number",
    )  # fmt: skip


@pytest.mark.parametrize(("key", "says"), [
    ("model.box.score_tresh", "model.box.score_tresh: BoxHead has no keyword score_tresh. Did you mean"),
    ("optimizer.lrr", "optimizer.lrr: sgd has no keyword lrr. Did you mean optimizer.lr?"),
    ("dataset.train.imags", "dataset.train.imags: load has no keyword imags. Did you mean dataset.train.images?"),
    ("evaluator.extras", "evaluator.extras: no evaluator takes it. That of the dataset: dataset.evaluator.extras"),
])  # fmt: skip
def test_a_key_that_nothing_takes_is_named_before_anything_trains(
    key: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "experiments" / "me" / "score.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(TEXT.replace("model.box.score_thresh: high", f"{key}: 0.3"))
    monkeypatch.chdir(tmp_path)
    (finding,) = find_wrong_rows(tmp_path, read.load_table(paths.experiments(), "me/score"), PAPER)
    assert (finding.rule, finding.row) == ("T15", "high")
    assert finding.message.startswith(says)


@pytest.mark.slow
def test_every_row_of_every_table_has_values_that_its_keywords_take() -> None:
    for name in read.list_tables(paths.experiments()):
        assert not [*find_wrong_rows(paths.project(), read.load_table(paths.experiments(), name), PAPER)], name
