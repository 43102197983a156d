"""The wheel carries conf/ and experiments/: `lineage train` works from any folder, whose own files lie over ours."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DATASET = """\
defaults: [coco, _self_]
name: cells
root: data
train: {annotations: annotations/instances_train2017.json, images: train2017}
val: {annotations: annotations/instances_val2017.json, images: val2017}
"""
TABLE = """\
paper: A paper of one's own
label: Table 1
message: RoIAlign finds more cells than RoIPool.
kind: one_factor
factor: roi
baseline: pool
dataset: cells
metrics: {mask/AP: AP}
source: our own
confidence: read in source
base: {with: {model: mask_rcnn, dataset: cells}}
rows:
  pool: {label: RoIPool, with: {roi: pool}}
  align: {label: RoIAlign, with: {roi: align}}
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unpacked wheel, to be put on PYTHONPATH."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def lineage(installed: Path, folder: Path, *arguments: str) -> str:
    """Output of a `lineage` command in `folder`; an exit code other than 0 fails the test."""
    code = "import sys; from lineage.cli.main import main; sys.exit(main(sys.argv[1:]))"
    environment = os.environ | {"PYTHONPATH": str(installed), "LINEAGE_CACHE": str(folder / "cache")}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert not done.returncode, f"{arguments}: {done.stdout}\n{done.stderr}"
    return done.stdout


def own_project(folder: Path) -> None:
    for name, text in (("conf/dataset/cells.yaml", DATASET), ("experiments/me/table1.yaml", TABLE)):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(text)


def test_the_wheel_holds_every_module_config_and_table(installed: Path) -> None:
    """A line of .gitignore can take a package out of the wheel."""
    for source, target in (
        ("src/lineage", "lineage"),
        ("conf", "lineage/conf"),
        ("experiments", "lineage/experiments"),
    ):
        paths = [path for path in (ROOT / source).rglob("*") if path.suffix in (".py", ".yaml", ".css", ".js")]
        files = sorted(path.relative_to(ROOT / source) for path in paths)
        missing = [str(file) for file in files if not (installed / target / file).is_file()]
        assert not missing, f"{target} in the wheel lacks {', '.join(missing)}"


def test_an_empty_folder_sees_the_shipped_configs_and_tables(installed: Path, tmp_path: Path) -> None:
    assert "steps: 1400" in lineage(installed, tmp_path, "train", "--cfg", "job", "--package", "schedule")
    assert "mask_rcnn/table2c" in lineage(installed, tmp_path, "table", "--all")


def test_own_files_lie_over_the_shipped_ones(installed: Path, tmp_path: Path) -> None:
    own_project(tmp_path)
    usage = lineage(installed, tmp_path, "train", "--help")
    assert " cells " in usage
    assert " coco " in usage
    listed = lineage(installed, tmp_path, "table", "--all")
    assert "me/table1" in listed
    assert "mask_rcnn/table2c" in listed
    row = lineage(installed, tmp_path, "train", "experiment=smoke/me/table1/align", "--cfg", "job")
    assert "name: cells" in row
    assert "RoIAlign" in row


@pytest.mark.slow
def test_a_wheel_trains_shapes_a_dataset_and_a_table_of_ones_own(installed: Path, tmp_path: Path) -> None:
    own_project(tmp_path)
    assert "entry " in lineage(installed, tmp_path, "train", "tier=smoke")
    lineage(installed, tmp_path, "data", "make", "shapes", "data", "--size", "128x96", "--images", "12", "--val", "4")
    assert "lineage train -m" in lineage(installed, tmp_path, "train", "dataset=cells", "tier=smoke")
    lineage(installed, tmp_path, "run", "me/table1", "--tier", "smoke", "--seeds", "1")
    assert "Tier smoke" in lineage(installed, tmp_path, "table", "me/table1")
