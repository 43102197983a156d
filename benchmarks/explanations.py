"""CPU seconds of one thread that each method and each measure takes to explain one detection.

Two networks with random weights, whose time does not depend on what they have learned: the mini Mask R-CNN of the
tables at 128 x 128 pixels, and Mask R-CNN with ResNet-50 and FPN at 800 x 1088. Each cell is the median of `--repeats`
runs of the small network, and one run of the large one. A method of several evaluations is run in full on the small
one; on the large one in part, and scaled by their number: SmoothGrad 2 of 25 gradients, integrated gradients 2 of 32,
D-RISE 2 of 500 masks, deletion with insertion and ROAD 2 detections of 22 and 18, sensitivity-n 2 of 100 scores.
D-RISE's masks serve all detections of a picture together. Correlations are with the map of the second class and with
those of four networks with random weights.

Writes benchmarks/results/explanations.md. Run: python benchmarks/explanations.py [--repeats 3]
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1"}  # before torch reads it

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor

import lineage.config.schema  # noqa: F401  (registers the schema)
from lineage.explain.d_rise import explain_by_masks
from lineage.explain.deletion import score_of_detection
from lineage.explain.dependence import Dependence
from lineage.explain.detectors import RegionDetector, adapt_detector, find_normalization
from lineage.explain.effects import REMOVAL, ROAD, SENSITIVITY, EffectsOfDetection
from lineage.explain.gradients import map_integrated_gradients, map_smooth_grad
from lineage.explain.methods import D_RISE, METHODS, explain
from lineage.explain.road import SHARES, impute
from lineage.explain.sensitivity import measure_losses
from lineage.explain.targets import DetectionOutput, class_logit
from lineage.models.roi_heads.postprocess import reorder
from lineage.structures import Images

ROOT = Path(__file__).parents[1]
SMALL = ("model=mask_rcnn", "tier=mini", "dataset.classes=3")
LARGE = ("model=mask_rcnn", "tier=paper", "dataset=coco", "dataset.classes=80", "backbone.weights=later")
MASKS, GRADIENTS = 500, {"smooth_grad": 25, "integrated_gradients": 32}
Cost = Callable[[], Any]


def build(options: tuple[str, ...], height: int, width: int) -> tuple[RegionDetector, Images]:
    """Return a detector with random weights and one image of noise of low frequency."""
    torch.manual_seed(0)
    with initialize_config_dir(str(ROOT / "conf"), version_base=None):
        model = instantiate(compose("train", overrides=list(options)).model, _convert_="all")
    pixels = torch.randint(0, 256, (1, 3, height // 16, width // 16)).float()
    pixels = torch.nn.functional.interpolate(pixels, size=(height, width), mode="bilinear").to(torch.uint8)
    images = Images(pixels, torch.tensor([[float(height), float(width)]]), torch.zeros(1, dtype=torch.int64))
    return adapt_detector(model.eval().requires_grad_(False)), images


def measure(cost: Cost, repeats: int) -> float:
    """Return the median CPU seconds of a call."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        cost()
        seconds.append(time.process_time() - start)
    return median(seconds)


def list_costs(detector: RegionDetector, images: Images, *, in_full: bool) -> dict[str, tuple[Cost, float]]:
    """Return what is run for each row, and the factor from it to the whole."""
    detections, regions = detector.detect(images)
    output = DetectionOutput(detector, images, regions[0], class_logit)
    own = reorder(detections, torch.tensor([[0]]))
    baseline = find_normalization(detector.model).mean.expand_as(images.pixels)
    masks = MASKS if in_full else 2

    def draw(name: str) -> tuple[Cost, float]:
        if name == D_RISE:
            return lambda: explain_by_masks(detector.detect_boxes, images, own, baseline, masks=masks), MASKS / masks
        if name == "smooth_grad" and not in_full:
            return lambda: map_smooth_grad(output, samples=2), GRADIENTS[name] / 2
        if name == "integrated_gradients" and not in_full:
            return lambda: map_integrated_gradients(output, steps=2), GRADIENTS[name] / 2
        return lambda: explain(output, [name]), 1.0

    costs: dict[str, tuple[Cost, float]] = {"detections of the image": (lambda: detector.detect(images), 1.0)}
    costs |= {f"`{name}`": draw(name) for name in METHODS}
    if in_full:
        heatmap = explain(output, ["odam"])["odam"]
        effects = EffectsOfDetection(detector, images, detections, 0, output)
        names = {"deletion and insertion": REMOVAL, "ROAD": ROAD, "sensitivity-n": SENSITIVITY}
        costs |= {row: ((lambda name=name: effects.measure(heatmap, [name])), 1.0) for row, name in names.items()}
        dependence = Dependence(detector, "odam")
        return costs | {"correlations of `odam`": (lambda: dependence.measure(images, regions[0]), 1.0)}
    score = score_of_detection(detector.detect_boxes, images, detections, 0)
    height, width = images.pixels.shape[-2:]
    subsets = torch.zeros(2, height, width, dtype=torch.bool)
    removed = torch.rand(height, width) < 0.5

    def copies() -> Iterator[Tensor]:
        return (output.pixels for _ in range(2))

    def fill_and_score() -> None:
        impute(output.pixels[0], removed, torch.zeros_like(output.pixels[0]))
        score(iter([output.pixels]))

    return costs | {
        "deletion and insertion": (lambda: score(copies()), 11.0),
        "ROAD": (fill_and_score, 2.0 * len(SHARES)),
        "sensitivity-n": (lambda: measure_losses(output, subsets), 50.0),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    columns = []
    for options, height, width, in_full in ((SMALL, 128, 128, True), (LARGE, 800, 1088, False)):
        costs = list_costs(*build(options, height, width), in_full=in_full)
        column = {}
        for name, (cost, factor) in costs.items():
            column[name] = factor * measure(cost, args.repeats if in_full else 1)
            print(f"{height} x {width}  {name}: {column[name]:.3f} CPU s", flush=True)
        columns.append(column)
    small, large = columns
    rows = [f"| {name} | {seconds:.3f} | {f'{large[name]:.1f}' if name in large else ''} |"
            for name, seconds in small.items()]  # fmt: skip
    table = "\n".join(("| one detection | mini, 128 x 128 | R50-FPN, 800 x 1088 |", "| --- | --- | --- |", *rows))
    machine = f"torch {torch.__version__}, on {platform.machine()}, one thread"
    (ROOT / "benchmarks" / "results" / "explanations.md").write_text(
        f"{(__doc__ or '').strip()}\n\n{table}\n\n{machine}\n"
    )


if __name__ == "__main__":
    main()
