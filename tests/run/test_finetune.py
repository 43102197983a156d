"""finetune=FOLDER: what is read off a folder, what is chosen, and the command that it becomes."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from lineage.config import validate
from lineage.config.build import ConfigError
from lineage.config.compose import compose_config
from lineage.config.digests import training_digest
from lineage.data.export import coco as export
from lineage.data.shapes.dataset import Shapes
from lineage.results.overrides import quote
from lineage.run.finetune import expand
from lineage.run.finetune.anchors import fit_anchors
from lineage.run.finetune.expand import expand_command
from lineage.run.finetune.facts import DataFacts, read_facts
from lineage.run.finetune.own_run import NODES
from lineage.run.finetune.plan import choose_training
from lineage.run.resolve import resolve
from tests.data import folder
from tests.trained import run_folder

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def without_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expand, "find_weights", nothing)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)


def nothing(name: str) -> None:
    return None


def cached(*names: str) -> Callable[[str], str | None]:
    return lambda name: "in the cache" if name in names else None


def facts(**changes: object) -> DataFacts:
    values = {
        "name": "coco", "images": 61, "val_images": 13, "classes": ("balloon",), "masked": 1.0, "keypoints": 0,
        "sizes": np.array([[768, 1024]] * 61), "boxes": np.full((200, 2), 0.2),
    }  # fmt: skip
    return DataFacts(**(values | changes))  # type: ignore[arg-type]


def chosen(*, gpu: bool = False, weights: Callable[[str], str | None] = nothing, typed: dict[str, str] | None = None,
           **changes: object) -> dict[str, str]:  # fmt: skip
    choices = choose_training(facts(**changes), typed or {}, gpu, weights)
    assert all(choice.reason for choice in choices)
    return dict(choice.override.split("=", 1) for choice in choices)


def test_a_cpu_without_weights_trains_a_small_network_from_scratch() -> None:
    choices = chosen()
    assert choices["tier"] == "mini"
    assert choices["backbone"] == "mini"
    assert choices["model"] == "mask_rcnn"
    assert choices["augment"] == "scale_320"
    assert choices["lr_schedule"] == "cosine"
    assert choices["schedule.epochs"] == "99"  # the first whose steps, 61 / 4 each, are 1,500
    assert (choices["schedule.warmup_steps"], choices["schedule.evaluate_every"]) == ("151", "302")  # of 1,510


def test_weights_within_reach_are_used() -> None:
    body = chosen(weights=cached("MobileNet_V3_Large_Weights.IMAGENET1K_V1"))
    assert (body["backbone"], body["tier"], body["optimizer.lr"]) == ("mobilenet_v3_large", "mini", "0.001")
    small = chosen(weights=lambda name: "here", masked=0.0)
    assert small["weights"] == "FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1"
    assert small["backbone.weights"] == "later"  # no second download, of ImageNet's body
    assert (small["model"], small["tier"]) == ("faster_rcnn_mobilenet_320", "paper")
    gpu = chosen(gpu=True, weights=lambda name: "here")
    assert gpu["roi.aligned"] == "false"  # as torchvision trained them
    compose_config(["dataset=coco", *(f"{key}={value}" for key, value in gpu.items())])
    assert gpu["weights"] == "MaskRCNN_ResNet50_FPN_Weights.COCO_V1"
    assert (gpu["augment"], gpu["optimizer.lr"]) == ("multiscale_640_800", "0.0025")  # 0.01 * 4 / 16
    large = chosen(gpu=True, weights=lambda name: "here", images=118_287, val_images=5000)
    assert (large["schedule.images_per_step"], large["schedule.epochs"], large["optimizer.lr"]) == ("16", "12", "0.01")


def test_labels_choose_the_model() -> None:
    assert chosen(masked=0.1)["model"] == "faster_rcnn"
    assert chosen(keypoints=17, with_keypoints=100)["model"] == "keypoint_rcnn"  # half of the 200 objects
    assert chosen(keypoints=17, with_keypoints=99)["model"] == "mask_rcnn"
    assert chosen(keypoints=17, with_keypoints=99, masked=0.1)["model"] == "faster_rcnn"
    assert chosen(keypoints=17, with_keypoints=0, boxes=np.empty((0, 2)))["model"] == "mask_rcnn"
    assert chosen()["model"] == "mask_rcnn"


def test_the_reason_counts_the_objects_with_keypoints(tmp_path: Path) -> None:
    root = folder.write(tmp_path, folder.content(4))
    content = json.loads((root / "train.json").read_text())
    content["categories"] = [{"id": 4, "name": "cat", "keypoints": ["nose", "tail"]}, {"id": 9, "name": "dog"}]
    labels = [[5, 5, 2, 6, 6, 1], [5, 5, 1, 0, 0, 0], [0] * 6]  # both, one, none; the fourth has no such key
    for annotation, keypoints in zip(content["annotations"], labels, strict=False):
        annotation |= {"keypoints": keypoints, "num_keypoints": sum(flag > 0 for flag in keypoints[2::3])}
    (root / "train.json").write_text(json.dumps(content))
    read = read_facts(["dataset=coco", f"dataset.root={quote(root)}", "dataset.train.annotations=train.json",
                       "dataset.train.images=images", "dataset.val=null"])  # fmt: skip
    assert (read.objects, read.keypoints, read.with_keypoints) == (4, 2, 2)
    choices = {choice.key: choice for choice in choose_training(read, {}, False, nothing)}
    assert choices["model"].override == "model=keypoint_rcnn"
    assert choices["model"].reason.startswith("2 of 4 objects have some of 2 keypoints; model=mask_keypoint_rcnn")
    fewer = choose_training(replace(read, with_keypoints=1), {}, False, nothing)[0]
    assert fewer.override == "model=mask_rcnn"
    assert fewer.reason.endswith("; 1 of 4 objects have keypoints, which model=keypoint_rcnn learns")


def test_sizes_follow_the_files_and_their_objects() -> None:
    assert chosen(sizes=np.array([[120, 160]]))["augment"] == "scale_160"
    assert chosen(boxes=np.full((50, 2), 0.03))["augment"] == "scale_480"  # 10 pixels of 320
    assert chosen(sizes=np.array([[300, 400]]), gpu=True, weights=lambda name: "here")["augment"] == "scale_480"


def test_what_was_typed_is_not_chosen() -> None:
    typed = {"model": "retinanet", "optimizer.lr": "0.1", "augment": "flip", "schedule.steps": "90", "tier": "mini"}
    choices = chosen(typed=typed)
    assert not choices.keys() & (typed.keys() | {"schedule.epochs"})
    assert choices["schedule.warmup_steps"] == "9"
    assert "lr_schedule" not in chosen(typed={"schedule.milestones": "[5]"})
    assert "optimizer.lr" not in chosen(typed={"optimizer": "sgd"})
    assert "schedule.evaluate_every" not in chosen(val_images=0)


@pytest.mark.parametrize("steps", ["0", "-1"])
def test_a_fine_tuning_of_no_step_is_refused_by_the_key_that_was_typed(steps: str) -> None:
    with pytest.raises(ConfigError, match=f"schedule.steps={steps}: fine-tuning takes at least one step"):
        chosen(typed={"schedule.steps": steps})


def test_few_evaluations_on_many_images() -> None:
    """1,525 steps of 4 images; 3,000 evaluated images take the time of 1,000 trained: one fifth allows one."""
    assert "schedule.evaluate_every" not in chosen(val_images=3000)


def test_anchors_are_the_means_of_the_clusters() -> None:
    """Squares of five sizes stretched to three shapes of equal area: the sizes and shapes come back."""
    sizes, shapes = [10, 20, 40, 80, 160], [0.5, 1.0, 2.0]
    boxes = np.array([(size * shape**0.5, size / shape**0.5) for size in sizes for shape in shapes for _ in range(9)])
    assert fit_anchors(boxes) == (sizes, shapes)
    anchors = chosen(typed={"finetune.anchors": "true"}, boxes=boxes / 320)
    assert anchors["model.proposals.anchors.sizes"] == "[[10],[20],[40],[80],[160]]"
    assert anchors["model.proposals.anchors.aspect_ratios"] == "[0.5,1.0,2.0]"


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("it's own")  # a quote and a blank
    for seed, split in enumerate(("train", "val")):
        export.write(Shapes(seed=seed, length=8, size=[48, 64], kinds=6), root, split)
    return root


@pytest.mark.parametrize(
    "more", [["model=faster_rcnn", "finetune.anchors=true"], ["model=keypoint_rcnn"], ["trainer=cpu", "seed=3"]]
)
def test_the_command_composes_and_repeats(shapes: Path, capsys: pytest.CaptureFixture[str], more: list[str]) -> None:
    command = expand_command([f"finetune={shapes}", *more])
    assert command == expand_command([f"finetune={shapes}", *more])
    assert "chosen, and why" in capsys.readouterr().out
    config = compose_config(command)
    validate.check(config)
    resolved = resolve(config, overrides=command).recorded
    assert resolved.schedule.steps == -(-resolved.schedule.epochs * 8 // 4)
    assert training_digest(config) == training_digest(compose_config(command))
    assert OmegaConf.to_container(resolved)["dataset"]["root"] == str(shapes)  # type: ignore[index, call-overload]
    typed = [text for text in more if not text.startswith("finetune")]
    assert command[-len(typed) :] == typed


ANCHORS = "model.proposals.anchors.sizes=[[10],[20],[40],[80],[160]]"


@pytest.fixture(scope="module")
def own_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run on `shapes` with a body, an RoI layer and anchors that are not the default."""
    chosen = ("backbone=mini_deep", "roi=pool", ANCHORS, "model.box.score_thresh=0.1")
    folder = run_folder(tmp_path_factory.mktemp("runs") / "mine", "mask_rcnn", *chosen)
    choices = {"dataset": "shapes", "tier": "mini", "model": "mask_rcnn", "backbone": "mini_deep", "roi": "pool"}
    (folder / "start.json").write_text(json.dumps({"overrides": list(chosen), "choices": choices}))
    return folder


