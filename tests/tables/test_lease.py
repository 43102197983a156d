from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lineage.tables import lease

TAKER = """
import sys, time
from pathlib import Path
from lineage.tables import lease
time.sleep(max(0, float(sys.argv[2]) - time.time()))  # all at once
held = lease.acquire(Path(sys.argv[1]), "x")
print("held" if held else "none", flush=True)
time.sleep(2)
"""


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
    me = json.loads((lease.acquire(tmp_path, "y") or pytest.fail("nobody else holds y")).path.read_text())
    (tmp_path / "x.7.lease").write_text(json.dumps(me | {"pid": dead.pid}))
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
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1}))
    assert lease.acquire(tmp_path, "x") is None
    os.utime(path, (path.stat().st_mtime - 100,) * 2)
    assert lease.acquire(tmp_path, "x") is not None


def test_the_work_holds_the_claim_when_its_runner_is_gone(tmp_path: Path) -> None:
    work = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    path = tmp_path / "x.1.lease"
    mine = lease.acquire(tmp_path, "y")
    assert mine is not None
    path.write_text(json.dumps(json.loads(mine.path.read_text()) | {"pid": 2**22 - 3, "worker": work.pid}))
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
    end = time.monotonic() + 10
    while not told and time.monotonic() < end:
        time.sleep(0.02)
    assert told == [True]
