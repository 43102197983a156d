"""Mask R-CNN R50-FPN on one CPU thread, ours beside torchvision's, in turns in one process.

Two images of 480 x 640, seven objects each, float32, an SGD step included; inference includes the masks at the size of
the image, torchvision's as bitmaps and ours as RLE. The RPN is untrained, so that few of the 128 mask slots of an image
hold an object ("few"); "all" fills them with 200 boxes that lie near the objects, in both. Times are process times,
because other work shares the machine; a ratio is of the two times of a round, and the table has its median and range.

    OMP_NUM_THREADS=1 python benchmarks/cpu_step.py [--rounds 3] [--bf16] [--only inference]
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import torchvision
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor, nn

import lineage.config.schema  # noqa: F401  (registers the schema)
from lineage.eval.predictions.paste import paste
from lineage.ops.random import fold_in
from lineage.structures import Images, Masks, Targets
from lineage.train.detection_module import combine_losses
from lineage.train.optimizer import sgd

ROOT = Path(__file__).parents[1]
HEIGHT, WIDTH, OBJECTS, CLASSES, IMAGES = 480, 640, 7, 80, 2
NEAR = 200  # proposals of an image that lie near its objects, if all slots are to be filled
LR = 1e-4

Step = Callable[[], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16, in both")
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose name holds this, such as inference")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    context = partial(torch.autocast, "cpu", dtype=torch.bfloat16, enabled=args.bf16)
    print("| | lineage, s | torchvision, s | torchvision / lineage |\n| --- | ---: | ---: | ---: |")
    pairs = {
        "training, few slots filled": (partial(train_ours, False), partial(train_theirs, False)),
        "training, all slots filled": (partial(train_ours, True), partial(train_theirs, True)),
        "inference, with masks pasted": (detect_ours, detect_theirs),
    }
    for name, makers in pairs.items():
        if args.only in name:
            compare(name, [make(context) for make in makers], args.rounds)


def compare(name: str, steps: list[Step], rounds: int) -> None:
    """Print a row: the median times of both steps, and the ratios of each round."""
    for step in steps:
        step()  # kernels are chosen and memory is claimed
    times = [[measure(step) for step in steps] for _ in range(rounds)]
    ours, theirs = (median(column) for column in zip(*times, strict=True))
    ratios = sorted(other / own for own, other in times)
    spread = f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    print(f"| {name} | {ours:.2f} | {theirs:.2f} | {spread} |", flush=True)


def measure(step: Step) -> float:
    started = time.process_time()
    step()
    return time.process_time() - started


def make_scene() -> tuple[Images, Targets]:
    generator = torch.Generator().manual_seed(0)
    extent = torch.tensor([WIDTH, HEIGHT])
    low = torch.rand(IMAGES, OBJECTS, 2, generator=generator) * extent * 0.6
    boxes = torch.cat((low, low + 20 + torch.rand(low.shape, generator=generator) * extent * 0.35), -1).round()
    windows = torch.cat((boxes[..., :2], boxes[..., 2:] - boxes[..., :2]), -1).long()
    areas = windows[..., 2] * windows[..., 3]
    offsets = areas.flatten().cumsum(0).view_as(areas) - areas
    masks = Masks(torch.ones(int(areas.sum()), dtype=torch.uint8), offsets, windows)
    valid = torch.ones(IMAGES, OBJECTS, dtype=torch.bool)
    labels = torch.randint(0, CLASSES, (IMAGES, OBJECTS), generator=generator)
    pixels = torch.randint(0, 256, (IMAGES, 3, HEIGHT, WIDTH), generator=generator, dtype=torch.uint8)
    keys = torch.tensor([fold_in(0, image) for image in range(IMAGES)])
    sizes = torch.tensor([[float(HEIGHT), float(WIDTH)]] * IMAGES)
    return Images(pixels, sizes, keys), Targets(boxes, labels, valid, torch.zeros_like(valid), masks, None)


def draw_near(boxes: Tensor) -> Tensor:
    """Return NEAR boxes close to objects [B, n, 4]: [B, NEAR, 4]"""
    generator = torch.Generator().manual_seed(1)
    near = boxes.repeat(1, -(-NEAR // boxes.shape[1]), 1)[:, :NEAR]
    sides = (near[..., 2:] - near[..., :2]).repeat(1, 1, 2)
    limit = torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT])
    moved = near + 0.05 * sides * torch.randn(near.shape, generator=generator)
    return torch.minimum(moved.clamp(min=0), limit)


def build_ours() -> nn.Module:
    torch.manual_seed(0)
    options = ["model=mask_rcnn", "tier=paper", "dataset=coco", f"dataset.classes={CLASSES}", "backbone.weights=later"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return instantiate(compose("train", overrides=options).model, _convert_="all")


def build_theirs(**options: Any) -> nn.Module:
    torch.manual_seed(0)
    model = torchvision.models.detection.maskrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=CLASSES + 1,
        min_size=HEIGHT,
        max_size=WIDTH,
        norm_layer=torchvision.ops.FrozenBatchNorm2d,
        trainable_backbone_layers=3,
        **options,
    )
    for name, parameter in model.backbone.body.named_parameters():
        parameter.requires_grad_(not name.startswith(("conv1", "bn1", "layer1")))
    return model


def train_ours(fill: bool, context: Callable[[], Any]) -> Step:
    model = build_ours().train()
    optimizer = sgd(model, lr=LR, momentum=0.9, weight_decay=LR, norm_decay=0.0, bias_lr_factor=1.0, bias_decay=LR)
    images, targets = make_scene()
    near, losses = draw_near(targets.boxes), model.proposals.losses

    def add_near(*inputs: Any) -> Any:
        proposals, parts = losses(*inputs)
        boxes = torch.cat((near, proposals.boxes[:, NEAR:]), 1)
        return proposals._replace(boxes=boxes, valid=torch.ones_like(proposals.valid)), parts

    if fill:
        model.proposals.losses = add_near

    def step() -> None:
        with context():
            loss, *_ = combine_losses(model.losses(images, targets))
        take_step(loss, optimizer)

    return step


def train_theirs(fill: bool, context: Callable[[], Any]) -> Step:
    model = build_theirs().train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=LR, momentum=0.9, weight_decay=LR)
    images, targets = make_scene()
    pixels, lists = to_lists(images, targets)
    near, forward = draw_near(targets.boxes), model.rpn.forward

    def add_near(*inputs: Any) -> Any:
        boxes, parts = forward(*inputs)
        return [torch.cat((own, other[NEAR:])) for own, other in zip(near, boxes, strict=True)], parts

    if fill:
        model.rpn.forward = add_near

    def step() -> None:
        with context():
            loss = torch.stack([*model(pixels, [dict(target) for target in lists]).values()]).sum()
        take_step(loss, optimizer)

    return step


def take_step(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def to_lists(images: Images, targets: Targets) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Return the scene as torchvision takes it."""
    lists = []
    for boxes, labels in zip(targets.boxes, targets.labels, strict=True):
        masks = torch.zeros(len(boxes), HEIGHT, WIDTH, dtype=torch.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.long().tolist(), strict=True):
            mask[y1:y2, x1:x2] = 1
        lists.append({"boxes": boxes, "labels": labels + 1, "masks": masks})
    return [image.float() / 255 for image in images.pixels], lists


def detect_ours(context: Callable[[], Any]) -> Step:
    model = build_ours().eval()
    model.box.postprocess.score_thresh = 0.0  # an untrained head is sure of nothing: 100 detections of each image
    images, _ = make_scene()

    @torch.inference_mode()
    def step() -> None:
        with context():
            detections = model.detect(images)
        assert detections.masks is not None
        assert detections.valid.all()
        for masks, boxes in zip(detections.masks, detections.boxes, strict=True):
            paste(masks.float().numpy(), boxes.numpy(), np.array([[HEIGHT, WIDTH]] * len(masks)))

    return step


def detect_theirs(context: Callable[[], Any]) -> Step:
    model = build_theirs(box_score_thresh=0.0).eval()
    pixels, _ = to_lists(*make_scene())

    @torch.inference_mode()
    def step() -> None:
        with context():
            detections = model(pixels)
        assert all(len(image["masks"]) == 100 for image in detections)

    return step


if __name__ == "__main__":
    main()
