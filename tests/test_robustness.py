"""A share of benchmarks/robustness: fuzz of every kind of input; slow ones: three kills, and a soak of 400 steps.

`python -m benchmarks.robustness` runs all of it.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from benchmarks.robustness import fuzz, kills, soak

COUNTS = dict.fromkeys(fuzz.KINDS, 12) | {"overrides": 3, "run folders": 4, "labels": 6, "foreign": 6, "claims": 6}


@pytest.mark.parametrize("name", fuzz.KINDS)
def test_damaged_inputs_are_refused_or_read_as_they_are(name: str, tmp_path: Path) -> None:
    outcomes = list(fuzz.fuzz(name, COUNTS[name], tmp_path, seed=1))
    assert [outcome for outcome in outcomes if fuzz.is_fault(outcome[0])] == []
    assert "refused" in {outcome for outcome, _, _ in outcomes}


def test_a_fault_is_a_fault() -> None:
    """The harness sees tracebacks, wrong readings and hangs."""

    class Broken:
        def damage(self, chance: object) -> bytes:
            return b""

        def read(self, data: bytes) -> None:
            if data == b"key":
                raise KeyError("x")
            if data == b"wrong":
                raise fuzz.Wrong("x")
            while data == b"hang":
                pass

    outcomes = [fuzz.attempt(Broken(), data, 1)[0] for data in (b"key", b"wrong", b"hang", b"")]
    assert outcomes == ["traceback", "wrong", "hang", "accepted"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="apt-get install strace")
def test_trainings_that_are_killed_go_on_to_the_same_bits(tmp_path: Path) -> None:
    """Before a checkpoint has its name, before its run has its entry, and at some moment."""
    training = kills.SCENARIOS[0]
    whole = kills.run_whole(training, tmp_path)
    calls = {str(call): call for call in whole.calls}
    chosen = ("rename checkpoints/step-#.ckpt", "rename run/entry.json")
    outcomes = [kills.kill_at_call(training, whole, calls[name], tmp_path / name.split()[1][:3]) for name in chosen]
    assert [outcome.place for outcome in outcomes] == [*chosen]
    outcomes.append(kills.kill_at_moment(training, whole, random.Random(3), tmp_path / "moment"))
    assert [outcome.faults for outcome in outcomes] == [[], [], []]


@pytest.mark.slow
def test_memory_and_files_stay_flat(tmp_path: Path) -> None:
    samples = soak.soak(tmp_path, steps=400, evaluations=8, pause=0.5)
    assert [row for row in soak.judge(samples, 400) if not row[-1]] == []
