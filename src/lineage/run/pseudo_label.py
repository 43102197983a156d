"""A trained model labels images that have no labels: data distillation (arXiv:1712.04440), section 3.

The labels stay in the run folder, for `dataset.labels`. With `tta` the model sees several views of each image, which is
what makes its labels better than its own plain answers.

# deviates: all views are asked for boxes too; the paper transforms the input of the keypoint head alone [recalled]
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.utilities import move_data_to_device

from lineage.config.build import ConfigError, build
from lineage.data.samples.dataset import Dataset
from lineage.eval.predictions.accumulator import DetectionAccumulator
from lineage.eval.predictions.predictions import Predictions
from lineage.eval.protocols.coco import DEFAULT_TASKS
from lineage.eval.pseudo_labels import label_density, select_labels, to_annotations
from lineage.results.atomic import atomic_write
from lineage.run.assemble import Parts

log = logging.getLogger(__name__)


def open_unlabelled(config: DictConfig) -> Dataset:
    """Open the images to label."""
    node = config.dataset.get("unlabelled")
    if node is None:
        raise ConfigError(
            f"dump_labels=true: dataset={config.dataset.name} names no images without labels; "
            "dataset=coco_person_unlabelled does, and so does any that has a node `unlabelled`"
        )
    images: Dataset = build(node)
    return images


def distil(trainer: pl.Trainer, parts: Parts, images: Dataset, path: Path) -> None:
    """Every process does its share; the first writes the file."""
    predictions = detect(trainer, parts, images)
    if trainer.global_rank == 0:
        truth = parts.data.train.ground_truth()
        density = label_density(truth)
        selected, thresholds = select_labels(predictions, density)
        if len(selected.scores) < int(density.objects_per_image * len(images)):
            log.warning(
                f"The teacher finds {len(selected.scores)} objects in {len(images)} images, fewer than the "
                f"{density.objects_per_image:.1f} an image that annotators labelled. All are taken, however low their "
                "scores."
            )
        labels = {
            "info": {"description": "labels of a model, not of annotators", **thresholds},
            "images": images.ground_truth()["images"],
            "annotations": to_annotations(selected, parts.data.train.meta.category_ids),
            "categories": truth["categories"],
        }
        atomic_write(path, json.dumps(labels), durable=True)  # a plan takes it for done where it is
    trainer.strategy.barrier()


@torch.no_grad()
def detect(trainer: pl.Trainer, parts: Parts, images: Dataset) -> Predictions:
    """Detect in every image as at test time, in pixels of the files."""
    device = trainer.strategy.root_device
    parts.model.to(device).eval()
    accumulator = DetectionAccumulator(images.ids.tolist(), DEFAULT_TASKS)
    at_once = parts.data.count_images_at_once(device)
    for batch in parts.data.plain_loader(trainer.global_rank, trainer.world_size, at_once, images):
        moved = move_data_to_device(batch, device)
        accumulator.update(parts.module.detect(moved.images), moved)
    return accumulator.finish()[0]
