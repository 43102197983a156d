"""Export a trained model to a file, verify the file beside the model, and describe its inputs and outputs.

The file gets its name only after it has been verified. A JSON file beside it holds what a program that uses it needs.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from torch.export import ExportedProgram

from lineage.calibration.calibration_file import Calibration
from lineage.data.collate import choose_canvas
from lineage.data.shapes.dataset import Shapes
from lineage.models.export import standalone
from lineage.models.export.onnx import load_onnx, write_onnx
from lineage.models.export.program import (
    ExportableDetector,
    ExportError,
    capture,
    find_smallest_side,
    name_inputs,
    name_outputs,
    replace_own_operators,
    vary_size,
)
from lineage.models.export.verify import REQUIRED_IMAGES, DrawInputs, Run, Verification, verify
from lineage.results.atomic import atomic_path, atomic_write
from lineage.results.file_digest import compute_sha256
from lineage.run.inference.calibrated_model import CalibratedModel
from lineage.run.restore import Restored
from lineage.run.task import check_detector

USED_PROPOSALS = 64  # of an image in the check; see draw_inputs
SIZE_DIVISIBILITY = 32
EXAMPLE_SIZE = (192, 256)  # of a file for any size: larger than the stride of the coarsest map
SUFFIXES = (".onnx", ".pt2")
INPUT_FACTS = {
    "pixels": {"order": "RGB", "padding": "content at the top left, zeros beyond"},
    "sizes": {"meaning": "height and width of the content"},
    "proposals": {"meaning": "x1, y1, x2, y2 in input pixels, best first; an empty slot is zero"},
}
OUTPUT_MEANINGS = {
    "boxes": "x1, y1, x2, y2 in input pixels; divide by size / original size for the file's",
    "scores": "falling",
    "labels": "index into classes",
    "valid": "whether the slot holds a detection; the others are zero",
    "masks": "probabilities inside the box: paste, resized bilinearly, and cut at 0.5",
    "keypoints": "x, y in input pixels (pixel centres at .5), score",
    "semantic": "logits per class at a quarter of the input's size",
}
CALIBRATED_MEANINGS = {
    "precision": "calibrated: the probability that the detection is right; slots stay in the order of the raw scores",
    "iou": "calibrated: the expected overlap with an object; slots stay in the order of the raw scores",
}
OTHER_MEANING = "output of the model's own heads"  # of names in Detections.extra


@dataclass(frozen=True, slots=True)
class Export:
    """A file that was written, and the result of its verification."""

    inputs: tuple[Tensor, ...]  # an example
    outputs: list[str]
    verification: Verification
    description: Path  # the JSON file
    script: Path  # detects in pictures with the file
    leaves_out_views: bool  # the model has test-time augmentation, the file has not
    any_size: bool


def export_model(
    restored: Restored,
    path: Path,
    *,
    size: tuple[int, int] | None,
    any_size: bool,
    batch: int,
    proposals: int,
    tolerance: float,
    calibration: Calibration | None = None,
) -> Export:
    """Write a model to an .onnx or .pt2 file.

    size: height and width of the input, see choose_size.
    any_size: the file takes any batch, and any size that the model's divisibility divides, as prediction makes them.
    proposals: slots of precomputed proposals per image; 0: as in the config.
    tolerance: relative difference that the verification accepts.
    calibration: the scores of the file are calibrated by this map.
    Raises ExportError if the model cannot be exported, or if the file computes something else.
    """
    check_detector(restored.model, "export")
    restored = calibrate_scores(restored, calibration)
    slots, divisibility = proposals or count_proposals(restored.config), restored.canvas.size_divisibility
    draw: DrawInputs
    if any_size:
        check_any_size(slots)
        draw, dynamic_shapes = draw_both_orientations, vary_size(divisibility)
    else:
        draw, dynamic_shapes = partial(draw_inputs, choose_size(restored, size), batch, slots), None
    inputs = draw(0)
    outputs = name_outputs(restored.model, inputs)
    detector = ExportableDetector(restored.model).eval()
    with atomic_path(path) as unverified:
        unverified.touch()  # else a place that takes no files is noticed after minutes, and torch does not name it
        program = capture(detector, inputs, dynamic_shapes)
        run = write_program(program, unverified, inputs, outputs)
        verification = verify(detector, run, draw, outputs, tolerance)
    description = path.with_name(f"{path.name}.json")
    content = describe_calibration(describe(path, restored, inputs, outputs, verification), calibration)
    if any_size:
        content |= describe_any_size(program, divisibility)
    atomic_write(description, json.dumps(content, indent=1) + "\n")
    script = path.with_name(f"{path.name}.py")
    atomic_write(script, Path(standalone.__file__).read_text(encoding="utf-8"))
    return Export(inputs, outputs, verification, description, script, bool(restored.config.get("tta")), any_size)


def calibrate_scores(restored: Restored, calibration: Calibration | None) -> Restored:
    """Return the model with calibrated scores; without a calibration, as it is."""
    if calibration is None:
        return restored
    calibration.check_classes(restored.meta.categories())
    return replace(restored, model=CalibratedModel(restored.model, calibration, restored.meta.category_ids).eval())


def describe_calibration(content: dict[str, Any], calibration: Calibration | None) -> dict[str, Any]:
    """Return a description that says how its scores are calibrated, if they are."""
    if calibration is None:
        return content
    scores = next(output for output in content["outputs"] if output["name"] == "scores")
    scores["meaning"] = CALIBRATED_MEANINGS[calibration.target]
    return content | {"calibration": {"method": calibration.method, "target": calibration.target}}


def describe_any_size(program: ExportedProgram, multiple: int) -> dict[str, Any]:
    """Return the sizes that a program of any size takes."""
    sizes = {"fixed_size": False, "size_divisibility": multiple, "smallest_size": find_smallest_side(program)}
    return sizes | {"shapes": "of an example: batch, height and width vary"}


def check_any_size(proposals: int) -> None:
    """Raise ExportError if the model cannot be of any size."""
    if proposals:
        raise ExportError("a model that reads proposals is exported at one size: leave --size any out")


def draw_both_orientations(seed: int) -> tuple[Tensor, ...]:
    """Draw inputs of several batches and sizes: two landscapes, a portrait, two landscapes, ..."""
    height, width = EXAMPLE_SIZE
    return draw_inputs((width, height), 1, 0, seed) if seed % 2 else draw_inputs((height, width), 2, 0, seed)


def choose_size(restored: Restored, size: tuple[int, int] | None) -> tuple[int, int]:
    """Return the canvas of one size, multiples of the model's divisibility; None: the largest of the test transform."""
    return choose_canvas([size or input_size(restored.config)], restored.canvas.size_divisibility)


