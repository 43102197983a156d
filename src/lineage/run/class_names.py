"""Names of a trained model's classes: given by the user, left in the run folder, of the dataset, or by their number."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import torchvision
from omegaconf import DictConfig

from lineage.config.build import ConfigError
from lineage.data.annotations.skeleton import read_skeleton
from lineage.data.formats import voc
from lineage.data.samples.metadata import DatasetMeta, check_meta, parse_meta
from lineage.data.shapes.dataset import FIGURE_SKELETON
from lineage.data.shapes.outlines import FLIP_INDICES, KEYPOINTS
from lineage.results.run_folder import RunFolder
from lineage.run.splits import build_train, build_val

DAMAGE = (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)

log = logging.getLogger(__name__)


def resolve_meta(names: str | None, folder: RunFolder | None, config: DictConfig) -> DatasetMeta:
    """Return the metadata of the classes that a model was trained on.

    names: of --classes, see read_class_names; they replace all others.
    folder: the run folder of the weights, if they have one.
    """
    count = config.dataset.classes
    run_meta = read_run_meta(folder) if folder else None
    if names is not None:
        user_meta, meta = read_class_names(names), run_meta or default_meta(count)
        classes, ids = user_meta.classes, user_meta.category_ids
        if len(classes) != count:
            raise ConfigError(f"--classes names {len(classes)} classes, the model has {count}")
        return replace(meta, classes=classes, category_ids=ids, skeleton=user_meta.skeleton or meta.skeleton)
    if run_meta is not None:
        return run_meta
    if folder:
        try:
            dataset = build_val(config)
            dataset = build_train(config) if dataset is None else dataset
        except Exception as error:  # the dataset is on another machine
            log.warning(f"the names of the classes are not known, for the dataset is not here: {error}")
        else:
            dataset_meta: DatasetMeta = dataset.meta
            return dataset_meta
    return default_meta(count)


def read_run_meta(folder: RunFolder) -> DatasetMeta | None:
    """Return the metadata in a run folder, or None if it has none."""
    if not folder.classes.is_file():
        return None
    try:
        return parse_meta(json.loads(folder.classes.read_text(encoding="utf-8")))
    except DAMAGE as error:
        raise ConfigError(f"{folder.classes} is damaged: {type(error).__name__}: {error!s:.200}") from error


def default_meta(count: int) -> DatasetMeta:
    """Return COCO's 80 classes, torchvision's 90 with gaps, VOC's 20 or one person; else numbers as names."""
    ids = tuple(range(1, count + 1))
    coco = torchvision.models.detection.FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    by_count = {
        80: DatasetMeta(*zip(*((name, i) for i, name in enumerate(coco) if i and name != "N/A"), strict=True)),
        90: DatasetMeta(tuple(coco[1:]), ids),
        20: DatasetMeta(voc.CLASSES, ids),
        1: DatasetMeta(("person",), ids, KEYPOINTS, FLIP_INDICES, FIGURE_SKELETON),
    }
    return by_count.get(count) or DatasetMeta(tuple(f"class {i}" for i in ids), ids)


def read_class_names(names: str) -> DatasetMeta:
    """Parse `cat,dog`, the path of a text file with a name per line, or of a JSON file with COCO's categories."""
    path = Path(names)
    if not path.is_file():
        if "," not in names and ("/" in names or path.suffix in (".txt", ".json")):
            raise ConfigError(f"--classes {names}: no such file")
        return _number_classes([name.strip() for name in names.split(",")])
    try:
        text = path.read_text(encoding="utf-8")
        return _read_categories(text) if path.suffix == ".json" else _number_classes(_read_lines(text))
    except DAMAGE as error:
        expected = "COCO's categories, each with id and name" if path.suffix == ".json" else "a name on each line"
        raise ConfigError(f"--classes {names}: expected {expected} ({type(error).__name__}: {error!s:.200})") from error


def _read_categories(text: str) -> DatasetMeta:
    content: Any = json.loads(text)
    categories = content["categories"] if isinstance(content, dict) else content
    categories = sorted(categories, key=lambda category: category["id"])
    ids = tuple(int(category["id"]) for category in categories)
    names = tuple(category["name"] for category in categories)
    return check_meta(DatasetMeta(names, ids, skeleton=read_skeleton(categories)))


def _read_lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _number_classes(names: list[str]) -> DatasetMeta:
    return DatasetMeta(tuple(names), tuple(range(1, len(names) + 1)))
