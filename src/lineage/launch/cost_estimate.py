"""The cost of a plan, from the speed of earlier runs of the same model; else from published speeds; else unknown."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import yaml

from lineage.launch.cells import Cell, CellName
from lineage.launch.explanation_cost import count_equivalent_images
from lineage.launch.network_speeds import CALIBRATED_TIER, Speeds, load_speeds, name_network
from lineage.launch.plan import TRAIN, Plan
from lineage.results import paths
from lineage.results.count_noun import count_noun
from lineage.results.entry import Entry
from lineage.tables.tiers import PAPER

HOUR = 3600.0
SPEEDS = "speeds.yaml"  # of experiments/: seconds per step, by device and model


@dataclass(frozen=True)
class CostEstimate:
    hours: float | None  # of one device; None is unknown
    device: str
    basis: str


class PublishedSpeed(NamedTuple):
    """The speed of a training on one device, and where it was measured."""

    images_per_second: float
    device: str
    source: str


def detect_device() -> str:
    """Return the name of the device that a run uses here, without torch."""
    try:
        command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
        return done.stdout.splitlines()[0].strip()
    except (OSError, subprocess.SubprocessError, IndexError):
        return "CPU"


def estimate_costs(plan: Plan, entries: list[Entry], hardware: str, experiments: Path) -> dict[CellName, CostEstimate]:
    """Return the cost of each open cell."""
    speeds = load_speeds(experiments, hardware)
    here = [entry for entry in entries if _ran_on(entry, hardware)]
    return {
        cell.name: estimate_cost(cell, plan.action(cell), here, hardware, experiments, speeds) for cell in plan.open
    }


def estimate_cost(
    cell: Cell, action: str, entries: list[Entry], hardware: str, experiments: Path, speeds: Speeds | None = None
) -> CostEstimate:
    """Estimate from runs of the cell with another seed, else of its model: the time of training, starting and testing.

    Without such runs: at tier `mini`, from `speeds`; at tier `paper`, from published speeds, the training alone.
    """
    similar = _find_similar(cell, action, [entry for entry in entries if _ran_on(entry, hardware)])
    basis = f"as {count_noun(len(similar), 'run')} on {hardware}"
    if not similar and speeds is not None and cell.name.tier == CALIBRATED_TIER:
        return _estimate_small(cell, action, hardware, speeds)
    if action != TRAIN:
        seconds = [_other_seconds(entry) for entry in similar]
        return CostEstimate(median(seconds) / HOUR, hardware, basis) if seconds else _unknown(hardware)
    images = _count_training_images(cell.composed.config)
    measured = [entry for entry in similar if entry.images_per_second]
    if measured and images is not None:
        speed = median((entry.images_per_second or 0.0) / entry.processes for entry in measured)
        return CostEstimate((images / speed + median(map(_other_seconds, measured))) / HOUR, hardware, basis)
    published = _find_published_speed(cell.composed.choices, experiments) if cell.name.tier == PAPER else None
    if published is None or images is None:
        return _unknown(hardware)
    basis = f"training alone, on {published.device}: {published.source}"
    return CostEstimate(images / published.images_per_second / HOUR, published.device, basis)


def _estimate_small(cell: Cell, action: str, hardware: str, speeds: Speeds) -> CostEstimate:
    """Return the time at tier `mini` from measured steps, else from steps of another machine."""
    estimate = speeds.find(name_network(cell.composed.choices))
    if estimate is None:
        return _unknown(hardware)
    seconds = estimate.speed.predict(cell.composed.config, action == TRAIN)
    return CostEstimate(seconds / HOUR, hardware, estimate.basis)


def _unknown(hardware: str) -> CostEstimate:
    return CostEstimate(None, hardware, f"no run of this model on {hardware} yet")


def _find_similar(cell: Cell, action: str, entries: list[Entry]) -> list[Entry]:
    """Return the runs of the cell itself, else those of its tier, model and backbone, with as many explanations."""
    finished = [entry for entry in entries if entry.status == "finished" and entry.tier == cell.name.tier]
    same = [
        entry for entry in finished if entry.cell_digest == cell.cell_digest and (entry.steps > 0) == (action == TRAIN)
    ]
    network = name_network(cell.composed.choices)
    explained = count_equivalent_images(cell.composed.config)
    return same or [
        entry
        for entry in finished
        if name_network(entry.choices) == network and count_equivalent_images(entry.config) == explained
    ]


def _ran_on(entry: Entry, hardware: str) -> bool:
    return hardware.lower() in str(entry.hardware.get("device", "")).lower()


def _other_seconds(entry: Entry) -> float:
    """Return the seconds of a run besides training: starting, and the test."""
    per_step = (entry.config.get("schedule") or {}).get("images_per_step", 0)
    training = entry.steps * per_step / entry.images_per_second if entry.images_per_second else 0.0
    return max(0.0, entry.seconds - training)


def _count_training_images(config: dict[str, Any]) -> float | None:
    """Return the number of images that a training reads."""
    schedule = config.get("schedule") or {}
    steps, images = schedule.get("steps"), schedule.get("images_per_step")
    return float(steps * images) if isinstance(steps, int) and isinstance(images, int) else None


def _find_published_speed(choices: dict[str, str], experiments: Path) -> PublishedSpeed | None:
    """Return the published speed of a training on one device, or None."""
    path = (paths.lower_experiments(experiments) or experiments) / SPEEDS
    network = name_network(choices)
    devices = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
    for device, speeds in (devices or {}).items():
        if network in speeds["seconds"]:
            return PublishedSpeed(speeds["images"] / speeds["seconds"][network], device, speeds["source"])
    return None
