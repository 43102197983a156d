"""Jobs of a sweep at the same time, each with its GPU, and what a sweeper gets of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra.core.utils import JobStatus
from hydra.errors import CompactHydraException

from hydra_plugins.lineage.processes import Job, _describe_return, _suggest_table
from lineage.launch.parallel import JobProcess, list_devices, run_jobs
from lineage.results.entry import dump
from tests.tables.made import entry

WRITE = "import json, os, sys, time; a = time.time(); time.sleep({seconds}); json.dump([a, time.time(), " \
        "os.environ.get('CUDA_VISIBLE_DEVICES')], open(sys.argv[1], 'w')); sys.exit({code})"  # fmt: skip


def processes(folder: Path, *codes: int, seconds: float = 0.5) -> list[JobProcess]:
    return [
        JobProcess(
            f"job {i}", "", [sys.executable, "-c", WRITE.format(code=code, seconds=seconds), str(folder / str(i))]
        )
        for i, code in enumerate(codes)
    ]


def read(folder: Path, count: int) -> list[list[Any]]:
    return [json.loads((folder / str(i)).read_text()) for i in range(count)]


def test_jobs_run_at_the_same_time_each_on_a_gpu_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    codes = run_jobs(processes(tmp_path, 0, 3, 0, seconds=1.0), at_a_time=2, devices=["4", "5"])
    assert codes == [0, 3, 0]
    (_, end, first), (begin_2, end_2, second), (begin_3, _, third) = read(tmp_path, 3)
    assert begin_2 < end  # two at a time
    assert begin_3 > min(end, end_2)  # and no more
    assert {first, second} == {"4", "5"}
    assert third in {"4", "5"}


def test_a_single_job_keeps_all_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A DDP run of a sweep needs them."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert run_jobs(processes(tmp_path, 0, 0, seconds=0), at_a_time=1, devices=["0", "1"]) == [0, 0]
    assert [device for *_, device in read(tmp_path, 2)] == [None, None]


def test_gpus_are_those_that_are_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, 3")
    assert list_devices() == ["2", "3"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert list_devices() == []


def job(folder: Path) -> Job:
    return Job(7, ["optimizer.lr=0.01"], folder, [])


def test_a_sweeper_gets_the_metric_of_the_entry(tmp_path: Path) -> None:
    (tmp_path / "entry.json").write_text(dump(entry(value=31.5)))
    done = _describe_return(job(tmp_path), "mask/AP")
    assert done.return_value == 31.5
    assert _describe_return(job(tmp_path), None).return_value is None


def test_a_failed_job_is_a_failed_trial_with_its_reason(tmp_path: Path) -> None:
    """Optuna reads return_value, which raises, and counts the trial as failed; its entry stays."""
    assert _describe_return(job(tmp_path), "mask/AP").status is JobStatus.FAILED
    (tmp_path / "entry.json").write_text(dump(entry(metrics={"box/AP": 31.5})))
    with pytest.raises(CompactHydraException, match="optimize=mask/AP: job 7 measured box/AP"):
        _ = _describe_return(job(tmp_path), "mask/AP").return_value


def test_a_sweep_is_followed_by_its_table_unless_seeds_alone_vary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`lineage new` refuses runs that differ in nothing else: a table needs something that varies."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "a-sweep"
    jobs = [Job(number, ["roi=pool", f"seed={number}"], folder / str(number), []) for number in range(2)]
    assert _suggest_table(jobs, folder) == ""
    jobs.append(Job(2, ["roi=align", "seed=0"], folder / "2", []))
    assert _suggest_table(jobs, folder) == "next     lineage new me/sweep --from-runs runs/a-sweep\n"
