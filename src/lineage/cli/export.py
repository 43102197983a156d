"""`lineage export WEIGHTS OUT.onnx|OUT.pt2`: a trained model as one file that runs without this package.

The size of the image is fixed, so are the numbers of detections. The file is run on several images beside the model it
came from before it counts as written, and a JSON file beside it says what goes in and what comes out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from onnxruntime import InferenceSession
from torch import Tensor, nn
from torch.onnx import OnnxExporterError

from lineage.data.shapes.dataset import Shapes
from lineage.models.export import onnx
from lineage.models.export.program import Detector, ExportError, fields, named, seen, without_own_operators
from lineage.models.export.verify import CHECKED, TOLERANCE, Checked, Run, compare
from lineage.results import paths
from lineage.results.atomic import atomic_path, atomic_write
from lineage.run.restore import Restored, restore
from lineage.weights.readers import digest

REGIONS = 64  # given ones of an image
MULTIPLE = 32
KINDS = (".onnx", ".pt2")
GIVEN = {
    "pixels": {"order": "RGB", "padding": "content at the top left, zeros beyond"},
    "sizes": {"meaning": "height and width of the content"},
    "proposals": {"meaning": "x1, y1, x2, y2 in input pixels, best first; an empty slot is zero"},
}
MEANING = {
    "boxes": "x1, y1, x2, y2 in input pixels; divide by size / original size for the file's",
    "scores": "falling",
    "labels": "index into classes",
    "valid": "whether the slot holds a detection; the others are zero",
    "masks": "probabilities inside the box: paste, resized bilinearly, and cut at 0.5",
    "keypoints": "x, y in input pixels (pixel centres at .5), score",
    "semantic": "logits per class at a quarter of the input's size",
}


def main(argv: list[str]) -> int:
    args = parse(argv)
    restored = restore(args.weights, args.overrides, args.results, args.classes)
    size = args.size or canvas(restored.config)
    draw = partial(images, size, args.batch, args.proposals or regions(restored.config))
    inputs = draw(0)
    names = outputs(restored.model, inputs)
    with atomic_path(args.out) as unchecked:
        run = written(restored.model, unchecked, inputs, names)
        checked = compare(Detector(restored.model), run, draw, names, args.tolerance)
    beside = args.out.with_name(f"{args.out.name}.json")
    atomic_write(beside, json.dumps(card(args.out, restored, inputs, names, checked), indent=1) + "\n")
    print(f"{args.out}: {', '.join(told(one) for one in inputs)} -> {', '.join(names)}")
    largest = max(checked.differs.values())
    print(f"equal to the model on {CHECKED} images: labels are the same, numbers differ by {largest:.1e}")
    if checked.doubtful:
        print(f"left out: {checked.doubtful} images on which rounding decides what the model itself finds")
    print(f"what goes in and out: {beside}")
    return 0


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lineage export", description=__doc__)
    parser.add_argument("weights", help="run folder, entry, file, URL or torchvision weight")
    parser.add_argument("out", type=Path, help="a new file: .onnx, or .pt2 (torch.export)")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="of the config, as for train.py")
    parser.add_argument("--size", type=extent, metavar="HxW", help="of the image (default: the run's)")
    parser.add_argument("--proposals", type=int, default=0, help="given regions of an image (default: the run's)")
    parser.add_argument("--batch", type=int, default=1, help="images at once (%(default)s)")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="relative, of the check (%(default)s)")
    parser.add_argument("--classes", help="names: a,b,c, a text file, or a JSON file with COCO's categories")
    parser.add_argument("--results", type=Path, default=paths.results(), help="the store of entries (%(default)s)")
    args = parser.parse_intermixed_args(argv)
    if args.out.suffix not in KINDS:
        parser.error(f"{args.out}: the suffix says the kind of file: {' or '.join(KINDS)}")
    if args.batch < 1:
        parser.error("--batch is 1 or more")
    return args


def extent(text: str) -> tuple[int, int]:
    height, cross, width = text.partition("x")
    if not (cross and height.isdigit() and width.isdigit() and min(int(height), int(width)) >= MULTIPLE):
        raise argparse.ArgumentTypeError(f"{text!r} is not HEIGHTxWIDTH in pixels, each {MULTIPLE} or more")
    return int(height), int(width)


def canvas(config: DictConfig) -> tuple[int, int]:
    """What the test transform makes at most, lying; images that it leaves alone are as the dataset says."""
    test, drawn = config.augment.test, OmegaConf.select(config, "dataset.size")
    if "max_size" in test:
        height, width = max(test.sizes), test.max_size
    elif drawn and all(isinstance(side, int) for side in drawn):
        height, width = drawn
    else:
        raise ExportError("the size of the images is not known from the config: give --size HEIGHTxWIDTH")
    return -(-height // MULTIPLE) * MULTIPLE, -(-width // MULTIPLE) * MULTIPLE


def regions(config: DictConfig) -> int:
    """Of a model that takes regions which were made before: how many of an image; else 0."""
    proposals = config.get("proposals")
    return int(proposals.top_k.val) if proposals and proposals.get("val") is not None else 0


def images(size: tuple[int, int], batch: int, proposals: int, seed: int) -> tuple[Tensor, ...]:
    """Drawn scenes of the full size, so that there is something to detect; some regions, the other slots empty.

    Of many regions RoI pooling would round two to the same pixels, and which of equal scores is the first is nobody's.
    """
    scenes = Shapes(seed=1000 + seed, length=batch, size=[size])
    pixels = torch.stack([scenes[i].image.as_subclass(Tensor) for i in range(batch)]).contiguous()
    sizes = torch.tensor([size] * batch, dtype=torch.float32)
    if not proposals:
        return pixels, sizes
    corners = torch.rand(batch, proposals, 2, 2, generator=torch.Generator().manual_seed(seed)).sort(2).values
    corners[:, REGIONS:] = 0
    return pixels, sizes, (corners * sizes.flip(-1)[:, None, None]).flatten(2)


def outputs(model: nn.Module, inputs: Sequence[Tensor]) -> list[str]:
    with torch.no_grad():
        return [name for name, _ in fields(model.detect(seen(*inputs)))]


def told(value: Tensor) -> str:
    return f"{' x '.join(map(str, value.shape))} {str(value.dtype).removeprefix('torch.')}"


@torch.no_grad()
def written(model: nn.Module, path: Path, inputs: tuple[Tensor, ...], names: Sequence[str]) -> Run:
    """The file, and how to run it from there."""
    detector = Detector(model).eval()
    if path.suffix == ".onnx":
        graph = captured(detector, inputs)
        try:
            onnx.write(graph, path, list(named(inputs)), names)
        except OnnxExporterError as error:
            raise ExportError(f"ONNX cannot express this model: {_cause(error)}\nA .pt2 file can.") from error
        session = onnx.session(path)
        return partial(_answer, session)
    with without_own_operators():
        torch.export.save(captured(detector, inputs), path)
    program: Run = torch.export.load(path).module()
    return program


def _answer(session: InferenceSession, *inputs: Tensor) -> list[Tensor]:
    arrays = {name: value.numpy() for name, value in named(inputs).items()}
    return [torch.from_numpy(np.asarray(value)) for value in onnx.run(session, arrays)]


def _cause(error: BaseException) -> str:
    """The exporter wraps the one line that says something in pages that do not."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().partition("\n")[0]


