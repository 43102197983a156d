"""What a plan will cost, from the speed of earlier runs of the same model; else from published speeds; else unknown."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from lineage.launch.plan import TRAIN, Cell
from lineage.results import paths
from lineage.results.entry import Entry
from lineage.tables.tiers import PAPER

HOUR = 3600.0
SPEEDS = "speeds.yaml"  # of experiments/: seconds per step, by device and model


@dataclass(frozen=True)
class Price:
    hours: float | None  # of one device; None is unknown
    device: str
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
    """From runs of the very cell with another seed, else of its model; training at their speed, and what is around it.

    At tier `paper`, where there are none, from published speeds: of the training alone.
    """
    alike = _alike(cell, [entry for entry in entries if _on(entry, hardware)])
    basis = f"as {len(alike)} {'run' if len(alike) == 1 else 'runs'} on {hardware}"
    if cell.action != TRAIN:
        rests = [_rest(entry) for entry in alike]
        return Price(median(rests) / HOUR, hardware, basis) if rests else _unknown(hardware)
    images = _images(cell.composed.config)
    measured = [entry for entry in alike if entry.images_per_second]
    if measured and images is not None:
        pace = median((entry.images_per_second or 0.0) / entry.processes for entry in measured)
        return Price((images / pace + median(map(_rest, measured))) / HOUR, hardware, basis)
    stated = _stated(cell.composed.choices, experiments) if cell.name.tier == PAPER else None
    if stated is None or images is None:
        return _unknown(hardware)
    pace, device, source = stated
    return Price(images / pace / HOUR, device, f"training alone, on {device}: {source}")


def _unknown(hardware: str) -> Price:
    return Price(None, hardware, f"no run of this model on {hardware} yet")


def _alike(cell: Cell, entries: list[Entry]) -> list[Entry]:
    """Of the cell itself, else of the same network at the same size of images: model, backbone and tier."""
    chosen = cell.composed.choices
    done = [entry for entry in entries if entry.status == "finished" and entry.tier == cell.name.tier]
    same = [entry for entry in done if _kin(entry, cell)]
    return same or [
        entry for entry in done if all(entry.choices.get(key) == chosen.get(key) for key in ("model", "backbone"))
    ]


def _kin(entry: Entry, cell: Cell) -> bool:
    return entry.cell_digest == cell.cell_digest and (entry.steps > 0) == (cell.action == TRAIN)


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


def _stated(choices: dict[str, str], experiments: Path) -> tuple[float, str, str] | None:
    """Images per second of one device, which device, and whose measurement that is."""
    path, model = (
        (paths.lower_experiments(experiments) or experiments) / SPEEDS,
        f"{choices.get('model')}/{choices.get('backbone')}",
    )
    table = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
    for name, told in (table or {}).items():
        if model in told["seconds"]:
            return told["images"] / told["seconds"][model], name, told["source"]
    return None
