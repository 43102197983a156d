"""Runs of detectron2, mmdetection and W&B, in files as these write them, become entries that stand beside ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lineage.cli.main import main
from lineage.results import integrity, store
from lineage.results.entry import Entry
from lineage.tables.foreign.metric_names import translate_name
from lineage.tables.foreign.read import read_runs
from lineage.tables.foreign.run import ForeignError, ForeignRun, make_name

ROW = "mask_rcnn/table2c/roi_align"

# As detectron2 0.6 writes them: metrics.json by JSONWriter, config.yaml by cfg.dump().
DETECTRON2_METRICS = """\
{"data_time": 0.0041, "eta_seconds": 31234.1, "fast_rcnn/cls_accuracy": 0.87, "iteration": 19, "loss_box_reg": 0.11, "loss_cls": 2.1, "loss_mask": 0.69, "lr": 0.00039, "time": 0.352, "total_loss": 4.1}
{"data_time": 0.0042, "iteration": 39, "lr": 0.0008, "time": 0.350, "total_loss": 2.2}
{"bbox/AP": 12.5, "bbox/AP50": 25.0, "iteration": 49, "segm/AP": 11.0}
{"bbox/AP": 38.596, "bbox/AP-person": 54.1, "bbox/AP50": 59.2, "bbox/AP75": 42.0, "bbox/APl": 49.8, "bbox/APm": 41.9, "bbox/APs": 22.0, "data_time": 0.004, "iteration": 89999, "lr": 0.0002, "segm/AP": 35.244, "segm/AP50": 56.3, "segm/APl": NaN, "time": 0.354, "total_loss": 0.7}
"""  # noqa: E501
DETECTRON2_CONFIG = """\
CUDNN_BENCHMARK: false
DATASETS:
  PROPOSAL_FILES_TEST: []
  TEST:
  - coco_2017_val
  TRAIN:
  - coco_2017_train
MODEL:
  META_ARCHITECTURE: GeneralizedRCNN
  ANCHOR_GENERATOR:
    SIZES: !!python/tuple
    - - 32
    - - 64
OUTPUT_DIR: ./output
SEED: -1
SOLVER:
  BASE_LR: 0.02
  MAX_ITER: 90000
