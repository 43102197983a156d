"""`calibration.json`: a map with all that its use needs, and the measures of its test.

It holds the images of its fit by digest, so that scores are never taken on them by mistake.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lineage.calibration.fit import TARGETS, Measures, measure_areas
from lineage.calibration.logit import Floats
from lineage.calibration.reliability import find_interval
from lineage.calibration.score_map import GROUPINGS, SIZES, GroupedMap, ScoredDetections, build_map, read_numbers
from lineage.calibration.split import CalibrationError, identify_images
from lineage.eval.predictions.predictions import Predictions
from lineage.eval.scores import class_names
from lineage.results.atomic import atomic_write

VERSION = 1
BY = ((), *((name,) for name in GROUPINGS), GROUPINGS)  # groups that have a function of their own
TASKS = ("box", "mask")
NAME = "calibration.json"
ADVICE = "Write one with `lineage calibrate RESULTS --annotations FILE`."


@dataclass(frozen=True, slots=True)
class Calibration:
    """A fitted map and where it comes from."""

    method: str
    target: str  # precision or iou
    task: str  # whose overlap decided what was right
    map: GroupedMap
    classes: dict[int, str]  # category id -> name of the detector that it belongs to
    fit_images: frozenset[str]  # digests of the images of the fit
    source: str

    def __call__(self, predictions: Predictions, category_ids: Sequence[int]) -> Floats:
        """Return the calibrated score of each detection; `category_ids` [C] is the id of each label.

        Raises CalibrationError for a class that the calibrated detector did not have.
        """
        categories = np.asarray(category_ids, np.int64)[predictions.labels]
        unknown = {*categories.tolist()} - self.classes.keys()
        if unknown:
            raise CalibrationError(
                f"{self.source} is of a detector of {len(self.classes)} classes, without the category ids "
                f"{', '.join(map(str, sorted(unknown)[:8]))} of these detections: it belongs to another model."
            )
        check_scores(predictions.scores, self.source)
        return self.map(ScoredDetections(predictions.scores, categories, measure_areas(predictions)))

    def check_classes(self, categories: Sequence[Mapping[str, Any]]) -> None:
        """Raise CalibrationError if a category (id, name) has another name than that of the calibrated detector."""
        names = class_names(categories)
        shared = sorted(names.keys() & self.classes.keys())
        other = [number for number in shared if names[number].casefold() != self.classes[number].casefold()]
        if other:
            number = other[0]
            raise CalibrationError(
                f"{self.source} is of a detector whose category {number} is {self.classes[number]!r}, here it is "
                f"{names[number]!r}: it belongs to another model, or the classes were renamed since. {ADVICE}"
            )

    def refuse_fit_images(self, images: Sequence[Mapping[str, Any]]) -> None:
        """Raise CalibrationError if the map was fitted on any of the images that are to be scored."""
        shared = [image for image, name in zip(images, identify_images(images), strict=True) if name in self.fit_images]
        if shared:
            raise CalibrationError(
                f"{self.source} was fitted on {len(shared)} of these {len(images)} images, such as {shared[0]['id']}: "
                "scores on them say nothing about new images. Score it on others, or fit it on others with "
                "`lineage calibrate RESULTS --fit FILE`; `--fit half` measures it on the other half itself."
            )


def check_scores(values: Floats | Sequence[float], source: Path | str) -> None:
    """Raise CalibrationError for scores that are no probabilities."""
    scores = np.asarray(values, np.float64)
    outside = np.flatnonzero((scores < 0) | (scores > 1))
    if len(outside):
        raise CalibrationError(
            f"{source}: detection {outside[0]} has the score {scores[outside[0]]:g}; calibration is of probabilities, "
            "0 to 1. Scores that are logits z become sigmoid(z), those in percent are divided by 100."
        )


def write_calibration(path: Path, calibration: Calibration, record: Mapping[str, Any]) -> None:
    """Write a calibration; `record` is what else is to be known of its fit and its test."""
    grouped = calibration.map
    content = {
        "v": VERSION,
        "method": calibration.method,
        "target": calibration.target,
        "task": calibration.task,
        "by": grouped.by,
        "area_edges": grouped.area_edges,
        "rest": asdict(grouped.rest),  # type: ignore[call-overload]
        "functions": {name: asdict(function) for name, function in grouped.functions.items()},  # type: ignore[call-overload]
        "classes": calibration.classes,
        **record,
        "fit_images": sorted(calibration.fit_images),
    }
    atomic_write(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_calibration(path: Path) -> Calibration:
    """Read a calibration, of a file or of the run folder that it lies in. Raises CalibrationError."""
    if path.is_dir():
        folder, path = path, path / NAME
        if not path.is_file():
            command = shlex.join(["lineage", "calibrate", str(folder)])
            raise CalibrationError(f"{folder} has no {NAME}; {command} writes it")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["v"] != VERSION:
            raise CalibrationError(f"{path} has the version {content['v']!r:.40}; this code reads {VERSION}. {ADVICE}")
        return _parse(content, str(path))
    except FileNotFoundError:
        raise CalibrationError(f"{path}: there is no such file. {ADVICE}") from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        if isinstance(error, CalibrationError):
            raise
        raise CalibrationError(
            f"{path} is no calibration ({type(error).__name__}: {error!s:.200}). {ADVICE}"
        ) from error


def _parse(content: Mapping[str, Any], source: str) -> Calibration:
    """Return the calibration of a file. Raises an error of Python for a field of another type or range."""
    method, by, target, task = content["method"], tuple(content["by"]), content["target"], content["task"]
    for name, value, choices in (("by", by, BY), ("target", target, TARGETS), ("task", task, TASKS)):
        if value not in choices:
            raise ValueError(f"{name} is {value!r}, not one of {', '.join(map(repr, choices))}")
    area_edges = read_numbers(content["area_edges"])
    if len(area_edges) != (SIZES - 1 if "size" in by else 0):
        raise ValueError(f"area_edges has {len(area_edges)} numbers")
    functions = {name: build_map(method, values) for name, values in content["functions"].items()}
    grouped = GroupedMap(by, area_edges, functions, build_map(method, content["rest"]))
    classes = {int(number): str(name) for number, name in content["classes"].items()}
    images = frozenset(content["fit_images"])
    if not all(isinstance(image, str) for image in images):
        raise ValueError("fit_images lists something else than digests")
    return Calibration(method, target, task, grouped, classes, images, source)


def describe_measures(before: Measures, after: Measures) -> dict[str, Any]:
    """Return the measures with intervals as JSON; that of the difference is of paired draws."""
    content: dict[str, Any] = {"before": _describe(before), "after": _describe(after), "difference": {}}
    for name, value in after.values.items():
        low, high = find_interval(after.draws[name] - before.draws[name])
        content["difference"][name] = _to_json(value - before.values[name], low, high)
    return content


def _describe(measures: Measures) -> dict[str, Any]:
    content: dict[str, Any] = {
        name: _to_json(value, *find_interval(measures.draws[name])) for name, value in measures.values.items()
    }
    bins = zip(*measures.reliability, strict=True)
    content["reliability"] = [[None if math.isnan(number) else float(number) for number in row] for row in bins]
    return content


def _to_json(value: float, low: float, high: float) -> dict[str, float | None]:
    numbers = {"value": value, "low": low, "high": high}
    return {name: None if math.isnan(number) else float(number) for name, number in numbers.items()}
