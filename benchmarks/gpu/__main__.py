"""Time training and inference on one GPU beside torchvision, and write the tables.

Each of our rows is first checked: the recorded step gives the losses, gradients and detections of the eager one.
Run: make bench-gpu, or python -m benchmarks.gpu [--out benchmarks/results/gpu.md]; at most 6 minutes.
"""

from __future__ import annotations

import argparse
import datetime
import statistics
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torchvision
from benchmarks.gpu import checks
from benchmarks.gpu.evaluation import evaluate
from benchmarks.gpu.scene import CLASSES, DEVICE, scene
from benchmarks.gpu.steps import OurTraining, TheirTraining, build, our_inference, their_inference

from lineage.eval.predictions.accumulator import DetectionAccumulator
from lineage.structures import Batch

SECONDS = 300  # after which no further row begins
WARM, TURNS, STEPS = 6, 5, 4
PARTS = ("train", "models", "infer", "validate", "growth", "profile")  # names of the functions below
NOTE = """Each of our rows was checked before it was timed: the recorded step has the losses (1e-2) and gradients of the
eager step, the recorded detection its scores, and the masks' RLEs are those of the CPU. torchvision runs in the same
process on the same images and objects, with random weights of its own; both models are random, so proposals are poor
and few foreground slots are filled, in both. Range: fastest to slowest of five turns of four steps; of
two for torchvision."""
BOX_GAIN = 60  # of the random class scores, so that a hundred detections pass the threshold


class Report:
    """Rows of Markdown tables, printed and written as they come."""

    def __init__(self, path: Path) -> None:
        self.path, self.started, self.lines = path, time.perf_counter(), list[str]()

    def add(self, line: str) -> None:
        print(f"[{time.perf_counter() - self.started:5.1f} s] {line}", flush=True)
        self.lines.append(line)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("\n".join(self.lines) + "\n")

    def table(self, title: str, *columns: str) -> None:
        for line in ("", f"## {title}", "", f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"):
            self.add(line)

    def row(self, name: str, make: Callable[[], list[str]]) -> None:
        """Add a row; a fault becomes its text, so that the other rows still come."""
        if time.perf_counter() - self.started > SECONDS:
            self.add(f"| {name} | not measured: {SECONDS} s were over |")
            return
        try:
            self.add(f"| {name} | {' | '.join(make())} |")
        except Exception as error:
            traceback.print_exc()
            self.add(f"| {name} | failed: {type(error).__name__}: {str(error).splitlines()[0][:160]} |")
        torch.cuda.empty_cache()


def measure(step: Callable[[], Any], images: int, turns: int = TURNS, warm: int = WARM) -> list[str]:
    """Return milliseconds per step, images per second, their spread and the peak of memory."""
    for _ in range(warm):
        step()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(turns):
        started = time.perf_counter()
        for _ in range(STEPS):
            step()
        torch.cuda.synchronize()
        seconds.append((time.perf_counter() - started) / STEPS)
    middle = statistics.median(seconds)
    spread = f"{min(seconds) * 1e3:.1f} to {max(seconds) * 1e3:.1f}"
    memory = torch.cuda.max_memory_reserved() / 2**30
    return [f"{middle * 1e3:.1f}", spread, f"**{images / middle:.1f}**", f"{memory:.1f}"]


def ours(images: int, **options: Any) -> list[str]:
    torch.cuda.empty_cache()
    step = OurTraining(images, **{"engine": "graph", **options})
    error = checks.compare_with_eager(step)
    return [*measure(step, images), f"{error:.0e}"]


def theirs(images: int, **options: Any) -> list[str]:
    torch.cuda.empty_cache()
    return [*measure(TheirTraining(images, **options), images, turns=2), "-"]


def train(report: Report) -> None:
    columns = ("step", "ms", "range", "img/s", "reserved GiB", "gradients differ from eager by")
    report.table("Training Mask R-CNN R50-FPN, 800 x 1344, 7 objects an image, SGD step included", *columns)
    for images in (16, 8, 2, 32):
        report.row(f"ours, bf16, graph, B={images}", lambda images=images: ours(images))
    for images in (16, 8, 2):
        report.row(f"torchvision, bf16 autocast, B={images}", lambda images=images: theirs(images))
    report.row("torchvision, bf16, channels_last, B=16", lambda: theirs(16, channels_last=True))
    report.row("ours, bf16, eager, B=16", lambda: ours(16, engine="eager"))
    report.row("ours, fp32 as torch does (TF32 convolutions), graph, B=8", lambda: ours(8, bf16=False))
    report.row("torchvision, fp32 as torch does (TF32 convolutions), B=8", lambda: theirs(8, bf16=False))


def infer(report: Report) -> None:
    report.table("Inference, Mask R-CNN R50-FPN, bf16, 800 x 1344, 100 detections an image",
                 "", "ms", "range", "img/s", "reserved GiB", "checked")  # fmt: skip
    model = build("mask_rcnn")
    with torch.no_grad():
        model.box.scores.weight.mul_(BOX_GAIN)  # type: ignore[operator, union-attr]
    for images in (1, 16):
        report.row(f"ours, graph, masks of 28 x 28, B={images}", lambda images=images: detect(model, images))
    for images in (1, 16):
        report.row(f"ours, graph, pasted and encoded, B={images}", lambda images=images: encode(model, images))
    peer = torchvision.models.detection.maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=CLASSES + 1, min_size=800, max_size=1344
    )
    with torch.no_grad():
        peer.roi_heads.box_predictor.cls_score.weight.mul_(BOX_GAIN)
    for images in (1, 16):
        report.row(
            f"torchvision, masks pasted, not encoded, B={images}",
            lambda images=images: [*measure(their_inference(peer, images), images, turns=2, warm=2), "-"],
        )


