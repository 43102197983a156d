"""A config is data: what it may not name is refused with its key and file, and neither run nor imported."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml
from omegaconf import DictConfig, OmegaConf

from lineage.cli import main as cli
from lineage.config import validate
from lineage.config.allowed_targets import ALLOW, OPEN, TargetError, check_targets, is_allowed
from lineage.config.build import build
from lineage.config.compose import compose_config
from lineage.launch.rerun import original_overrides
from lineage.results import store
from lineage.results.entry import dump
from lineage.run.restore import restore
from lineage.tables.table import TableError
from tests.train.tiny import ROOT, environment

EARLIER = ROOT / "tests" / "earlier"
HOSTILE = (
    "os.system", "os.popen", "os.remove", "subprocess.run", "subprocess.Popen", "builtins.exec", "builtins.eval",
    "builtins.open", "builtins.__import__", "distutils.spawn.spawn", "pathlib.Path.write_text", "shutil.copy",
    "shutil.rmtree", "pickle.loads", "numpy.load", "numpy.save", "torch.load", "torch.save", "torch.hub.load",
    "torch.utils.cpp_extension.load", "torch.nn.modules.module.torch.load", "torch.nn.functional.torch.save",
    "torchvision.datasets.utils.download_url", "torchvision.transforms.os.system", "pytorch_lightning.os.system",
    "pytorch_lightning.cli.LightningCLI", "hydra.utils.instantiate", "hydra.utils.get_method",
    "hydra._internal.utils._locate", "importlib.import_module", "runpy.run_path", "timeit.timeit", "webbrowser.open",
    "lineage.launch.job.start_job", "lineage.results.store.put", "lineage.results.atomic.atomic_write",
    "lineage.cli.main.main", "lineage.run.train.run", "lineage.weights.download.download",
    "lineage.data.download.main", "lineage.data.proposals.write_proposals", "lineage.data.proposals.atomic_write",
    "lineage.data.formats.builder.os.system", "lineage.train.loggers.os.system", "lineage.train.loggers.atomic_write",
    "lineage.data.frames.clip_files.write_decoded", "lineage.data.samples.video.write_frames",
    "lineage.models.export.onnx.export", "lineage.config.build.build", "lineage.models.detectors.rcnn.torch.save",
    "lineage", "os", "", ".", "lineage.models.", "canary.run", "lineage.models.canary.run",
)  # fmt: skip
CANARY = "import pathlib\npathlib.Path('{trace}').touch()\n\ndef run(*args, **kwargs):\n    return None\n"


@pytest.fixture
def trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that appears where the module `canary` is imported, or a hostile call runs."""
    path = tmp_path / "trace"
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "canary.py").write_text(CANARY.format(trace=path))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    yield path
    assert not path.exists()
    assert "canary" not in sys.modules


