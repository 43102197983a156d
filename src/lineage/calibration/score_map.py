"""Methods by name, and the map of a whole detector: one function for all detections, or one for each group of them.

A group is a class, a size, or both. Groups of few detections, such as rare classes of LVIS, share one function, fitted
on all of them together; a class that the fit had no detection of takes it as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lineage.calibration.beta import Beta, fit_beta
from lineage.calibration.bin_wise_temperature import BinWiseTemperature, fit_bin_wise_temperature
from lineage.calibration.histogram import Histogram, fit_histogram
from lineage.calibration.isotonic import Isotonic, fit_isotonic
from lineage.calibration.logit import Floats
from lineage.calibration.platt import Platt, fit_platt
from lineage.calibration.temperature import Temperature, fit_temperature

FEWEST = 20  # detections of a group with a function of its own
SIZES = 3  # groups of size, of equal numbers of detections
GROUPINGS = ("class", "size")

# Of the parameters of maps, as a file holds them.
POSITIVE = ("temperature", "temperatures", "slope", "a", "b")  # or the order of scores would turn round
RISING = ("edges", "starts")
PROBABILITIES = ("values",)
LONGER = {("edges", "values"): 1, ("edges", "temperatures"): 1, ("starts", "values"): 0}  # second list than first


class ScoreMap(Protocol):
    def __call__(self, scores: Floats) -> Floats:
        """Return calibrated scores [N] in [0, 1]."""
        ...


class Method(NamedTuple):
    fit: Callable[..., ScoreMap]  # scores [N], targets [N] -> the map
    kind: Callable[..., ScoreMap]  # parameters -> the map
    has_bins: bool = False


AUGMENTED = "abts"  # the method that is fitted on detections of augmented images as well
METHODS = {
    "temperature": Method(fit_temperature, Temperature),
    "bts": Method(fit_bin_wise_temperature, BinWiseTemperature, has_bins=True),
    "abts": Method(fit_bin_wise_temperature, BinWiseTemperature, has_bins=True),
    "platt": Method(fit_platt, Platt),
    "beta": Method(fit_beta, Beta),
    "isotonic": Method(fit_isotonic, Isotonic),
    "histogram": Method(fit_histogram, Histogram, has_bins=True),
}


class ScoredDetections(NamedTuple):
    """Scores of detections and what groups them: those of a fit, or those that a map is applied to."""

    scores: Floats  # [N] in [0, 1]
    categories: NDArray[np.int64]  # [N] ids
    areas: Floats  # [N] of their boxes, in pixels of the image file


@dataclass(frozen=True, slots=True)
class GroupedMap:
    by: tuple[str, ...]  # of GROUPINGS; () is one group
    area_edges: tuple[float, ...]  # between the groups of size
    functions: Mapping[str, ScoreMap]  # of groups
    rest: ScoreMap  # of all other detections

    def __call__(self, detections: ScoredDetections) -> Floats:
        """Return the calibrated score of each detection."""
        groups = name_groups(detections, self.by, self.area_edges)
        calibrated = self.rest(detections.scores)
        for group in np.unique(groups):
            if group in self.functions:
                rows = groups == group
                calibrated[rows] = self.functions[group](detections.scores[rows])
        return calibrated


def fit_grouped(
    fit: Callable[[Floats, Floats], ScoreMap], detections: ScoredDetections, targets: Floats, by: tuple[str, ...]
) -> GroupedMap:
    """Fit one function, or one for each group of at least FEWEST detections."""
    edges = np.quantile(detections.areas, np.linspace(0, 1, SIZES + 1)[1:-1]) if "size" in by else np.zeros(0)
    area_edges = tuple(edges.tolist())
    if not by:
        return GroupedMap((), area_edges, {}, fit(detections.scores, targets))
    groups = name_groups(detections, by, area_edges)
    names, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
    functions = {
        str(name): fit(detections.scores[inverse == index], targets[inverse == index])
        for index, name in enumerate(names)
        if counts[index] >= FEWEST
    }
    is_rare = counts[inverse] < FEWEST
    rows = is_rare if is_rare.sum() >= FEWEST else np.ones(len(targets), bool)
    return GroupedMap(by, area_edges, functions, fit(detections.scores[rows], targets[rows]))


def name_groups(detections: ScoredDetections, by: tuple[str, ...], area_edges: tuple[float, ...]) -> NDArray[np.str_]:
    """Return [N] the group of each detection: `17` of a class, `size 0` the smallest, `17 size 0`."""
    sizes = np.char.add("size ", np.searchsorted(np.array(area_edges), detections.areas, side="right").astype(str))
    categories = detections.categories.astype(str)
    if by == ("class", "size"):
        return np.char.add(np.char.add(categories, " "), sizes)
    return sizes if by == ("size",) else categories


def build_map(method: str, values: Mapping[str, Any]) -> ScoreMap:
    """Return the map of a method with its parameters. Raises ValueError, TypeError or KeyError for wrong ones."""
    kind = METHODS[method].kind
    are_lists = {field.name: str(field.type).startswith("tuple") for field in fields(kind)}  # type: ignore[arg-type]
    parameters = {name: _read(name, values[name], is_list) for name, is_list in are_lists.items()}
    for (first, second), longer in LONGER.items():
        if first in parameters and second in parameters:
            lengths = len(parameters[first]), len(parameters[second])  # type: ignore[arg-type]
            if lengths[1] != lengths[0] + longer or not lengths[1]:
                raise ValueError(f"{lengths[0]} {first} and {lengths[1]} {second}")
    return kind(**parameters)


def _read(name: str, value: Any, is_list: bool) -> float | tuple[float, ...]:
    """Return a parameter, or the parameters of a list."""
    numbers = read_numbers(value if is_list else [value])
    if name in POSITIVE and not all(number > 0 for number in numbers):
        raise ValueError(f"{name} is above 0")
    if name in PROBABILITIES and not all(0 <= number <= 1 for number in numbers):
        raise ValueError(f"{name} are 0 to 1")
    if name in RISING and any(low > high for low, high in pairwise(numbers)):
        raise ValueError(f"{name} rise")
    return numbers if is_list else numbers[0]


def read_numbers(values: Any) -> tuple[float, ...]:
    """Return a list of finite numbers. Raises TypeError or ValueError for anything else."""
    if not isinstance(values, list) or any(isinstance(value, bool) for value in values):
        raise TypeError(f"{values!r:.60} is no list of numbers")
    numbers = tuple(float(value) for value in values if isinstance(value, int | float))
    if len(numbers) < len(values) or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{values!r:.60} are no finite numbers")
    return numbers
