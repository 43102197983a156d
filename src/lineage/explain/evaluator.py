"""Evaluator that also judges the maps of a method: rows of a table then compare methods on one checkpoint.

Of the first images of a dataset the best detections are explained, and each measure is a mean over these detections.

place       pointing_box, pointing_mask, energy_box, energy_mask: peaks and energy in the detection's own box and mask;
            ODI: energy in the other explained ones (pointing.py)
removal     deletion, insertion (deletion.py)
road        ROAD (road.py)
sensitivity sensitivity_n (sensitivity.py)
dependence  class_correlation; of random weights from the top down to there: head_correlation, neck_correlation,
            upper_body_correlation, model_correlation (dependence.py)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lineage.eval.evaluator import Evaluator, Scorer, make_evaluator
from lineage.eval.predictions.gather import gather_rows
from lineage.eval.scores import nan_mean
from lineage.explain import road, sensitivity
from lineage.explain.d_rise import CELLS
from lineage.explain.dependence import Dependence
from lineage.explain.detectors import adapt_detector
from lineage.explain.effects import EFFECTS, STEPS
from lineage.explain.explain_image import Request, choose_slots, explain_image
from lineage.explain.explained_image import describe_methods
from lineage.explain.methods import ALIASES, BASELINES, D_RISE, METHODS, UnknownMethod
from lineage.explain.targets import parse_target
from lineage.explain.variants import select_image
from lineage.structures import Batch, Detections

PLACE, DEPENDENCE = "place", "dependence"
MEASURES = (PLACE, *EFFECTS, DEPENDENCE)
*SMALLER, LARGEST = (f"{100 * share:g}" for share in sensitivity.SHARES)
RULES = {  # of this version, hashed into the protocol: maps by other rules are not comparable
    "regions": "constant",
    "layer": "the level that the region was read from",
    "d_rise": f"{CELLS} x {CELLS} cells, IoU x cosine",
    "correlation": "Spearman, in the box, before the ReLU",
    "removed": f"as many pixels as the box has, in {STEPS} steps",
    "road": f"{100 * road.SHARES[0]:g} to {100 * road.SHARES[-1]:g} % of the image",
    "sensitivity": f"{sensitivity.SUBSETS} subsets each of {', '.join(SMALLER)} and {LARGEST} % of the image",
}
NAMES = {  # measure of a map -> metric, in percent
    "points_into_box": "pointing_box", "points_into_mask": "pointing_mask", "energy_in_box": "energy_box",
    "energy_in_mask": "energy_mask", "odi": "ODI", "deletion": "deletion", "insertion": "insertion",
    "road": "ROAD", "sensitivity_n": "sensitivity_n", "class": "class_correlation", "head": "head_correlation",
    "neck": "neck_correlation", "upper_body": "upper_body_correlation", "model": "model_correlation",
}  # fmt: skip


class ExplainedDataset(Protocol):
    """The part of a dataset that is read here, by its scorer as well."""

    @property
    def meta(self) -> Any: ...

    @property
    def ids(self) -> Tensor: ...  # [len] int64

    def ground_truth(self) -> dict[str, Any]: ...


class CanvasImage(NamedTuple):
    """An image named by its id, with the pixels of the canvas."""

    name: str
    pixels: NDArray[np.uint8]


class ExplanationEvaluator:
    """Evaluator of a dataset that adds `explain/...`, measures of one method's maps."""

    def __init__(
        self,
        *,
        dataset: ExplainedDataset,
        evaluator: Callable[..., Scorer | Evaluator],
        method: str,
        measures: Sequence[str],
        target: str,
        images: int,
        detections: int,
        score_thresh: float,
        masks: int,
    ) -> None:
        """Prepare the ground truth.

        evaluator: of the detections themselves.
        measures: of MEASURES. target: the scalar, see targets.py.
        images, detections: the first images, and the best detections of each from `score_thresh` on.
        masks: number of D-RISE's.
        """
        self.evaluator = make_evaluator(evaluator, dataset)
        self.method = check_method(ALIASES.get(method, method), measures)
        parse_target(target)
        self.measures, self.meta = tuple(measures), dataset.meta
        effects = [name for name in EFFECTS if name in measures]
        self.request = Request([self.method], target, (), detections, score_thresh, masks, effects)
        self.images = frozenset(dataset.ids[:images].tolist())
        self.model: nn.Module | None = None
        self._rows: list[dict[str, float]] = []
        self._dependence: Dependence | None = None  # of the weights of this evaluation

    @property
    def protocol(self) -> dict[str, Any]:
        """Return the rules of both parts; the method is what rows of a table differ in, and no rule."""
        rules = {
            "measures": list(self.measures), "target": self.request.target, "images": len(self.images),
            "detections": self.request.count, "score_thresh": self.request.score_thresh, **RULES,
        }  # fmt: skip
        return {**self.evaluator.protocol, "explanation": rules}

    @property
    def scorer(self) -> Any:
        """Return the rules of the detections' scores, None if their evaluator has none."""
        return getattr(self.evaluator, "scorer", None)

    @property
    def added_metrics(self) -> list[str]:
        """Return the metrics that it may compute beside those of the scorer; which of them, the measures decide."""
        names = (*NAMES.values(), "seconds", "detections")
        return [*getattr(self.evaluator, "added_metrics", ()), *(f"explain/{name}" for name in names)]

    def read_model(self, model: nn.Module) -> None:
        """Take the model whose detections are explained. Raises UnsupportedModel."""
        adapt_detector(model)
        self.model = model

    def check_outputs(self, detections: Detections) -> None:
        self.evaluator.check_outputs(detections)

    def update(self, detections: Detections, batch: Batch) -> None:
        self.evaluator.update(detections, batch)
        for index, number in enumerate(batch.ids.tolist()):
            if number in self.images:
                self._rows += self._explain(select_image(batch, index))

    def compute(self) -> dict[str, float]:
        """Return the metrics of the detections and of the maps, over the images of all processes."""
        metrics = self.evaluator.compute()
        own = np.array([[row.get(name, np.nan) for name in (*NAMES, "seconds")] for row in self._rows])
        self._rows, self._dependence = [], None
        (rows,) = gather_rows([own.reshape(-1, len(NAMES) + 1)])
        means = {name: 100 * nan_mean(column) for name, column in zip(NAMES, rows.T, strict=False)}
        maps = {f"explain/{NAMES[name]}": value for name, value in means.items() if not np.isnan(value)}
        costs = {"explain/seconds": nan_mean(rows[:, -1]), "explain/detections": float(len(rows))}
        return {**metrics, **maps, **costs}

    def per_class(self) -> dict[str, dict[str, float]]:
        return self.evaluator.per_class()

    def results(self) -> list[dict[str, Any]]:
        return self.evaluator.results()

    @torch.inference_mode(False)
    @torch.enable_grad()
    def _explain(self, batch: Batch) -> list[dict[str, float]]:
        """Return the measures of each explained detection of one image."""
        assert self.model is not None, "read_model comes before update"
        detector = adapt_detector(self.model)
        batch = copy_batch(batch)
        picture = CanvasImage(str(batch.ids.item()), batch.images.pixels[0].permute(1, 2, 0).cpu().numpy())
        explained = explain_image(detector, batch, picture, self.meta, self.request)
        rows = [dict(describe_methods(detection, explained.detections)[self.method])
                for detection in explained.detections]  # fmt: skip
        if DEPENDENCE in self.measures:
            self._dependence = self._dependence or Dependence(detector, self.method)
            detections, regions = detector.detect(batch.images)
            for row, slot in zip(rows, choose_slots(detections, self.request, picture.name), strict=True):
                row |= self._dependence.measure(batch.images, regions[slot])
        return [keep_numbers(row) for row in rows]


