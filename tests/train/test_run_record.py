"""The record of an ended run that trackers get, and the end of a process that has talked by gloo."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lineage.results.run_folder import RunFolder
from lineage.train import detection_module, gloo_threads
from lineage.train.callbacks import empty_hooks
from lineage.train.trackers.local_stores import find_mlflow_store
from lineage.train.trackers.run_record import COSTS, FACTS, RunRecord, read_record


def test_a_record_is_what_the_folder_holds_without_what_is_unknown(tmp_path: Path) -> None:
    assert read_record(tmp_path) == RunRecord()
    assert RunRecord().step == 0
    entry = dict.fromkeys(FACTS) | dict.fromkeys(COSTS) | {"other": 1, "status": "failed", "steps": 600, "dirty": False}
    metrics = {"box/AP": 0.0, "mask/AP": None}
    files = RunFolder(tmp_path)
    files.entry.write_text(json.dumps(entry | {"seconds": 81.2, "macs": 0, "metrics": metrics}))
    files.per_class.write_text(json.dumps({"disc": {"box/AP": 31.0, "mask/AP": None}, "bar": {"box/AP": 2.0}}))
    files.pictures.mkdir(parents=True)
    for name in ("b.png", "a.png", "c.txt"):
        (files.pictures / name).touch()
    record = read_record(tmp_path)
    assert record == RunRecord(
        path=files.entry,
        facts={"status": "failed", "steps": 600, "dirty": False},
        metrics={"box/AP": 0.0},
        costs={"cost/seconds": 81.2, "cost/macs": 0},
        classes={"class/disc/box/AP": 31.0, "class/bar/box/AP": 2.0},
        pictures=[files.pictures / "a.png", files.pictures / "b.png"],
    )
    assert record.step == 600


def test_runs_of_mlflow_lie_where_the_config_or_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "new" / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://of-the-environment")
    assert find_mlflow_store("http://of-the-config", store) == ("http://of-the-config", None)
    assert find_mlflow_store(None, store) == ("http://of-the-environment", None)
    assert not store.parent.exists()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    for _ in range(2):
        address, artifacts = find_mlflow_store(None, store)
        assert address == f"sqlite:///{store.resolve()}"
        assert artifacts == (tmp_path.resolve() / "new" / "mlflow.artifacts").as_uri()
    assert store.parent.is_dir()


@pytest.mark.parametrize(
    ("available", "initialized", "backend", "waits"),
    [(True, True, "gloo", True), (True, True, "cpu:gloo,cuda:nccl", True), (True, True, "nccl", False),
     (True, False, "gloo", False), (False, True, "gloo", False)],
)  # fmt: skip
def test_a_process_waits_for_threads_of_gloo_alone(
    monkeypatch: pytest.MonkeyPatch, available: bool, initialized: bool, backend: str, waits: bool
) -> None:
    pauses: list[float] = []
    dist = {"is_available": lambda: available, "is_initialized": lambda: initialized, "get_backend": lambda: backend}
    monkeypatch.setattr(gloo_threads, "dist", SimpleNamespace(**dist))
    monkeypatch.setattr(gloo_threads, "time", SimpleNamespace(sleep=pauses.append))
    gloo_threads.wait_for_gloo_threads()
    assert pauses == [0.2] * waits


@pytest.mark.parametrize("has_gpu", [True, False])
def test_nvml_counts_gpus_only_where_there_are_some(monkeypatch: pytest.MonkeyPatch, has_gpu: bool) -> None:
    monkeypatch.setenv(empty_hooks.NVML_CHECK, "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    empty_hooks.skip_search_for_gpus()
    assert (empty_hooks.NVML_CHECK in empty_hooks.os.environ) == has_gpu


@pytest.mark.parametrize(("device", "seeds"), [("cpu", []), ("cuda", [("cuda", 5)]), ("mps", [("all", 5)])])
def test_a_step_seeds_the_generators_of_its_device(
    monkeypatch: pytest.MonkeyPatch, device: str, seeds: list[tuple[str, int]]
) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    calls: list[tuple[str, int]] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda key: calls.append(("cuda", key)))
    monkeypatch.setattr(torch, "manual_seed", lambda key: calls.append(("all", key)))
    detection_module.seed_generators(5, torch.device(device))
    assert torch.rand(3).equal(expected)
    assert calls == seeds


def test_the_norm_of_gradients_is_torchs_whatever_their_types() -> None:
    generator = torch.Generator().manual_seed(0)
    gradients = [torch.randn(size, generator=generator) for size in ((3, 4), (5,), (2, 2, 2))]
    for rows in (gradients, [gradients[0].double(), *gradients[1:]], gradients[:1]):
        expected = torch.cat([row.flatten().double() for row in rows]).norm()
        torch.testing.assert_close(detection_module.get_total_norm(rows).double(), expected, rtol=1e-6, atol=0)
