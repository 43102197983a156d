"""Rows that build on each other, from the plan to the rendered table: the real models on a handful of images."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from lineage.config.build import build
from lineage.results import store
from lineage.results.entry import Entry

ROOT = Path(__file__).parents[2]
CHAINS = {  # table and row -> the rows whose entries its own names as its parents
    "cascade_rcnn/table1/iterative": ["baseline"],  # tests the checkpoint of another row
    "fast_rcnn/table8/s_svm": ["s_softmax"],  # starts from it, and only fits SVMs
    "detectron2/cityscapes_voc/cityscapes": ["r50_fpn_3x"],  # starts from a row of another table
    "fpn/table2/c4": ["fpn"],  # is trained on what another table's RPN proposes
    "faster_rcnn/table2/shared": ["unshared", "rpn_shared"],  # four steps: the weights of one, the regions of another
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout's configs and tables, with 24 or 40 images in place of thousands."""
    root = tmp_path_factory.mktemp("project")
    for name in ("conf", "experiments"):
        shutil.copytree(ROOT / name, root / name)
    shutil.copy(ROOT / "train.py", root)
    shapes = root / "conf/dataset/shapes.yaml"
    text = shapes.read_text().replace("length: 2000", "length: 16").replace("length: 200\n", "length: 8\n")
    shapes.write_text(text)
    others = root / "conf/dataset/shapes_figures_unlabelled.yaml"
    others.write_text(others.read_text().replace("length: 500", "length: 16"))
    return root


def lineage(project: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "lineage.cli.main", *arguments], cwd=project, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("chain", CHAINS)
def test_a_chain_runs_to_its_end(project: Path, chain: str) -> None:
    table, _, row = chain.rpartition("/")
    asked = ["run", table, row, "--tier", "smoke", "--seeds", "1"]
    assert "0 cells done" in lineage(project, *asked, "--plan")
    said = lineage(project, *asked, "--set", "trainer=cpu", "--set", "data.workers=0")
    assert f"done   {table}/{row} seed 0" in said
    assert "0 to train, 0 to test: nothing to do" in lineage(project, *asked, "--plan")
    held = {entry.id: entry for entry in store.contents(project / "results").entries}
    (own,) = [entry for entry in held.values() if (entry.table, entry.row) == (table, row)]
    assert _rows(own, held) == CHAINS[chain]
    assert any(value is not None for value in own.metrics.values())
    assert "no verdict" in lineage(project, "table", table, "--tier", "smoke")  # so a run is shown, and not judged


@pytest.mark.slow
def test_a_teacher_labels_images_for_its_student(project: Path) -> None:
    """Data distillation: x101 is asked about other images, its student is trained on these too, and is then tested."""
    asked = ["run", "mask_rcnn/table9", "tta", "--tier", "smoke", "--seeds", "1"]
    said = lineage(project, *asked, "--set", "trainer=cpu", "--set", "data.workers=0")
    assert "done   mask_rcnn/table9/tta seed 0" in said
    held = {entry.id: entry for entry in store.contents(project / "results").entries}
    rows = {entry.row: entry for entry in held.values() if entry.table == "mask_rcnn/table9"}
    assert {row: _rows(entry, held) for row, entry in rows.items()} == {
        "x101": [], "teacher": ["x101"], "distilled": ["teacher"], "tta": ["distilled"],
    }  # fmt: skip
    labels = json.loads((project / str(rows["teacher"].folder) / "labels.json").read_text())
    truth = build(OmegaConf.create(rows["distilled"].config).dataset.train).ground_truth()
    objects = [one for one in truth["annotations"] if not one["iscrowd"]]
    assert len(labels["images"]) == len(truth["images"]) == 16
    assert len(labels["annotations"]) == len(objects)  # as many an image as in the labelled set
    assert sum(one["num_keypoints"] for one in labels["annotations"]) == sum(one["num_keypoints"] for one in objects)
    assert rows["distilled"].dataset["train"] != rows["x101"].dataset["train"]
    assert f"cell.labels={rows['teacher'].id}" in rows["distilled"].command
    assert "more data" in lineage(project, "table", "mask_rcnn/table9", "--tier", "smoke")
    why = lineage(project, "why", "mask_rcnn/table9/x101", "mask_rcnn/table9/distilled")
    assert "other images or ground truth" in why


def _rows(entry: Entry, held: dict[str, Entry]) -> list[str | None]:
    return [held[parent].row for parent in entry.parents]
