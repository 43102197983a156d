"""The runs that files or folders of another code base hold, whichever it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lineage.tables.foreign import detectron2, mmdetection, wandb_export
from lineage.tables.foreign.run import ForeignError, ForeignRun, read_file_time

LAYOUTS = """\
  detectron2    its OUTPUT_DIR: metrics.json, config.yaml
  mmdetection   its work_dir: <time>.log.json (version 2) or <time>/vis_data/*.json (version 3)
  W&B           a table exported as CSV or JSON, or a folder wandb/run-...
  results       a COCO result file, with --annotations FILE, which it is scored with; --config FILE beside it"""


def read_runs(path: Path, named: Mapping[str, str], fractions: bool = False) -> list[ForeignRun]:
    """Read the runs of a folder or file. Raises ForeignError if it is of no layout that is known.

    named: our name of a metric -> its name in a table of W&B; fractions: those are of 1, not in percent
    """
    if not path.exists():
        raise ForeignError(f"{path}: there is no such file or folder")
    if path.is_file():
        return _read_file(path, named, fractions)
    if (summary := wandb_export.find_summary(path)) is not None:
        return [wandb_export.read_folder(path, summary, named, fractions)]
    if detectron2.is_run(path):
        return [detectron2.read_run(path)]
    if logs := mmdetection.find_logs(path):
        return [mmdetection.read_run(path, logs)]
    raise ForeignError(f"{path}: holds no run of a layout that can be read. These can:\n{LAYOUTS}")


def _read_file(path: Path, named: Mapping[str, str], fractions: bool) -> list[ForeignRun]:
    if path.name == detectron2.METRICS:
        return [detectron2.read_run(path.parent)]
    if mmdetection.is_log(path):
        return [mmdetection.read_run(path.parent, [path])]
    if path.suffix.lower() == ".csv" or (path.suffix == ".json" and not is_result_file(path)):
        return wandb_export.read_table(path, named, fractions)
    if path.suffix == ".json":
        raise ForeignError(f"{path}: is a result file; score it: --annotations FILE, its ground truth")
    raise ForeignError(f"{path}: is no file that can be read. These can:\n{LAYOUTS}")


def is_result_file(path: Path) -> bool:
    """Return whether a JSON file begins as COCO results do: a list whose first record has an image."""
    try:
        with path.open(encoding="utf-8") as file:
            start = file.read(4096).split("}")[0]
    except (OSError, UnicodeDecodeError):
        return False
    return start.lstrip().startswith("[") and '"image_id"' in start


def make_scored_run(path: Path, metrics: Mapping[str, float], config: Path | None, truth: Path) -> ForeignRun:
    """Return the run of a result file that was scored here.

    config: a YAML or JSON file beside it, or None; truth: the annotations it was scored with
    """
    content: dict[str, Any] = {}
    if config is not None:
        content = {"config.py": config.read_text()} if config.suffix == ".py" else detectron2.read_config(config)
    folder = path.resolve().parent
    plain = {name: None if value != value else round(value, 6) for name, value in metrics.items()}
    return ForeignRun(
        origin="results",
        name=f"{folder.name}/{path.name}",
        metrics=json.loads(json.dumps(plain)),
        started=read_file_time(path),
        config=content,
        dataset=truth.stem,
        remarks=(f"scored here with {truth.name}",),
    )
