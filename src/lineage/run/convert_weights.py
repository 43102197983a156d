"""Convert weights for another code base, or ours: tensors, and the settings under which they compute the same."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from omegaconf import OmegaConf
from torch import Tensor

from lineage.results.run_folder import RunFolder
from lineage.run.restore import load_run_config
from lineage.weights.export import TARGETS, convert_to, select_table
from lineage.weights.identify import OURS, LoadedWeights, adapt_input_normalization, is_resnext
from lineage.weights.pretrained import WeightsError
from lineage.weights.sources.table import IMAGENET, PixelNormalization

OUR_STRIDE = "backbone.stride_in=3x3"  # a table states it if it differs between the networks of a source


@dataclass(frozen=True, slots=True)
class ConvertedWeights:
    """Weights under the names of another code base."""

    state: dict[str, Tensor]
    settings: str  # to be set there
    difference: str  # conventions of training that the target does not share; empty if none


def convert_weights(path: Path, loaded: LoadedWeights, target: str) -> ConvertedWeights:
    """Convert weights to the names of `target`: lineage, torchvision or detectron2."""
    pixels = find_pixels(path, loaded)
    if target == OURS:
        normalization = f"backbone.mean={list(pixels.mean)} backbone.std={list(pixels.std)}" if pixels else ""
        conventions = loaded.conventions.settings if loaded.conventions else ()
        return ConvertedWeights(loaded.state, " ".join([normalization, *conventions]).strip(), "")
    difference = describe_difference(path, loaded, target)
    if target == "detectron2":
        mean, std = (list(reversed(values)) for values in ((pixels.mean, pixels.std) if pixels else ((), ())))
        settings = f"MODEL.PIXEL_MEAN {mean} MODEL.PIXEL_STD {std} INPUT.FORMAT BGR"
        return ConvertedWeights(convert_to(target, loaded.state), settings, difference)
    try:
        state = adapt_input_normalization(loaded.state, pixels, IMAGENET) if pixels else loaded.state
    except ValueError as error:
        raise WeightsError(f"torchvision's detectors subtract the mean of ImageNet, and {error}") from error
    return ConvertedWeights(convert_to(target, state), "", difference)


def find_pixels(path: Path, loaded: LoadedWeights) -> PixelNormalization | None:
    """Return the pixel normalisation of the weights' source, or of the run's config. None: unknown."""
    if loaded.conventions:
        return loaded.conventions.pixels
    folder = RunFolder.containing(path)
    backbone = load_run_config(folder, []).backbone if folder else None
    return PixelNormalization.of(backbone.mean, backbone.std) if backbone and "mean" in backbone else None


def find_settings(path: Path, loaded: LoadedWeights) -> set[str]:
    """Return the conventions of the weights' source, or those that the run's config has, as overrides."""
    if loaded.conventions:
        return {*loaded.conventions.settings}
    folder = RunFolder.containing(path)
    config = load_run_config(folder, []) if folder else OmegaConf.create()
    settings = {text for tables in TARGETS.values() for table in tables for text in table.conventions.settings}
    pairs = {text: text.split("=") for text in settings}
    return {text for text, (key, value) in pairs.items() if str(OmegaConf.select(config, key)).lower() == value}


def describe_difference(path: Path, loaded: LoadedWeights, target: str) -> str:
    """Return a warning if `target` computes otherwise with the same weights; else an empty text."""
    table = select_table(target, loaded.state)
    conventions = table.grouped if is_resnext(loaded.state) else table.conventions
    ours, theirs = find_settings(path, loaded) - {OUR_STRIDE}, {*conventions.settings} - {OUR_STRIDE}
    if ours == theirs:
        return ""
    only_ours, only_theirs = (" ".join(sorted(diff)) or "none of this" for diff in (ours - theirs, theirs - ours))
    return f"trained with {only_ours}; {target} has {only_theirs}: what is found differs a little"