def detect(model: torch.nn.Module, images: int) -> list[str]:
    recorded, eager = our_inference(model, images, "graph"), our_inference(model, images, "eager")
    error = checks.compare_detections(recorded, eager)
    return [*measure(recorded, images), f"{error:.0e}"]


def encode(model: torch.nn.Module, images: int, batches: int = 24) -> list[str]:
    """Time detection with pasting and RLE behind it, until the last mask is encoded."""
    run = our_inference(model, images, "graph")
    inputs, _ = scene(images)
    sizes = torch.tensor([[480, 640]] * images, device=DEVICE)
    torch.cuda.reset_peak_memory_stats()
    for _ in range(WARM):
        run()
    checks.compare_masks(run(), Batch(inputs, None, torch.arange(images), sizes))  # type: ignore[arg-type]
    torch.cuda.synchronize()
    accumulator = DetectionAccumulator(range(images * batches), ("box", "mask"))
    started = time.perf_counter()
    for number in range(batches):
        ids = torch.arange(images * number, images * (number + 1), device=DEVICE)
        accumulator.update(run(), Batch(inputs, None, ids, sizes))  # type: ignore[arg-type]
    predictions, _ = accumulator.finish()
    seconds = (time.perf_counter() - started) / batches
    masks = len(predictions.scores) / images / batches
    memory = torch.cuda.max_memory_reserved() / 2**30
    return [f"{seconds * 1e3:.1f}", "-", f"**{images / seconds:.1f}**", f"{memory:.1f}", f"{masks:.0f} masks an image"]


def validate(report: Report) -> None:
    """Add a row for a validation set of COCO's size."""
    report.table("Evaluation of a validation set, Mask R-CNN R50-FPN, bf16, 800 x 1344, box and mask AP of 100 "
                 "detections an image", "images", "until the last is detected, s", "in all, s", "mask AP")  # fmt: skip
    images, batch = 5008, 16

    def run() -> list[str]:
        run = our_inference(build("mask_rcnn"), batch, "graph")
        for _ in range(WARM):
            run()
        return [f"{value:.1f}" for value in evaluate(run, images, batch)]

    report.row(str(images), run)


def models(report: Report) -> None:
    columns = ("model", "ms", "range", "img/s", "reserved GiB", "gradients differ from eager by")
    report.table("Training other models, bf16, graph, B=4", *columns)
    options = (
        ("cascade_mask_rcnn", {}), ("keypoint_rcnn", {"classes": 1}), ("retinanet", {}), ("mask_rcnn_c4", {}),
        ("mask_rcnn", {"overrides": ("backbone=resnext101_64x4d",)}),
    )  # fmt: skip
    for name, more in options:
        title = " ".join((name, *more.get("overrides", ())))
        report.row(title, lambda name=name, more=more: ours(4, model=name, **more))


def growth(report: Report) -> None:
    columns = ("changed", "ms", "range", "img/s", "reserved GiB", "gradients differ from eager by")
    report.table("How the cost of training grows: Mask R-CNN R50-FPN, bf16, graph, B=8", *columns)
    for canvas in ((480, 640), (1024, 1024)):
        report.row(f"canvas {canvas[0]} x {canvas[1]}", lambda canvas=canvas: ours(8, canvas=canvas))
    for objects, slots in ((1, 8), (50, 64), (500, 512)):
        report.row(f"{objects} objects an image", lambda n=objects, s=slots: ours(8, objects=n, slots=s))
    report.row("1203 classes", lambda: ours(8, classes=1203))
    top = "model.proposals.post_nms_top_n={train: 4000, test: 1000}"
    report.row("4000 proposals", lambda: ours(8, overrides=(top,)))


def profile(report: Report) -> None:
    """Write the kernels of a step, the longest first."""
    step = OurTraining(16, engine="graph")
    for _ in range(WARM):
        step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        step()
        torch.cuda.synchronize()
    events = sorted(profiler.key_averages(), key=lambda event: -event.self_device_time_total)
    total = sum(event.self_device_time_total for event in events) / 1e3
    report.table(f"Kernels of a training step, B=16: {total:.1f} ms", "ms", "calls", "kernel")
    for event in events[:30]:
        report.add(f"| {event.self_device_time_total / 1e3:.2f} | {event.count} | `{event.key[:90]}` |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results" / "gpu.md")
    parser.add_argument("parts", nargs="*", help=f"all by default: {', '.join(PARTS)}")
    args = parser.parse_args()
    if unknown := [part for part in args.parts if part not in PARTS]:
        parser.error(f"{unknown[0]} is no part; there are {', '.join(PARTS)}")
    if DEVICE.type != "cuda":
        print("no CUDA device: nothing to time")
        return
    report = Report(args.out)
    report.add("# One GPU\n")
    report.add(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, torchvision {torchvision.__version__}, "
               f"on {datetime.date.today()}. Written by `make bench-gpu`.\n\n{NOTE}")  # fmt: skip
    for part in args.parts or PARTS:
        globals()[part](report)
        torch.cuda.empty_cache()
    report.add(f"\nMeasured in {time.perf_counter() - report.started:.0f} seconds.")


if __name__ == "__main__":
    main()
