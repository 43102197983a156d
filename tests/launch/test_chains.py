"""Rows that build on each other, from the plan to the rendered table: the real models on a handful of images."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lineage.tables import store
from lineage.tables.entry import Entry

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
    """The checkout's configs and tables, with 24 images in place of 2200."""
    root = tmp_path_factory.mktemp("project")
    for name in ("conf", "experiments"):
        shutil.copytree(ROOT / name, root / name)
    shutil.copy(ROOT / "train.py", root)
    shapes = root / "conf/dataset/shapes.yaml"
    text = shapes.read_text().replace("length: 2000", "length: 16").replace("length: 200\n", "length: 8\n")
    shapes.write_text(text)
    return root


def lineage(project: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "lineage.cli", *arguments], cwd=project, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("chain", CHAINS)
def test_a_chain_runs_to_its_end(project: Path, chain: str) -> None:
    table, _, row = chain.rpartition("/")
    asked = ["run", table, row, "--tier", "smoke", "--seeds", "1"]
    assert "0 cells are done" in lineage(project, *asked, "--plan")
    said = lineage(project, *asked, "--set", "trainer=cpu", "--set", "data.workers=0")
    assert f"done   {table}/{row} seed 0" in said
    assert "0 to train, 0 to test: nothing to do" in lineage(project, *asked, "--plan")
    held = {entry.id: entry for entry in store.contents(project / "results").entries}
    (own,) = [entry for entry in held.values() if (entry.table, entry.row) == (table, row)]
    assert _rows(own, held) == CHAINS[chain]
    assert any(value is not None for value in own.metrics.values())
    assert "off protocol" in lineage(project, "table", table, "--tier", "smoke")  # so a run is shown, and not judged


def _rows(entry: Entry, held: dict[str, Entry]) -> list[str | None]:
    return [held[parent].row for parent in entry.parents]
