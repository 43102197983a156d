"""Runs of detectron2: the folder OUTPUT_DIR with metrics.json, a line per log, and config.yaml."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import yaml

from lineage.results.safe_yaml import check_structure
from lineage.tables.foreign.metric_names import is_number, translate_metrics
from lineage.tables.foreign.run import ForeignError, ForeignRun, read_file_time, read_lines

METRICS, CONFIG, RESULTS = "metrics.json", "config.yaml", "inference/coco_instances_results.json"


def is_run(folder: Path) -> bool:
    return (folder / METRICS).is_file()


def read_run(folder: Path) -> ForeignRun:
    """Read a run; its metrics are those of its last test."""
    records = read_lines(folder / METRICS)
    config = read_config(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    steps = [record["iteration"] for record in records if isinstance(record.get("iteration"), int)]
    metrics: dict[str, float | None] = {}
    for record in records:  # a later test replaces an earlier one
        metrics |= translate_metrics(record)
    remarks = []
    tests = _read_tests(config)
    if len(tests) > 1:
        remarks.append(f"tested on {', '.join(tests)}; the metrics are those of the last")
    times = [record["time"] for record in records if is_number(record.get("time"))]
    planned = (config.get("SOLVER") or {}).get("MAX_ITER") if isinstance(config.get("SOLVER"), dict) else None
    done = max(steps, default=-1) + 1
    is_whole = bool(metrics) and not (isinstance(planned, int) and done and done < planned)
    seed = config.get("SEED")
    return ForeignRun(
        origin="detectron2",
        name=folder.resolve().name,
        metrics=metrics,
        started=read_file_time(folder / (CONFIG if (folder / CONFIG).is_file() else METRICS)),
        config=config,
        dataset=tests[-1] if tests else "",
        seed=seed if isinstance(seed, int) and seed >= 0 else None,  # -1: drawn from the clock
        steps=done,
        status="finished" if is_whole else "stopped",
        error=None if is_whole else _explain(metrics, done, planned),
        step_seconds=statistics.median(times) if times else None,
        remarks=tuple(remarks),
    )


def _explain(metrics: dict[str, float | None], done: int, planned: Any) -> str:
    return f"stopped at step {done} of {planned}" if metrics else f"{METRICS} holds no test, at step {done}"


def _read_tests(config: dict[str, Any]) -> list[str]:
    """Return the names of the datasets that were tested, as config.yaml lists them."""
    datasets = config.get("DATASETS")
    tests = datasets.get("TEST") if isinstance(datasets, dict) else None
    return [str(name) for name in tests] if isinstance(tests, list) else []


def read_config(path: Path) -> dict[str, Any]:
    """Read a config.yaml; tags of Python, as LazyConfig and tuples leave them, become plain values."""
    try:
        text = path.read_text(encoding="utf-8")
        check_structure(text)
        config = yaml.load(text, Loader=_PlainLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ForeignError(f"{path}: is no YAML that can be read: {error}") from error
    if not isinstance(config, dict):
        raise ForeignError(f"{path}: holds no config, a mapping of keys to values")
    return config


class _PlainLoader(yaml.SafeLoader):
    """A safe loader to which an object of Python is its plain content."""


def _construct_plain(loader: Any, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return str(node.value) or suffix


_PlainLoader.add_multi_constructor("tag:yaml.org,2002:python/", _construct_plain)
