"""`lineage weights`: what a file holds, and the way to another code base and back, bit by bit."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
import torchvision

from lineage.cli.main import main
from lineage.weights.readers import read_tensors
from tests.trained import run_folder
from tests.weights import published


@pytest.mark.parametrize(("target", "suffix"), [("torchvision", ".pth"), ("detectron2", ".pkl")])
def test_a_run_goes_there_and_back(
    tmp_path: Path, target: str, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_folder(tmp_path / "run", "faster_rcnn", "backbone=resnet50", "backbone.weights=later")
    there, again = tmp_path / f"there{suffix}", tmp_path / "again.safetensors"
    assert main(["weights", "convert", "--to", target, str(run), str(there)]) == 0
    assert main(["weights", "convert", "--to", "lineage", str(there), str(again)]) == 0
    ours, back = torch.load(run / "weights.pt"), read_tensors(again)
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[name], value) for name, value in ours.items())
    if target == "detectron2":
        said = capsys.readouterr().out
        for option in ("MODEL.PIXEL_MEAN [103.53,116.28,123.675]", "MODEL.PIXEL_STD [57.375,57.12,58.395]",
                       "MODEL.RESNETS.STRIDE_IN_1X1 False", "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO 2",
                       "MODEL.ROI_HEADS.NUM_CLASSES 6", "MODEL.RPN.POST_NMS_TOPK_TEST"):  # fmt: skip
            assert option in said
        assert "trained with" not in said  # nothing that detectron2 has no key for
        assert "backbone.bottom_up.res2.0.conv1.weight" in pickle.loads(there.read_bytes())["model"]


def test_what_is_written_for_detectron2_keeps_the_pixels_of_its_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was read as a network of MSRA: pixels that are not divided, strides in the 1x1."""
    model = torchvision.models.get_model("fasterrcnn_resnet50_fpn", weights=None, weights_backbone=None, num_classes=6)
    torch.save(model.state_dict(), tmp_path / "tv.pth")
    there = tmp_path / "there.pkl"
    assert main(["weights", "convert", "--to", "detectron2", str(tmp_path / "tv.pth"), str(there)]) == 0
    capsys.readouterr()
    assert main(["weights", "list", str(there)]) == 0
    said = capsys.readouterr().out
    assert "backbone.mean=[123.675, 116.28, 103.53] backbone.std=[58.395, 57.12, 57.375]" in said
    assert "backbone.stride_in=3x3" in said
    tensors = pickle.loads(there.read_bytes())["model"]
    assert tensors["pixel_std"].shape == (3, 1, 1)  # as in model_zoo files of detectron2, blue first
    assert tensors["pixel_mean"].flatten().tolist() == pytest.approx([103.53, 116.28, 123.675])


def test_torchvision_loads_what_is_written_for_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Detectron's pixels are not divided; torchvision's are, so the first layer takes the deviation in."""
    weights, out = tmp_path / "model_final.pth", tmp_path / "tv.pth"
    torch.save(published.filled(published.d2_faster_fpn(50, 5)), weights)
    assert main(["weights", "convert", "--to", "torchvision", str(weights), str(out)]) == 0
    theirs = torchvision.models.get_model("fasterrcnn_resnet50_fpn", weights=None, weights_backbone=None, num_classes=6)
    theirs.load_state_dict(torch.load(out), strict=False)
    said = capsys.readouterr().out
    assert "num_classes=6, rpn_pre_nms_top_n_test=1000, rpn_post_nms_top_n_test=1000, box_score_thresh=0.05" in said
    assert "trained with backbone.stride_in=1x1 roi.sampling_ratio=0 roi.aligned=true" in said
    assert "torchvision has backbone.stride_in=3x3 roi.sampling_ratio=2 roi.aligned=false" in said
    assert "block.conv1.stride, block.conv2.stride = (2, 2), (1, 1)" in said
    red_first = torch.load(weights)["backbone.bottom_up.stem.conv1.weight"].flip(1)
    std = torch.tensor([58.395, 57.12, 57.375])[:, None, None]
    torch.testing.assert_close(theirs.backbone.body.conv1.weight.data, red_first * std)


def test_a_bare_state_dict_is_converted_by_the_defaults_of_its_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_folder(tmp_path / "run", "faster_rcnn", "backbone=resnet50", "backbone.weights=later")
    bare = tmp_path / "bare.pt"
    torch.save(torch.load(run / "weights.pt"), bare)
    assert main(["weights", "convert", "--to", "detectron2", str(bare), str(tmp_path / "x.pkl")]) == 0
    said = capsys.readouterr().out
    assert "MODEL.PIXEL_MEAN [103.53,116.28,123.675] MODEL.PIXEL_STD [57.375,57.12,58.395]" in said
    assert "a bare state dict holds no settings" in said
    assert "defaults of model=faster_rcnn backbone=resnet50 dataset.classes=6" in said


def test_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = tmp_path / "e2e_mask_rcnn.pkl"
    blobs = {name: value.numpy() for name, value in published.filled(published.c2_mask_fpn(50, 80)).items()}
    weights.write_bytes(pickle.dumps({"blobs": blobs, "cfg": "MODEL: {}"}, protocol=2))
    assert main(["weights", str(weights), "--names"]) == 0  # list goes without saying
    said = capsys.readouterr().out
    for part in ("Detectron", "model=mask_rcnn backbone=resnet50 dataset.classes=80", "backbone.stride_in=1x1",
                 "backbone.std=[1.0, 1.0, 1.0]", "81 x 1024"):  # fmt: skip
        assert part in said


def test_a_model_that_they_have_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_folder(tmp_path / "run", "cascade_rcnn")
    assert main(["weights", "convert", "--to", "torchvision", str(run), str(tmp_path / "x.pth")]) == 1
    assert "torchvision has no place for" in capsys.readouterr().err
    assert not (tmp_path / "x.pth").exists()
    assert main(["weights", "convert", "--to", "detectron2", str(run), str(tmp_path / "x.bin")]) == 1
    assert "the suffix determines the kind of file" in capsys.readouterr().err
