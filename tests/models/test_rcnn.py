"""Whole models at mini size: gradients, empty images, batches, frozen parts, and that the step never waits."""

from __future__ import annotations

from collections import Counter
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from lineage.structures import Images, Losses, Targets
from tests.models.compose import build
from tests.models.scenes import batch

MODELS = ["faster_rcnn", "mask_rcnn", "faster_rcnn_c4", "mask_rcnn_c4"]
SIZE = (128, 128)


def total(losses: Losses) -> torch.Tensor:
    return torch.stack([loss.sum / loss.normalizer.clamp(min=1) for loss in losses.values()]).sum()


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return build(f"model={request.param}")


@pytest.mark.parametrize("counts", [[3, 2], [3, 0], [0, 0]])
def test_every_parameter_gets_a_finite_gradient(model: nn.Module, counts: list[int]) -> None:
    """Also without any object: a missing gradient would hang distributed training."""
    model.zero_grad(set_to_none=True)
    images, targets = batch([SIZE, SIZE], counts, 4, canvas=SIZE)
    total(model.losses(images, targets)).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert without == []


def single(images: Images, i: int) -> Images:
    return Images(*(None if field is None else field[i : i + 1] for field in images))


def test_an_image_is_detected_alike_alone_and_in_a_batch(model: nn.Module) -> None:
    images, _ = batch([SIZE, (100, 128), (128, 90)], [1, 1, 1], 4, canvas=SIZE)
    with torch.no_grad():
        together = model.detect(images)
        assert together.valid.any(1).all()
        for i in range(3):
            alone = model.detect(single(images, i))
            torch.testing.assert_close(alone.boxes[0], together.boxes[i], atol=1e-3, rtol=1e-4)
            assert torch.equal(alone.valid[0], together.valid[i])
            for one, same in ((alone.masks, together.masks), (alone.semantic, together.semantic)):
                if one is not None:
                    torch.testing.assert_close(one[0], same[i], atol=1e-3, rtol=1e-3)


def own(targets: Targets, i: int) -> Targets:
    masks = targets.masks._replace(offsets=targets.masks.offsets[i : i + 1], windows=targets.masks.windows[i : i + 1])
    others = (None if field is None or field is targets.masks else field[i : i + 1] for field in targets)
    return Targets(*others)._replace(masks=masks)


def test_losses_of_a_batch_are_sums_over_its_images(model: nn.Module) -> None:
    """What makes 2 processes equal 1: totals and counts add up."""
    images, targets = batch([SIZE] * 3, [3, 0, 2], 4, canvas=SIZE)
    together = model.losses(images, targets)
    parts = [model.losses(single(images, i), own(targets, i)) for i in range(3)]
    for name, loss in together.items():
        torch.testing.assert_close(sum(part[name].sum for part in parts), loss.sum, atol=1e-3, rtol=1e-3)
        assert sum(part[name].normalizer for part in parts) == loss.normalizer


def test_detections_lie_inside_their_image_best_first(model: nn.Module) -> None:
    images, _ = batch([(100, 128), (128, 90)], [1, 1], 4, canvas=SIZE)
    with torch.no_grad():
        found = model.detect(images)
    assert found.valid.any(1).all()
    assert (found.scores[:, 1:] <= found.scores[:, :-1]).all()
    limit = images.sizes.flip(1).repeat(1, 2)[:, None]
    assert ((found.boxes >= 0) & (found.boxes <= limit)).all()
    assert found.probabilities.shape[-1] == 5


class Operations(TorchDispatchMode):
    """Counts what the dispatcher sees."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count[function.overloadpacket.__name__] += 1
        return function(*args, **(kwargs or {}))


@patch("lineage.models.roi_heads.filled_slots.reads_are_free", return_value=False)  # as on a device
def operations(model: nn.Module, images: int, _free: Any) -> Counter[str]:
    inputs = batch([SIZE] * images, [3] * images, 4, canvas=SIZE)
    with Operations() as seen:
        model.losses(*inputs)
    with seen, torch.no_grad():
        model.detect(inputs[0])
    return seen.count


def test_a_step_never_waits_for_the_device(model: nn.Module) -> None:
    assert not {"nonzero", "_local_scalar_dense", "item", "masked_select"} & operations(model, 2).keys()


def test_another_image_costs_no_more_operations(model: nn.Module) -> None:
    assert operations(model, 4).total() == operations(model, 2).total()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mask_rcnn", "mask_rcnn_c4"])
def test_the_step_compiles_whole(name: str) -> None:
    model = build(f"model={name}")
    images, targets = batch([SIZE] * 2, [3, 2], 4, canvas=SIZE)
    for function, inputs in ((model.losses, (images, targets)), (model.detect, (images,))):
        torch._dynamo.reset()
        explained = torch._dynamo.explain(function)(*inputs)
        assert explained.graph_break_count == 0, explained.break_reasons


def test_untrained_frozen_layers_are_refused() -> None:
    with pytest.raises(Exception, match=r"backbone.norm=gn32 backbone.frozen_stages=0"):
        build("tier=paper", "backbone.weights=null")