def conf_targets(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from ([node["_target_"]] if "_target_" in node else [])
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from conf_targets(value)


def test_no_function_that_a_config_may_call_writes_a_file() -> None:
    """Such a function would take the path from the config of somebody else. Classes write caches and run folders."""
    writing = {"write_text", "write_bytes", "atomic_write", "atomic_path", "unlink", "rmtree", "savez", "import_module",
               "Popen", "system", "exec", "eval", "__import__"}  # fmt: skip
    functions = 0
    for path in (path for name in OPEN for path in list_files(ROOT / "src" / name.replace(".", "/"))):
        module = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and is_allowed(f"{module}.{node.name}"):
                functions += 1
                assert not {name_of(call) for call in ast.walk(node)} & writing, f"{module}.{node.name}"
    assert functions > 100


def list_files(place: Path) -> list[Path]:
    files = [*place.rglob("*.py")] if place.is_dir() else [place.with_suffix(".py")]
    assert all(file.is_file() for file in files), place
    return files


def name_of(node: ast.AST) -> str:
    """Return the last name of what a call calls."""
    function = node.func if isinstance(node, ast.Call) else None
    return str(getattr(function, "attr", getattr(function, "id", "")))


def test_every_config_of_ours_is_allowed() -> None:
    files = [*(ROOT / "conf").rglob("*.yaml"), *(ROOT / "experiments").rglob("*.yaml")]
    targets = {name for path in files for name in conf_targets(yaml.safe_load(path.read_text(encoding="utf-8")))}
    assert len(targets) > 100
    assert not [name for name in targets if not is_allowed(name)]


@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_config_may_not_name_is_not_run(name: str, trace: Path) -> None:
    hostile = {"a": {"_target_": "torch.nn.Identity"}, "b": [{"_target_": name, "_args_": [f"touch {trace}"]}]}
    for config in (hostile, OmegaConf.create(hostile)):
        with pytest.raises(TargetError, match=r"b\[0\]\._target_"):
            build(config)


@pytest.mark.parametrize(
    "node",
    [
        {"_target_": 3},
        {"_target_": None},
        {"_target_": ["os", "system"]},
        {"_target_": {"_target_": "torch.nn.Identity"}},
        {"_target_": "torch.nn.Identity", "_args_": [{"_target_": "os.system"}]},
        {"_target_": "torch.nn.Identity", "inner": {"deep": [[{"_target_": "os.system", "_partial_": True}]]}},
        {"name": "os.system", "_target_": "${.name}"},
        {"name": "system", "_target_": "os.${.name}"},
        {"_target_": "${oc.env:HOSTILE}"},
        {"inner": "${oc.create:'{_target_: os.system}'}"},
        {"inner": "\\${oc.create:'{_target_: os.system}'}"},
        {"inner": "${.text}", "text": "\\${.other}", "other": {"x": "y"}},
    ],
)
def test_no_detour_leads_to_it(node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTILE", "os.system")
    with pytest.raises(TargetError):
        build(OmegaConf.create({"node": node}).node)


def test_code_of_ones_own_is_allowed_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    node = OmegaConf.create({"_target_": "fractions.Fraction", "_args_": [1, 2]})
    with pytest.raises(TargetError, match=f"{ALLOW}=fractions in the environment"):
        build(node)
    monkeypatch.setenv(ALLOW, "my_package, fractions")
    assert str(build(node)) == "1/2"
    assert not is_allowed("fraction.Fraction")
    assert not is_allowed("fractionsx.Fraction")
    monkeypatch.setenv(ALLOW, " ,")
    assert not is_allowed("os.system")


def hostile_run(folder: Path) -> Path:
    """A run folder of somebody else: it works but for one node."""
    shutil.copytree(EARLIER / "stopped", folder)
    shutil.copy(EARLIER / "finished" / "weights.pt", folder / "weights.pt")
    config = OmegaConf.load(folder / "config.yaml")
    OmegaConf.update(config, "model.heads.mask.body", {"_target_": "canary.run"}, merge=False, force_add=True)
    OmegaConf.save(config, folder / "config.yaml")
    return folder


def test_a_run_folder_of_somebody_else_runs_nothing(tmp_path: Path, trace: Path) -> None:
    folder = hostile_run(tmp_path / "run")
    with pytest.raises(TargetError, match=r"run/config.yaml: model.heads.mask.body._target_: canary.run is nothing"):
        restore(str(folder), [], tmp_path)
    out = str(tmp_path / "out")
    for arguments in (
        ["predict", "x.png", "--weights", str(folder), "--out", out],
        ["export", str(folder), out + ".onnx"],
    ):
        assert cli.main(arguments) == 1
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), f"resume={folder}", f"hydra.run.dir={folder}"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "config.yaml: model.heads.mask.body._target_: canary.run" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_entry_of_somebody_else_passes_no_flag_to_hydra(tmp_path: Path) -> None:
    (path,) = store.files(EARLIER / "store")
    record = json.loads(dump(store.read(path)))
    hostile = ["--config-dir=/tmp", "--config-name=x", "-cp=/tmp", "+hydra.callbacks.x._target_=canary.run",
               "hydra/launcher=x", "model._target_=canary.run"]  # fmt: skip
    record["command"] = ["train.py", "seed=1", *hostile]
    (tmp_path / path.name).write_text(json.dumps(record))
    overrides = original_overrides(store.read(tmp_path / path.name), tmp_path)
    assert overrides == ["seed=1", "model._target_=canary.run"]
    with pytest.raises(TargetError, match=r"this config: model._target_: canary.run"):
        validate.check(compose_config(overrides))


def test_a_row_of_somebody_else_runs_nothing(tmp_path: Path, trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments" / "paper").mkdir(parents=True)
    table = """
        paper: A Paper
        label: Table 1
        message: Anything.
        kind: zoo
        dataset: coco
        metrics: {mask/AP: AP}
        source: arXiv
        confidence: verified
        rows:
          target: {set: {model.heads.mask.body._target_: canary.run}}
          hydra: {set: {hydra.callbacks.x._target_: canary.run}}
          group: {with: {hydra/launcher: basic}}
    """
    (tmp_path / "experiments" / "paper" / "table1.yaml").write_text(dedent(table))
    composed = compose_config(["experiment=paper/table1/target"])
    with pytest.raises(TargetError, match=r"the row paper/table1/target: model.heads.mask.body._target_: canary.run"):
        validate.check(composed)
    for row in ("hydra", "group"):
        with pytest.raises(TableError, match=f"the row {row} sets hydra.*: a row has no say in how Hydra runs"):
            compose_config([f"experiment=paper/table1/{row}"])


def test_a_config_that_does_not_resolve_is_still_checked() -> None:
    config = OmegaConf.create({"a": "${oc.env:NOT_SET_ANYWHERE}", "b": {"_target_": "os.system"}})
    assert isinstance(config, DictConfig)
    with pytest.raises(TargetError, match=r"x.yaml: b._target_: os.system"):
        check_targets(config, "x.yaml")
