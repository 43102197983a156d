"""The alternatives of Mask R-CNN's table 2 (b, d, e) and the larger heads: what they compute and cost."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.roi_heads.mask_head import crop_gt_masks
from lineage.structures import Detections, Images, Losses, SampledProposals, Targets
from tests.models.compose import build
from tests.models.scenes import batch
from tests.models.test_rcnn import total

SIZE = (128, 128)
SOFTMAX = "model.heads.mask._target_=lineage.models.roi_heads.mask_softmax.SoftmaxMaskHead"


def scene(counts: tuple[int, ...] = (3, 2)) -> tuple[Images, Targets, list[Tensor], SampledProposals]:
    """Each object as a region of its own, and empty slots."""
    images, targets = batch([SIZE] * len(counts), list(counts), 4, canvas=SIZE)
    chance = torch.Generator().manual_seed(1)
    features = [torch.randn(len(counts), 64, 128 // s, 128 // s, generator=chance) for s in (4, 8, 16, 32, 64)]
    slots = torch.arange(8).expand(len(counts), 8)
    return images, targets, features, SampledProposals(targets.boxes, targets.valid, targets.labels, slots)


def head(*overrides: str, model: str = "mask_rcnn") -> nn.Module:
    torch.manual_seed(0)
    return build(f"model={model}", *overrides).heads["mask"]


def losses(made: nn.Module) -> Losses:
    images, targets, features, rois = scene()
    return made.losses(features, rois, targets, images)


def detected(made: nn.Module) -> Tensor:
    _, targets, features, rois = scene()
    scores = targets.valid.float()
    found = Detections(rois.boxes, scores, rois.labels, rois.valid, rois.matched_idx, torch.ones(2, 8, 5))
    return made.detect(features, found).masks


def test_softmax_masks_share_each_pixel() -> None:
    made = head(SOFTMAX)
    images, targets, features, rois = scene()
    shares = made.mask_logits(features, rois.boxes).softmax(2)
    assert shares.shape == (2, 8, 5, 14, 14)
    picked = torch.stack([shares[b, n, targets.labels[b, n]] for b in range(2) for n in range(8)]).view(2, 8, 14, 14)
    assert torch.equal(detected(made), picked)
    goal = crop_gt_masks(targets, rois, images, size=14, sampling_ratio=2, aligned=True) >= 0.5
    truth = torch.where(goal, picked, shares[:, :, 4])[targets.valid]
    loss = made.losses(features, rois, targets, images)["roi_mask"]
    torch.testing.assert_close(loss.sum / loss.normalizer, -truth.log().mean())


def test_agnostic_softmax_has_two_maps() -> None:
    made = head(SOFTMAX, "model.heads.mask.class_agnostic=true")
    assert made.head.masks.out_channels == 2
    assert detected(made).shape == (2, 8, 14, 14)
    assert losses(made)["roi_mask"].normalizer == 5 * 14**2


def test_softmax_masks_on_c4() -> None:
    made = build("model=mask_rcnn_c4", SOFTMAX)
    images, targets, *_ = scene()
    total(made.losses(images, targets)).backward()
    assert all(parameter.grad is not None for parameter in made.parameters())


@pytest.mark.parametrize("widths", ["[64,64]", "[64,64,64]", "[64,48]"])
def test_an_mlp_predicts_the_own_class(widths: str) -> None:
    made = head(f"model.heads.mask.widths={widths}", model="mask_rcnn_mlp")
    images, targets, features, rois = scene()
    hidden = made.pool(features, rois.boxes).flatten(1)
    for layer in made.layers:
        hidden = F.relu(layer(hidden))
    every = made.masks(hidden).view(2, 8, 4, 14, 14)
    wanted = torch.stack([every[b, n, targets.labels[b, n]] for b in range(2) for n in range(8)]).view(2, 8, 14, 14)
    torch.testing.assert_close(detected(made), wanted.sigmoid())
    goal = (crop_gt_masks(targets, rois, images, size=14, sampling_ratio=2, aligned=True) >= 0.5).float()
    loss = losses(made)["roi_mask"]
    expected = F.binary_cross_entropy_with_logits(wanted[targets.valid], goal[targets.valid])
    torch.testing.assert_close(loss.sum / loss.normalizer, expected)


def test_table_2e_at_paper_size() -> None:
    """fc: 1024 -> 1024 -> 80 x 28^2 on a region of 14 x 14 x 256."""
    with torch.device("meta"):
        scratch = ("backbone.weights=null", "backbone.norm=gn32", "backbone.frozen_stages=0", "dataset.classes=80")
        made = build("model=mask_rcnn_mlp", "tier=paper", *scratch).heads["mask"]
    count = sum(parameter.numel() for parameter in made.parameters())
    assert count == (256 * 14**2 + 1) * 1024 + 1025 * 1024 + 1025 * 80 * 28**2


def test_group_norm_heads_have_the_layers_of_detectron2() -> None:
    """Convolutions followed by a norm have no bias; 4conv1fc has one fully connected layer; eight mask convolutions."""
    with torch.device("meta"):
        scratch = ("backbone.weights=null", "backbone.norm=gn32", "backbone.frozen_stages=0", "dataset.classes=80")
        made = build("model=cascade_mask_rcnn_gn", "tier=paper", *scratch)
    convolution = 256 * 256 * 9 + 2 * 256
    stage = 4 * convolution + (256 * 49 + 1) * 1024 + 1025 * (81 + 4)
    assert sum(p.numel() for p in made.box.parameters()) == 3 * stage
    mask = 8 * convolution + (256 * 256 * 4 + 256) + 257 * 80
    assert sum(p.numel() for p in made.heads["mask"].parameters()) == mask


@pytest.mark.parametrize("counts", [(3, 2), (2, 0), (0, 0)])
@pytest.mark.parametrize("name", ["mask_rcnn_mlp", "mask_rcnn_gn", "cascade_mask_rcnn_gn"])
def test_every_parameter_gets_a_finite_gradient(name: str, counts: tuple[int, int]) -> None:
    made = build(f"model={name}")
    images, targets, *_ = scene(counts)
    total(made.losses(images, targets)).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in made.parameters())