VERSION: 2
"""
# As mmdetection 2 writes it (mmcv's TextLoggerHook): <time>.log.json.
MMDETECTION2_LOG = """\
{"env_info": "sys.platform: linux", "config": "data_root = 'data/coco/'\\nmodel = dict(type='RetinaNet')\\n", "seed": 7, "exp_name": "retinanet_r50_fpn_1x_coco.py", "mmdet_version": "2.25.0"}
{"mode": "train", "epoch": 1, "iter": 50, "lr": 0.00098, "memory": 3888, "data_time": 0.05, "loss_cls": 1.1, "loss_bbox": 0.7, "loss": 1.8, "time": 0.401}
{"mode": "train", "epoch": 1, "iter": 7300, "lr": 0.01, "memory": 3900, "loss": 0.9, "time": 0.399}
{"mode": "val", "epoch": 1, "iter": 2500, "lr": 0.01, "bbox_mAP": 0.171, "bbox_mAP_50": 0.3, "bbox_mAP_75": 0.17, "bbox_mAP_s": 0.09, "bbox_mAP_m": 0.19, "bbox_mAP_l": 0.22, "bbox_mAP_copypaste": "0.171 0.300 0.170 0.090 0.190 0.220"}
{"mode": "train", "epoch": 2, "iter": 7300, "lr": 0.001, "memory": 3900, "loss": 0.8, "time": 0.400}
{"mode": "val", "epoch": 2, "iter": 2500, "lr": 0.001, "bbox_mAP": 0.365, "bbox_mAP_50": 0.554, "bbox_mAP_s": 0.205, "bbox_mAP_copypaste": "0.365 0.554"}
"""  # noqa: E501
# As mmdetection 3 writes it (mmengine): <time>/vis_data/<time>.json and config.py.
MMDETECTION3_LOG = """\
{"lr": 0.0019819639278557114, "data_time": 0.0083, "loss": 1.27, "loss_cls": 0.6, "time": 0.2103, "epoch": 1, "iter": 50, "memory": 4114, "step": 50}
{"lr": 0.02, "loss": 0.7, "time": 0.2201, "epoch": 12, "iter": 87960, "memory": 4200, "step": 87960}
{"coco/bbox_mAP": 0.374, "coco/bbox_mAP_50": 0.581, "coco/bbox_mAP_s": 0.212, "coco/segm_mAP": 0.341, "data_time": 0.002, "time": 0.031, "step": 12}
"""  # noqa: E501
MMDETECTION3_CONFIG = "dataset_type = 'CocoDataset'\ndata_root = 'data/coco/'\nrandomness = dict(seed=3)\n"
# The table that W&B's website exports, and the one of its API's example.
WANDB_TABLE = """\
"Name","State","Notes","User","Tags","Created","Runtime","Sweep","lr","seed","_step","bbox/AP","val/mAP"
"good-sea-3","finished","-","ann","","2023-05-01T10:11:12.000Z","5231","","0.02","2","89999","37.25","0.3725"
"bad-sea-4","crashed","-","ann","","2023-05-02T10:11:12.000Z","31","","0.2","3","40","",""
"new-sea-5","running","-","ann","","2023-05-03T10:11:12.000Z","31","","0.02","4","40","3.0","0.03"
"""
WANDB_API = """\
,summary,config,name
0,"{'_step': 500, 'val/mAP': 0.41, '_timestamp': 1682935872.0}","{'lr': 0.02, 'seed': 5}",calm-lake-9
"""


def write_detectron2(root: Path, **changes: str) -> Path:
    folder = root / "mask_rcnn_R_50_FPN_1x"
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(DETECTRON2_METRICS)
    config = DETECTRON2_CONFIG
    for before, after in changes.items():
        config = config.replace(f"{before}: ", f"{before}: {after} #")
    (folder / "config.yaml").write_text(config)
    return folder


def write_mmdetection2(root: Path) -> Path:
    (root / "work").mkdir()
    (root / "work/20220130_110203.log.json").write_text(MMDETECTION2_LOG)
    return root / "work"


def write_mmdetection3(root: Path) -> Path:
    folder = root / "work/20230130_110203/vis_data"
    folder.mkdir(parents=True)
    for name in ("20230130_110203.json", "scalars.json"):  # mmengine writes the lines twice
        (folder / name).write_text(MMDETECTION3_LOG)
    (folder / "config.py").write_text(MMDETECTION3_CONFIG)
    return root / "work"


def write_wandb_folder(root: Path) -> Path:
    folder = root / "wandb/run-20230501_101112-abc"
    (folder / "files").mkdir(parents=True)
    (folder / "files/wandb-summary.json").write_text('{"segm/AP": 35.5, "_step": 100, "_timestamp": 1682935872.5}')
    (folder / "files/config.yaml").write_text(
        "wandb_version: 1\nlr:\n  desc: null\n  value: 0.02\n_wandb:\n  value: {}\n"
    )
    return folder


def write_table(root: Path, text: str, name: str = "export.csv") -> Path:
    (root / name).write_text(text)
    return root / name


def read_one(path: Path, **named: Any) -> ForeignRun:
    [run] = read_runs(path, named.pop("named", {}), **named)
    return run


def test_detectron2(tmp_path: Path) -> None:
    run = read_one(write_detectron2(tmp_path))
    assert run.metrics == {
        "box/AP": 38.596, "box/AP50": 59.2, "box/AP75": 42.0, "box/APl": 49.8, "box/APm": 41.9, "box/APs": 22.0,
        "mask/AP": 35.244, "mask/AP50": 56.3, "mask/APl": None,
    }  # fmt: skip
    assert (run.origin, run.name, run.dataset, run.steps, run.seed, run.status) == (
        "detectron2", "mask_rcnn_R_50_FPN_1x", "coco_2017_val", 90000, None, "finished",
    )  # fmt: skip
    assert run.step_seconds == 0.352
    assert run.config["MODEL"]["ANCHOR_GENERATOR"]["SIZES"] == [[32], [64]]


def test_detectron2_that_stopped(tmp_path: Path) -> None:
    run = read_one(write_detectron2(tmp_path, MAX_ITER="270000", SEED="11"))
    assert (run.status, run.error, run.seed) == ("stopped", "stopped at step 90000 of 270000", 11)


def test_mmdetection_of_both_versions(tmp_path: Path) -> None:
    (tmp_path / "2").mkdir()
    (tmp_path / "3").mkdir()
    second, third = read_one(write_mmdetection2(tmp_path / "2")), read_one(write_mmdetection3(tmp_path / "3"))
    assert second.metrics == {"box/AP": 36.5, "box/AP50": 55.4, "box/AP75": 17.0, "box/APs": 20.5, "box/APm": 19.0,
                              "box/APl": 22.0}  # fmt: skip
    assert third.metrics == {"box/AP": 37.4, "box/AP50": 58.1, "box/APs": 21.2, "mask/AP": 34.1}
    assert (second.name, second.seed, second.steps, second.dataset) == (
        "retinanet_r50_fpn_1x_coco.py", 7, 14600, "data/coco",
    )  # fmt: skip
    assert (third.seed, third.steps, third.peak_memory) == (3, 87960, 4200 * 2**20)
    assert f"{second.started:%Y-%m-%d %H:%M:%S} {third.started:%Y}" == "2022-01-30 11:02:03 2023"
    assert third.config["config.py"] == MMDETECTION3_CONFIG


def test_wandb(tmp_path: Path) -> None:
    good, bad = read_runs(write_table(tmp_path, WANDB_TABLE), {})
    assert (good.name, good.metrics, good.seed, good.steps) == ("good-sea-3", {"box/AP": 37.25}, 2, 89999)
    assert (bad.status, bad.error, bad.metrics) == ("failed", "W&B's state: crashed", {})
    assert good.started.isoformat() == "2023-05-01T10:11:12+00:00"
    named = read_runs(write_table(tmp_path, WANDB_TABLE), {"mask/AP": "val/mAP"}, fractions=True)[0]
    assert named.metrics == {"box/AP": 37.25, "mask/AP": pytest.approx(37.25)}
    api = read_one(write_table(tmp_path, WANDB_API), named={"box/AP": "val/mAP"}, fractions=True)
    assert (api.name, api.metrics, api.seed, api.config["lr"]) == ("calm-lake-9", {"box/AP": 41.0}, 5, 0.02)
    folder = read_one(write_wandb_folder(tmp_path))
    assert (folder.metrics, folder.config, folder.steps) == ({"mask/AP": 35.5}, {"lr": 0.02}, 100)
    records = [{"name": "a", "state": "finished", "summary": {"box/AP": 30.0}, "config": {"seed": 1}}]
    assert read_one(write_table(tmp_path, json.dumps(records), "export.json")).metrics == {"box/AP": 30.0}


@pytest.mark.parametrize(("name", "ours"), [
    ("bbox/AP", ("box/AP", 1)), ("coco_2017_val/segm/AP50", ("mask/AP50", 1)), ("keypoints/APm", ("keypoint/APm", 1)),
    ("panoptic_seg/PQ", ("panoptic/PQ", 1)), ("box/AP", ("box/AP", 1)), ("bbox_mAP_50", ("box/AP50", 100)),
    ("coco/segm_mAP_l", ("mask/APl", 100)), ("pascal_voc/mAP", ("box/AP50", 100)), ("bbox/AP-person", None),
    ("fast_rcnn/cls_accuracy", None), ("loss", None), ("bbox_mAP_copypaste", None), ("bbox/APx", None),
])  # fmt: skip
def test_names_of_metrics(name: str, ours: tuple[str, float] | None) -> None:
    assert translate_name(name) == ours


@pytest.mark.parametrize(("write", "part"), [
    (lambda root: root / "nowhere", "no such file or folder"),
    (lambda root: root, "OUTPUT_DIR"),
    (lambda root: write_table(root, "a,b\n"), "holds no finished run"),
    (lambda root: write_table(root, "Name,loss\nx,0.1\n"), "--metric box/AP=val/mAP"),
    (lambda root: write_table(root, "not json", "export.json"), "is no JSON"),
    (lambda root: write_table(root, "{]\n{}\n", "metrics.json"), "metrics.json:1: is no line of JSON"),
    (lambda root: write_table(root, '[{"image_id": 1, "bbox": [0, 0, 1, 1]}]', "r.json"), "--annotations FILE"),
    (lambda root: write_table(root, "x", "weights.pth"), "is no file that can be read"),
])  # fmt: skip
def test_files_that_cannot_be_read(tmp_path: Path, write: Callable[[Path], Path], part: str) -> None:
    with pytest.raises(ForeignError, match=part):
        read_runs(write(tmp_path), {})


def test_a_config_executes_nothing(tmp_path: Path) -> None:
    folder = write_detectron2(tmp_path)
    canary = tmp_path / "canary"
    (folder / "config.yaml").write_text(f"A: !!python/object/apply:os.system ['touch {canary}']\nSEED: 3\n")
    assert read_one(folder).seed == 3
    assert not canary.exists()


def imported(root: Path, *argv: str) -> list[Entry]:
    assert main(["import", *argv, "--results", str(root)]) == 0
    return store.contents(root).entries


def test_a_foreign_run_fills_no_cell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "results"
    folder = write_detectron2(tmp_path)
    [entry] = imported(root, str(folder), "--row", ROW)
    again = imported(root, str(folder), "--row", ROW)
    assert again == [entry]
    assert entry.origin == "detectron2"
    assert "is there already" in capsys.readouterr().out
    assert integrity.verify(root) == (1, [])
    assert not store.read_own(root)

    def show(*argv: str) -> str:
        capsys.readouterr()
        assert main(["table", "mask_rcnn/table2c", "--results", str(root), *argv]) == 0
        return capsys.readouterr().out

    plain, beside = show(), show("--foreign")
    assert "35.2" not in plain
    assert "Beside this table: 1 run of others (detectron2); --foreign shows them." in " ".join(plain.split())
    line = next(line for line in beside.splitlines() if "detectron2" in line)
    assert line.split()[-7:] == ["mask_rcnn_R_50_FPN_1x", "coco_2017_val", "1", "35.2", "56.3", "30.3", "51.2"]
    assert show("--as", "csv") == show("--as", "csv", "--tier", "paper")
    # moved among ours by hand, it does not count either
    target = root / ROW
    target.mkdir(parents=True)
    file = next((root / "foreign").rglob("2*.json"))
    file.rename(target / file.name)
    assert "35.2" not in show()
    assert integrity.verify(root)[1]


def test_free_foreign_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "results"
    entries = imported(root, str(write_table(tmp_path, WANDB_TABLE)), "--dataset", "coco_val", "--note", "of Ann")
    assert [entry.choices["model"] for entry in entries] == ["good-sea-3", "bad-sea-4"]
    assert entries[0].note == "of Ann; imported from export.csv: good-sea-3"
    capsys.readouterr()
    assert main(["table", "--runs", "--results", str(root)]) == 0
    assert "good-sea-3" not in capsys.readouterr().out
    assert main(["table", "--runs", "status=finished", "--foreign", "--results", str(root)]) == 0
    shown = capsys.readouterr().out
    assert "good-sea-3" in shown
    assert "bad-sea-4" not in shown
    assert "wandb" in shown


@pytest.mark.parametrize(
    ("text", "name"),
    [("a run/of mine", "a_run_of_mine"), ("..-x~", "x"), ("é=1", "é=1"), ("a" * 300, "a" * 100), ("/", "unnamed")],
)
def test_a_foreign_name_becomes_that_of_a_folder(text: str, name: str) -> None:
    assert make_name(text) == name


def test_plan_and_wrong_rows_write_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, root = str(write_detectron2(tmp_path)), tmp_path / "results"
    assert imported(root, folder, "--plan") == []
    assert "mask/AP 35.2" in capsys.readouterr().out
    for row, part in ((f"{ROW}s", "roi_align"), ("roi_align", "PAPER/TABLE/ROW"), ("mask_rcnn/none/x", "mask_rcnn")):
        assert main(["import", folder, "--row", row, "--results", str(root)]) == 1
        assert part in capsys.readouterr().err
    assert not root.exists()


def test_a_result_file_is_scored_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    box = {"bbox": [2, 2, 10, 8], "category_id": 4, "image_id": 10}
    truth = {
        "images": [{"id": 10, "file_name": "1.png", "height": 20, "width": 30}],
        "annotations": [box | {"id": 1, "area": 80, "iscrowd": 0}],
        "categories": [{"id": 4, "name": "cat"}],
    }
    (tmp_path / "val.json").write_text(json.dumps(truth))
    (tmp_path / "results.json").write_text(json.dumps([box | {"score": 0.9}]))
    (tmp_path / "config.yaml").write_text("lr: 0.02\n")
    [entry] = imported(
        tmp_path / "store", str(tmp_path / "results.json"), "--annotations", str(tmp_path / "val.json"),
        "--config", str(tmp_path / "config.yaml"),
    )  # fmt: skip
    assert (entry.origin, entry.metrics["box/AP"], entry.config) == ("results", 100.0, {"lr": 0.02})
    assert entry.choices["dataset"] == "val"
    assert "scored here with val.json" in entry.note
