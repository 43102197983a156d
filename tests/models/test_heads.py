"""The contract of test_rcnn, kept by the models with other heads."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lineage.structures import Loss, SampledProposals
from tests.models.compose import build
from tests.models.scenes import batch
from tests.models.test_rcnn import (  # noqa: F401  the tests themselves, on the models below
    SIZE,
    test_a_step_never_waits_for_the_device,
    test_an_image_is_detected_alike_alone_and_in_a_batch,
    test_another_image_costs_no_more_operations,
    test_detections_lie_inside_their_image_best_first,
    test_every_parameter_gets_a_finite_gradient,
    test_losses_of_a_batch_are_sums_over_its_images,
)

MODELS = [
    "mask_keypoint_rcnn", "cascade_mask_rcnn_staged", "integral_rcnn", "panoptic_fpn", "pointrend", "mask_rcnn_mlp",
    "cascade_panoptic_fpn",
]  # fmt: skip


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return build(f"model={request.param}", *stuff(request.param))


def stuff(name: str) -> list[str]:
    return ["+dataset.stuff=4"] if "panoptic" in name else []


def test_the_heads_of_a_model_share_its_regions(model: nn.Module) -> None:
    """Whatever the box part does to the regions, heads see slots of one kind, foreground in the first of each part."""
    images, targets = batch([SIZE] * 2, [3, 1], 4, canvas=SIZE)
    seen: list[SampledProposals] = []

    class Look(nn.Module):
        def losses(self, features: object, rois: SampledProposals, *rest: object) -> dict[str, Loss]:
            seen.append(rois)
            return {}

    heads, model.heads = model.heads, nn.ModuleDict({"look": Look()})
    try:
        model.losses(images, targets)
    finally:
        model.heads = heads
    parts = len(getattr(model.box, "head_stages", [1]))
    assert seen[0].labels.shape == (2, parts * model.sampler.num_foreground)
    for part in seen[0].labels.chunk(parts, 1):
        background = (part == 4).long()
        assert torch.equal(background, background.cummax(1).values)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_the_step_compiles_whole(name: str) -> None:
    made = build(f"model={name}", *stuff(name))
    images, targets = batch([SIZE] * 2, [3, 2], 4, canvas=SIZE)
    for function, inputs in ((made.losses, (images, targets)), (made.detect, (images,))):
        torch._dynamo.reset()
        explained = torch._dynamo.explain(function)(*inputs)
        assert explained.graph_break_count == 0, explained.break_reasons
