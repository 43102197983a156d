"""Detect objects in pictures with the model beside this file: python MODEL.onnx.py PICTURE ... [--out FILE]

`lineage export` leaves a copy of this script beside each model. It needs numpy and Pillow, and onnxruntime for .onnx or
torch and torchvision for .pt2; lineage is not imported. It writes COCO results: image_id, category_id, score, bbox and,
where the model predicts them, segmentation (RLE) and keypoints, in pixels of the picture.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

Array = NDArray[Any]
Size = tuple[int, int]  # height, width
LARGEST = 2**20  # pixels of a side
HALF = 0.5  # probability from which on a pixel belongs to a mask


class UnfitPictureError(ValueError):
    """A picture that the model cannot take; the message says what to do."""


def main(argv: Sequence[str]) -> int:
    """Write the detections of all pictures; return 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="PICTURE")
    parser.add_argument("--out", type=Path, default=Path("detections.json"), help="(%(default)s)")
    parser.add_argument("--score", type=float, default=0.5, help="keep objects from this score on (%(default)s)")
    args = parser.parse_args(argv)
    model = Path(__file__).with_suffix("")
    description = read_description(model)
    run = load_model(model, description)
    ids = number_pictures(args.files)
    records: list[dict[str, Any]] = []
    for path, image_id in zip(args.files, ids, strict=True):
        detections = detect(run, read_picture(path), description)
        confident = [{"image_id": image_id, **record} for record in detections if record["score"] >= args.score]
        print(f"{path}: image {image_id}, {len(confident)} objects")
        records += confident
    args.out.write_text(json.dumps(records))
    return 0


def read_description(model: Path) -> dict[str, Any]:
    """Return the description beside a model. Raises UnfitPictureError if it is missing or damaged."""
    path = model.with_name(f"{model.name}.json")
    try:
        description: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        resize, shape = description["resize"], description["inputs"][0]["shape"]
        sizes = [*resize["sizes"], resize["max_size"]] if resize else []
        if description["fixed_size"]:
            sizes += shape[2:]
        else:
            sizes += [description["size_divisibility"], description["smallest_size"]]
        if not all(isinstance(size, int) and 1 <= size <= LARGEST for size in sizes) or len(shape) != 4:
            raise ValueError(f"sizes {sizes} and a shape {shape}")
        if not all(isinstance(number, int) for number in description["category_ids"]):
            raise ValueError("category_ids are no numbers")
        if absent := {"boxes", "scores", "labels", "valid"} - {output["name"] for output in description["outputs"]}:
            raise ValueError(f"no outputs {', '.join(sorted(absent))}")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UnfitPictureError(
            f"{path}: not the description of {model.name} ({error!s:.200}); export it again"
        ) from error
    return description


def load_model(path: Path, description: dict[str, Any]) -> Callable[[Array, Array], dict[str, Array]]:
    """Return a function: pixels [1, 3, H, W] uint8, sizes [1, 2] float32 -> outputs by name."""
    if len(description["inputs"]) > 2:
        raise UnfitPictureError(f"{path.name} reads proposals beside the picture: see `inputs` in {path.name}.json")
    names = [output["name"] for output in description["outputs"]]
    if path.suffix == ".onnx":
        import onnxruntime

        try:
            session = onnxruntime.InferenceSession(str(path), providers=onnxruntime.get_available_providers())
        except Exception as error:  # the runtime has a dozen types
            raise UnfitPictureError(f"{path}: ONNX Runtime cannot open it ({error!s:.200})") from error
        return lambda pixels, sizes: dict(
            zip(names, session.run(None, {"pixels": pixels, "sizes": sizes}), strict=True)
        )
    import torch
    import torchvision  # noqa: F401  registers its operators

    program = torch.export.load(path).module()

    def run(pixels: Array, sizes: Array) -> dict[str, Array]:
        outputs = program(torch.from_numpy(pixels), torch.from_numpy(sizes))
        return {name: value.detach().numpy() for name, value in zip(names, outputs, strict=True)}

    return run


def number_pictures(paths: Sequence[Path]) -> list[int]:
    """Return the numbers in the names if all are different numbers, as COCO's 000000000139.jpg; else 1, 2, ..."""
    stems = [path.stem for path in paths]
    are_numbers = all(stem.isascii() and stem.isdigit() for stem in stems)
    ids = [int(stem) for stem in stems] if are_numbers else []
    return ids if len({*ids}) == len(paths) else [*range(1, len(paths) + 1)]


def read_picture(path: Path) -> Array:
    """Return [h, w, 3] uint8 RGB, upright. Raises UnfitPictureError if Pillow cannot read it or would cut it."""
    try:
        with Image.open(path) as file:
            if file.mode[0] in "IF" or any(";16" in str(tile) for tile in file.tile):  # `convert` makes them white
                raise UnfitPictureError(f"{path}: has more than 8 bits a channel; convert it to 8 bits")
            return np.array(ImageOps.exif_transpose(file).convert("RGB"))
    except UnfitPictureError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnfitPictureError(f"{path}: no picture that can be read ({error})") from error


