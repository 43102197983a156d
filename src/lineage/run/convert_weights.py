"""Convert weights for another code base, or ours: tensors, and the settings under which they compute the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from lineage.results.run_folder import RunFolder
from lineage.run.restore import infer_config, list_conventions, load_run_config
from lineage.weights.export import convert_to
from lineage.weights.identify import OURS, LoadedWeights, adapt_input_normalization
from lineage.weights.infer_overrides import count_classes, infer_overrides
from lineage.weights.pretrained import WeightsError
from lineage.weights.sources.detectron2_config import format_options, to_detectron2
from lineage.weights.sources.table import IMAGENET, PixelNormalization

FIXED = {  # what torchvision's detectors leave no choice of
    "backbone.stride_in": "3x3",
    "roi.sampling_ratio": 2,
    "roi.aligned": False,
    "model.proposals.anchors.rounded": True,
    "model.head.anchors.rounded": True,
}
ROUNDED = tuple(key for key in FIXED if key.endswith("rounded"))  # the one setting that detectron2 has no key for
BODY_KEYS = ("MODEL.PIXEL", "INPUT.FORMAT", "MODEL.RESNETS")
ARGUMENTS = {  # of torchvision's constructors, two-stage and dense
    "rpn_pre_nms_top_n_test": "model.proposals.pre_nms_top_n.test",
    "rpn_post_nms_top_n_test": "model.proposals.post_nms_top_n.test",
    "box_score_thresh": "model.box.score_thresh",
    "box_nms_thresh": "model.box.nms_thresh",
    "box_detections_per_img": "model.box.detections_per_img",
    "score_thresh": "model.head.score_thresh",
    "nms_thresh": "model.head.nms_thresh",
    "detections_per_img": "model.head.detections_per_img",
    "topk_candidates": "model.head.topk_candidates",
    "min_size": "augment.test.sizes[0]",
    "max_size": "augment.test.max_size",
}


@dataclass(frozen=True, slots=True)
class ConvertedWeights:
    """Weights under the names of another code base."""

    state: dict[str, Tensor]
    settings: str  # to be set there
    difference: str  # conventions of training that the target does not share; empty if none


def convert_weights(path: Path, loaded: LoadedWeights, target: str) -> ConvertedWeights:
    """Convert weights to the names of `target`: lineage, torchvision or detectron2."""
    if target == OURS:
        settings = [*infer_overrides(loaded.state), *list_conventions(loaded)]
        return ConvertedWeights(loaded.state, " ".join(text.replace(", ", ",") for text in settings), "")
    config, source = find_config(path, loaded), describe_source(path, loaded)
    if target == "detectron2":
        keys = to_detectron2(resolve(config))
        if not is_detector(loaded):
            keys = {key: value for key, value in keys.items() if key.startswith(BODY_KEYS)}
        difference = describe_difference(config, dict.fromkeys(ROUNDED, False), target)
        state = convert_to(target, loaded.state) | (detectron2_pixels(config) if is_detector(loaded) else {})
        return ConvertedWeights(state, format_options(keys), f"{source}{difference}")
    pixels = PixelNormalization.of(config.backbone.mean, config.backbone.std)
    try:
        state = adapt_input_normalization(loaded.state, pixels, IMAGENET)
    except ValueError as error:
        raise WeightsError(f"torchvision's detectors subtract the mean of ImageNet, and {error}") from error
    arguments = list_arguments(config) if is_detector(loaded) else ""
    difference = describe_difference(config, FIXED, target)
    return ConvertedWeights(convert_to(target, state), arguments, f"{source}{difference}")


def detectron2_pixels(config: DictConfig) -> dict[str, Tensor]:
    """Return the pixels as files of detectron2's zoo carry them, so that whoever reads the file knows them.

    detectron2 itself takes those of its config, and names the two in a warning.
    """
    names = {"pixel_mean": config.backbone.mean, "pixel_std": config.backbone.std}
    return {name: torch.tensor([*values][::-1]).view(3, 1, 1) for name, values in names.items()}  # blue comes first


def is_detector(loaded: LoadedWeights) -> bool:
    """Return whether the weights are more than a body's."""
    return any(text.startswith("model=") for text in infer_overrides(loaded.state))


def describe_source(path: Path, loaded: LoadedWeights) -> str:
    """Return a sentence on settings that nothing states; an empty text if a run or the source does."""
    if RunFolder.containing(path) or loaded.conventions:
        return ""
    return (
        "a bare state dict holds no settings: pixels, strides and limits are the defaults of "
        f"{' '.join(infer_overrides(loaded.state))}. Convert the run folder to have those of the run. "
    )


def find_config(path: Path, loaded: LoadedWeights) -> DictConfig:
    """Return the run's config; without a run folder the one that tensors and source determine, defaults beside them."""
    folder = RunFolder.containing(path)
    config = load_run_config(folder, []) if folder else infer_config(loaded, [])
    OmegaConf.set_struct(config, False)
    config.dataset.classes = count_classes(loaded.state)
    return config


def resolve(config: DictConfig) -> Mapping[str, Any]:
    """Return the config as plain values."""
    node = OmegaConf.to_container(config, resolve=True)
    assert isinstance(node, dict)
    return {str(name): value for name, value in node.items()}


def list_arguments(config: DictConfig) -> str:
    """Return the arguments of torchvision's constructor, of which those of a pyramid's ResNet are given."""
    classes = config.dataset.classes
    values = {name: OmegaConf.select(config, key) for name, key in ARGUMENTS.items()}
    values = {"num_classes": None if classes is None else classes + 1} | values  # background is a class there
    return ", ".join(f"{name}={value}" for name, value in values.items() if value is not None)


def describe_difference(config: DictConfig, fixed: Mapping[str, object], target: str) -> str:
    """Return a sentence on the keys that have another value in `target`; an empty text if there are none.

    fixed: key -> the value that `target` always has.
    """
    ours = {key: OmegaConf.select(config, key) for key in fixed}
    different = {key: value for key, value in ours.items() if value is not None and value != fixed[key]}
    if not different:
        return ""
    here = " ".join(f"{key}={str(value).lower()}" for key, value in different.items())
    there = " ".join(f"{key}={str(fixed[key]).lower()}" for key in different)
    strides = STRIDES if "backbone.stride_in" in different else ""
    return f"trained with {here}; {target} has {there} and no setting for it: detections differ{strides}"


STRIDES = (
    ", and are wrong until the first block of layer2, layer3 and layer4 strides in conv1: "
    "block.conv1.stride, block.conv2.stride = (2, 2), (1, 1)"
)
