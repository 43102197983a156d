"""How many training images one core loads each second: ours against PIL, pycocotools and torchvision, 800 / 1333.

Both read the same COCO-format images and annotations, resize the short side to 800 and mirror half of the images.
Ours ends at a padded `Batch` of 2. The references are CocoDetection with torchvision's own wrapper (polygons become
full bitmaps) and its transforms v2, the image as PIL, the default of torchvision's references/detection, or as a
tensor. They end at single samples, for torchvision leaves padding and batching to the model, or, where it says so, at
what ours ends at: images and masks of 2 padded to one tensor each.

Counted is processor time of one process with one thread, the best of several passes in turn, so that another process
on the machine disturbs little; wall time is told beside it. From the parts follows how many workers keep up with
350 images/s: a worker does all but the last part, which a thread of the training process does.

LINEAGE_REAL_DATA names a folder that holds coco_mini; without it images of `shapes` at 640 x 480 are written as JPEG.
Run: python benchmarks/loader.py
"""

from __future__ import annotations

import contextlib
import io
import os
import platform
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import PIL
import torch
import torchvision
from torchvision.datasets import CocoDetection, wrap_dataset_for_transforms_v2
from torchvision.transforms import v2

from lineage.config.schema import Data, Schedule
from lineage.data.collate import collate
from lineage.data.datamodule import DetectionData
from lineage.data.export.coco import write
from lineage.data.formats import coco
from lineage.data.samples import image
from lineage.data.shapes.dataset import Shapes
from lineage.data.shared_memory import iter_tensors
from lineage.data.transforms import geometry
from lineage.data.transforms.augment import Augment
from lineage.data.transforms.flip import RandomFlip, flip
from lineage.data.transforms.resize import ResizeShortestEdge
from lineage.data.transforms.sanitize import sanitize

ROOT = Path(__file__).parents[1]
PASSES = 5
SHORT, LONG = 800, 1333
RATE = 350  # images per second that a fast GPU takes
PINNED = "copy to pinned memory (here: a copy)"
SHAPES = [[800, 960], [800, 1088], [800, 1216], [800, 1344]]


class Speed(NamedTuple):
    processor: float  # images per second of processor time
    wall: float


