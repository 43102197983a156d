"""Latency of one image at a time: of a trained model by torch, or of an exported file by ONNX Runtime.

The time is that of one call: pixels of a canvas go in, detections come out. Reading, resizing and pasting of masks are
left out, as where papers time a network. What is measured stands in the entry under cost/...: shown, never judged.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import torch

from lineage.config.build import ConfigError
from lineage.data.collate import choose_canvas
from lineage.models.export.onnx import open_session, run_session
from lineage.models.export.program import build_images, name_inputs
from lineage.results.atomic import read_mapping
from lineage.results.entry import Entry
from lineage.results.run_folder import RunFolder
from lineage.run.inference.export import choose_size, count_proposals, draw_inputs
from lineage.run.inference.power import PowerMeter
from lineage.run.inference.untrained import NOTE, build_untrained, describe_untrained
from lineage.run.restore import Restored
from lineage.run.task import check_detector

FEWEST = 50  # calls whose median and 95th percentile are reported
Clock = Callable[[], float]  # seconds


@dataclass(frozen=True, slots=True)
class Workload:
    """One call that is timed, and the facts of it that an entry records."""

    run: Callable[[], object]
    runtime: str  # torch or onnxruntime, with its version
    size: tuple[int, int]  # height and width of the pixels
    device: torch.device
    folder: RunFolder | None  # of the run that it comes from, if that is here
    name: str  # of the model, where no run says it
    untrained: Entry | None = None  # what an entry says of a model that no run has trained


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of calls in the order in which they were made, and the power while they ran."""

    milliseconds: tuple[float, ...]
    watts: float | None
    power_source: str  # what measured the power, or why nothing did
    load: float = 0.0  # processes that wanted the processor in the minute before the first measurement

    @property
    def median(self) -> float:
        return median(self.milliseconds)

    @property
    def p95(self) -> float:
        return float(torch.tensor(self.milliseconds, dtype=torch.float64).quantile(0.95))

    @property
    def images_per_second(self) -> float:
        return 1000 / self.median


def read_load() -> float:
    """Return how many processes wanted the processor in the last minute, ours among them; 0 where no system counts."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def measure_latency(
    run: Callable[[], object],
    *,
    repeats: int,
    warmup: int,
    meter: PowerMeter,
    clock: Clock = time.perf_counter,
    load: float = 0.0,
) -> Latency:
    """Time `repeats` calls, each by itself, after `warmup` calls that do not count.

    load: of the machine before any measurement of this process, whose own calls would count as load
    """
    for _ in range(warmup):
        run()
    milliseconds = []
    meter.start()
    for _ in range(repeats):
        start = clock()
        run()
        milliseconds.append(1000 * (clock() - start))
    return Latency(tuple(milliseconds), meter.stop(), meter.source, load)


@contextmanager
def limit_threads(count: int) -> Iterator[None]:
    """Let torch compute with `count` threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def prepare_untrained(overrides: Sequence[str], size: tuple[int, int] | None, device: torch.device) -> Workload:
    """Return the detection of one drawn image by the model of these overrides, with random weights."""
    restored = build_untrained(overrides)
    entry = describe_untrained(restored, overrides)
    name = entry.choices.get("model") or entry.row or NOTE
    return replace(prepare_model(restored, size, device), folder=None, name=name, untrained=entry)


def prepare_model(restored: Restored, size: tuple[int, int] | None, device: torch.device) -> Workload:
    """Return the detection of one drawn image by a model; with test-time augmentation, of all its views.

    size: height and width, padded as at test time; None: the largest that the model's test transform makes
    """
    check_detector(restored.model, "latency")
    size = choose_size(restored, size)
    inputs = draw_inputs(size, 1, count_proposals(restored.config), seed=0)
    images = build_images(*(value.to(device) for value in inputs))
    restored.model.to(device)

    @torch.inference_mode()
    def run() -> None:
        restored.detect(images)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    path = Path(restored.source)
    return Workload(run, f"torch {torch.__version__}", size, device, RunFolder.containing(path), path.stem)


def prepare_onnx(path: Path, size: tuple[int, int] | None, threads: int) -> Workload:
    """Return the call of an .onnx file on one drawn image.

    size: height and width; None: those of the file. Of a file for any size they are padded as at test time.
    Raises ConfigError if it takes any, and none is given; if it takes another, or several images at once.
    """
    session = open_session(path, threads)
    shape = session.get_inputs()[0].shape
    if isinstance(shape[0], int) and shape[0] > 1:
        raise ConfigError(f"{path} takes {shape[0]} images at once; latency is of one: export it with --batch 1")
    fixed = read_input_size(shape)
    if fixed and size and fixed != size:
        raise ConfigError(
            f"{path} takes pixels of {fixed[0]}x{fixed[1]} only: leave --size out, or export another file"
        )
    if not (size := size or fixed):
        raise ConfigError(f"{path} takes pixels of any size: choose one, for example --size 640x640")
    if not fixed:
        size = pad_size(path, size)
    inputs = draw_inputs(size, 1, _count_slots([argument.shape for argument in session.get_inputs()]), seed=0)
    values = name_inputs(inputs)
    arrays = {argument.name: values[argument.name].numpy() for argument in session.get_inputs()}
    version = f"onnxruntime {metadata.version('onnxruntime')}"
    folder = RunFolder.containing(Path(read_source(path)))
    return Workload(lambda: run_session(session, arrays), version, size, torch.device("cpu"), folder, path.stem)


def pad_size(path: Path, size: tuple[int, int]) -> tuple[int, int]:
    """Return the canvas of a size in a file for any size, by the JSON file beside it; without one, the size."""
    description = _read_description(path)
    multiple, smallest = (description.get(key, 1) for key in ("size_divisibility", "smallest_size"))
    if not all(type(value) is int and value >= 1 for value in (multiple, smallest)):
        raise ConfigError(f"{path}.json is damaged: size_divisibility and smallest_size are integers from 1 on")
    height, width = choose_canvas([size], multiple)
    if min(height, width) < smallest:
        raise ConfigError(f"{path} takes sides of {smallest} pixels or more, not {height}x{width}")
    return height, width


def read_input_size(shape: Sequence[int | str | None]) -> tuple[int, int] | None:
    """Return the height and width of an input [1, 3, H, W]; None if they vary."""
    height, width = shape[-2:]
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _count_slots(shapes: Sequence[Sequence[int | str | None]]) -> int:
    """Return the number of proposals that the third input of a file takes; 0 without one."""
    return int(shapes[2][1] or 0) if len(shapes) > 2 else 0


def read_source(path: Path) -> str:
    """Return the weights that a file was exported from, by the JSON file beside it; "" without one."""
    return str(_read_description(path).get("weights", ""))


def _read_description(path: Path) -> dict[str, Any]:
    """Return the JSON file beside an exported file; {} without a valid one."""
    return read_mapping(path.with_name(f"{path.name}.json"))


def check_repeats(repeats: int) -> None:
    if repeats < FEWEST:
        raise ConfigError(f"--repeats {repeats}: a 95th percentile needs {FEWEST} calls or more")
