"""experiments/ against ../shared/papers/paper_tables.json: all tables, all numbers, and every row can run."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from lineage.tables import read
from lineage.tables.table import Table

PROJECT = Path(__file__).parents[2]
TABLES = PROJECT / "experiments"
NAMES = read.list_tables(TABLES)
FILES = {  # paper and table, as published -> file
    ("R-CNN", "Table 2"): "rcnn/table2",
    ("R-CNN", "Table 3"): "rcnn/table3",
    ("R-CNN", "repo README (rbgirshick/rcnn)"): "rcnn/readme",
    ("Fast R-CNN", "Table 4"): "fast_rcnn/table4",
    ("Fast R-CNN", "Table 5"): "fast_rcnn/table5",
    ("Fast R-CNN", "Table 6 (S)"): "fast_rcnn/table6_s",
    ("Fast R-CNN", "Table 6 (M)"): "fast_rcnn/table6_m",
    ("Fast R-CNN", "Table 6 (L)"): "fast_rcnn/table6_l",
    ("Fast R-CNN", "Table 7"): "fast_rcnn/table7",
    ("Fast R-CNN", "Table 8"): "fast_rcnn/table8",
    ("Fast R-CNN", "Section 5.5 / Fig. 3"): "fast_rcnn/section5_5",
    ("Fast R-CNN", "Section 5.3"): "fast_rcnn/section5_3",
    ("Fast R-CNN", "Section 3.1 / Fig. 2"): "fast_rcnn/section3_1",
    ("Fast R-CNN", "author re-run (rbgirshick/fast-rcnn issue 62)"): "fast_rcnn/issue62",
    ("Fast R-CNN", "Section 5.6"): "fast_rcnn/section5_6",
    ("Faster R-CNN", "Table 2"): "faster_rcnn/table2",
    ("Faster R-CNN", "Table 3"): "faster_rcnn/table3",
    ("Faster R-CNN", "Table 4"): "faster_rcnn/table4",
    ("Faster R-CNN", "Table 5"): "faster_rcnn/table5",
    ("Faster R-CNN", "Table 6"): "faster_rcnn/table6",
    ("Faster R-CNN", "Table 8 (arXiv v3)"): "faster_rcnn/table8",
    ("Faster R-CNN", "Table 9 (arXiv v3)"): "faster_rcnn/table9",
    ("Faster R-CNN", "Table 10 (TPAMI early access)"): "faster_rcnn/table10_tpami",
    ("Faster R-CNN", "Table 10 (arXiv v3)"): "faster_rcnn/table10",
    ("Faster R-CNN", "Table 11"): "faster_rcnn/table11",
    ("Faster R-CNN", "repo README (ShaoqingRen/faster_rcnn)"): "faster_rcnn/readme",
    ("ResNet", "Table 7"): "resnet/table7",
    ("ResNet", "Table 8"): "resnet/table8",
    ("FPN", "Table 1"): "fpn/table1",
    ("FPN", "Table 2"): "fpn/table2",
    ("FPN", "Table 3"): "fpn/table3",
    ("FPN", "Table 5"): "fpn/table5",
    ("FPN", "Table 4 (ours)"): "fpn/table4",
    ("Mask R-CNN", "Table 1"): "mask_rcnn/table1",
    ("Mask R-CNN", "Table 2a"): "mask_rcnn/table2a",
    ("Mask R-CNN", "Table 2b"): "mask_rcnn/table2b",
    ("Mask R-CNN", "Section 4.2 (class-agnostic)"): "mask_rcnn/section4_2_agnostic",
    ("Mask R-CNN", "Table 2c"): "mask_rcnn/table2c",
    ("Mask R-CNN", "Table 2d"): "mask_rcnn/table2d",
    ("Mask R-CNN", "Table 2e"): "mask_rcnn/table2e",
    ("Mask R-CNN", "Section 4.2 (RoIAlign on FPN)"): "mask_rcnn/section4_2_fpn",
    ("Mask R-CNN", "Table 3"): "mask_rcnn/table3",
    ("Mask R-CNN", "Table 4"): "mask_rcnn/table4",
    ("Mask R-CNN", "Table 5"): "mask_rcnn/table5",
    ("Mask R-CNN", "Table 6"): "mask_rcnn/table6",
    ("Mask R-CNN", "Table 7"): "mask_rcnn/table7",
    ("Mask R-CNN", "Table 8"): "mask_rcnn/table8",
    ("Mask R-CNN", "Table 9"): "mask_rcnn/table9",
    ("Mask R-CNN", "Section 4.4 (timing)"): "mask_rcnn/section4_4",
    ("RetinaNet", "Table 1a"): "retinanet/table1a",
    ("RetinaNet", "Table 1b"): "retinanet/table1b",
    ("RetinaNet", "Table 1c"): "retinanet/table1c",
    ("RetinaNet", "Table 1d"): "retinanet/table1d",
    ("RetinaNet", "Table 1e"): "retinanet/table1e",
    ("RetinaNet", "Table 2 (ours)"): "retinanet/table2",
    ("Cascade R-CNN", "Table 1"): "cascade_rcnn/table1",
    ("Cascade R-CNN", "Table 2"): "cascade_rcnn/table2",
    ("Cascade R-CNN", "Table 3"): "cascade_rcnn/table3",
    ("Cascade R-CNN", "Table 4"): "cascade_rcnn/table4",
    ("Cascade R-CNN", "Table 6"): "cascade_rcnn/table6",
    ("Cascade R-CNN", "repo README (zhaoweicai/cascade-rcnn), VOC"): "cascade_rcnn/readme_voc",
    ("Accurate, Large Minibatch SGD", "Table 3b"): "large_minibatch/table3b",
    ("Accurate, Large Minibatch SGD", "Table 3a"): "large_minibatch/table3a",
    ("Group Normalization (Detectron projects/GN)", "Detectron projects/GN/README"): "group_norm/readme",
    ("Equalization Loss (LVIS baselines)", "Table 5"): "eql/table5",
    ("Equalization Loss (LVIS baselines)", "Table 12 (LVIS paper baseline row)"): "eql/table12",
    ("ViTDet (detectron2 projects/ViTDet/README)", "README note"): "vitdet/readme",
    ("Bag of Freebies (GluonCV)", "main results"): "bag_of_freebies/main",
    ("detectron2 MODEL_ZOO", "Other Settings: dconv & cascade, 1x"): "detectron2/dconv_cascade_1x",
    ("detectron2 MODEL_ZOO", "Other Settings: dconv & cascade, 3x"): "detectron2/dconv_cascade_3x",
    ("detectron2 MODEL_ZOO", "Other Settings: normalisation"): "detectron2/normalisation",
    ("detectron2 MODEL_ZOO", "Faster R-CNN"): "detectron2/faster_rcnn",
    ("detectron2 MODEL_ZOO", "RetinaNet"): "detectron2/retinanet",
    ("detectron2 MODEL_ZOO", "RPN & Fast R-CNN"): "detectron2/rpn_fast_rcnn",
    ("detectron2 MODEL_ZOO", "Mask R-CNN"): "detectron2/mask_rcnn",
    ("detectron2 MODEL_ZOO", "New baselines (LSJ)"): "detectron2/lsj",
    ("detectron2 MODEL_ZOO", "Keypoint R-CNN"): "detectron2/keypoint_rcnn",
    ("detectron2 MODEL_ZOO", "Panoptic FPN"): "detectron2/panoptic_fpn",
    ("detectron2 MODEL_ZOO", "LVIS v0.5"): "detectron2/lvis_v05",
    ("detectron2 MODEL_ZOO", "Cityscapes & VOC"): "detectron2/cityscapes_voc",
    ("detectron2 MODEL_ZOO", "Very large models"): "detectron2/very_large",
    ("detectron2 MODEL_ZOO", "Detectron1-Comparisons"): "detectron2/detectron1",
    ("mmdetection v3.3 configs/faster_rcnn", "Different regression loss"): "mmdetection/regression_loss",
}
SECONDS = ("test rate (s/im)", "inference s/im", "test s")  # ours are milliseconds
# Columns that say what a row is, scores of single classes and of splits without public annotations, parts of a time,
# the spread (kept beside its value), and other ways to write another column
WITHOUT_METRIC = (
    "aero", "bike", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "table", "dog", "horse", "mbike",
    "person", "plant", "sheep", "sofa", "train", "tv", "VOC10 mAP", "VOC12 mAP", "train speedup",
    "test rate with SVD (s/im)", "test speedup", "test speedup with SVD", "VOC07 mAP with SVD", "+/-",
    "train boxes", "test proposals", "# proposals", "conv ms", "proposal ms", "region-wise ms",
    "proposals", "test-dev AP@.5", "test-dev AP", "run1", "run2", "run3", "run4", "run5", "sd",
    "VOC12 test mAP (07++12)",
    "mask AP delta", "box AP delta", "AP [test]", "AP50 [test]", "rider", "truck", "mcycle", "bicycle",
    "test-dev AP50", "test-dev AP75", "eta x1000", "iterations", "eta", "top-1 err", "top-1 err sd", "box AP sd",
    "mask AP sd", "train s/im",
)  # fmt: skip
ABSENT = {  # COCO's AP on VOC, beside AP50 that the table judges
    "detectron2/cityscapes_voc: VOC07+12 R50-C4 (11-point): box AP 51.9",
}


@pytest.fixture(scope="module")
def papers() -> list[dict[str, Any]]:
    path = PROJECT.parent / "shared" / "papers" / "paper_tables.json"
    if not path.is_file():
        pytest.skip(f"no published tables at {path}")
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tables() -> dict[str, Table]:
    return {name: read.load_table(TABLES, name) for name in NAMES}


def test_every_row_can_run(tables: dict[str, Table]) -> None:
    """Rows of the published tables; a table of one's own may mark a row `unsupported` until its idea is written."""
    rows = [(name, row) for name in FILES.values() for row in tables[name].rows.values()]
    assert not [f"{name}/{row.name}" for name, row in rows if row.unsupported]