def ours(root: Path) -> tuple[Callable[[], int], DetectionData]:
    dataset = coco.load(
        root=str(root), images="train2017", annotations="annotations/instances_train2017.json", filter_empty=True
    )
    train = v2.Compose([ResizeShortestEdge([SHORT], LONG), RandomFlip(p=0.5)])
    augment = Augment(
        train=train, test=torch.nn.Identity(), collate=partial(collate, size_divisibility=32, buckets=SHAPES)
    )
    schedule, data = Schedule(steps=len(dataset) // 2, images_per_step=2), Data(images_per_device=2, workers=0)
    module = DetectionData(dataset, dataset, augment, schedule, data, seed=0)
    return lambda: sum(len(batch.ids) for batch in module.train_loader()), module


def reference(root: Path, tensors: bool, batched: bool = False) -> Callable[[], int]:
    with contextlib.redirect_stdout(io.StringIO()):
        plain = CocoDetection(str(root / "train2017"), str(root / "annotations/instances_train2017.json"))
    resize = v2.RandomShortestSize(min_size=[SHORT], max_size=LONG)
    turned = [resize, v2.RandomHorizontalFlip(0.5)]
    turned = [v2.ToImage(), *turned] if tensors else [*turned, v2.ToImage()]
    plain.transforms = v2.Compose(
        [*turned, v2.ToDtype(torch.float32, scale=True), v2.SanitizeBoundingBoxes(), v2.ToPureTensor()]
    )
    used = [i for i, id in enumerate(plain.ids) if plain.coco.getAnnIds(id)]
    dataset = wrap_dataset_for_transforms_v2(plain, target_keys=("boxes", "labels", "masks"))
    if batched:
        pairs = list(zip(used[::2], used[1::2], strict=False))
        return lambda: sum(len(stacked([dataset[i] for i in pair])) for pair in pairs)
    return lambda: sum(1 for i in used if dataset[i])


def stacked(samples: list[tuple[torch.Tensor, dict[str, torch.Tensor]]]) -> torch.Tensor:
    """Images and masks padded as torchvision's GeneralizedRCNNTransform pads, to a multiple of 32."""
    height, width = (-(-max(pixels.shape[side] for pixels, _ in samples) // 32) * 32 for side in (1, 2))
    images = torch.zeros(len(samples), 3, height, width)
    masks = torch.zeros(len(samples), max(len(one["masks"]) for _, one in samples), height, width, dtype=torch.uint8)
    for i, (pixels, one) in enumerate(samples):
        images[i, :, : pixels.shape[1], : pixels.shape[2]] = pixels
        masks[i, : len(one["masks"]), : pixels.shape[1], : pixels.shape[2]] = one["masks"]
    return images


def measure(loaders: dict[str, Callable[[], int]]) -> dict[str, Speed]:
    """The best of several passes of each, in turn, after one to warm up."""
    best = {name: Speed(0.0, 0.0) for name in loaders}
    for number in range(PASSES + 1):
        for name, load in loaders.items():
            wall, processor = time.perf_counter(), time.process_time()
            images = load()
            found = Speed(images / (time.process_time() - processor), images / (time.perf_counter() - wall))
            best[name] = Speed(*map(max, best[name], found)) if number else best[name]
    return best


def stages(module: DetectionData) -> dict[str, float]:
    """Milliseconds of processor time an image spends in each part of ours."""
    dataset, resize = module.train, ResizeShortestEdge([SHORT], LONG)
    used = range(len(dataset))
    samples = [dataset[i] for i in used]
    large = [resize(sample) for sample in samples]
    sizes = [tuple(size) for size in dataset.sizes.tolist()]
    batches = [collate([sample], [0], size_divisibility=32, buckets=SHAPES) for sample in large]
    work: dict[str, Callable[[int], object]] = {
        "decode the JPEG": lambda i: image.read(dataset.path(i), sizes[i]),
        "decode the JPEG, read boxes, draw mask windows": lambda i: dataset[i],
        "resize the image": lambda i: geometry.resize(samples[i]._replace(masks=None), geometry.get_size(large[i])),
        "resize image, boxes and masks": lambda i: resize(samples[i]),
        "mirror everything": lambda i: flip(large[i], dataset.meta.flip_indices),
        "sanitize": lambda i: sanitize(large[i]),
        "pad and batch, per image": lambda i: collate([large[i]], [0], size_divisibility=32, buckets=SHAPES),
        "hand one image over through shared memory": lambda i: [
            x.clone().share_memory_() for x in iter_tensors(batches[i])
        ],
        PINNED: lambda i: [x.clone() for x in iter_tensors(batches[i])],
    }
    return {name: 1000 * fastest(step, used) for name, step in work.items()}


def fastest(step: Callable[[int], object], used: range) -> float:
    taken = []
    for _ in range(PASSES):
        start = time.process_time()
        for i in used:
            step(i)
        taken.append((time.process_time() - start) / len(used))
    return min(taken)


def table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def report(root: Path, source: str) -> str:
    load, module = ours(root)
    loaders = {"lineage": load, "torchvision v2, PIL images": reference(root, tensors=False),
               "torchvision v2, tensor images": reference(root, tensors=True),
               "torchvision v2, PIL images, batched": reference(root, tensors=False, batched=True),
               "torchvision v2, tensor images, batched": reference(root, tensors=True, batched=True)}  # fmt: skip
    speeds = measure(loaders)
    rows = [[name, f"{one.processor:.0f}", f"{speeds['lineage'].processor / one.processor:.1f}", f"{one.wall:.0f}"]
            for name, one in speeds.items()]  # fmt: skip
    head = ["loader", "images/s of one core", "lineage is faster by", "images/s, wall clock"]
    parts = stages(module)
    inside = [[name, f"{ms:.2f}"] for name, ms in parts.items()]
    # `share_memory_` was given a copy, as it moves a tensor only once
    worker = 1000 / speeds["lineage"].processor + parts["hand one image over through shared memory"] - parts[PINNED]
    cores, thread = -(-RATE * worker // 1000), RATE * parts[PINNED] / 1000
    keep_up = f"{worker:.1f} ms of a worker per image: {RATE} images/s take {cores:.0f} cores, and {thread:.2f} to pin."
    versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}, Pillow {PIL.__version__}"
    objects = sum(len(module.train[i].labels) for i in range(len(module.train))) / len(module.train)
    what = f"{source}: {len(module.train)} images, {objects:.1f} objects each"
    note = f"{what}; {versions}; {platform.machine()}, one thread"
    inner = table(["inside lineage", "ms per image"], inside)
    return f"{table(head, rows)}\n\n{inner}\n\n{keep_up}\n\n{note}\n"


def main() -> None:
    torch.set_num_threads(1)
    real = Path(os.environ.get("LINEAGE_REAL_DATA", ""), "coco_mini")
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["LINEAGE_CACHE"] = scratch
        drawn = Path(scratch, "drawn")
        write(Shapes(seed=1, length=60, size=[480, 640]), drawn, "train", suffix="jpg", polygons=True)
        parts = [report(drawn, "shapes at 640 x 480, JPEG, polygons")]
        if os.environ.get("LINEAGE_REAL_DATA") and real.is_dir():
            parts.insert(0, report(real, "COCO train2017"))
    text = "\n".join(parts)
    (ROOT / "benchmarks/results/loader.md").write_text(f"{__doc__.strip()}\n\n{text}")
    print(text)


if __name__ == "__main__":
    main()
