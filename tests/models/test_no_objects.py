"""Every option of conf/model learns from an image without objects and from a batch without any, and tests on it.

Losses and gradients stay finite, and no trained parameter is left out: a missing gradient would hang distributed
training.
"""

from __future__ import annotations

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from lineage.config.build import build
from lineage.structures import Images, Targets
from tests.models import compose, scenes

SIZE = (64, 64)


def small(name: str) -> nn.Module:
    """At tier mini, and with few regions: they are most of the cost."""
    config = compose.config(f"model={name}", "tier=mini")
    for key in ("model.sampler.batch_size_per_image", "model.box.resample.batch_size_per_image"):
        if OmegaConf.select(config, key) is not None:
            OmegaConf.update(config, key, 8)
    torch.manual_seed(0)
    return build(config.model)


def scene(counts: list[int]) -> tuple[Images, Targets]:
    images, targets = scenes.batch([SIZE, (48, 64)], counts, 4, canvas=SIZE)
    return images._replace(proposals=scenes.proposals(targets, side=SIZE[0])), targets


@pytest.mark.parametrize("name", compose.DETECTORS)
def test_a_model_learns_from_images_without_objects(name: str) -> None:
    model = small(name)
    for counts in ([3, 0], [0, 0]):
        model.zero_grad(set_to_none=True)
        images, targets = scene(counts)
        losses = model.train().losses(images, targets)
        assert {part: float(loss.sum) for part, loss in losses.items() if not loss.sum.isfinite()} == {}
        torch.stack([loss.sum / loss.normalizer.clamp(min=1) for loss in losses.values()]).sum().backward()
        trained = [(part, p.grad) for part, p in model.named_parameters() if p.requires_grad]
        assert trained
        assert [part for part, grad in trained if grad is None or not grad.isfinite().all()] == []
    with torch.no_grad():
        found = model.eval().detect(images)
    assert len(found.boxes) == len(images.sizes)
    assert found.boxes.isfinite().all()
    assert found.scores.isfinite().all()
