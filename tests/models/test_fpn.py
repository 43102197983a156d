"""Pyramids: torchvision's as oracle, and what remains when parts are taken away (FPN, Tables 1 and 2)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from lineage.config.build import build as made
from lineage.models.backbones.fpn import FPN
from lineage.models.backbones.last_stage import dilate
from lineage.structures import Losses
from tests.models.compose import build, config, keep_all
from tests.models.scenes import batch

WIDTHS = [8, 16, 32, 64]
PARTS = {
    "whole": [],
    "no top-down": ["model.neck.top_down=false"],
    "no lateral": ["model.neck.lateral=false"],
    "finest": ["model.neck.only_finest=true", "model.proposals.anchors.strides=[4]",
               "model.proposals.anchors.sizes=[[12,24,48,96,192]]", "model.box.pool.strides=[4]"],
}  # fmt: skip


def maps(seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, width, 32 >> i, 48 >> i, generator=generator) for i, width in enumerate(WIDTHS)]


def top(source: str) -> list[str]:
    return [
        "model.neck.top_block._target_=lineage.models.backbones.fpn.LastLevelP6P7",
        f"+model.neck.top_block.source={source}",
    ]


def pyramid(*options: str) -> FPN:
    torch.manual_seed(0)
    return made(config("model=faster_rcnn", "model.neck.channels=16", *options).model.neck)(WIDTHS)


@pytest.mark.parametrize("norm", [None, "bn"])
@pytest.mark.parametrize("source", ["C5", "P5"])
def test_equals_torchvision_with_norms_and_p6_p7(norm: str | None, source: str) -> None:
    ours = pyramid(f"model.neck.norm={norm or 'null'}", "model.neck.start_level=1", *top(source))
    extra = LastLevelP6P7(64 if source == "C5" else 16, 16)
    theirs = FeaturePyramidNetwork(WIDTHS[1:], 16, extra, nn.BatchNorm2d if norm else None)
    with torch.no_grad():
        for i in range(3):
            for here, norms, there in (
                (ours.lateral, ours.lateral_norm, theirs.inner_blocks),
                (ours.smooth, ours.smooth_norm, theirs.layer_blocks),
            ):
                there[i][0].load_state_dict(here[i].state_dict())
                if norm:
                    norms[i].running_mean.normal_()
                    there[i][1].load_state_dict(norms[i].state_dict())
        extra.load_state_dict(ours.top.state_dict())
        expected = theirs.eval()({str(i): x for i, x in enumerate(maps()[1:])})
        for mine, other in zip(ours.eval()(maps()), expected.values(), strict=True):
            torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-5)


def test_without_top_down_a_level_sees_its_own_map_alone() -> None:
    ours, changed = pyramid("model.neck.top_down=false"), maps()
    changed[-1] = changed[-1] + 1
    before, after = ours(maps()), ours(changed)
    assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [True, True, True, False, False]


def test_without_lateral_all_levels_come_from_c5() -> None:
    ours, changed = pyramid("model.neck.lateral=false"), maps()
    changed[:3] = [x + 1 for x in changed[:3]]
    assert all(torch.equal(a, b) for a, b in zip(ours(maps()), ours(changed), strict=True))
    assert [tuple(x.shape[-2:]) for x in ours(maps())] == [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]


def test_the_finest_level_alone_is_that_of_the_whole_pyramid() -> None:
    whole, finest = pyramid(), pyramid("model.neck.only_finest=true")
    finest.load_state_dict(whole.state_dict(), strict=False)
    (found,) = finest(maps())
    assert torch.equal(found, whole(maps())[0])


@pytest.mark.parametrize("part", PARTS)
def test_every_part_trains_and_detects(part: str) -> None:
    torch.manual_seed(0)
    check(build("model=faster_rcnn", *PARTS[part]))


def check(model: nn.Module) -> None:
    for counts in ([2, 0], [0, 0]):
        images, targets = batch([(128, 128)] * 2, counts, 4, canvas=(128, 128))
        model.zero_grad()
        total(model.losses(images, targets)).backward()
        assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    keep_all(model.eval())
    with torch.no_grad():
        together = model.detect(images)
        alone = model.detect(type(images)(*(None if field is None else field[1:2] for field in images)))
    assert alone.valid.any()
    torch.testing.assert_close(alone.boxes[0], together.boxes[1], atol=1e-3, rtol=1e-4)


def total(losses: Losses) -> Tensor:
    return torch.stack([loss.sum / loss.normalizer.clamp(min=1) for loss in losses.values()]).sum()


@pytest.mark.parametrize(
    "name",
    [
        "faster_rcnn_c5", "faster_rcnn_dc5", "mask_rcnn_dc5", "retinanet", "faster_rcnn_v2", "mask_rcnn_v2",
        "faster_rcnn_mobilenet", "faster_rcnn_mobilenet_320", "rpn_p2",
    ],
)  # fmt: skip
def test_models_train_and_detect(name: str) -> None:
    torch.manual_seed(0)
    check(build(f"model={name}"))


@pytest.mark.parametrize("name", ["greedy_agnostic", "soft_linear", "soft_gaussian", "voting"])
@pytest.mark.parametrize("model", ["faster_rcnn", "retinanet"])
def test_every_suppression_detects(model: str, name: str) -> None:
    torch.manual_seed(0)
    check(build(f"model={model}", f"suppression={name}"))


def test_a_dilated_stage_keeps_its_stride_and_its_values_at_the_centre() -> None:
    """On a constant image dilation changes nothing inside."""
    torch.manual_seed(0)
    stage = build("model=faster_rcnn", "tier=paper", "backbone.weights=null", "backbone.norm=bn",
                  "backbone.frozen_stages=0").eval().backbone.stages[3]  # fmt: skip
    x = torch.randn(1, 1024, 1, 1).expand(1, 1024, 40, 40)
    with torch.no_grad():
        before = stage(x)
        dilate(stage, 2)
        after = stage(x)
    assert tuple(before.shape[-2:]) == (20, 20)
    assert tuple(after.shape[-2:]) == (40, 40)
    torch.testing.assert_close(after[..., 20, 20], before[..., 10, 10], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["model.neck.top_down=false", "model.neck.lateral=false"], "set one of them to true"),
        (["model.neck.start_level=4"], "has 4 maps, so 0 to 3"),
        (top("C4"), "computed from C5 or P5"),
    ],
)
def test_what_leaves_no_pyramid_is_refused(options: list[str], message: str) -> None:
    with pytest.raises(Exception, match=message):
        pyramid(*options)