def input_size(config: DictConfig) -> tuple[int, int]:
    """Return the largest landscape size that the test transform makes; without resizing, that of the dataset."""
    test, dataset_size = config.augment.test, OmegaConf.select(config, "dataset.size")
    if "max_size" in test:
        height, width = max(test.sizes), test.max_size
    elif dataset_size and all(isinstance(side, int) for side in dataset_size):
        height, width = dataset_size
    else:
        raise ExportError("the size of the images is not known from the config: give --size HEIGHTxWIDTH")
    return -(-height // SIZE_DIVISIBILITY) * SIZE_DIVISIBILITY, -(-width // SIZE_DIVISIBILITY) * SIZE_DIVISIBILITY


def count_proposals(config: DictConfig) -> int:
    """Return the number of proposals per image, if the model takes precomputed ones; else 0."""
    proposals = config.get("proposals")
    return int(proposals.top_k.val) if proposals and proposals.get("val") is not None else 0


def draw_inputs(size: tuple[int, int], batch: int, proposals: int, seed: int) -> tuple[Tensor, ...]:
    """Draw scenes with objects, of the full size, and proposals if the model takes them.

    At most USED_PROPOSALS slots are used: with more, RoI pooling rounds two to the same pixels, their scores tie, and
    the order of ties is undefined.
    """
    scenes = Shapes(seed=1000 + seed, length=batch, size=[size])
    pixels = torch.stack([scenes[i].image.as_subclass(Tensor) for i in range(batch)]).contiguous()
    sizes = torch.tensor([size] * batch, dtype=torch.float32)
    if not proposals:
        return pixels, sizes
    corners = torch.rand(batch, proposals, 2, 2, generator=torch.Generator().manual_seed(seed)).sort(2).values
    corners[:, USED_PROPOSALS:] = 0
    return pixels, sizes, (corners * sizes.flip(-1)[:, None, None]).flatten(2)


@torch.no_grad()
def write_program(program: ExportedProgram, path: Path, inputs: tuple[Tensor, ...], outputs: Sequence[str]) -> Run:
    """Write the file; return a function that runs it."""
    if path.suffix == ".onnx":
        write_onnx(program, path, list(name_inputs(inputs)), outputs)
        return load_onnx(path)
    logging.getLogger("torch._export.serde.serialize").addFilter(is_useful)
    torch.export.save(replace_own_operators(program), path)
    run: Run = torch.export.load(path).module()
    return run


def describe(
    path: Path,
    restored: Restored,
    inputs: tuple[Tensor, ...],
    outputs: Sequence[str],
    verification: Verification,
) -> dict[str, Any]:
    """Return what a program that uses the file needs: shapes, types, resizing, classes."""
    backbone, test = restored.config.backbone, restored.config.augment.test
    with torch.no_grad():
        values = dict(zip(outputs, ExportableDetector(restored.model)(*inputs), strict=True))
    resize = {key: list(test[key]) if key == "sizes" else test[key] for key in ("sizes", "max_size") if key in test}
    return {
        "file": path.name,
        "sha256": compute_sha256(path),
        "format": "onnx" if path.suffix == ".onnx" else "torch.export",
        "weights": restored.source,
        "inputs": [_describe_tensor(name, value) | INPUT_FACTS[name] for name, value in name_inputs(inputs).items()],
        "fixed_size": True,
        "resize": resize or None,  # the shorter side to `sizes`, the longer at most `max_size`
        "inside": {"mean": list(backbone.get("mean", ())), "std": list(backbone.get("std", ()))},
        "outputs": [
            _describe_tensor(name, value) | {"meaning": OUTPUT_MEANINGS.get(name, OTHER_MEANING)}
            for name, value in values.items()
        ],
        "classes": list(restored.meta.classes),
        "category_ids": list(restored.meta.category_ids),
        "checked": {
            "images": REQUIRED_IMAGES,
            "doubtful": verification.uncertain_images,
            "largest_difference": verification.max_difference,
        },
    }


def _describe_tensor(name: str, value: Tensor) -> dict[str, Any]:
    return {"name": name, "shape": list(value.shape), "type": str(value.dtype).removeprefix("torch.")}


def is_useful(record: logging.LogRecord) -> bool:
    """Return whether a warning of torch.export.save is not that of empty lists, about which nobody can do anything."""
    return "Unsure how to serialize the given empty list" not in str(record.msg)