def detect(run: Callable[[Array, Array], dict[str, Array]], pixels: Array, description: dict[str, Any]) -> list[Any]:
    """Return the detections of a picture [h, w, 3] as COCO records without an image id, best first."""
    # 1. Resize as in the test of the model, and pad at the right and below.
    height, width = pixels.shape[:2]
    size = compute_size((height, width), description["resize"])
    resized = pixels
    if size != (height, width):
        resized = np.array(Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BILINEAR))
    canvas = np.zeros((1, 3, *choose_canvas(size, description)), np.uint8)
    canvas[0, :, : size[0], : size[1]] = resized.transpose(2, 0, 1)
    # 2. Detect.
    outputs = run(canvas, np.array([size], np.float32))
    # 3. Back to the pixels of the picture.
    return to_records(outputs, (height / size[0], width / size[1]), (height, width), description["category_ids"])


def compute_size(size: Size, resize: dict[str, Any] | None) -> Size:
    """Return the size whose shorter edge is `sizes`, or whose longer edge is `max_size` if that is smaller."""
    if not resize:
        return size
    scale = min(resize["sizes"][0] / min(size), resize["max_size"] / max(size))
    return max(1, int(size[0] * scale + 0.5)), max(1, int(size[1] * scale + 0.5))


def choose_canvas(size: Size, description: dict[str, Any]) -> Size:
    """Return the (height, width) of the input for a resized picture."""
    if description["fixed_size"]:
        height, width = description["inputs"][0]["shape"][-2:]
        if size[0] > height or size[1] > width:
            raise UnfitPictureError(
                f"a picture of {size[0]} x {size[1]} pixels does not fit into the input, {height} x {width}: export "
                "the model with --size any, or once more with another --size"
            )
        return height, width
    multiple, smallest = description["size_divisibility"], description["smallest_size"]
    height, width = (max(-(-side // multiple) * multiple, smallest) for side in size)
    return height, width


def to_records(
    outputs: dict[str, Array], scale: tuple[float, float], size: Size, category_ids: Sequence[int]
) -> list[dict[str, Any]]:
    """Return COCO records of the first image of a batch. `scale`: pixels of the file per pixel of the input (y, x)."""
    valid, limit = outputs["valid"][0], [size[1], size[0]] * 2
    labels = outputs["labels"][0][valid]
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(category_ids):
        raise UnfitPictureError(f"the model detects labels up to {labels.max()}, its description has the ids of "
                                f"{len(category_ids)} classes")  # fmt: skip
    boxes = outputs["boxes"][0][valid].astype(np.float64) * [scale[1], scale[0], scale[1], scale[0]]
    boxes = np.clip(boxes, 0, limit).astype(np.float32).astype(np.float64)
    records: list[dict[str, Any]] = []
    for index, slot in enumerate(np.flatnonzero(valid)):
        x1, y1, x2, y2 = boxes[index].tolist()
        record = {
            "category_id": category_ids[int(outputs["labels"][0][slot])],
            "score": float(outputs["scores"][0][slot]),
            "bbox": [x1, y1, x2 - x1, y2 - y1],
        }
        if "masks" in outputs:
            mask = paste(outputs["masks"][0][slot], boxes[index], size)
            record["segmentation"] = {"size": list(size), "counts": encode(mask)}
        if "keypoints" in outputs:
            points = outputs["keypoints"][0][slot].astype(np.float64) * [scale[1], scale[0], 1] - [0.5, 0.5, 0]
            record["keypoints"] = points.flatten().tolist()
        records.append(record)
    return sorted(records, key=lambda record: -record["score"])


def paste(probabilities: Array, box: Array, size: Size) -> Array:
    """Return [h, w] bool: the pixels whose centres have a probability of one half or more.

    probabilities [M, M] fill the box (x1, y1, x2, y2) and are interpolated bilinearly, with zeros beyond.
    """
    cells = np.pad(probabilities.astype(np.float64), 1)
    x1, y1, x2, y2 = box
    if x2 <= x1 or y2 <= y1:
        return np.zeros(size, bool)
    rows = (np.arange(size[0]) + 0.5 - y1) / (y2 - y1) * len(probabilities) - 0.5
    columns = (np.arange(size[1]) + 0.5 - x1) / (x2 - x1) * len(probabilities) - 0.5
    across = interpolate(cells, columns, axis=1)
    mask: Array = interpolate(across, rows, axis=0) >= HALF
    return mask


def interpolate(cells: Array, positions: Array, axis: int) -> Array:
    """Interpolate padded cells linearly along an axis; position 0 is the centre of the first cell in the padding."""
    last = cells.shape[axis] - 1
    clipped = np.clip(positions + 1, 0, last)
    low = np.minimum(np.floor(clipped).astype(np.int64), last - 1)
    weight = (clipped - low).reshape([-1 if dimension == axis else 1 for dimension in range(2)])
    return (1 - weight) * cells.take(low, axis) + weight * cells.take(low + 1, axis)


def encode(mask: Array) -> str:
    """Return the compressed counts of COCO's RLE: runs by column, zeros first, as differences in base 32."""
    flat = mask.flatten(order="F")
    edges = np.flatnonzero(np.diff(flat.astype(np.int8))) + 1
    counts = np.diff([0, *([0] if flat.size and flat[0] else []), *edges, flat.size]).tolist()
    characters = []
    for index, count in enumerate(counts):
        value = count - (counts[index - 2] if index > 2 else 0)
        more = True
        while more:
            chunk, value = value & 31, value >> 5
            more = value != (-1 if chunk & 16 else 0)
            characters.append(chr(chunk + (32 if more else 0) + 48))
    return "".join(characters)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UnfitPictureError as error:
        sys.exit(str(error))
