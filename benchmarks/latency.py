"""Latency of the light models at the sizes that small machines use: one image at a time, by torch and by ONNX Runtime.

Weights are random: of these models, only Faster R-CNN's time depends on them, by the number of boxes that suppression
compares. Times are those of `lineage latency`; nothing is claimed about precision.

    python benchmarks/latency.py [--threads 1,2]

Writes benchmarks/results/latency.md.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

from lineage.cli.latency import parse_threads
from lineage.models.export.verify import TOLERANCE
from lineage.results.atomic import atomic_write
from lineage.run.inference.export import export_model
from lineage.run.inference.latency import Latency, limit_threads, measure_latency, prepare_model, prepare_onnx
from lineage.run.inference.power import PowerMeter
from lineage.run.inference.untrained import build_untrained
from lineage.run.restore import Restored
from lineage.train.environment import describe_hardware

RESULT = Path(__file__).parent / "results" / "latency.md"
CPU = torch.device("cpu")
BOXES = "model=centernet backbone=resnet18 backbone.norm=bn dataset.classes=80"
CLOTHES = "model=deepmark dataset.classes=13 +dataset.keypoints=294"
LIGHT = "backbone=mobilenet_v3_large upsampling=aggregation_plain model.head.width=32"
MODELS = {  # label -> overrides, height and width
    "CenterNet, MobileNetV3-Large": ("model=centernet_mobilenet dataset.classes=80", (512, 512)),
    "CenterNet, R18, plain": (
        "model=centernet backbone=resnet18 upsampling=convolution dataset.classes=80",
        (512, 512),
    ),
    "CenterNet, R18, deformable": ("model=centernet backbone=resnet18 dataset.classes=80", (512, 512)),
    "DeepMark, MobileNetV3-Large": (f"{CLOTHES} {LIGHT}", (512, 512)),
    "DeepMark, MobileNetV3-Large, half the side": (f"{CLOTHES} {LIGHT}", (256, 256)),
    "Faster R-CNN, MobileNetV3-Large-320-FPN": ("model=faster_rcnn_mobilenet_320 dataset.classes=80", (320, 320)),
}
REPEATS, WARMUP = 50, 5
NARROW = 0.02  # standard deviation of filters; those of new heads start at 0.001 and 0.01


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=parse_threads, default=[1, 2])
    args = parser.parse_args()
    lines = []
    for label, (overrides, size) in MODELS.items():
        for line in measure_model(label, overrides.split(), size, args.threads):
            print(line, flush=True)
            lines.append(line)
    atomic_write(RESULT, format_page(lines))


def measure_model(label: str, overrides: list[str], size: tuple[int, int], threads: list[int]) -> Iterator[str]:
    """Yield a line for each runtime and number of threads."""
    restored = build_untrained(overrides)
    spread_scores(restored.model)
    parameters = sum(parameter.numel() for parameter in restored.model.parameters()) / 1e6
    head = f"| {label} | {size[0]} x {size[1]} | {parameters:.2f}"
    with TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        export(restored, path, size)
        for count in threads:
            with limit_threads(count):
                for workload in (prepare_model(restored, size, CPU), prepare_onnx(path, None, count)):
                    meter = PowerMeter(CPU)
                    latency = measure_latency(workload.run, repeats=REPEATS, warmup=WARMUP, meter=meter)
                    yield f"{head} | {workload.runtime.split()[0]} | {count} | {format_latency(latency)} |"


@torch.no_grad()
def spread_scores(model: nn.Module) -> None:
    """Draw the last filters anew, wide enough that scores differ: equal ones leave nothing to compare a file by."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and 0 < module.weight.std() < NARROW:
            module.weight.normal_(0, NARROW)


def export(restored: Restored, path: Path, size: tuple[int, int]) -> None:
    export_model(restored, path, size=size, any_size=False, batch=1, proposals=0, tolerance=TOLERANCE)


def format_latency(latency: Latency) -> str:
    milliseconds = f"{latency.median:.1f} | {latency.p95:.1f} | {latency.images_per_second:.1f}"
    return f"{milliseconds} | {latency.load:.1f}"


def format_page(lines: list[str]) -> str:
    hardware = describe_hardware(CPU)
    machine = (
        f"{hardware.get('cpu')}, {os.cpu_count()} cores, torch {torch.__version__}, Python {platform.python_version()}"
    )
    head = "| model | image | params (M) | runtime | threads | median ms | p95 ms | images/s | load before |\n"
    rule = "| --- | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |\n"
    explanation = (__doc__ or "").partition("    python")[0].strip()
    notes = (
        "Load is the number of processes that used the machine in the minute before, this one among them: above the "
        "number of cores, times are too long. Power: " + PowerMeter(CPU).source + ".\n\n"
        "The 13 images per second that the project's founding text names for a phone were not measured on a phone: any "
        "machine's own figure is `lineage latency RUN`, or `lineage latency experiment=deepfashion2/speed/mobilenet "
        "dataset.classes=13 +dataset.keypoints=294 --size 512x512` without a run."
    )
    return f"{explanation}\n\n{machine}\n\n{head}{rule}" + "\n".join(lines) + f"\n\n{notes}\n"


if __name__ == "__main__":
    main()
