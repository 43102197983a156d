"""Check that the metrics that callbacks wait for will be there: a run of days must not end at its first evaluation."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf

from lineage.config.build import ConfigError
from lineage.config.evaluation_interval import AUTO
from lineage.eval.evaluator import Evaluator


def check_callbacks(config: DictConfig, evaluator: Evaluator) -> None:
    """Raise ConfigError for a callback without evaluations, or one that waits for a task that is not scored."""
    tasks = getattr(getattr(evaluator, "scorer", None), "tasks", None)
    for name, node in (config.get("callbacks") or {}).items():
        monitor = OmegaConf.select(node, "monitor")
        if monitor is None:
            continue
        if config.schedule.evaluate_every in (0, AUTO) or config.dataset.val is None:
            raise ConfigError(
                f"callbacks={name} waits for {monitor}, and this run evaluates only at its end: set "
                f"schedule.evaluate_every, e.g. schedule.evaluate_every={max(config.schedule.steps // 10, 1)}"
            )
        if tasks is not None and monitor.partition("/")[0] not in tasks:
            raise ConfigError(
                f"callbacks.{name}.monitor={monitor}: the evaluations score {' and '.join(tasks)}, "
                f"e.g. callbacks.{name}.monitor={tasks[0]}/AP"
            )
