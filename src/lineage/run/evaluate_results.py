"""Scores of a result file against a dataset of conf/ or an annotation file: `lineage evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lineage.config.schema  # noqa: F401  (registers the schema)
from lineage.config.build import build
from lineage.config.compose import compose_config
from lineage.eval.document import document_of
from lineage.eval.files.score_file import SCORERS, score_file
from lineage.eval.scores import Scores


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """Choices of a user; None leaves one to the dataset or annotations."""

    protocol: str | None = None
    tasks: Sequence[str] | None = None
    extras: Sequence[str] | None = None
    sigmas: Sequence[float] | None = None
    max_detections: int | None = None

    def keywords(self) -> dict[str, Any]:
        """Return those of a Scorer that the user chose."""
        names = ("tasks", "extras", "sigmas", "max_detections")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def evaluate_by_annotations(results: Path, annotations: Path, options: EvaluateOptions) -> Scores:
    """Score a result file against a COCO, LVIS or panoptic file."""
    return score_file(results, annotations, protocol=options.protocol, **options.keywords())


def evaluate_by_dataset(results: Path, name: str, overrides: Sequence[str], options: EvaluateOptions) -> Scores:
    """Score a result file against the validation split of conf/dataset/<name>, as its evaluator is configured."""
    # 1. The dataset and its evaluator: a class and its keywords.
    config = compose_config([f"dataset={name}", *overrides])
    evaluator = build(config.dataset.evaluator)
    dataset = build(config.dataset.val)
    document = document_of(dataset.ground_truth(), dataset.meta.sigmas)
    # 2. Its protocol and keywords, unless the user chooses others.
    protocol = options.protocol or getattr(evaluator.func, "name", None)
    keywords = dict(evaluator.keywords) if SCORERS.get(protocol or "") is evaluator.func else {}
    return score_file(results, document, protocol=protocol, **keywords | options.keywords())
