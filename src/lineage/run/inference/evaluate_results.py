"""Scores of a result file against a dataset of conf/ or an annotation file: `lineage evaluate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lineage.config.schema  # noqa: F401  (registers the schema)
from lineage.calibration.calibration_file import Calibration, read_calibration
from lineage.config.build import ConfigError, build
from lineage.config.compose import compose_config
from lineage.data.annotations.cures import CureLog
from lineage.data.annotations.validate import read_coco
from lineage.eval.document import document_of
from lineage.eval.files.ground_truth import check_ground_truth
from lineage.eval.files.json_file import COMMAND
from lineage.eval.files.score_file import SCORERS, score_file
from lineage.eval.scores import Scores
from lineage.results.run_folder import RunFolder
from lineage.run.splits import build_val


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """Choices of a user; None leaves one to the dataset or annotations."""

    protocol: str | None = None
    tasks: Sequence[str] | None = None
    extras: Sequence[str] | None = None
    sigmas: Sequence[float] | None = None
    max_detections: int | None = None
    calibration: Path | None = None  # file or run folder of a map that changes the scores first

    def keywords(self) -> dict[str, Any]:
        """Return those of a Scorer that the user chose."""
        names = ("tasks", "extras", "sigmas", "max_detections")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def refuse_run_folder(results: Path) -> None:
    """Raise ConfigError for the folder of a run, which would be read as a folder of VOC's text files."""
    folder = RunFolder(results)
    if folder.start.is_file():
        end = "" if folder.results.is_file() else ", which it writes at its end"
        raise ConfigError(f"{results} is the folder of a run; name its results: {folder.results}{end}")


def evaluate_by_annotations(results: Path, annotations: Path, options: EvaluateOptions) -> Scores:
    """Score a result file against a COCO, LVIS or panoptic file."""
    refuse_run_folder(results)
    # 1. Read the file as datasets do: numbers that are text are cured, and a test server's file has no annotations.
    log = CureLog()
    document = read_coco(annotations, COMMAND, require_objects=False, log=log)
    check_ground_truth(document, annotations)
    # 2. Score.
    folder, rescore = annotations.with_suffix(""), open_calibration(options, document)
    scores = score_file(
        results, document, protocol=options.protocol, folder=folder, rescore=rescore, **options.keywords()
    )
    notes = [f"ground truth: {cure.kind}: {cure.number}, such as {cure.example}" for cure in log.cures()]
    return scores._replace(notes=(*notes, *scores.notes))


def evaluate_by_dataset(results: Path, name: str, overrides: Sequence[str], options: EvaluateOptions) -> Scores:
    """Score a result file against the validation split of conf/dataset/<name>, as its evaluator is configured."""
    refuse_run_folder(results)
    # 1. The dataset and its evaluator: a class and its keywords.
    config = compose_config([f"dataset={name}", *overrides])
    evaluator = build(config.dataset.evaluator)
    dataset = build_val(config)
    if dataset is None:
        raise ConfigError("dataset.val=null leaves nothing to score against: leave it out, or set dataset.val.fraction")
    document = document_of(dataset.ground_truth(), dataset.meta.sigmas)
    # 2. Its protocol and keywords, unless the user chooses others.
    protocol = options.protocol or getattr(evaluator.func, "name", None)
    keywords = dict(evaluator.keywords) if SCORERS.get(protocol or "") is evaluator.func else {}
    rescore = open_calibration(options, document.document)
    return score_file(results, document, protocol=protocol, rescore=rescore, **keywords | options.keywords())


def open_calibration(options: EvaluateOptions, document: Mapping[str, Any]) -> Calibration | None:
    """Return the map that a user chose, or None. Raises CalibrationError if it was fitted on these images."""
    if options.calibration is None:
        return None
    calibration = read_calibration(options.calibration)
    calibration.check_classes(document["categories"])
    calibration.refuse_fit_images(document["images"])
    return calibration
