"""Check that the metrics that callbacks wait for will be there: a run of days must not end at its first evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch import nn

from lineage.config.build import ConfigError
from lineage.config.evaluation_interval import AUTO
from lineage.eval.evaluator import Evaluator
from lineage.eval.predictions.predictions import NO_PREDICTIONS
from lineage.models.roi_heads.required_targets import KEYPOINTS, MASKS
from lineage.tables.suggest import did_you_mean

LEARNED = {"mask": MASKS, "boundary": MASKS, "keypoint": KEYPOINTS}  # task -> labels that a head for it learns from
OURS = ("lineage", "torch", "torchvision")  # packages whose heads name the labels that they learn from


def check_callbacks(config: DictConfig, evaluator: Evaluator, model: nn.Module) -> None:
    """Raise ConfigError for a callback without evaluations, or one that waits for a metric that they do not have."""
    nodes = config.get("callbacks") or {}
    monitors = {
        name: monitor for name, node in nodes.items() if (monitor := OmegaConf.select(node, "monitor")) is not None
    }
    if not monitors:
        return
    if config.schedule.evaluate_every in (0, AUTO) or config.dataset.val is None:
        name, monitor = next(iter(monitors.items()))
        raise ConfigError(
            f"callbacks={name} waits for {monitor}, and this run evaluates only at its end: set "
            f"schedule.evaluate_every, e.g. schedule.evaluate_every={max(config.schedule.steps // 10, 1)}"
        )
    metrics, absent = list_metrics(evaluator), find_absent_labels(model)
    measured = [metric for task, names in metrics.items() if LEARNED.get(task) not in absent for metric in names]
    for name, monitor in monitors.items():
        if measured and monitor not in measured:
            raise ConfigError(f"callbacks.{name}.monitor={monitor}: {_explain(monitor, metrics, measured)}")


def list_metrics(evaluator: Evaluator) -> dict[str, list[str]]:
    """Return task -> the metrics that the rules of an evaluator compute, from no detections; {} where it has others.

    What an evaluator adds of its own, such as calibration/D-ECE, is under "".
    """
    scorer: Any = getattr(evaluator, "scorer", None)
    metrics = {task: [*scorer.score(NO_PREDICTIONS, task).metrics] for task in getattr(scorer, "tasks", ())}
    return metrics | {"": [*getattr(evaluator, "added_metrics", ())]} if metrics else {}


def find_absent_labels(model: nn.Module) -> set[str]:
    """Return which of masks and keypoints no head of a model learns, so that it predicts none.

    Nothing is said of a model with parts from elsewhere, which may predict masks and not name them.
    """
    parts = [*model.modules()]
    if any(type(part).__module__.partition(".")[0] not in OURS for part in parts):
        return set()
    return {*LEARNED.values()} - {field for part in parts for field in getattr(part, "required_targets", ())}


def _explain(monitor: str, metrics: Mapping[str, Sequence[str]], measured: Sequence[str]) -> str:
    """Return why a metric is not among the measured ones, and what is."""
    for task, names in metrics.items():
        if monitor in names:
            return f"this model has no head that predicts {LEARNED[task]}; its evaluations have {', '.join(measured)}"
    return (
        f"no metric of this run's evaluations, which begin with {', '.join(measured[:3])}. "
        f"{did_you_mean(monitor, measured)}"
    )
