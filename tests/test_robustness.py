"""A share of benchmarks/robustness: fuzz of every kind of input. `python -m benchmarks.robustness` runs all of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.robustness import fuzz

COUNTS = dict.fromkeys(fuzz.KINDS, 12) | {"overrides": 3}


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
