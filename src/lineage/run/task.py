"""Tasks: what a dataset, a model and an evaluator agree on. The rest of a run is the same for all of them.

    task           a dataset yields     a model returns     an evaluator scores
    detection      Sample -> Batch      Detections          box/AP, mask/AP, ...
    interpolation  FrameSample ->       frames [B, 3, H, W] frame/PSNR, frame/SSIM
                   FrameBatch

A class says by an attribute `task` that it is of another task than detection. Trainer, checkpoints, entries, tables and
dashboards read names and numbers only. To add a task: its dataset, model and evaluator, and a line of TASKS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from lineage.config.allowed_targets import check_targets
from lineage.config.build import ConfigError
from lineage.data.samples.dataset import Dataset
from lineage.data.transforms.sanitize import sanitize
from lineage.eval.evaluator import Evaluator
from lineage.report.frame_pictures import save_frames
from lineage.report.pictures import save_predictions
from lineage.structures import DETECTION, INTERPOLATION


@dataclass(frozen=True, slots=True)
class Task:
    """The parts of a run that depend on its task."""

    input: str  # for messages
    advice: str
    finish: Callable[[Any], Any]  # of a sample after all transforms
    draw: Callable[[Dataset, Any, Path], object]  # (test images, evaluator, path) -> the picture of a run


def _draw_detections(val: Dataset, evaluator: Evaluator, path: Path) -> None:
    save_predictions(val, evaluator.results(), path)


def _draw_frames(val: Dataset, evaluator: Any, path: Path) -> None:
    save_frames(evaluator.examples, path)


def _keep(sample: Any) -> Any:
    return sample


TASKS = {
    DETECTION: Task(
        "annotated images", "dataset=shapes model=mask_rcnn, evaluator=dataset, tta=none", sanitize, _draw_detections
    ),
    INTERPOLATION: Task(
        "videos", "dataset=moving_shapes, clips or reds_vtsr, model=dvtsr, evaluator=dataset, tta=none or ensemble",
        _keep, _draw_frames,
    ),
}  # fmt: skip


def find_task(part: Any) -> str:
    """Return the task of a dataset, or of the class of a model or an evaluator."""
    name: str = getattr(part, "task", DETECTION)
    return name


def check_task(config: DictConfig, train: Dataset) -> None:
    """Raise ConfigError unless model, evaluator and views are of the task of the dataset."""
    task = find_task(train)
    for key, target in _list_parts(config):
        if (other := find_task(get_object(target))) != task:
            raise ConfigError(
                f"{key} reads {TASKS[other].input}, and dataset={config.dataset.name} has {TASKS[task].input} "
                f"({target}).\nChoose for these {TASKS[task].advice};\n"
                f"or for {TASKS[other].input} {TASKS[other].advice}"
            )


def check_detector(model: Any, command: str) -> None:
    """Raise ConfigError, for a command that takes detectors, if a model or its class is of another task."""
    task = find_task(model)
    if task != DETECTION:
        name = model.__name__ if isinstance(model, type) else type(model).__name__
        raise ConfigError(f"lineage {command} takes detectors of objects; {name} reads {TASKS[task].input} ({task})")


def _list_parts(config: DictConfig) -> Iterator[tuple[str, str]]:
    """Yield (key, target) of the parts that have to be of one task."""
    evaluator = "evaluator" if config.get("evaluator") else "dataset.evaluator"
    for key in ("model", evaluator, "tta"):
        node = OmegaConf.select(config, key)
        if node and "_target_" in node:
            check_targets(node, key)
            yield key, node["_target_"]