@pytest.mark.parametrize("name", ["", "weights.pt"])
def test_the_model_of_an_own_run_is_read_from_it(shapes: Path, own_run: Path, name: str) -> None:
    command = expand_command([f"finetune={shapes}", f"weights={own_run / name}"])
    then, now = (OmegaConf.to_container(x) for x in (OmegaConf.load(own_run / "config.yaml"), compose_config(command)))
    assert [now[node] for node in NODES] == [then[node] for node in NODES]  # type: ignore[index, call-overload]
    assert {"tier=mini", "roi=pool", ANCHORS} <= {*command}
    assert "optimizer.lr=0.0003" in command  # of weights of a detector, in AdamW


def test_what_is_typed_beside_the_weights_of_a_run_counts(shapes: Path, own_run: Path) -> None:
    command = expand_command([f"finetune={shapes}", f"weights={own_run}", "roi=align", "model.box.score_thresh=0.2"])
    assert "roi=pool" not in command
    assert compose_config(command).model.box.score_thresh == 0.2


def test_a_model_that_no_override_composes_is_refused(shapes: Path, own_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(own_run, folder)
    config = OmegaConf.load(folder / "config.yaml")
    config.model.box.extra = {"_target_": "torch.nn.Identity"}
    OmegaConf.save(config, folder / "config.yaml")
    with pytest.raises(ConfigError, match=r"model\.box\.extra.*give them yourself: python train.py dataset=coco"):
        expand_command([f"finetune={shapes}", f"weights={folder}"])


def test_images_without_objects_are_counted(shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(shapes, tmp_path / "data")
    (file,) = (tmp_path / "data").rglob("*train*.json")
    content = json.loads(file.read_text())
    emptied = [image["id"] for image in content["images"][:2]]
    content["annotations"] = [row for row in content["annotations"] if row["image_id"] not in emptied]
    file.write_text(json.dumps(content))
    expand_command([f"finetune={tmp_path / 'data'}"])
    expected = (
        "2 images without objects left out of training, as the papers do; dataset.train.filter_empty=false trains"
    )
    assert expected in capsys.readouterr().out


def test_flags_stay_where_they_were(shapes: Path) -> None:
    command = expand_command(["-m", f"finetune={shapes}", "seed=0,1"])
    assert (command[0], command[-1]) == ("-m", "seed=0,1")
    assert expand_command(["-m", "seed=0,1"]) == ["-m", "seed=0,1"]
    assert expand_command(["finetune=/gone", "resume=runs/x"]) == ["resume=runs/x"]  # the run folder has the choices


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["finetune=/gone"], "no such folder"),
        (["finetune="], "name one folder"),
        (["finetune=true"], "name one folder"),
        (["finetune=/gone", "finetune.ancors=true"], "there is no key 'finetune.ancors'"),
        (["finetune.anchors=true"], "has no effect without finetune=FOLDER"),
        (["finetune=a,b"], "name one folder"),
        (["finetune=true", "dataset=shapes"], "is drawn, not read from files"),
        (["finetune=/gone", "experiment=mask_rcnn/table2c/roi_align"], "give one of them"),
    ],
)
def test_a_command_that_names_no_folder(command: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        expand_command(command)


@pytest.mark.parametrize(
    "value", ["/a/b", ".", "a b", "it's", "7", "null", "ä", "/zwölf", "zwölf", "a,b", "C:\\x", "{x}", "[a]"]
)
def test_values_survive_hydra(value: str) -> None:
    assert compose_config(["dataset=coco", f"dataset.root={quote(value)}"]).dataset.root == value


@pytest.mark.slow
def test_from_a_check_to_predictions_in_three_commands(shapes: Path, tmp_path: Path) -> None:
    """The command that an entry records, without finetune=, repeats the run."""

    def lineage(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "lineage.cli.main", *command], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    assert shlex.split(lineage("data", "check", str(shapes)).splitlines()[-1])[-1] == f"finetune={shapes}"
    folders = [f"paths.runs={tmp_path / 'runs'}", f"paths.results={tmp_path / 'results'}"]
    small = ["schedule.steps=4", "trainer=cpu", "augment=mini_64", f"hydra.run.dir={tmp_path / 'runs/a'}"]
    lineage("train", f"finetune={shapes}", *small, *folders)
    lineage("predict", str(shapes / "val2017"), "--weights", str(tmp_path / "runs/a"), "--out", str(tmp_path / "out"))
    assert json.loads((tmp_path / "out/predictions.json").read_text())["images"]
    (file,) = (tmp_path / "results").rglob("*.json")
    entry = json.loads(file.read_text())
    assert "lr_schedule=cosine" in entry["command"]
    again = [text for text in entry["command"][1:] if not text.startswith("hydra.run.dir")]
    assert not any(text.startswith("finetune") for text in again)
    lineage("train", *again, f"hydra.run.dir={tmp_path / 'runs/b'}")
    first, second = (json.loads(path.read_text()) for path in (tmp_path / "results").rglob("*.json"))
    assert first["config_digest"] == second["config_digest"]
    assert first["metrics"] == second["metrics"]
