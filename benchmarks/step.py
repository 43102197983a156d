"""What a training step asks of the machine, ours against torchvision's: operations, host syncs, graph breaks.

Counted on the CPU by the dispatcher, so the figures are exact and need no GPU. A sync is an operation whose result the
host must read before it can go on (`nonzero`, `_local_scalar_dense`, an `nms` that returns as many rows as survive).
Writes benchmarks/results/step.md. Run: python benchmarks/step.py
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torchvision
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch.utils._python_dispatch import TorchDispatchMode

import lineage.config.schema  # noqa: F401  (registers the schema)
from lineage.ops.nms import nms
from lineage.ops.random import fold_in
from lineage.structures import Images, Masks, Targets

ROOT = Path(__file__).parents[1]
SIZE, OBJECTS, CLASSES = 256, 7, 80
FREE = "lineage.models.roi_heads.filled_slots.reads_are_free"  # on a CPU; a device computes all slots
WAITS = {"nonzero", "_local_scalar_dense", "nms"}


class Operations(TorchDispatchMode):
    """Counts dispatched operations; `kernels` also counts what our CPU NMS calls inside (on CUDA it is one kernel)."""

    def __init__(self, kernels: bool):
        super().__init__()
        self.kernels, self.seen = kernels, Counter[str]()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function.overloadpacket._qualified_op_name
        self.seen[name] += 1
        if self.kernels and name == "lineage::nms":
            with self:
                return nms._init_fn(*args)
        return function(*args, **(kwargs or {}))

    def waits(self) -> int:
        return sum(count for name, count in self.seen.items() if name.split("::")[1] in WAITS and "lineage" not in name)


def scene(images: int) -> tuple[Images, Targets]:
    generator = torch.Generator().manual_seed(0)
    low = torch.rand(images, 8, 2, generator=generator) * SIZE * 0.6
    boxes = torch.cat((low, low + 20 + torch.rand(images, 8, 2, generator=generator) * SIZE * 0.3), -1).round()
    windows = torch.cat((boxes[..., :2], boxes[..., 2:] - boxes[..., :2]), -1).long()
    areas = windows[..., 2] * windows[..., 3]
    masks = Masks(
        torch.ones(int(areas.sum()), dtype=torch.uint8), areas.flatten().cumsum(0).view_as(areas) - areas, windows
    )
    valid = (torch.arange(8) < OBJECTS).expand(images, 8)
    labels = torch.randint(0, CLASSES, (images, 8), generator=generator)
    pixels = torch.randint(0, 256, (images, 3, SIZE, SIZE), generator=generator, dtype=torch.uint8)
    keys = torch.tensor([fold_in(0, image) for image in range(images)])
    return (
        Images(pixels, torch.full((images, 2), float(SIZE)), keys),
        Targets(boxes, labels, valid, torch.zeros_like(valid), masks, None),
    )


def our_step() -> Callable[[int], Callable[[], Any]]:
    scratch = [
        "tier=paper",
        f"dataset.classes={CLASSES}",
        "backbone.weights=null",
        "backbone.norm=gn",
        "backbone.frozen_stages=0",
    ]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        model = instantiate(compose("train", overrides=scratch).model, _convert_="all")
    return lambda images: partial(model.losses, *scene(images))


def their_step() -> Callable[[int], Callable[[], Any]]:
    warnings.simplefilter("ignore")
    model = torchvision.models.detection.maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=CLASSES + 1, min_size=SIZE, max_size=SIZE
    ).train()

    def step(images: int) -> Callable[[], Any]:
        inputs, targets = scene(images)
        lists = [
            {
                "boxes": b[:OBJECTS],
                "labels": y[:OBJECTS] + 1,
                "masks": torch.ones(OBJECTS, SIZE, SIZE, dtype=torch.uint8),
            }
            for b, y in zip(targets.boxes, targets.labels, strict=True)
        ]
        return lambda: model([image.float() / 255 for image in inputs.pixels], lists)

    return step


def measure(step: Callable[[int], Callable[[], Any]], kernels: bool = False) -> dict[str, float]:
    counted = {}
    for images in (2, 8):
        run = step(images)
        with patch(FREE, return_value=False), Operations(kernels) as operations:
            run()
        counted[images] = (operations.seen.total(), operations.waits())
    (few, few_waits), (many, many_waits) = counted[2], counted[8]
    return {
        "operations at 2": few,
        "operations at 8": many,
        "operations per image": (many - few) / 6,
        "syncs at 2": few_waits,
        "syncs at 8": many_waits,
        "syncs per image": (many_waits - few_waits) / 6,
    }


def breaks(step: Callable[[int], Callable[[], Any]]) -> int:
    torch._dynamo.reset()
    return torch._dynamo.explain(step(2))().graph_break_count


def main() -> None:
    ours, theirs = our_step(), their_step()
    columns = {
        "lineage": measure(ours),
        "lineage, inside its CPU kernels": measure(ours, kernels=True),
        "torchvision": measure(theirs),
    }
    broken = {"lineage": breaks(ours), "lineage, inside its CPU kernels": "", "torchvision": breaks(theirs)}
    rows = [[name, *(f"{column[name]:g}" for column in columns.values())] for name in columns["lineage"]]
    rows.append(["graph breaks", *(str(broken[name]) for name in columns)])
    head = ["training forward, Mask R-CNN R50-FPN", *columns]
    table = "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])
    versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}"
    note = f"{versions}, {SIZE} x {SIZE} images, {OBJECTS} objects each"
    (ROOT / "benchmarks/results/step.md").write_text(f"{__doc__.strip()}\n\n{table}\n\n{note}\n")
    print(table)


if __name__ == "__main__":
    main()
