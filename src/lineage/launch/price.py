"""What a plan will cost, from the speed of earlier runs of the same model; else from published speeds; else unknown."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from lineage.launch.plan import TRAIN, Cell
from lineage.tables.entry import Entry
from lineage.tables.tiers import PAPER

HOUR = 3600.0
SPEEDS = "speeds.yaml"  # of experiments/: seconds per step, by device and model


@dataclass(frozen=True)
class Price:
    hours: float | None  # of one device; None is unknown
    basis: str


def device() -> str:
    """What a run would use here, without torch."""
    try:
        asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        done = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=10)
        return done.stdout.splitlines()[0].strip()
    except (OSError, subprocess.SubprocessError, IndexError):
        return "CPU"


def estimate(cell: Cell, entries: list[Entry], hardware: str, experiments: Path) -> Price:
    alike = [entry for entry in entries if _alike(entry, cell) and _on(entry, hardware)]
    if cell.action != TRAIN:
        rests = [_rest(entry) for entry in alike if entry.seconds]
        return Price(median(rests) / HOUR, f"{len(rests)} runs here") if rests else Price(None, "no test of it yet")
    images = _images(cell.composed.config)
    rates = [entry.images_per_second / entry.processes for entry in alike if entry.images_per_second]
    if rates and images is not None:
        rest = median(_rest(entry) for entry in alike if entry.images_per_second)
        return Price((images / median(rates) + rest) / HOUR, f"{len(rates)} runs here")
    stated = _stated(cell.composed.choices, experiments) if cell.name.tier == PAPER else None
    if stated is None or images is None:
        return Price(None, f"no run of this model on {hardware} yet")
    return Price(images / stated[0] / HOUR, stated[1])


def _alike(entry: Entry, cell: Cell) -> bool:
    """The same network at the same size of images: model, backbone and tier."""
    same = all(entry.choices.get(group) == cell.composed.choices.get(group) for group in ("model", "backbone"))
    return entry.tier == cell.name.tier and entry.status == "finished" and same


def _on(entry: Entry, hardware: str) -> bool:
    return hardware.lower() in str(entry.hardware.get("device", "")).lower()


def _rest(entry: Entry) -> float:
    """Seconds of a run that did not go into training: starting, and the test."""
    per_step = (entry.config.get("schedule") or {}).get("images_per_step", 0)
    training = entry.steps * per_step / entry.images_per_second if entry.images_per_second else 0.0
    return max(0.0, entry.seconds - training)


def _images(config: dict[str, Any]) -> float | None:
    schedule = config.get("schedule") or {}
    steps, images = schedule.get("steps"), schedule.get("images_per_step")
    return float(steps * images) if isinstance(steps, int) and isinstance(images, int) else None


def _stated(choices: dict[str, str], experiments: Path) -> tuple[float, str] | None:
    """Images per second and device, and whose measurement that is."""
    path, model = experiments / SPEEDS, f"{choices.get('model')}/{choices.get('backbone')}"
    table = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
    for name, told in (table or {}).items():
        if model in told["seconds"]:
            return told["images"] / told["seconds"][model], f"on {name}: {told['source']}"
    return None
