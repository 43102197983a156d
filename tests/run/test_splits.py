"""Validation on a share of the training images, and none at all."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

import lineage.config.schema  # noqa: F401  registers the schema
from lineage.cli.data.main import main as data
from lineage.config.build import ConfigError
from lineage.config.digests import test_digest as digest_test
from lineage.config.digests import training_digest
from lineage.data.annotations.validate import DatasetError
from lineage.data.export import coco as export
from lineage.data.export import voc
from lineage.data.shapes.dataset import Shapes
from lineage.eval.evaluator import NoEvaluation
from lineage.run.assemble import assemble
from lineage.run.resolve import resolve
from lineage.run.splits import build_train, build_val, describe_val

ROOT = Path(__file__).parents[2]
ANNOTATIONS = "annotations/instances_train2017.json"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training split of 60 images, in the layouts of COCO and VOC, and no other."""
    folder = tmp_path_factory.mktemp("shapes")
    dataset = Shapes(seed=1, length=60, size=[48, 64])
    export.write(dataset, folder, "train")
    voc.write(dataset, folder, "train")
    return folder


def config(root: Path, *overrides: str, dataset: str = "coco") -> DictConfig:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("train", ["tier=smoke", f"dataset={dataset}", f"dataset.root={root}", *overrides])


def names(dataset: object) -> list[str]:
    return [dataset.columns.file_name(i) for i in range(len(dataset))]  # type: ignore[attr-defined, arg-type]


@pytest.mark.parametrize("dataset", ["coco", "voc12"])
def test_a_share_of_the_training_images_validates_by_a_hash_of_their_names(root: Path, dataset: str) -> None:
    own = [f"dataset.names={json.dumps(list(Shapes(seed=0, length=1).meta.classes))}"] if dataset == "voc12" else []
    whole = config(root, "dataset.train.filter_empty=false", *own, dataset=dataset)
    every = names(build_train(whole))
    shared = config(root, "dataset.train.filter_empty=false", "dataset.val.fraction=0.3", *own, dataset=dataset)
    train, val = build_train(shared), build_val(shared)
    assert val is not None
    below = [name for name in every if int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) < 0.3 * 2**32]
    assert names(val) == below
    assert names(train) == [name for name in every if name not in below]
    assert 5 < len(val) < 31
    # a larger share holds the smaller one, so that no image changes from val to train
    larger = build_val(config(root, "dataset.val.fraction=0.5", *own, dataset=dataset))
    assert set(below) < set(names(larger))
    assert {image["id"] for image in val.ground_truth()["images"]} == set(val.ids.tolist())


def test_the_entry_states_the_share_and_its_files(root: Path) -> None:
    """The digest of the training changes with the share, for other images are learned."""
    composed = config(root, "dataset.val.fraction=0.3")
    resolved = resolve(composed)
    assert resolved.val is not None
    assert resolved.recorded.dataset.val.fraction == 0.3
    assert resolved.recorded.dataset.val.annotations == resolved.recorded.dataset.train.annotations
    assert "evaluated on" in str(describe_val(composed, len(resolved.train), len(resolved.val)))
    plain = config(root)
    assert training_digest(composed) != training_digest(plain)
    assert digest_test(composed) != digest_test(plain)
    assert training_digest(config(root, "dataset.val=null")) == training_digest(plain)


@pytest.mark.parametrize(
    ("share", "message"), [(1.5, "not between 0 and 1"), (1e-6, "none is left on one side.*dataset.val=null")]
)
def test_a_share_of_nothing_or_of_everything_is_refused(root: Path, share: float, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        build_val(config(root, f"dataset.val.fraction={share}"))


def test_defects_of_a_shared_file_are_dropped_by_the_keys_of_both_sides(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "broken")
    file = next((tmp_path / "broken" / "annotations").glob("*.json"))
    content = json.loads(file.read_text())
    content["annotations"][0]["bbox"] = [900, 900, 5, 5]
    file.write_text(json.dumps(content))
    share = "dataset.val.fraction=0.3"
    with pytest.raises(DatasetError, match="on_defect=drop") as raised:
        build_train(config(tmp_path / "broken", share))
    keys = str(raised.value).rpartition("Train without them:")[2].split()
    assert keys == ["dataset.train.on_defect=drop", "dataset.val.on_defect=drop"]
    assert build_train(config(tmp_path / "broken", share, *keys))
    assert build_val(config(tmp_path / "broken", share, *keys))


def test_without_validation_images_nothing_is_evaluated(root: Path) -> None:
    resolved = resolve(config(root, "dataset.val=null"))
    parts = assemble(resolved)
    assert resolved.val is None
    assert isinstance(parts.module.evaluator, NoEvaluation)
    assert "not evaluated: dataset.val=null" in str(describe_val(resolved.config, len(resolved.train), None))
    with pytest.raises(ConfigError, match="evaluate_only=true has nothing to do"):
        resolve(config(root, "dataset.val=null", "evaluate_only=true"))


def test_the_check_reads_the_splits_of_the_config(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert data(["check", "coco", "--root", str(root), "dataset.val=null"]) == 0
    assert capsys.readouterr().out.count("no defects. 60 images") == 1
    assert data(["check", "coco", "--root", str(root), "dataset.val.fraction=0.3"]) == 0
    assert "no image is in both" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("choice", ["dataset.val=null", "dataset.val.fraction=0.3"])
def test_a_run_without_validation_files(root: Path, tmp_path: Path, choice: str) -> None:
    keys = ["tier=smoke", "schedule.steps=2", "dataset=coco", f"dataset.root={root}", choice]
    command = [sys.executable, "train.py", *keys, f"paths.results={tmp_path}", f"paths.runs={tmp_path / 'runs'}"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    entry = json.loads(next((tmp_path / "scratch").rglob("*.json")).read_text())
    assert entry["status"] == "finished"
    assert ("box/AP" in entry["metrics"]) == ("fraction" in choice)
    assert "by a hash of their names" in run.stdout or "not evaluated" in run.stdout


def test_the_defects_of_a_shared_file_are_printed_once(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They were listed for train and for val, and before a fine-tuning by each opening of the file."""
    content = json.loads((root / ANNOTATIONS).read_text())
    content["annotations"][0]["bbox"] = [0, 0, -1, 4]
    (tmp_path / ANNOTATIONS).parent.mkdir()
    (tmp_path / ANNOTATIONS).write_text(json.dumps(content))
    (tmp_path / "train2017").symlink_to(root / "train2017")
    assert data(["check", "coco", "--root", str(tmp_path), "dataset.val.fraction=0.3"]) == 1
    printed = capsys.readouterr().out
    assert printed.count("bbox [0, 0, -1, 4]") == 1
    assert "of the file of train, which is checked above" in printed
    keys = ("dataset.train.on_defect=drop", "dataset.val.on_defect=drop")
    command = [sys.executable, "-m", "lineage.cli.main", "train", f"finetune={tmp_path}", *keys, "--cfg", "job"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout + done.stderr).count("bbox [0, 0, -1, 4]") == 1
