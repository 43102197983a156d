"""Exported programs compute what the model does, checked by the runtimes that will run them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from lineage.cli.main import main
from lineage.models.export.onnx import open_session, run_session
from lineage.models.export.program import ExportableDetector, name_inputs
from lineage.run.inference.export import draw_inputs
from lineage.run.restore import restore
from lineage.weights.readers import digest
from tests.models.compose import DETECTORS
from tests.trained import run_folder

SIZE = (128, 128)
FAST = ("rcnn", "fast_rcnn", "rpn")
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
    assert told["sha256"] == digest(out)
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
    assert told["sha256"] == digest(out)
    assert told["checked"]["images"] == 4


@pytest.mark.parametrize("arguments", [["run", "model.tflite"], ["run", "model.onnx", "--size", "128"]])
def test_bad_wishes(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["export", *arguments])
    said = capsys.readouterr().err
    assert ".onnx or .pt2" in said or "HEIGHTxWIDTH" in said
