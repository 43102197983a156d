"""Calibration of a result file or a run: which images fit the map, and which test it: `lineage calibrate`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import lineage.config.schema  # noqa: F401  (registers the schema)
from lineage.calibration.calibration_file import (
    NAME,
    TASKS,
    Calibration,
    check_scores,
    describe_measures,
    write_calibration,
)
from lineage.calibration.diagram import draw_diagram
from lineage.calibration.fit import Choices, Measures, detect_images, fit_map, measure
from lineage.calibration.score_map import AUGMENTED
from lineage.calibration.split import CalibrationError, Split, identify_images, split_halves
from lineage.config.build import ConfigError
from lineage.config.compose import compose_config
from lineage.config.resume_overrides import load_config
from lineage.data.annotations.validate import read_coco
from lineage.eval.files.check_results import check_results, cure_ids
from lineage.eval.files.ground_truth import check_ground_truth
from lineage.eval.files.json_file import COMMAND, read_json
from lineage.eval.files.score_file import guess_protocol
from lineage.eval.metrics.bootstrap import draw_weights
from lineage.eval.protocols.lvis import LvisScorer
from lineage.eval.scores import class_names
from lineage.eval.tasks import FIELDS
from lineage.results.atomic import atomic_write
from lineage.results.file_digest import compute_sha256
from lineage.results.overrides import quote
from lineage.results.paths import train_command
from lineage.results.run_folder import RunFolder
from lineage.run.splits import build_val

DIAGRAM = "calibration.svg"
CHECKPOINTS = (".caffemodel", ".ckpt", ".pkl", ".pt", ".pth", ".safetensors")
Record = dict[str, Any]


class Results(NamedTuple):
    """Detections and the ground truth of their images."""

    path: Path
    records: list[Record]
    document: Mapping[str, Any]

    def image_ids(self) -> set[int]:
        """Return the images that have a detection."""
        return {record["image_id"] for record in self.records}


@dataclass(frozen=True, slots=True)
class Fitted:
    """A map and what it changes on the test images."""

    calibration: Calibration
    split: Split
    before: Measures
    after: Measures
    compared: dict[str, Measures]  # other methods, of the same fit and test
    num_fitted: int  # detections of the fit's images
    num_tested: int


def open_results(path: Path, annotations: Path | None, dataset: str | None, overrides: Sequence[str]) -> Results:
    """Read a result file, or that of a run, and its ground truth: a file, a dataset of conf/, or the run's own."""
    folder = RunFolder(path)
    if path.suffix in CHECKPOINTS:
        raise ConfigError(
            f"{path} is a checkpoint, and a calibration reads detections. Detect with it first, "
            f"{train_command()} evaluate_only=true {shlex.quote(f'weights={quote(path)}')} model=... dataset=..., then "
            "name the folder of that run"
        )
    if folder.config.is_file():
        if not folder.results.is_file():
            raise ConfigError(f"{path} has no {folder.results.name} yet: a run writes it at its end")
        path = folder.results
    if annotations:
        document: Mapping[str, Any] = read_coco(annotations, COMMAND, require_objects=False)
        check_ground_truth(document, annotations)
        if any("segments_info" in record for record in document["annotations"][:1]):
            raise CalibrationError(
                f"{annotations} is panoptic: its results have no scores. Name the file of instances."
            )
    elif dataset or folder.config.is_file():
        config = compose_config([f"dataset={dataset}", *overrides]) if dataset else load_config(folder)
        images = build_val(config)
        if images is None:
            raise ConfigError("dataset.val=null leaves no ground truth: name one with --annotations FILE")
        document = images.ground_truth()
    elif not path.exists():
        raise ConfigError(f"{path}: no such file or run folder")
    else:
        raise ConfigError(f"{path} is no run folder: name the ground truth, --annotations FILE or --dataset NAME")
    return read_results(path, document)


def read_beside(path: Path, results: Results) -> Results:
    """Read another result file of the same ground truth."""
    return read_results(path, results.document)


def read_results(path: Path, document: Mapping[str, Any]) -> Results:
    """Read and check a result file of a ground truth."""
    records = read_json(path)
    cure_ids(records)
    check_results(records, document, path)
    return Results(path, records, document)


def choose_split(results: Results, fit: Results | None, seed: int) -> Split:
    """Return halves of the images, or all images of another file for the fit and the rest for the test.

    Raises CalibrationError if an image would be in both.
    """
    images = [image["id"] for image in results.document["images"]]
    if fit is None:
        return split_halves(images, seed)
    if fit.document is results.document:  # two result files of one ground truth
        shared = sorted(fit.image_ids() & results.image_ids())
        of_fit = fit.image_ids()
    else:
        names = {*identify_images(fit.document["images"])}
        of_both = zip(images, identify_images(results.document["images"]), strict=True)
        shared = sorted(image for image, name in of_both if name in names)
        of_fit = {image["id"] for image in fit.document["images"]}
    if shared:
        raise CalibrationError(
            f"{len(shared)} images of {results.path} are also those of the fit, {fit.path}, such as {shared[0]}: a map "
            "that is tested on the images of its fit says nothing. Take --fit half, or results on other images."
        )
    test = images if fit.document is not results.document else [image for image in images if image not in of_fit]
    return Split(tuple(sorted(of_fit)), tuple(sorted(test)))


