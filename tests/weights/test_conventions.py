"""Conventions of a source that tensors do not show: pixels, where a ResNet strides, the limits of its tests."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lineage.weights.identify import adapt_input_normalization, identify
from lineage.weights.sources import detectron, detectron2
from lineage.weights.sources.detectron2_inference import list_test_settings
from lineage.weights.sources.table import CAFFE, IMAGENET, UNSCALED
from tests.weights import published

CLASSES = 5
WIDTHS = (256, 512, 1024, 2048)


def test_another_deviation_moves_into_the_first_layer() -> None:
    weight = torch.randn(8, 3, 7, 7, dtype=torch.float64)
    state = {"backbone.stem.0.weight": weight}
    pixels = torch.rand(1, 3, 20, 20, dtype=torch.float64) * 255
    mean = torch.tensor(IMAGENET.mean, dtype=torch.float64)[:, None, None]
    std = torch.tensor(IMAGENET.std, dtype=torch.float64)[:, None, None]
    moved = adapt_input_normalization(state, UNSCALED, IMAGENET)["backbone.stem.0.weight"]
    before = nn.functional.conv2d(pixels - mean, weight, padding=3)
    torch.testing.assert_close(nn.functional.conv2d((pixels - mean) / std, moved, padding=3), before)
    assert adapt_input_normalization(state, UNSCALED, UNSCALED) is state


def test_another_mean_is_refused_with_the_right_one() -> None:
    with pytest.raises(ValueError, match=r"backbone.mean=\[122.772,115.947,102.98\] backbone.std=\[1,1,1\]"):
        adapt_input_normalization({}, CAFFE, IMAGENET)


def test_what_cannot_be_seen_in_weights_is_said() -> None:
    assert "backbone.stride_in=1x1" in detectron2.PYRAMIDAL.conventions.settings
    assert "backbone.stride_in=1x1" in detectron.TABLE.conventions.settings
    grouped = identify(published.filled(published.d2_faster_fpn(101, CLASSES, 32, 8)))
    assert grouped.conventions == detectron2.RESNEXT


def test_group_norm_strides_in_the_3x3_in_detectron2() -> None:
    """STRIDE_IN_1X1: False in all of its configs with GN; one of them, from scratch, divides pixels."""
    body = published.without_statistics(published.d2_resnet("backbone.bottom_up.", 50))
    given = identify(published.filled(body | published.d2_rpn(256, 3) | published.d2_norms(WIDTHS, CLASSES, 4)))
    assert given.conventions is not None
    assert given.conventions.settings == ("backbone.stride_in=3x3", "roi.sampling_ratio=0")
    assert given.conventions.pixels == UNSCALED
    assert given.conventions.alternative == "backbone.std=[58.395,57.12,57.375]"


def test_pixels_that_a_file_carries_are_its_conventions() -> None:
    state = published.filled(published.d2_resnet("", 50))
    mean, std = torch.tensor([103.53, 116.28, 123.675]), torch.tensor([57.375, 57.12, 58.395])  # blue first
    for deviation, stride in ((torch.ones(3), "1x1"), (std, "3x3")):
        carried = {"pixel_mean": mean[:, None, None], "pixel_std": deviation[:, None, None]}
        conventions = identify(state | carried).conventions
        assert conventions is not None
        assert conventions.pixels.mean == pytest.approx(IMAGENET.mean)
        assert conventions.pixels.std == pytest.approx(tuple(deviation.flip(0).tolist()))
        assert conventions.settings == (f"backbone.stride_in={stride}",)


def test_statistics_of_a_detectron_file_stay() -> None:
    """MSRA's bodies of detectron2's zoo have Detectron's names, and statistics that are not folded."""
    state = published.filled(published.c2_resnet(50))
    own = {"res2_0_branch2a_bn_rm": torch.full((64,), 3.0), "res2_0_branch2a_bn_riv": torch.full((64,), 2.0)}
    for order in (own | state, state | own):
        ours = identify(order).state
        assert torch.equal(ours["backbone.stages.0.0.bn1.running_mean"], own["res2_0_branch2a_bn_rm"])
        assert torch.equal(ours["backbone.stages.0.0.bn1.running_var"], own["res2_0_branch2a_bn_riv"])
        assert ours["backbone.stages.0.0.bn2.running_mean"].abs().max() == 0


@pytest.mark.parametrize(
    ("overrides", "settings"),
    [
        (["model=mask_rcnn", "dataset.classes=1230"], ("score_thresh=0.0001", "detections_per_img=300")),
        (["model=mask_rcnn", "dataset.classes=80"], ()),
        (["model=rpn"], ("post_nms_top_n.test=2000",)),
        (["model=rpn_c4"], ("pre_nms_top_n.test=12000", "post_nms_top_n.test=2000")),
        (["model=mask_rcnn_c4", "dataset.classes=80"], ("post_nms_top_n.test=1000",)),
    ],
)
def test_settings_of_detectron2s_tests(overrides: list[str], settings: tuple[str, ...]) -> None:
    assert tuple(text.split(".", 2)[2] for text in list_test_settings(overrides)) == settings
