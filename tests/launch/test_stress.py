"""Several runners on one store, killed at random moments again and again, until the table is full."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from lineage.results import store
from tests.launch import toy

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")]

RUNNERS, SEEDS, PATIENCE = 4, "3", 900.0


@pytest.mark.parametrize("luck", [1, 2])
def test_kills_lose_nothing_and_train_nothing_twice(tmp_path: Path, luck: int) -> None:
    root, chance = toy.project(tmp_path), random.Random(luck)
    end, kills = time.monotonic() + PATIENCE, 0
    runners = [toy.runner(root, "--seeds", SEEDS, "--jobs", "2", nap=0.15) for _ in range(RUNNERS)]
    while any(one.poll() is None for one in runners):
        assert time.monotonic() < end, _told(root)
        time.sleep(chance.uniform(0.2, 1.5))
        hit = chance.randrange(RUNNERS)
        if kills < 20 and runners[hit].poll() is None:
            runners[hit].send_signal(signal.SIGKILL)
            runners[hit].communicate()
            runners[hit] = toy.runner(root, "--seeds", SEEDS, "--jobs", "2", nap=0.15)
            kills += 1
    assert kills >= 5
    assert [one.wait() for one in runners] == [0] * RUNNERS, [one.communicate()[0] for one in runners]
    held = store.contents(root / "results")
    assert not held.damaged
    rows = Counter((entry.row, entry.seed) for entry in held.entries if entry.status == "finished")
    assert rows == {(row, seed): 1 for row in ("pool", "align", "tested", "twin", "child") for seed in range(3)}
    trained = Counter(entry.training_digest + str(entry.seed) for entry in held.entries if entry.steps)
    assert set(trained.values()) == {1}
    steps = Counter(toy.trained(root))
    assert len(steps) == 4 * 3 * 3  # of every training each step was taken,
    assert sum(steps.values()) - len(steps) <= 2 * kills  # and again only where a kill came before its checkpoint


def _told(root: Path) -> str:
    return "\n".join(f"{path.name}: {path.read_text()}" for path in (root / "results/.leases").glob("*.lease"))
