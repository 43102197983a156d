from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from lineage.results import lease

TAKER = """
import sys, time
from collections.abc import Sequence
from pathlib import Path
from lineage.results import lease
time.sleep(max(0, float(sys.argv[2]) - time.time()))  # all at once
held = lease.acquire(Path(sys.argv[1]), "x")
print("held" if held else "none", flush=True)
time.sleep(2)
"""


def claim(*pids: int, **changes: object) -> str:
    """What a holder with these processes writes."""
    return json.dumps(json.loads(lease._claim("t", *pids)) | changes)


def test_one_holds_it(tmp_path: Path) -> None:
    held = lease.acquire(tmp_path, "x")
    assert held is not None
    assert lease.acquire(tmp_path, "x") is None
    assert lease.acquire(tmp_path, "y") is not None
    assert (lease.holder(tmp_path, "x") or "").endswith(f"process {os.getpid()}")
    held.release()
    assert lease.holder(tmp_path, "x") is None
    assert lease.acquire(tmp_path, "x") is not None


def test_of_sixteen_takers_one_wins_also_over_a_dead_holder(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    dead.wait()
    (tmp_path / "x.7.lease").write_text(claim(dead.pid))
    at = str(time.time() + 3)
    takers = [
        subprocess.Popen([sys.executable, "-c", TAKER, str(tmp_path), at], stdout=subprocess.PIPE, text=True)
        for _ in range(16)
    ]
    said = [taker.communicate()[0].strip() for taker in takers]
    assert sorted(said) == ["held", *["none"] * 15]
    assert [path.name for path in tmp_path.glob("x.*.lease")] == ["x.8.lease"]


def test_another_machine_is_believed_as_long_as_it_gives_signs_of_life(tmp_path: Path) -> None:
    path = tmp_path / "x.1.lease"
    path.write_text(claim(os.getpid(), machine="elsewhere"))
    assert lease.acquire(tmp_path, "x") is None
    os.utime(path, (path.stat().st_mtime - 100,) * 2)
    assert lease.acquire(tmp_path, "x") is not None


def test_a_holder_on_another_machine_may_be_dead_and_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.2)
    path = tmp_path / "x.1.lease"
    path.write_text(claim(os.getpid(), machine="elsewhere"))
    started = time.monotonic()
    taken = lease.wait_and_acquire(tmp_path, "x", stale=0.6)
    assert taken is not None
    assert 0.5 < time.monotonic() - started < 5
    started = time.monotonic()
    assert lease.wait_and_acquire(tmp_path, "x") is None  # of this process: no reason to wait
    assert time.monotonic() - started < 0.5


def test_the_work_holds_the_claim_when_its_runner_is_gone(tmp_path: Path) -> None:
    work = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    (tmp_path / "x.1.lease").write_text(claim(2**22 - 3, work.pid))
    assert lease.acquire(tmp_path, "x") is None
    work.kill()
    work.wait()
    assert lease.acquire(tmp_path, "x") is not None


def test_a_lost_claim_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.02)
    told: list[bool] = []
    held = lease.acquire(tmp_path, "x")
    assert held is not None
    held.lost = lambda: told.append(True)
    (tmp_path / "x.2.lease").write_text("{}")
    _until(told)
    assert told == [True]


def test_a_number_that_now_belongs_to_another_process_is_no_sign_of_life(tmp_path: Path) -> None:
    (tmp_path / "x.1.lease").write_text(claim(processes=[[os.getpid(), "1"]]))
    assert lease.acquire(tmp_path, "x") is not None


def test_a_claim_that_went_through_other_hands_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours was taken over and given back while we slept, and somebody has begun at number one again."""
    monkeypatch.setattr(lease, "BEAT", 0.02)
    told: list[bool] = []
    held = lease.acquire(tmp_path, "x")
    assert held is not None
    held.lost = lambda: told.append(True)
    theirs = claim(os.getpid())
    (tmp_path / "theirs").write_text(theirs)
    os.replace(tmp_path / "theirs", held.path)
    _until(told)
    held.release()
    assert held.path.read_text() == theirs


def test_a_taker_that_looked_too_long_ago_backs_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It saw number 3 abandoned; until it acts, 4 has been taken and given back, and 1 is held."""
    current = lease.acquire(tmp_path, "x")
    assert current is not None
    (tmp_path / "y.3.lease").write_text(claim(2**22 - 3))
    looked = lease._highest
    monkeypatch.setattr(lease, "_highest", lambda folder, name: (3, looked(folder, "y")[1]))
    assert lease.acquire(tmp_path, "x") is None
    assert [path.name for path in tmp_path.glob("x.*")] == [current.path.name]


def test_a_file_system_that_does_not_answer_costs_no_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.02)
    tried: list[Path] = []

    def fails(path: Path) -> None:
        tried.append(path)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "utime", fails)
    told: list[bool] = []
    held = lease.acquire(tmp_path, "x")
    assert held is not None
    held.lost = lambda: told.append(True)
    _until(tried)
    time.sleep(0.1)
    assert len(tried) > 1
    assert not told
    held.release()


def _until(true: Sequence[object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true and time.monotonic() < end:
        time.sleep(0.02)
    assert true


HOLDER = """
import os, sys, time, uuid
from pathlib import Path
from lineage.results import lease
lease.BEAT = 0.2
lease._machine = lambda machine=str(uuid.uuid4()): machine  # nobody can see whether another's process lives
folder, log = Path(sys.argv[1]), Path(sys.argv[2])
while True:
    for task in range(3):
        held = lease.acquire(folder, f"x{task}", stale=4.0)
        if held is not None:
            for edge in ("enter", "leave"):
                with log.open("a") as file:
                    file.write(f"{time.monotonic()} {task} {held.token} {edge} {os.getpid()}\\n")
                time.sleep(0.3)
            held.release()
    time.sleep(0.05)
"""


@pytest.mark.slow
def test_holders_of_many_machines_that_are_killed_never_overlap(tmp_path: Path) -> None:
    log, chance = tmp_path / "log", random.Random(0)
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "leases"), str(log)]
    holders = {one.pid: one for one in (subprocess.Popen(command) for _ in range(8))}
    for _ in range(12):
        time.sleep(chance.uniform(0.5, 2.5))
        end = time.monotonic() + 30
        while not log.exists() and time.monotonic() < end:
            time.sleep(0.05)
        pids = [int(line.split()[-1]) for line in log.read_text().splitlines()]
        hit = holders.pop(next(pid for pid in reversed(pids) if pid in holders))  # who has entered or left last
        hit.kill()
        hit.wait()
        holders |= {one.pid: one for one in [subprocess.Popen(command)]}
    for one in holders.values():
        one.kill()
        one.wait()
    lines = [line.split() for line in log.read_text().splitlines()]
    told = sorted((float(at), task, token, edge) for at, task, token, edge, _ in lines)
    cut = 0
    for task in "012":
        edges = [(at, token, edge) for at, which, token, edge in told if which == task]
        for (at, token, edge), (later, after, next_edge) in pairwise(edges):
            if edge == "enter" and token != after:  # only who was killed is followed before it leaves, when it is stale
                assert next_edge == "enter"
                assert later - at > 3.0
                cut += 1
            elif edge == "enter":
                assert next_edge == "leave"
    assert len(told) > 60
    assert cut > 0
