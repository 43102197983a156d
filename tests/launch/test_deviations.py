"""Marks `# deviates:` of code and configs, as a plan lists them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineage.launch import deviations
from lineage.launch.compose_rows import ComposedRow
from lineage.launch.deviations import find_deviations, read_deviations

MODULE = """x = 1  # deviates: behind code
# a comment on y
y = 2
# deviates: a rate, and
#   why it is so
# deviates: another

# a comment apart
"""


def test_a_mark_on_a_line_of_its_own_goes_on_below(tmp_path: Path) -> None:
    path = tmp_path / "optimizer.py"
    path.write_text(MODULE)
    assert read_deviations(path) == [
        "optimizer: behind code",
        "optimizer: a rate, and why it is so",
        "optimizer: another",
    ]


def test_a_row_has_the_marks_of_its_classes_and_options_each_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deviations, "SOURCES", tmp_path)
    for name, text in (("models/head.py", "head"), ("models/loss.py", "loss"), ("models/other.py", "other")):
        (tmp_path / "lineage" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "lineage" / name).write_text(f"# deviates: {text}\n")
    (tmp_path / "conf/model").mkdir(parents=True)
    (tmp_path / "conf/model/rcnn.yaml").write_text("a: 1  # deviates: option\n")
    (tmp_path / "conf/model/fpn.yaml").write_text("a: 1  # deviates: of another option\n")
    config = {
        "head": {"_target_": "lineage.models.head.Head", "losses": [{"_target_": "lineage.models.loss.Loss.make"}]},
        "again": {"_target_": "lineage.models.head.Head"},
        "foreign": {"_target_": "torch.nn.Linear"},
        "missing": {"_target_": "lineage.models.gone.Gone"},
    }
    row = ComposedRow(config, {"model@detector": "rcnn", "roi": "align"}, "", "")
    expected = ["rcnn: option", "head: head", "loss: loss"]
    assert find_deviations([row, row], [tmp_path / "conf"]) == expected
