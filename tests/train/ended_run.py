"""The records of a run folder that loggers read when a run ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lineage.train import background_logger

ENTRY = {"id": "e1", "metrics": {"box/AP": 30.0}, "commit": "c0", "seconds": 8.5}
PER_CLASS = {"ice cream, cone": {"box/AP": 31.0, "box/APs": None}}


def write_entry(folder: Path, status: str, steps: int) -> None:
    (folder / "entry.json").write_text(json.dumps(ENTRY | {"status": status, "steps": steps}))


def write_per_class(folder: Path) -> None:
    (folder / "per_class.json").write_text(json.dumps(PER_CLASS))


def lengthen_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a tracker take two minutes to open and to close: machines of tests are busy."""
    monkeypatch.setattr(background_logger, "OPEN", 120.0)
    monkeypatch.setattr(background_logger, "CLOSE", 120.0)
