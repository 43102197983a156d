"""Exported programs compute what the model does, checked by the runtimes that will run them."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from lineage.cli.export import explain_padding
from lineage.cli.main import main
from lineage.config.build import ConfigError
from lineage.data.canvas import CanvasRule
from lineage.data.collate import collate
from lineage.data.transforms.augment import Augment
from lineage.models.export.onnx import open_session, run_session
from lineage.models.export.program import ExportableDetector, name_inputs
from lineage.models.interpolation.baselines import NearestFrame
from lineage.results.file_digest import compute_sha256
from lineage.run.class_names import default_meta
from lineage.run.inference.export import choose_size, draw_inputs, export_model
from lineage.run.inference.latency import prepare_model, prepare_onnx, prepare_untrained
from lineage.run.restore import Restored, restore
from tests.models.compose import DETECTORS
from tests.trained import run_folder

SIZE = (128, 128)
FAST = ("rcnn", "fast_rcnn", "rpn", "rpn_c4")
FAMILIES = (
    *FAST, "fast_rcnn_multiscale", "fast_rcnn_svm", "faster_rcnn_vgg", "faster_rcnn_dc5", "mask_rcnn_mlp",
    "mask_rcnn_v2", "mask_keypoint_rcnn", "cascade_mask_rcnn_staged", "retinanet", "pointrend", "panoptic_fpn",
)  # fmt: skip
BOTH = [(model, ".onnx") for model in DETECTORS] + [(model, ".pt2") for model in FAMILIES]


@pytest.mark.parametrize("model", [pytest.param("mask_keypoint_rcnn", marks=pytest.mark.slow), "retinanet"])
def test_onnx(model: str, tmp_path: Path) -> None:
    run, out = run_folder(tmp_path / "run", model), tmp_path / "model.onnx"
    assert main(["export", str(run), str(out), "--batch", "2"]) == 0
    told = json.loads(out.with_name("model.onnx.json").read_text())
    assert told["sha256"] == compute_sha256(out)
    assert len(told["classes"]) == 6
    assert told["inputs"][0]["shape"] == [2, 3, *SIZE]
    assert told["inside"]["mean"] == [123.675, 116.28, 103.53]
    graph = onnx.load(str(out)).graph
    assert {node.domain for node in graph.node} <= {"", "ai.onnx"}  # nothing of ours is needed
    session = open_session(out)
    outputs = {one.name: one.shape for one in session.get_outputs()}
    assert outputs == {one["name"]: one["shape"] for one in told["outputs"]}
    assert all(isinstance(side, int) for shape in outputs.values() for side in shape)  # fixed
    eager = ExportableDetector(restore(str(run), [], tmp_path).model)
    found = 0
    for seed in range(20, 25):  # others than those the command checked
        pixels, sizes = draw_inputs(SIZE, 2, 0, seed)
        sizes = sizes * torch.tensor([1.0, 0.75])  # content narrower than the canvas
        given = run_session(session, {"pixels": pixels.numpy(), "sizes": sizes.numpy()})
        with torch.no_grad():
            wanted = eager(pixels, sizes)
        for name, ours, theirs in zip(outputs, wanted, given, strict=True):
            assert np.allclose(ours.numpy(), theirs, atol=1e-4 * (128 if name in ("boxes", "keypoints") else 1)), name
            assert ours.is_floating_point() or np.array_equal(ours.numpy(), theirs), name
        found += int(wanted[list(outputs).index("valid")].sum())
    assert found > 20


@pytest.mark.slow
def test_given_proposals_go_in(tmp_path: Path) -> None:
    run, out = run_folder(tmp_path / "run", "fast_rcnn"), tmp_path / "model.onnx"
    assert main(["export", str(run), str(out), "--proposals", "80"]) == 0
    (*_, proposals) = json.loads(out.with_name("model.onnx.json").read_text())["inputs"]
    assert (proposals["name"], proposals["shape"]) == ("proposals", [1, 80, 4])
    pixels, sizes, boxes = draw_inputs(SIZE, 1, 80, 9)
    boxes[:, 40:] = 0  # fewer than those of the check
    given = {name: value.numpy() for name, value in name_inputs((pixels, sizes, boxes)).items()}
    got = run_session(open_session(out), given)
    with torch.no_grad():
        wanted = ExportableDetector(restore(str(run), [], tmp_path).model)(pixels, sizes, boxes)
    for ours, theirs in zip(wanted, got, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-2)
    assert wanted[3].any()


@pytest.mark.slow
def test_torch_export_runs_without_this_package(tmp_path: Path) -> None:
    run, out = run_folder(tmp_path / "run", "mask_rcnn"), tmp_path / "model.pt2"
    assert main(["export", str(run), str(out)]) == 0
    pixels, sizes = draw_inputs(SIZE, 1, 0, 7)
    torch.save((pixels, sizes), tmp_path / "inputs.pt")
    code = (
        "import sys, torch, torchvision\n"
        f"torch.set_num_threads(1)\n"
        f"program = torch.export.load({str(out)!r}).module()\n"
        f"torch.save(program(*torch.load({str(tmp_path / 'inputs.pt')!r})), {str(tmp_path / 'outputs.pt')!r})\n"
        "assert not [name for name in sys.modules if name.startswith('lineage')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    with torch.no_grad():
        wanted = ExportableDetector(restore(str(run), [], tmp_path).model)(pixels, sizes)
    for ours, theirs in zip(wanted, torch.load(tmp_path / "outputs.pt"), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("model", "kind"), [pytest.param(*one, marks=() if one[0] in FAST else pytest.mark.slow) for one in BOTH]
)
def test_every_model_can_be_exported(model: str, kind: str, tmp_path: Path) -> None:
    """The command compares the file with the model, and keeps it only if they agree."""
    run, out = run_folder(tmp_path / "run", model), tmp_path / f"model{kind}"
    assert main(["export", str(run), str(out)]) == 0
    told = json.loads(out.with_name(f"{out.name}.json").read_text())
    assert told["sha256"] == compute_sha256(out)
    assert told["checked"]["images"] == 4


@pytest.mark.parametrize(
    "choices",
    [
        ("deepmark", "tier=smoke"),
        pytest.param(("centernet_pose",), marks=pytest.mark.slow),
        pytest.param(("centernet_mobilenet",), marks=pytest.mark.slow),
        pytest.param(("centernet", "upsampling.convolution=deformable"), marks=pytest.mark.slow),
    ],
)
def test_center_models_take_any_size(choices: tuple[str, ...], tmp_path: Path) -> None:
    """The command compares batches of 1 and 2, landscape and portrait."""
    run, out = run_folder(tmp_path / "run", *choices), tmp_path / "model.onnx"
    assert main(["export", str(run), str(out), "--size", "any"]) == 0
    content = json.loads(out.with_name("model.onnx.json").read_text())
    assert (content["fixed_size"], content["checked"]["images"]) == (False, 4)
    assert not any(isinstance(side, int) for side in open_session(out).get_inputs()[0].shape if side != 3)
    workload = prepare_onnx(out, (101, 77), 1)
    workload.run()
    assert workload.size == (128, 96)
    with pytest.raises(ConfigError, match="64 pixels or more"):
        prepare_onnx(out, (101, 32), 1)


@pytest.mark.parametrize(("multiple", "size"), [(1, (100, 130)), (32, (128, 160)), (128, (128, 256))])
def test_a_size_is_padded_to_what_the_model_needs(multiple: int, size: tuple[int, int]) -> None:
    config, meta = OmegaConf.create({"augment": {"test": {"sizes": [100], "max_size": 130}}}), default_meta(1)
    canvas = CanvasRule(Augment(nn.Identity(), nn.Identity(), partial(collate)), multiple)
    restored = Restored(nn.Identity(), nn.Identity(), canvas, config, meta, "")
    assert choose_size(restored, (100, 130)) == size
    assert explain_padding((100, 130), (128, 160)).startswith("--size 100x130 is padded to 128x160")


def test_models_of_videos_are_refused(tmp_path: Path) -> None:
    model = NearestFrame(time=0.5)
    canvas = CanvasRule(Augment(nn.Identity(), nn.Identity(), partial(collate)), 1)
    restored = Restored(model, model.detect, canvas, OmegaConf.create(), default_meta(1), "")
    settings = {"size": (64, 64), "any_size": False, "batch": 1, "proposals": 0, "tolerance": 1e-4}
    with pytest.raises(ConfigError, match="lineage export takes detectors of objects; NearestFrame reads videos"):
        export_model(restored, tmp_path / "model.onnx", **settings)
    with pytest.raises(ConfigError, match="lineage latency takes detectors of objects; NearestFrame reads videos"):
        prepare_model(restored, (64, 64), torch.device("cpu"))
    with pytest.raises(ConfigError, match="DVTSR reads videos"):
        prepare_untrained(["model=dvtsr", "dataset=moving_shapes"], None, torch.device("cpu"))


@pytest.mark.parametrize("arguments", [["run", "model.tflite"], ["run", "model.onnx", "--size", "128"]])
def test_bad_wishes(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["export", *arguments])
    said = capsys.readouterr().err
    assert ".onnx or .pt2" in said or "HEIGHTxWIDTH" in said