def captured(detector: Detector, inputs: tuple[Tensor, ...]) -> torch.export.ExportedProgram:
    try:
        return torch.export.export(detector, inputs, strict=False)
    except Exception as error:  # any of dozens: what matters is which line of the model it was
        reason = str(error).strip().partition("\n")[0]
        raise ExportError(f"this model cannot be captured as one program: {type(error).__name__}: {reason}") from error


def card(
    path: Path, restored: Restored, inputs: tuple[Tensor, ...], names: Sequence[str], checked: Checked
) -> dict[str, Any]:
    """What another program has to know."""
    backbone, test = restored.config.backbone, restored.config.augment.test
    with torch.no_grad():
        shapes = {name: value for name, value in zip(names, Detector(restored.model)(*inputs), strict=True)}
    resize = {key: list(test[key]) if key == "sizes" else test[key] for key in ("sizes", "max_size") if key in test}
    return {
        "file": path.name,
        "sha256": digest(path),
        "format": "onnx" if path.suffix == ".onnx" else "torch.export",
        "weights": restored.source,
        "inputs": [
            {"name": name, "shape": list(value.shape), "type": str(value.dtype).removeprefix("torch.")} | GIVEN[name]
            for name, value in named(inputs).items()
        ],
        "fixed_size": True,
        "resize": resize or None,  # the shorter side to `sizes`, the longer at most `max_size`
        "inside": {"mean": list(backbone.get("mean", ())), "std": list(backbone.get("std", ()))},
        "outputs": [
            {"name": name, "shape": list(value.shape), "type": str(value.dtype).removeprefix("torch."),
             "meaning": MEANING[name]}
            for name, value in shapes.items()
        ],
        "classes": list(restored.meta.classes),
        "category_ids": list(restored.meta.category_ids),
        "checked": {"images": CHECKED, "doubtful": checked.doubtful, "largest_difference": checked.differs},
    }  # fmt: skip
