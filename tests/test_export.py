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

from lineage.cli import main
from lineage.export import onnx_file
from lineage.export.commands import ExportError, compare, images, in_order
from lineage.export.program import INPUTS, Detector, flags
from lineage.models.roi import RoIPool
from lineage.ops.nms import nms
from lineage.restore import restore
from lineage.zoo.files import digest
from tests.trained import run_folder

SIZE = (128, 128)


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.7])
@pytest.mark.parametrize("count", [1, 7, 120])
def test_suppression_without_our_operator_is_the_same(count: int, threshold: float) -> None:
    generator = torch.Generator().manual_seed(count)
    low = torch.rand(3, count, 2, generator=generator) * 60
    boxes = torch.cat((low, low + torch.rand(3, count, 2, generator=generator) * 50), -1)
    boxes[0, count // 2 :] = boxes[0, : count - count // 2].clone()  # exact repeats
    groups = torch.randint(0, 3, (3, count), generator=generator)
    valid = torch.rand(3, count, generator=generator) > 0.3
    valid[2] = False
    assert torch.equal(flags(boxes, groups, valid, threshold), nms(boxes, groups, valid, threshold))


def test_a_chain_of_boxes_needs_many_rounds() -> None:
    """Each box overlaps the next alone, so every second one stays: the answer for the last depends on the first."""
    x = torch.arange(40.0) * 3
    boxes = torch.stack((x, torch.zeros(40), x + 10, torch.full((40,), 10.0)), -1)[None]
    same, valid = torch.zeros(1, 40, dtype=torch.int64), torch.ones(1, 40, dtype=torch.bool)
    kept = flags(boxes, same, valid, 0.5)
    assert torch.equal(kept, nms(boxes, same, valid, 0.5))
    assert kept[0].tolist() == [i % 2 == 0 for i in range(40)]


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
    session = onnx_file.session(out)
    outputs = {one.name: one.shape for one in session.get_outputs()}
    assert outputs == {one["name"]: one["shape"] for one in told["outputs"]}
    assert all(isinstance(side, int) for shape in outputs.values() for side in shape)  # fixed
    eager = Detector(restore(str(run), [], tmp_path).model)
    found = 0
    for seed in range(20, 25):  # others than those the command checked
        pixels, sizes = images(SIZE, 2, 0, seed)
        sizes = sizes * torch.tensor([1.0, 0.75])  # content narrower than the canvas
        given = onnx_file.run(session, {"pixels": pixels.numpy(), "sizes": sizes.numpy()})
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
    pixels, sizes, boxes = images(SIZE, 1, 80, 9)
    boxes[:, 40:] = 0  # fewer than those of the check
    given = dict(zip(INPUTS, (pixels.numpy(), sizes.numpy(), boxes.numpy()), strict=True))
    got = onnx_file.run(onnx_file.session(out), given)
    with torch.no_grad():
        wanted = Detector(restore(str(run), [], tmp_path).model)(pixels, sizes, boxes)
    for ours, theirs in zip(wanted, got, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-2)
    assert wanted[3].any()


def test_roi_pooling_in_onnx(tmp_path: Path) -> None:
    """Alone: behind a network, a difference in the last digit moves a rounded border."""
    feature = torch.rand(2, 3, 16, 20)
    rois = torch.tensor([[0, 1, 2, 9, 12], [1, 0, 0, 19, 15], [1, 4.4, 3.6, 5.1, 4.2], [0, 7.5, 2.5, 7.5, 8.5]])
    program = torch.export.export(RoIPool(6).eval(), (feature, rois))
    onnx_file.write(program, tmp_path / "pool.onnx", ("feature", "rois"), ("pooled",))
    session = onnx_file.session(tmp_path / "pool.onnx")
    (pooled,) = onnx_file.run(session, {"feature": feature.numpy(), "rois": rois.numpy()})
    np.testing.assert_allclose(pooled, RoIPool(6)(feature, rois).numpy(), atol=1e-6)


@pytest.mark.slow
def test_torch_export_runs_without_this_package(tmp_path: Path) -> None:
    run, out = run_folder(tmp_path / "run", "mask_rcnn"), tmp_path / "model.pt2"
    assert main(["export", str(run), str(out)]) == 0
    pixels, sizes = images(SIZE, 1, 0, 7)
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
        wanted = Detector(restore(str(run), [], tmp_path).model)(pixels, sizes)
    for ours, theirs in zip(wanted, torch.load(tmp_path / "outputs.pt"), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_a_file_that_computes_something_else_is_not_kept(tmp_path: Path) -> None:
    eager = Detector(restore(str(run_folder(tmp_path / "run", "faster_rcnn")), [], tmp_path).model)
    with torch.no_grad():
        names, draw = ["boxes", "scores", "labels", "valid"], partial(images, SIZE, 1, 0)
        assert compare(eager, eager, draw, names) == dict.fromkeys(names, 0.0)

        def wrong(pixels: torch.Tensor, sizes: torch.Tensor) -> list[torch.Tensor]:
            boxes, scores, *rest = eager(pixels, sizes)
            return [boxes, scores * 1.001, *rest]

        with pytest.raises(ExportError, match="computes something else than the model: scores by"):
            compare(eager, wrong, draw, names)


def test_equal_scores_may_come_in_either_order() -> None:
    boxes = torch.tensor([[[0.0, 0, 5, 5], [9, 9, 20, 20], [1, 1, 4, 4], [0, 0, 0, 0]]])
    scores, labels = torch.tensor([[0.9, 0.5, 0.5, 0.0]]), torch.tensor([[1, 2, 2, 0]])
    wanted = {"boxes": boxes, "scores": scores, "labels": labels, "semantic": torch.rand(1, 3, 4, 4)}
    swapped = wanted | {"boxes": boxes[:, [0, 2, 1, 3]]}
    assert torch.equal(in_order(wanted, swapped)["boxes"], boxes)
    other = wanted | {"boxes": boxes[:, [1, 0, 2, 3]]}  # their scores differ: this is another answer
    assert torch.equal(in_order(wanted, other)["boxes"], other["boxes"])


@pytest.mark.parametrize("arguments", [["run", "model.tflite"], ["run", "model.onnx", "--size", "128"]])
def test_bad_wishes(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["export", *arguments])
    said = capsys.readouterr().err
    assert ".onnx or .pt2" in said or "HEIGHTxWIDTH" in said
