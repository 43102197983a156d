"""`lineage doctor`: each thing that can be wrong is told with its fix, and none of them breaks the doctor."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from lineage.cli import doctor
from lineage.run.checks import machine, packages
from lineage.run.checks.packages import CheckResult

LOCK = """\
numpy==2.4.6 ; python_full_version < '3.12' \\
    --hash=sha256:aa
numpy==2.5.5 ; python_full_version >= '3.12' \\
    --hash=sha256:bb
torch==2.15.0 \\
    --hash=sha256:cc
colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:dd
"""


@pytest.fixture
def healthy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without surprises, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LINEAGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(doctor, "CHECKS", {"python": packages.check_python, "can write": machine.check_writable})
    return tmp_path


def versions(monkeypatch: pytest.MonkeyPatch, **have: str) -> None:
    def version(name: str) -> str:
        if name.replace("-", "_") not in have:
            raise metadata.PackageNotFoundError(name)
        return have[name.replace("-", "_")]

    monkeypatch.setattr(metadata, "version", version)


def test_this_machine_can_run_the_tests(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main([]) == 0
    printed = capsys.readouterr().out
    assert "✗" not in printed
    assert all(name in printed for name in doctor.CHECKS)


def test_a_fatal_finding_exits_with_1_and_prints_the_fix(
    healthy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(doctor.CHECKS, "torch", lambda: CheckResult("bad", "does not load [x]", "make setup"))
    assert doctor.main([]) == 1
    printed = capsys.readouterr().out
    assert "does not load [x]" in printed
    assert "fix: make setup" in printed


def test_a_warning_is_not_fatal(healthy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doctor.CHECKS, "disk", lambda: CheckResult("warn", "full", "free some"))
    assert doctor.main([]) == 0


def test_an_unknown_argument_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main(["datset.root=x"]) == 2
    assert "datset.root=x" in capsys.readouterr().err
    assert doctor.main(["--help"]) == 0
    assert "dataset.root=DIR" in capsys.readouterr().out


def test_a_check_that_breaks_is_a_finding() -> None:
    result = machine.run_check(lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    assert result.state == "warn"
    assert "division by zero" in result.text


def test_dataset_places(healthy: Path) -> None:
    (healthy / "coco" / "annotations").mkdir(parents=True)
    (healthy / "coco" / "annotations" / "train.json").write_text("{}")
    (healthy / "empty").mkdir()
    root = f"dataset.root={healthy / 'coco'}"
    assert doctor.main([root, "dataset.train.annotations=annotations/train.json"]) == 0
    assert doctor.main([root, "dataset.train.annotations=annotations/absent.json"]) == 1
    assert doctor.main([f"dataset.root={healthy / 'empty'}"]) == 1
    assert doctor.main([f"dataset.root={healthy / 'absent'}"]) == 1


def test_torch_and_torchvision_of_different_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("operator torchvision::nms does not exist\nmore")

    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace(ops=SimpleNamespace(nms=broken)))
    assert packages.check_torch() == CheckResult(
        "bad",
        "operator torchvision::nms does not exist",
        "torch and torchvision must be builds of one release and device: make setup",
    )


@pytest.mark.parametrize(("bf16", "text"), [(True, ", bf16"), (False, ", no bf16")])
def test_a_gpu_is_named_with_its_memory(bf16: bool, text: str) -> None:
    cuda = types.ModuleType("cuda")
    cuda.__dict__.update(
        device_count=lambda: 2,
        get_device_name=lambda _: "NVIDIA H100",
        get_device_properties=lambda _: SimpleNamespace(total_memory=80 * machine.GB),
        is_bf16_supported=lambda including_emulation: bf16,
    )
    result = machine._describe_gpu(cuda, "580.1")
    assert result == CheckResult("ok", f"2 x NVIDIA H100, 80 GB, driver 580.1{text}")


@pytest.mark.parametrize(
    ("have", "state", "text"),
    [
        ({"pytorch_lightning": "2.6.6"}, "ok", "2.6.6"),
        ({"pytorch_lightning": "2.6.5"}, "warn", "2.6.5"),
        ({"pytorch_lightning": "2.6.3"}, "bad", "attacker"),
        ({"pytorch_lightning": "2.6.6", "lightning": "2.6.2"}, "bad", "attacker"),
        ({}, "bad", "not installed"),
    ],
)
def test_lightning_releases(monkeypatch: pytest.MonkeyPatch, have: dict[str, str], state: str, text: str) -> None:
    versions(monkeypatch, **have)
    result = packages.check_lightning()
    assert result.state == state
    assert text in result.text


@pytest.mark.parametrize(
    ("hydra", "omegaconf", "state"), [("1.3.8", "2.3.1", "ok"), ("1.4.0", "2.3.1", "bad"), ("1.3.8", "2.4.0", "bad")]
)
def test_hydra_releases(monkeypatch: pytest.MonkeyPatch, hydra: str, omegaconf: str, state: str) -> None:
    versions(monkeypatch, hydra_core=hydra, omegaconf=omegaconf)
    assert packages.check_hydra().state == state


@pytest.mark.parametrize(
    ("have", "differing"),
    [
        ({"numpy": "2.4.6", "torch": "2.15.0+cu132"}, []),
        ({"numpy": "2.5.5", "torch": "2.15.0"}, []),
        ({"numpy": "2.4.6", "torch": "2.11.0"}, ["torch 2.11.0, lock has 2.15.0"]),
        ({"numpy": "1.26.0", "torch": "2.15.0"}, ["numpy 1.26.0, lock has 2.4.6 or 2.5.5"]),
        ({"numpy": "2.4.6"}, ["torch missing, lock has 2.15.0"]),
    ],
)
def test_packages_out_of_step_with_the_lock(have: dict[str, str], differing: list[str]) -> None:
    assert packages.compare_with_lock(LOCK, have.get) == differing


def test_a_folder_that_refuses_files(healthy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.check_writable().state == "ok"
    (healthy / "results").write_text("a file where a folder should be")
    result = machine.check_writable()
    assert result.state == "bad"
    assert "results" in result.text
    assert "runs" not in result.text


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        ({"WANDB_MODE": "offline"}, "WANDB_MODE=offline"),
        ({"WANDB_API_KEY": "k" * 40}, "online"),
        ({}, "no key"),
    ],
)
def test_tracker_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environment: dict[str, str], text: str) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    result = machine.check_wandb()
    assert text in result.text
    assert "kkkk" not in result.text


@pytest.mark.parametrize(
    ("check", "job", "text"),
    [(machine.check_slurm, "77", "inside job 77"), (machine.check_processor, "", "cores")],
)
def test_the_surroundings(
    monkeypatch: pytest.MonkeyPatch, check: Callable[[], CheckResult], job: str, text: str
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", job)
    assert text in check().text


@pytest.mark.parametrize(
    ("text", "has_bf16"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx512_vnni avx512_bf16 gfni\n", True),
        ("flags\t\t: fpu avx2 avx512f\n", False),
        ("Features\t: fp asimd i8mm bf16\n", True),
        ("Hardware\t: a board\n", None),
    ],
)
def test_bfloat16_of_the_processor(monkeypatch: pytest.MonkeyPatch, text: str, has_bf16: bool | None) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_args, **_keywords: text)
    assert machine.has_bf16() is has_bf16
