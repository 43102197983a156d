"""Check before a model is built that its dataset has the labels that the heads learn from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from lineage.config.allowed_targets import check_targets, resolve_node
from lineage.config.build import ConfigError
from lineage.data.samples.dataset import Dataset
from lineage.data.samples.image import ImageError
from lineage.models.roi_heads.required_targets import KEYPOINTS, MASKS, SEMANTIC

NAMES = {MASKS: "masks", KEYPOINTS: "keypoints", SEMANTIC: "semantic labels (a class of stuff for each pixel)"}
DATASETS = {  # options of conf/dataset that have them; the first of each is drawn, so it needs no files
    MASKS: ("shapes", "penn_fudan", "coco", "cityscapes", "lvis"),
    KEYPOINTS: ("shapes_figures", "shapes_garments", "coco_person", "deepfashion2"),
    SEMANTIC: ("shapes_panoptic", "coco_panoptic"),
}
MODELS = {MASKS: "faster_rcnn", KEYPOINTS: "mask_rcnn", SEMANTIC: "mask_rcnn"}  # without such a head
NEVER = {  # labels that no file of a format has
    "lineage.data.formats.voc.load": (KEYPOINTS, SEMANTIC),
    "lineage.data.formats.cityscapes.load": (KEYPOINTS, SEMANTIC),
    "lineage.data.formats.penn_fudan.load": (KEYPOINTS, SEMANTIC),
    "lineage.data.formats.lvis.load": (KEYPOINTS, SEMANTIC),
    "lineage.data.formats.deepfashion2.load": (SEMANTIC,),
    "lineage.data.formats.coco.load": (SEMANTIC,),
}
LISTED = 20  # names in a message
READABLE = 20  # images that are tried before a dataset counts as one that cannot be read


class Requirement(NamedTuple):
    """A head of a model, by its dotted key, and the field of its samples that it learns from."""

    key: str
    field: str
    node: Mapping[str, Any]


def check_format(config: DictConfig) -> None:
    """Raise ConfigError if a head learns from labels that the format of the training set never has.

    It is said before the files are looked for: a person without them would fetch them in vain.
    """
    absent = NEVER.get(str(OmegaConf.select(config, "dataset.train._target_", throw_on_missing=False)), ())
    if not absent:
        return
    for key, field, _ in find_requirements(config):
        if field in absent:
            raise ConfigError(_explain_missing(key, field, config))


def check_labels(config: DictConfig, train: Dataset, val: Dataset) -> None:
    """Raise ConfigError, which names a dataset that has them, if the training set lacks labels of a head."""
    requirements = list(find_requirements(config))
    offered = find_labels(train) if requirements else set()
    for key, field, node in requirements:
        if field not in offered:
            raise ConfigError(_explain_missing(key, field, config, train.source))
        if field == KEYPOINTS:
            check_number(f"{key}.num_keypoints", node.get("num_keypoints"), train.meta.keypoints, "keypoints")
            check_keypoint_names(train, val)


def find_requirements(config: DictConfig) -> Iterator[Requirement]:
    """Yield what the heads of the model in a config learn from."""
    model = resolve_node(config.model)
    check_targets(model, "model")
    for key, node in _nodes(model, "model"):
        for field in getattr(get_object(node["_target_"]), "required_targets", ()):
            yield Requirement(key, field, node)


def find_labels(dataset: Dataset) -> set[str]:
    """Return the fields that all samples of a dataset have, as its first image that can be read shows."""
    for index in range(min(len(dataset), READABLE)):
        try:
            sample = dataset[index]
        except ImageError:  # reported where it is trained on
            continue
        return {field for field in NAMES if getattr(sample, field, None) is not None}  # a triplet has none
    return {*NAMES}


def check_class_numbers(config: DictConfig, train: Dataset) -> None:
    """Raise ConfigError if a head predicts another number of classes than the dataset has."""
    for key, node in _nodes(resolve_node(config.model), "model"):
        is_semantic = SEMANTIC in getattr(get_object(node["_target_"]), "required_targets", ())
        names = train.meta.stuff if is_semantic else train.meta.classes
        check_number(f"{key}.num_classes", node.get("num_classes"), names, "classes")


def check_number(key: str, number: int | None, names: Sequence[str], kind: str) -> None:
    if number is not None and number != len(names):
        raise ConfigError(
            f"{key}={number}, but the dataset has {len(names)} {kind}: {', '.join(names[:LISTED])}\n"
            f"Leave {key} out; it is read from the dataset."
        )


def check_keypoint_names(train: Dataset, val: Dataset) -> None:
    names, tested = train.meta.keypoints, val.meta.keypoints
    if tested and tested != names:
        raise ConfigError(
            f"dataset.train and dataset.val have different keypoints:\n  {', '.join(names)}\n  {', '.join(tested)}\n"
            "Slot k of a model is one keypoint: write the names in the same order in both annotation files."
        )


def _explain_missing(key: str, field: str, config: DictConfig, source: Path | None = None) -> str:
    choices = DATASETS[field]
    place = f" ({source})" if source else ""
    drawn, *others = choices
    return (
        f"{key} learns from {NAMES[field]}, and dataset={OmegaConf.select(config, 'dataset.name')}{place} has none.\n"
        f"Choose a dataset that has them: dataset={drawn} (drawn, needs no files), {', '.join(others)}; "
        f"or a model without that head, such as model={MODELS[field]}."
    )


def _nodes(node: Any, key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (dotted key, node) of each node with a `_target_`."""
    if isinstance(node, Mapping):
        if isinstance(node.get("_target_"), str):
            yield key, node
        for name, value in node.items():
            yield from _nodes(value, f"{key}.{name}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _nodes(value, f"{key}[{index}]")