def check_method(name: str, measures: Sequence[str]) -> str:
    """Return the name of a method for which these measures are defined. Raises UnknownMethod."""
    if name not in (*METHODS, *BASELINES):
        raise UnknownMethod(f"method {name!r} is unknown; choose one of {', '.join((*METHODS, *BASELINES))}")
    if unknown := [measure for measure in measures if measure not in MEASURES]:
        raise UnknownMethod(f"measure {unknown[0]!r} is unknown; choose of {', '.join(MEASURES)}")
    if name == D_RISE and DEPENDENCE in measures:
        raise UnknownMethod(f"{D_RISE} explains a detection, not a class of a region: leave out {DEPENDENCE}")
    return name


def copy_batch(batch: Batch) -> Batch:
    """Return a batch whose image tensors are fit for autograd; those of Lightning's evaluation may not be."""
    images = batch.images
    copied = images._replace(
        pixels=images.pixels.clone(), sizes=images.sizes.clone(), rng_keys=images.rng_keys.clone(),
        proposals=None if images.proposals is None else type(images.proposals)(*map(torch.clone, images.proposals)),
    )  # fmt: skip
    return batch._replace(images=copied, ids=batch.ids.clone(), original_sizes=batch.original_sizes.clone())


def keep_numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the values of a row that are numbers."""
    return {name: float(value) for name, value in row.items() if isinstance(value, int | float)}
