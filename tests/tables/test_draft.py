"""Tables typed off papers become files that read back; what a person must decide is marked, nothing is overwritten."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lineage.cli.tables.draft import main
from lineage.tables.draft import draft_table, match_column, slug
from lineage.tables.read import load_table
from lineage.tables.table import TableError

RECORD: dict[str, Any] = {
    "paper": "Fast R-CNN",
    "arxiv": "1504.08083",
    "table": "Table 6 (S)",
    "message": "Multi-task training beats cls-only: by 4.9 mAP",
    "kind": "ablation",
    "varies": "loss",
    "dataset": "VOC 2007 test",
    "baseline_row": "cls only",
    "columns": ["VOC07 mAP", "test rate (s/im)", "# proposals"],
    "rows": [
        {"label": "cls only", "values": [52.2, 0.32, 2000]},
        {"label": "multi-task", "values": [57.1, None, 2000]},
        {"label": "no", "values": [53.3, 0.1, 2000]},
    ],
    "eval_only_rows": ["no"],
    "confidence": "read in source",
    "notes": "model S: CaffeNet",
}


def test_a_draft_reads_back_with_the_numbers_of_the_paper(tmp_path: Path) -> None:
    source = tmp_path / "tables.json"
    source.write_text(json.dumps([RECORD]))
    assert main([str(source), "--out", str(tmp_path)]) == 0
    table = load_table(tmp_path, "fast_rcnn/table6_s")
    assert table.kind == "one_factor"
    assert table.baseline == "cls_only"
    assert table.dataset == "voc07"
    assert list(table.metrics) == ["voc/mAP07", "cost/image_ms"]
    assert [row.label for row in table.rows.values()] == ["cls only", "multi-task", "no"]
    text = (tmp_path / "fast_rcnn" / "table6_s.yaml").read_text()
    assert "published: {voc/mAP07: 52.2, cost/image_ms: 320}" in text
    assert "published: {voc/mAP07: 57.1}" in text
    assert "from: cls_only" in text
    assert "# no metric of ours: # proposals" in text


def test_a_file_that_exists_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "tables.json"
    source.write_text(json.dumps([RECORD]))
    target = tmp_path / "fast_rcnn" / "table6_s.yaml"
    target.parent.mkdir()
    target.write_text("mine")
    main([str(source), "--out", str(tmp_path)])
    assert target.read_text() == "mine"
    assert "kept" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("title", "paper", "metric"),
    [
        ("AP", "Mask R-CNN", "mask/AP"),
        ("APbb75", "Mask R-CNN", "box/AP75"),
        ("APkpM", "Mask R-CNN", "keypoint/APm"),
        ("AP@.5", "FPN", "box/AP50"),
        ("AR1k_s", "FPN", "box/ARs1000"),
        ("prop AR@1000", "detectron2", "box/AR1000"),
        ("train mem GB", "detectron2", "cost/memory_gb"),
        ("PQ", "detectron2", "panoptic/PQ"),
    ],
)
def test_columns_of_papers_are_our_metrics(title: str, paper: str, metric: str) -> None:
    column = match_column(title, RECORD | {"paper": paper, "dataset": "COCO", "columns": [title]})
    assert column is not None
    assert column.metric == metric


@pytest.mark.parametrize("title", ["car", "iterations", "# proposals", "run3", "top-1 err", "mask AP sd"])
def test_other_columns_are_left_out(title: str) -> None:
    assert match_column(title, RECORD) is None


def test_what_is_missing_is_named() -> None:
    with pytest.raises(TableError, match="no 'columns'"):
        draft_table({key: value for key, value in RECORD.items() if key != "columns"})
    with pytest.raises(TableError, match="Objects365"):
        draft_table(RECORD | {"dataset": "Objects365"})


def test_names_of_rows_are_keys() -> None:
    assert slug("FPN+ R50 (ours), Table 2c") == "fpn_plus_r50_ours_table2c"
