"""Restore a trained model for prediction and export: of a run, of an entry, or of another code base's weights.

A run folder holds its config. Foreign weights determine their model by names and shapes; what these do not show, such
as a stride or the mean of the pixels, is known of their source.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from torch import nn

import lineage.config.schema  # noqa: F401  registers the schema
from lineage.config.allowed_targets import check_targets
from lineage.config.build import ConfigError, build
from lineage.config.compose import compose_config
from lineage.config.resume_overrides import load_config
from lineage.data.canvas import CanvasRule
from lineage.data.samples.metadata import DatasetMeta
from lineage.data.transforms.augment import Augment
from lineage.models.detectors.size_divisibility import get_size_divisibility
from lineage.models.detectors.tta import TTA
from lineage.ops.layers.float32 import EXACT, set_float32
from lineage.results.overrides import Override
from lineage.results.renames import key_today
from lineage.results.run_folder import RunFolder
from lineage.run.class_names import resolve_meta
from lineage.run.initialize import load_initial_weights, locate_weights
from lineage.run.task import TASKS, find_task
from lineage.structures import Detections, Images
from lineage.weights import pretrained
from lineage.weights.identify import LoadedWeights
from lineage.weights.infer_overrides import count_classes, count_labels, infer_overrides
from lineage.weights.pretrained import LATER
from lineage.weights.sources.detectron2_inference import list_test_settings

MISSING = "absent"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Restored:
    """A trained model and what belongs to it."""

    model: nn.Module  # in eval mode
    detect: Callable[[Images], Detections]  # of the model, on all views if the config has test-time augmentation
    canvas: CanvasRule
    config: DictConfig
    meta: DatasetMeta  # of the dataset it was trained on
    source: str


def restore(weights: str, overrides: Sequence[str], results: Path, names: str | None = None) -> Restored:
    """Build a model and load its weights; float32 is exact in this process from then on.

    overrides: as on the command line of train.py.
    results: the store in which entries are looked up.
    names: of the classes, a file or a comma-separated list.
    Raises ConfigError or WeightsError if the model does not exist, or the weights are of another.
    """
    path = locate_weights(weights, results)
    folder = RunFolder.containing(Path(path))
    loaded = pretrained.load_full(path)
    config = load_run_config(folder, overrides) if folder else infer_config(loaded, overrides)
    OmegaConf.set_struct(config, False)
    if folder is None and count_classes(loaded.state) is None:  # proposals are of no class
        config.dataset.classes, names = 1, names or "object"
    elif config.dataset.classes is None:
        config.dataset.classes = count_classes(loaded.state)
        for key, count in count_labels(loaded.state).items():
            OmegaConf.update(config, key, count, force_add=True)
    if "weights" in config.backbone:
        config.backbone.weights = LATER
    set_float32(EXACT)  # whatever the run was trained in
    model = build(config.model)
    for edit in (build(config.get("edit")) or {}).values():
        edit(model)
    load_initial_weights(model, path, require_all=True, results=results, follows_source=True)
    return join_parts(model.eval(), config, resolve_meta(names, folder, config), path)


def join_parts(model: nn.Module, config: DictConfig, meta: DatasetMeta, source: str) -> Restored:
    """Return a model with the views and the canvas of its config."""
    detect = (build_views(config, model, meta) or model).detect
    canvas = CanvasRule(Augment(**build(config.augment)), get_size_divisibility(model))
    return Restored(model, detect, canvas, config, meta, source)


def build_views(config: DictConfig, model: nn.Module, meta: DatasetMeta) -> TTA | None:
    """Return the model with the test-time augmentation of a config, or None if it has none."""
    if not config.get("tta"):
        return None
    views, task = find_task(get_object(config.tta["_target_"])), find_task(model)
    if views != task:
        raise ConfigError(f"tta views {TASKS[views].input}, the model reads {TASKS[task].input}: choose tta=none")
    mirrored = {"flip_indices": meta.flip_indices, "class_flip_indices": meta.class_flip_indices}
    return build(config.tta, model=model, **(mirrored if meta.classes else {}))


def load_run_config(folder: RunFolder, overrides: Sequence[str]) -> DictConfig:
    """Return the config of a run with overrides: single values, or an option of `tta`.

    Raises ConfigError for a key that it has not.
    """
    config = load_config(folder)
    for text in overrides:
        override = Override.parse(text)
        key, value = override.key, override.value or ""
        if key == "tta":  # the only group that another option of fits any run
            OmegaConf.update(config, key, OmegaConf.to_container(compose_config([text]).tta), merge=False)
            continue
        if OmegaConf.select(config, key, default=MISSING) == MISSING:
            today = key_today(key, OmegaConf.to_container(config))
            renamed = "" if today == key else f"; its name is now {today}"
            raise ConfigError(f"{text}: {folder.config} has no key {key}{renamed}")
        if OmegaConf.is_dict(OmegaConf.select(config, key)) and not value.startswith("{"):
            raise ConfigError(f"{text}: the run's config determines its {key}; override single numbers of it")
        OmegaConf.update(config, key, OmegaConf.create(f"value: {value}").value)
    check_targets(config, str(folder.config))
    return config


def infer_config(loaded: LoadedWeights, overrides: Sequence[str]) -> DictConfig:
    """Compose the config of the model that weights belong to.

    Overrides come first, then names and shapes of the weights, then the conventions of their source.
    """
    typed = {Override.parse(text).key for text in overrides}
    inferred = [text for text in infer_overrides(loaded.state) if Override.parse(text).key not in typed]
    tier = [] if "tier" in typed else ["tier=paper"]
    config = compose_config([*tier, *inferred, *overrides])
    warn_of_alternative(loaded, typed)
    conventions = []
    for text in list_conventions(loaded):
        key = Override.parse(text).key
        if key in typed or key.split(".")[0] not in config:
            continue
        if OmegaConf.select(config, key, default=MISSING) == MISSING:
            log.warning(f"weights of {loaded.source} were trained with {text}, which this model has no key for")
            continue
        conventions.append(text)
    return compose_config([*tier, *inferred, *conventions, *overrides])


def list_conventions(loaded: LoadedWeights) -> list[str]:
    """Return the overrides under which our model computes, and is tested, as the source of the weights does."""
    if loaded.conventions is None:
        return []
    pixels = loaded.conventions.pixels
    tests = list_test_settings(infer_overrides(loaded.state)) if loaded.source.startswith("detectron2") else ()
    return [
        *loaded.conventions.settings, f"backbone.mean={list(pixels.mean)}", f"backbone.std={list(pixels.std)}", *tests
    ]  # fmt: skip


def warn_of_alternative(loaded: LoadedWeights, typed: set[str]) -> None:
    """Log the overrides of other networks with the same tensors, unless the user chose."""
    alternative = loaded.conventions.alternative if loaded.conventions else ""
    if alternative and not typed & {Override.parse(text).key for text in alternative.split()}:
        log.warning(
            f"weights of {loaded.source}: their tensors do not show whether they were trained from scratch (9x), on "
            f"pixels that are divided. If so, add {alternative}"
        )