def test_every_published_table_is_one_file(papers: list[dict[str, Any]], tables: dict[str, Table]) -> None:
    assert len(papers) == len(FILES) == 83
    assert {(one["paper"], one["table"]) for one in papers} == set(FILES)
    assert set(FILES.values()) <= set(tables)


def test_every_published_number_of_a_metric_stands_in_its_table(
    papers: list[dict[str, Any]], tables: dict[str, Table]
) -> None:
    absent = set()
    for one in papers:
        name = FILES[one["paper"], one["table"]]
        absent |= {f"{name}: {number}" for number in _absent(one, tables[name])}
    assert absent == ABSENT


def test_every_row_stands_in_its_table(papers: list[dict[str, Any]], tables: dict[str, Table]) -> None:
    files = {FILES[one["paper"], one["table"]]: len(one["rows"]) for one in papers}
    assert not {name: count for name, count in files.items() if len(tables[name].rows) < count}


def _absent(one: dict[str, Any], table: Table) -> list[str]:
    """Numbers of columns with a metric, by row and column, that the file has fewer of than the paper."""
    left = [value for row in table.rows.values() for value in row.published.values()]
    absent = []
    for row in one["rows"]:
        for column, value in zip(one["columns"], row["values"], strict=False):
            if column in WITHOUT_METRIC or not isinstance(value, int | float):
                continue
            told = value * 1000 if column in SECONDS else value
            match = next((i for i, ours in enumerate(left) if math.isclose(ours, told, abs_tol=1e-9)), None)
            if match is None:
                absent.append(f"{row['label']}: {column} {value}")
            else:
                left.pop(match)
    return absent
