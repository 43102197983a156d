"""Objects that count less, as mixup makes them: every loss of every head is linear in the weights of the objects."""

from __future__ import annotations

import pytest
import torch

from lineage.ops.matching import object_loss_weights
from lineage.structures import Images, Losses, Targets
from tests.models.compose import build
from tests.models.scenes import batch

MODELS = ("mask_rcnn", "mask_keypoint_rcnn", "cascade_mask_rcnn", "retinanet")


def scene() -> tuple[Images, Targets]:
    """Two images with three and two objects, every keypoint in the middle of its box."""
    images, targets = batch([(128, 128)] * 2, [3, 2], 4, canvas=(128, 128))
    middle = (targets.boxes[..., :2] + targets.boxes[..., 2:]) / 2
    keypoints = torch.cat([middle, torch.full_like(middle[..., :1], 2.0)], -1)
    return images, targets._replace(keypoints=keypoints[:, :, None].expand(-1, -1, 17, -1).contiguous())


def losses(name: str, weights: list[float | None]) -> list[Losses]:
    torch.manual_seed(0)
    model = build(f"model={name}")
    images, targets = scene()
    found = []
    for weight in weights:
        given = None if weight is None else torch.full(targets.labels.shape, weight)
        found.append(model.losses(images, targets._replace(object_weights=given)))
    return found


@pytest.mark.parametrize("name", MODELS)
def test_losses_are_linear_in_the_weights_and_one_is_none(name: str) -> None:
    without, full, half, nothing = losses(name, [None, 1.0, 0.5, 0.0])
    assert any("box" in key for key in full)
    for key, loss in full.items():
        assert loss.sum == without[key].sum
        assert half[key].sum.item() == pytest.approx((full[key].sum + nothing[key].sum).item() / 2, rel=1e-4), key
        assert loss.normalizer == half[key].normalizer
        if not key.endswith("cls"):
            assert full[key].sum > 0, key
            assert nothing[key].sum == 0, key
        else:
            assert 0 < nothing[key].sum < full[key].sum, key


def test_background_counts_in_full_and_objects_by_their_own_weight() -> None:
    _, targets = scene()
    weights = torch.rand(targets.labels.shape)
    gt = torch.tensor([[0, 1, 2, 0], [1, 0, 0, 1]])
    foreground = torch.tensor([[True, True, False, True], [False, True, True, False]])
    found = object_loss_weights(targets._replace(object_weights=weights), gt, foreground)
    wanted = [[weights[0, 0], weights[0, 1], 1, weights[0, 0]], [1, weights[1, 0], weights[1, 0], 1]]
    assert found.equal(torch.tensor(wanted))
    assert isinstance(targets, Targets)
    assert object_loss_weights(targets, gt, foreground).equal(torch.ones(2, 4))
