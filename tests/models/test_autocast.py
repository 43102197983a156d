"""Mixed precision: predictions leave the network as float32, so that top-k, NMS and losses see no bfloat16.

Autocast of the CPU stands for that of a GPU, which casts the same layers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lineage.structures import Detections
from tests.models import scenes
from tests.models.compose import keep_all
from tests.models.test_no_objects import small

MODELS = [  # heads and layers of every kind
    "mask_keypoint_rcnn", "cascade_mask_rcnn_staged", "integral_rcnn", "retinanet", "pointrend", "panoptic_fpn",
    "mask_rcnn_mlp", "faster_rcnn_vgg", "fast_rcnn_svm", "rcnn", "rpn_c4", "faster_rcnn_mobilenet",
]  # fmt: skip
SIDE = 96  # with 64, P6 is a single position, on which oneDNN's bfloat16 gradient of a strided convolution is random
# names of what predicts, in all models; its tensors enter losses and postprocessing
PREDICTIONS = (
    "proposals._predict", "box.predict", "box.logits", "box._predict_deltas", "head.scores.forward",
    "head.deltas.forward", "heads.mask.mask_logits", "heads.mask.coarse_logits", "heads.mask.point_logits",
    "heads.keypoint.heatmaps", "heads.semantic.logits",
)  # fmt: skip
LISTS = {"stages": 3, "heads": 3}  # a head per stage of a cascade, or per threshold


def tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [tensor for item in value for tensor in tensors(item)] if isinstance(value, tuple | list) else []


def watch(model: nn.Module) -> dict[str, set[torch.dtype]]:
    """Record the types of the floating-point tensors that each predicting method returns."""
    seen: dict[str, set[torch.dtype]] = {}

    def record(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            output = method(*args, **kwargs)
            seen.setdefault(name, set()).update(x.dtype for x in tensors(output) if x.is_floating_point())
            return output

        return call

    for name, module in model.named_modules():
        for prediction in PREDICTIONS:
            owner, _, method = prediction.rpartition(".")
            inner = (owner, *(f"{owner}.{part}.{i}" for part, n in LISTS.items() for i in range(n)), f"{owner}.head")
            if name in inner and hasattr(module, method):
                setattr(module, method, record(f"{name}.{method}", getattr(module, method)))
    return seen


def total(model: nn.Module, images: Any, targets: Any) -> Tensor:
    losses = model.train().losses(images, targets)
    assert {part.dtype for loss in losses.values() for part in (loss.sum, loss.normalizer)} == {torch.float32}
    return reduce(torch.add, (loss.sum / loss.normalizer.clamp(min=1) for loss in losses.values()))


@pytest.mark.parametrize("name", MODELS)
def test_predictions_are_float32_under_bfloat16(name: str) -> None:
    model = small(name)
    images, targets = scenes.batch([(SIDE, SIDE)] * 2, [3, 2], 4, canvas=(SIDE, SIDE))
    images = images._replace(proposals=scenes.proposals(targets, side=SIDE))
    keep_all(model)
    seen = watch(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = total(model, images, targets)
        with torch.no_grad():
            found = model.eval().detect(images)
    assert seen
    assert {part: types for part, types in seen.items() if types != {torch.float32}} == {}
    loss.backward()
    assert [part for part, p in model.named_parameters() if p.grad is not None and not p.grad.isfinite().all()] == []
    check(found)


def check(found: Detections) -> None:
    fields = {key: value for key, value in found._asdict().items() if isinstance(value, Tensor)}
    wrong = {key: value.dtype for key, value in fields.items() if value.dtype == torch.bfloat16}
    assert wrong == {}
    assert found.valid.any()
    assert [key for key, value in fields.items() if not value.isfinite().all()] == []
