"""The speed of networks at a small tier: shipped times of one machine, and a calibration run of this one.

experiments/mini_speeds.yaml has, by <model>/<backbone>, the seconds of a training step, of a test image, and of all
else (start, fits after the training, scores). A calibration measures some networks here; for the others,
the shipped times are multiplied by the median ratio of those measured.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import yaml

from lineage.config.evaluation_interval import choose_interval
from lineage.launch.compose_rows import RowRequest, cache_folder, compose_rows
from lineage.launch.explanation_cost import count_equivalent_images
from lineage.results import paths, store
from lineage.results.atomic import atomic_write, read_mapping
from lineage.results.entry import Entry
from lineage.tables.table import TableError

REFERENCE = "mini_speeds.yaml"  # of experiments/
CALIBRATED_TIER = "mini"
STEPS, IMAGES = 16, 12  # of a calibration run
CALIBRATION_ROWS = ("mask_rcnn/table2c/roi_align", "fast_rcnn/table4/fast_l", "retinanet/table1d/focal")


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds of one network on one device."""

    step: float  # of a training step
    image: float  # of a test image
    other: float  # of all else in a run

    def scale(self, factor: float) -> Speed:
        return Speed(self.step * factor, self.image * factor, self.other * factor)

    def predict(self, config: Mapping[str, Any], trains: bool) -> float:
        """Return the seconds of a run of this config."""
        schedule = config.get("schedule") or {}
        steps = schedule.get("steps") or 0
        images = ((config.get("dataset") or {}).get("val") or {}).get("length") or 200
        every = choose_interval(config, images) if steps else 0
        tests = 1 + ((steps - 1) // every if every and trains else 0)
        explained = count_equivalent_images(config)
        return self.other + (images + explained) * tests * self.image + (steps * self.step if trains else 0.0)


class SpeedEstimate(NamedTuple):
    """A speed and what it is based on, for people."""

    speed: Speed
    basis: str


@dataclass(frozen=True, slots=True)
class Speeds:
    """Shipped speeds and those measured on this machine, by network."""

    machine: str  # of the shipped times
    shipped: Mapping[str, Speed]
    here: Mapping[str, Speed]

    @property
    def ratio(self) -> float | None:
        """Return the time of a step here over that of the shipped machine; None without a calibration."""
        ratios = [speed.step / self.shipped[name].step for name, speed in self.here.items() if name in self.shipped]
        return median(ratios) if ratios else None

    def find(self, network: str) -> SpeedEstimate | None:
        """Return the speed of a network: measured here, else shipped, else that of similar networks."""
        if network in self.here:
            return SpeedEstimate(self.here[network], "calibrated here")
        speed = self.shipped.get(network)
        if speed is None:
            return self._find_similar(network)
        if self.ratio is None:
            return SpeedEstimate(speed, f"as on {self.machine}; `lineage run --calibrate` measures this machine")
        basis = f"as on {self.machine}, x {self.ratio:.2f} by the calibration here"
        return SpeedEstimate(speed.scale(self.ratio), basis)

    def _find_similar(self, network: str) -> SpeedEstimate | None:
        """Return the median speed of the networks of the same backbone, else of all; None if nothing was measured."""
        factor = self.ratio or 1.0
        speeds = {name: speed.scale(factor) for name, speed in self.shipped.items()} | dict(self.here)
        alike = {name: speed for name, speed in speeds.items() if name.endswith(f"/{network.partition('/')[2]}")}
        group = alike or speeds
        if not group:
            return None
        values = zip(*((speed.step, speed.image, speed.other) for speed in group.values()), strict=True)
        which = f"of backbone {network.partition('/')[2]}" if alike else "that were measured"
        basis = f"roughly, as {len(group)} networks {which}; `lineage run --calibrate TABLE` measures it"
        return SpeedEstimate(Speed(*map(median, values)), basis)


def name_network(choices: Mapping[str, str]) -> str:
    return f"{choices.get('model')}/{choices.get('backbone')}"


def load_speeds(experiments: Path, hardware: str) -> Speeds:
    """Return the shipped times of tier mini, and those measured on this machine."""
    path = (paths.lower_experiments(experiments) or experiments) / REFERENCE
    empty: dict[str, Any] = {"machine": "", "seconds": {}}
    record = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else empty
    shipped = {name: Speed(*values) for name, values in record["seconds"].items()}
    return Speeds(record["machine"], shipped, _load_measured(hardware))


def measure_networks(
    project: Path, requests: Sequence[RowRequest], hardware: str, log: Callable[[str], None]
) -> dict[str, Speed]:
    """Measure the networks of some rows by short runs, and keep their speeds in the cache of this machine.

    A network whose run fails is left out, with a message; rows that need what another row left measure nothing.
    """
    measured = _load_measured(hardware)
    alone = [request for request in requests if request.row.runs and not request.row.uses]
    rows = compose_rows(project, alone)
    networks = {name_network(row.choices): request for row, request in zip(rows, alone, strict=True) if not row.error}
    for network, request in networks.items():
        log(f"measure {network}")
        try:
            measured[network] = measure_speed(project, request)
        except TableError as error:
            log(str(error))
            continue
        record = {name: asdict(speed) for name, speed in measured.items()}
        atomic_write(_locate_measured(hardware), json.dumps(record, indent=1))
    return measured


def measure_speed(project: Path, request: RowRequest) -> Speed:
    """Train a row for a few steps and test it on a few images, in a process and a store of its own."""
    with tempfile.TemporaryDirectory(prefix="lineage-calibrate-") as folder:
        short = [f"schedule.steps={STEPS}", "schedule.milestones=[]", f"dataset.val.length={IMAGES}", "logger=none",
                 "schedule.warmup_steps=0", f"paths.results={folder}/results", f"paths.runs={folder}/runs"]  # fmt: skip
        command = [sys.executable, str(paths.train_script()), request.override, *short]
        started = time.perf_counter()
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - started
        entries = store.contents(Path(folder, "results")).entries
    finished = [entry for entry in entries if entry.status == "finished"]
    if not finished:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise TableError(f"{request.override} did not run: {' '.join(last)}")
    return read_speed(finished[0], seconds)


def read_speed(entry: Entry, seconds: float) -> Speed:
    """Return the speed of a run of `seconds`; without a measured step, all of its time is `other`."""
    step = entry.step_seconds or 0.0
    image = (entry.image_ms or 0.0) / 1000
    return Speed(step, image, max(0.0, seconds - entry.steps * step - IMAGES * image))


def _load_measured(hardware: str) -> dict[str, Speed]:
    record = read_mapping(_locate_measured(hardware))
    with suppress(TypeError):
        return {name: Speed(**values) for name, values in record.items()}
    return {}


def _locate_measured(hardware: str) -> Path:
    name = "".join(letter if letter.isalnum() else "-" for letter in hardware.lower())
    return cache_folder() / "speeds" / CALIBRATED_TIER / f"{name}.json"
