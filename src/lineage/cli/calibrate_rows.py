"""`lineage calibrate ROWS.npz`: temperature and BTS of a classifier's softmax rows, measured on the other half."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from lineage.calibration.bin_wise_temperature import fit_row_temperature
from lineage.calibration.calibration_error import Ints
from lineage.calibration.classifier_measures import measure_classifier
from lineage.calibration.logit import Floats
from lineage.calibration.split import CalibrationError
from lineage.results.atomic import atomic_write
from lineage.weights.arrays import FileError, read_arrays

SUFFIX, NAME = ".npz", "calibration_rows.json"
EXPECTED = "numpy.savez(FILE, probabilities=[N, K] rows that sum to 1, labels=[N] right classes from 0)"


def calibrate_rows(path: Path, folder: Path, num_bins: int, seed: int) -> int:
    """Fit on a random half of the rows, print and write the measures of the other half."""
    probabilities, labels = read_rows(path)
    order = np.random.default_rng(seed).permutation(len(labels))
    fit, test = order[: len(order) // 2], order[len(order) // 2 :]
    maps = {"temperature": fit_row_temperature(probabilities[fit], labels[fit]),
            f"bts, {num_bins} bins": fit_row_temperature(probabilities[fit], labels[fit], num_bins)}  # fmt: skip
    rows = {"raw": probabilities[test]} | {name: function(probabilities[test]) for name, function in maps.items()}
    measures = {name: measure_classifier(values, labels[test]) for name, values in rows.items()}
    accuracy = float((probabilities[test].argmax(axis=1) == labels[test]).mean())
    print(
        f"fitted on {len(fit)} rows, measured on {len(test)} others; accuracy {100 * accuracy:.1f} %, whatever the map"
    )
    table = Table("", *measures["raw"], box=None)
    for name, values in measures.items():
        table.add_row(
            name, *(f"{value:.3f}" if key == "NLL" else f"{100 * value:.2f}" for key, value in values.items())
        )
    Console(width=None if sys.stdout.isatty() else 160, markup=False, emoji=False).print(table)
    content = {"seed": seed, "measures": measures,
               "maps": {name: {"edges": function.edges, "temperatures": function.temperatures}
                        for name, function in maps.items()}}  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(folder / NAME, json.dumps(content, indent=1) + "\n")
    print(f"-> {folder / NAME}")
    return 0


def read_rows(path: Path) -> tuple[Floats, Ints]:
    """Read and check rows and labels. Raises CalibrationError."""
    try:
        arrays = read_arrays(path, ("probabilities", "labels"))
    except FileError as error:
        raise CalibrationError(f"{error}. Write it by {EXPECTED}") from error
    probabilities, labels = arrays["probabilities"], arrays["labels"]
    if probabilities.dtype.kind not in "fiu" or labels.dtype.kind not in "iu":
        raise CalibrationError(f"{path}: types {probabilities.dtype} and {labels.dtype}; expected {EXPECTED}")
    probabilities, labels = probabilities.astype(np.float64), labels.astype(np.int64)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or len(labels) < 4:
        raise CalibrationError(f"{path}: shapes {probabilities.shape} and {labels.shape}; expected {EXPECTED}")
    if not (probabilities.min(initial=0) >= 0 and np.abs(probabilities.sum(axis=1) - 1).max() <= 1e-3):
        raise CalibrationError(f"{path}: rows are no probabilities: they have to be 0 or more and sum to 1")
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        raise CalibrationError(
            f"{path}: labels are 0 to {probabilities.shape[1] - 1}, not {labels.min()} to {labels.max()}"
        )
    return probabilities, labels
