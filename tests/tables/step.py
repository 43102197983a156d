"""A step and a detection without a run: a composed config becomes a model that sees two images.

Of a dataset of videos: from two triplets, and it gives their middle frames.
"""

from __future__ import annotations

from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from lineage.config.build import build
from lineage.data.frames.collate import collate
from lineage.data.frames.triplets import FrameTriplets
from lineage.models.losses.class_frequency import losses_with_class_counts, set_class_counts
from lineage.run.metadata import has_parameters
from lineage.run.resolve import fill_classes, fill_stuff
from lineage.run.task import find_task
from lineage.structures import INTERPOLATION, Images, Proposals, Targets
from lineage.train.freeze import train_only
from lineage.weights.pretrained import LATER
from tests.models import scenes


def step(plain: dict[str, Any]) -> None:
    """What a run does, on two images: losses, their gradients, an optimizer step, detections."""
    torch.manual_seed(0)
    config = OmegaConf.create(plain)
    for part in (config.dataset.train, config.dataset.val):
        part.length = 2
    dataset = build(config.dataset.train)
    if find_task(dataset) == INTERPOLATION:
        _step_between_frames(config, dataset)
        return
    config.dataset.classes = None
    fill_classes(config, dataset.meta, dataset.meta)
    fill_stuff(config, dataset)
    model = build(filled(plain, len(dataset.meta.classes), OmegaConf.select(config, "dataset.stuff")).model)
    if losses_with_class_counts(model):
        set_class_counts(model, [2] * len(dataset.meta.classes), 2)
    for edit in (build(config.edit) or {}).values():
        edit(model)
    if config.trainable is not None:
        train_only(model, config.trainable)
    images, targets = _batch(len(dataset.meta.classes), semantic=OmegaConf.select(config, "dataset.stuff"))
    if config.proposals and config.proposals.val is not None:
        images = _proposed(images, targets)
    _learn(model, config, images, targets)
    with torch.no_grad():
        views = build(config.tta, model=model.eval(), flip_indices=()) if config.tta else model.eval()
        reads_truth = hasattr(views, "detect_with_truth")
        found = views.detect_with_truth(images, targets) if reads_truth else views.detect(images)
    assert found.boxes.isfinite().all()
    assert found.scores.isfinite().all()
    assert found.boxes.shape[0] == len(images.sizes)


def _step_between_frames(config: DictConfig, dataset: FrameTriplets) -> None:
    """The same on two triplets; the models without parameters only give their frames."""
    model = build(config.model)
    batch = collate([dataset[0], dataset[1]], [0, 1])
    if has_parameters(model):
        _learn(model, config, batch.images, batch.targets)
    with torch.no_grad():
        views = build(config.tta, model=model.eval()) if config.tta else model.eval()
        frames = views.detect(batch.images)
    assert frames.shape == batch.targets.shape
    assert frames.isfinite().all()


def _learn(model: torch.nn.Module, config: DictConfig, images: Any, targets: Any) -> None:
    losses = model.train().losses(images, targets)
    weights = config.loss_weights or {}
    loss = sum(weights.get(name, 1) * one.sum / one.normalizer.clamp(min=1) for name, one in losses.items())
    assert torch.isfinite(loss), {name: float(one.sum) for name, one in losses.items()}
    if config.schedule.steps == 0:
        return
    loss.backward()
    touched = [p for p in model.parameters() if p.grad is not None]
    assert touched
    assert all(p.grad.isfinite().all() for p in touched)
    before = [p.detach().clone() for p in touched]
    build(config.optimizer)(model).step()
    assert any(not torch.equal(p, old) for p, old in zip(touched, before, strict=True))


def filled(plain: dict[str, Any], classes: int, stuff: int | None = None) -> DictConfig:
    """A resolved config whose dataset was not asked for its classes yet."""
    config = OmegaConf.create(plain)
    _fill(config.model, "num_classes", classes)
    if OmegaConf.select(config, "model.landmarks.sharing") == "grouped":
        config.model.landmarks.groups = list(range(scenes.KEYPOINTS))
    for node in (config.backbone, config.model.backbone):
        if "weights" in node and node.weights is not None:
            node.weights = LATER
    return config


def _fill(node: object, key: str, value: int) -> None:
    """Where an interpolation resolved to the dataset's null."""
    if isinstance(node, DictConfig):
        for name in list(node):
            if name == key and node[name] is None:
                node[name] = value
            else:
                _fill(node[name], key, value)


def _batch(classes: int, semantic: int | None) -> tuple[Images, Targets]:
    """One image with objects and one without."""
    images, targets = scenes.batch([(96, 128), (128, 112)], [4, 0], classes, canvas=(128, 128))
    if semantic is None:
        return images, targets
    labels = targets.semantic
    assert labels is not None
    return images, targets._replace(semantic=torch.where(labels == 255, labels, labels % semantic))


def _proposed(images: Images, targets: Targets) -> Images:
    """The objects themselves, moved a little, and boxes anywhere."""
    generator = torch.Generator().manual_seed(1)
    moved = targets.boxes + torch.randn(targets.boxes.shape, generator=generator) * targets.valid[..., None]
    low = torch.rand(2, 24, 2, generator=generator) * 60
    anywhere = torch.cat((low, low + 10 + torch.rand(2, 24, 2, generator=generator) * 30), -1)
    boxes = torch.cat((moved.clamp(0, 96), anywhere), 1)
    valid = torch.cat((targets.valid, torch.ones(2, 24, dtype=torch.bool)), 1)
    scores = torch.arange(boxes.shape[1], 0, -1.0).expand(2, -1).contiguous()
    return images._replace(proposals=Proposals(boxes, scores, valid))
