"""Check that the metrics that callbacks wait for will be there: a run of days must not end at its first evaluation."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf

from lineage.config.build import ConfigError
from lineage.config.evaluation_interval import AUTO
from lineage.eval.evaluator import Evaluator
from lineage.eval.predictions.predictions import NO_PREDICTIONS
from lineage.tables.suggest import did_you_mean


def check_callbacks(config: DictConfig, evaluator: Evaluator) -> None:
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
    metrics = list_metrics(evaluator)
    for name, monitor in monitors.items():
        if metrics and monitor not in metrics:
            raise ConfigError(
                f"callbacks.{name}.monitor={monitor}: no metric of this run's evaluations, which begin with "
                f"{', '.join(metrics[:3])}. {did_you_mean(monitor, metrics)}"
            )


def list_metrics(evaluator: Evaluator) -> list[str]:
    """Return the metrics that the rules of an evaluator compute, from no detections; none where it has others."""
    scorer: Any = getattr(evaluator, "scorer", None)
    return [metric for task in getattr(scorer, "tasks", ()) for metric in scorer.score(NO_PREDICTIONS, task).metrics]