def choose_task(results: Results, requested: str | None) -> str:
    """Return the task whose overlap decides what is right: that of the user, else boxes before masks."""
    if not results.records:
        raise CalibrationError(
            f"{results.path} holds no detection: there is nothing to calibrate. The model is too weak, or its score "
            "threshold too high: train it longer, or test it from a lower score on, as model.box.score_thresh=0.001"
        )
    present = [task for task in TASKS if any(record.get(FIELDS[task]) for record in results.records)]
    if requested and requested not in present:
        raise CalibrationError(
            f"{results.path} has no {FIELDS[requested]}: {', '.join(present) or 'neither'} can be taken"
        )
    if not present:
        raise CalibrationError(f"{results.path} has no detection with a bbox or a segmentation: nothing to calibrate")
    return requested or present[0]


def calibrate(
    results: Results,
    fit: Results | None,
    choices: Choices,
    *,
    task: str | None = None,
    seed: int = 0,
    draws: int = 200,
    augmented: Sequence[Results] = (),
    compare: Sequence[str] = (),
) -> Fitted:
    """Fit a map on some images and measure it on others.

    fit: results on other images; None: a half of the images fits, the other tests.
    augmented: results on augmented copies of the fit's images, in the coordinates of the originals, for ABTS.
    compare: other methods to fit and measure beside it.
    """
    task = choose_task(results, task)
    split = choose_split(results, fit, seed)
    protocol = guess_protocol(results.document)
    protocol = protocol if protocol == LvisScorer.name else "coco"
    # 1. The detections of both sides.
    source = fit or results
    for part in (results, source, *augmented):
        check_scores([record["score"] for record in part.records], part.path)
    fitting = detect_images(source.document, source.records, split.fit, task, protocol)
    extra = [detect_images(source.document, part.records, split.fit, task, protocol) for part in augmented]
    testing = detect_images(results.document, results.records, split.test, task, protocol)
    # 2. The maps and their measures.
    weights = draw_weights(testing.num_images, draws)
    before = measure(fitting, testing, lambda detections: detections.scores, choices.score_thresh, weights)
    maps, measures = {}, {}
    for method in dict.fromkeys([choices.method, *compare]):
        parts = [fitting, *extra] if method == AUGMENTED else [fitting]
        maps[method] = fit_map(parts, replace(choices, method=method))
        measures[method] = measure(fitting, testing, maps[method], choices.score_thresh, weights)
    # 3. The map that is kept.
    names = class_names(results.document["categories"])
    of_fit = [image for image in source.document["images"] if image["id"] in {*split.fit}]
    calibration = Calibration(
        choices.method, choices.target, task, maps[choices.method], names, frozenset(identify_images(of_fit)), NAME
    )
    after = measures.pop(choices.method)
    counts = len(fitting.detections.scores), len(testing.detections.scores)
    return Fitted(calibration, split, before, after, measures, *counts)


def write_fitted(
    folder: Path, fitted: Fitted, results: Results, fit: Results | None, choices: Choices, seed: int
) -> Path:
    """Write calibration.json and the reliability diagram, and return the path of the first."""
    split, source = fitted.split, fit or results
    record = {
        "choices": asdict(choices),
        "split": {
            "digest": split.digest(),
            "rule": f"fit on {source.path.name}" if fit else f"halves by image id, seed {seed}",
            "fit_images": len(split.fit),
            "test_images": len(split.test),
            "fit_detections": fitted.num_fitted,
            "test_detections": fitted.num_tested,
        },
        "results_sha256": compute_sha256(results.path),
        "measures": describe_measures(fitted.before, fitted.after),
    }
    write_calibration(folder / NAME, fitted.calibration, record)
    atomic_write(folder / DIAGRAM, draw_fitted(fitted, choices))
    return folder / NAME


def draw_fitted(fitted: Fitted, choices: Choices) -> str:
    """Return the reliability of the test images before and after, and after the compared methods."""
    panels = {"raw": fitted.before, choices.method: fitted.after, **fitted.compared}
    return draw_diagram(
        [
            (name, f"D-ECE {measures.values['D-ECE']:.1f}, AP {measures.values['AP']:.1f}", measures.reliability)
            for name, measures in panels.items()
        ]
    )
