"""Typos end in one message with the nearest names."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent

import pytest
import yaml
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode

import lineage.config.schema  # noqa: F401  the schema
from lineage.config.build import ConfigError
from lineage.config.compose import compose_config
from lineage.config.friendly_errors import explain, is_user_error, run_with_friendly_errors
from lineage.launch.compose_rows import RowRequest, compose_rows
from lineage.results import renames, renames_table
from lineage.tables.read import load_table
from lineage.tables.suggest import did_you_mean, nearest_key

ROOT = Path(__file__).parents[2]
RESIZE = "lineage.data.transforms.resize"


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("model=mask_rcn", "model has no option 'mask_rcn'. Did you mean mask_rcnn?"),
        ("roi=aling", "Did you mean align?"),
        pytest.param(
            "hydra/sweeper=optuna",
            "hydra/sweeper=optuna needs the extra search: pip install -e '.[search]'",
            marks=pytest.mark.skipif(find_spec("optuna") is not None, reason="the extra is installed"),
        ),
        ("modle=mask_rcnn", "there is no key 'modle'. Did you mean model?"),
        ("finetun=/data/cells", "there is no key 'finetun'. Did you mean finetune?"),
        ("experimnt=mini/mask_rcnn/table2c/roi_align", "Did you mean experiment?"),
        ("schedule.stepss=3", "there is no key 'schedule.stepss'. Did you mean schedule.steps?"),
        ("cell.nte=x", "Did you mean cell.note?"),
        ("model.heads.mask.widht=3", "Did you mean model.heads.mask.width?"),
        (
            "model.hads.mask.width=3",
            "there is no key 'model.hads' (in model.hads.mask.width). Did you mean model.heads?",
        ),
        ("~schedule.stps", "Did you mean schedule.steps?"),
        ("optimzer@x=sgd", "Did you mean optimizer or optimize?"),
        ("schedule.steps=many", "schedule.steps=many: schedule.steps is a whole number"),
        ("model", "'model' is not KEY=VALUE: it has no =. Write KEY=VALUE without blanks around the ="),
        ("resume=/zwölf", "'resume=/zwölf' is not KEY=VALUE: 'ö' is read only in quotes. Quote special"),
        ("schedule.milestones=[1", "is not KEY=VALUE: no viable alternative at input '[1'"),
        ("seed=1,2", "--multirun"),
        ("experiment=mask_rcnn/table2c/roi_aling", "has no row 'roi_aling'. Did you mean roi_align"),
        ("experiment=mini/mask_rcnn/table2c/roi_aling", "Did you mean roi_align"),
        ("experiment=mask_rcnn/table2cc/roi_align", "no table 'mask_rcnn/table2cc'. Did you mean mask_rcnn/table2c"),
        ("experiment=mask_rcnn/table2c", "-m '+experiment/mask_rcnn/table2c=glob(*)'"),
    ],
)
def test_the_nearest_names(override: str, says: str) -> None:
    message = message_of(override)
    assert says in message
    assert len(message.splitlines()) <= 4
    assert "search path" not in message


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("track=csv", "track is now logger: write logger=csv"),
        ("track=wandb", "track is now logger: write logger=wandb"),
        ("track@x=csv", "track is now logger: write logger@x=csv"),
        ("~track", "track is now logger: write ~logger"),
        ("entry.note='a=b'", "entry.note is now cell.note: write cell.note='a=b'"),
        ("model.old=3", "model.old is now model.heads: write model.heads=3"),
        ("roi=aligned", "roi=aligned: the option 'aligned' of roi is now 'align'. Write roi=align"),
    ],
)
def test_a_former_name_is_told_with_that_of_today(override: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rename(monkeypatch)
    assert message_of(override) == says


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("+track=csv", "track is now logger"),
        ("++entry.note=x", "entry is now cell"),
        ("+model.old=3", "model.old is now model.heads"),
        (
            "model._target_=lineage.models.rcnn.RCNN",
            "RCNN is now lineage.models.detectors.rcnn.RCNN",
        ),
        ("+new=3", "there is no key 'new'"),
        ("+data.worker=3", "there is no key 'data.worker'. Did you mean data.workers?"),
    ],
)
def test_adding_a_key_needs_a_name_of_today_too(override: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rename(monkeypatch)
    with pytest.raises(ConfigError, match=re.escape(says)):
        compose_config([override], ROOT)


def test_a_row_of_former_names_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename(monkeypatch)
    monkeypatch.setenv("LINEAGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments" / "paper").mkdir(parents=True)
    rows = {"key": "set: {entry.note: x}", "option": "with: {roi: aligned}", "group": "with: {track: csv}",
            "keyword": "set: {model.old: 3}"}  # fmt: skip
    table = """
        paper: A Paper
        label: Table 1
        message: Anything.
        kind: zoo
        dataset: coco
        metrics: {mask/AP: AP}
        source: arXiv
        confidence: verified
        base: {with: {model: mask_rcnn}}
        rows:
    """
    listed = "".join(f"  {name}: {{{says}}}\n" for name, says in rows.items())
    (tmp_path / "experiments" / "paper" / "table1.yaml").write_text(dedent(table).rstrip(" ") + listed)
    read = load_table(tmp_path / "experiments", "paper/table1")
    asked = [RowRequest("paper/table1", read.rows[name], "paper") for name in rows]
    errors = dict(zip(rows, (row.error for row in compose_rows(tmp_path, asked)), strict=True))
    assert errors["key"] == "In 'experiment/paper/table1/key': entry is now cell"
    assert errors["keyword"] == "model.old is now model.heads"
    assert "the option 'aligned' of roi is now 'align'" in str(errors["option"])
    assert "track is now logger" in str(errors["group"])


def rename(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that model.heads was model.old, and roi=align was roi=aligned."""
    path = ROOT / "src" / "lineage" / "results" / "renames.yaml"
    table = yaml.safe_load(path.read_text(encoding="utf-8"))
    table["keys"].setdefault("lineage.models.detectors.rcnn.RCNN", {})["heads"] = "old"
    table["options"].setdefault("roi", {})["align"] = "aligned"
    changed = renames_table.read(table)
    monkeypatch.setattr(renames, "renames", lambda: changed)


def test_a_second_wrong_choice_does_not_hide_the_first_error() -> None:
    error = error_of("schedule.stepss=3")
    assert "schedule.steps?" in explain(error, ROOT, ["model=nobody", "schedule.stepss=3"])


def test_in_a_sweep_the_parent_says_it_once(tmp_path: Path) -> None:
    for override, says in (
        ("schedule.stepss=1,2", "there is no key 'schedule.stepss'. Did you mean schedule.steps?"),
        ("track=csv,none", "track is now logger: write logger=csv,none"),
    ):
        done = train("-m", override, f"hydra.sweep.dir={tmp_path}")
        assert done.returncode == 1
        assert done.stderr.startswith(says)
        assert "Traceback" not in done.stderr


def test_composing_needs_no_torch() -> None:
    code = "import sys, train; print(*{'torch', 'numpy', 'pytorch_lightning'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not done.stdout.strip()


def test_help_names_every_choice_without_hydra() -> None:
    done = train("--help")
    assert done.returncode == 0
    for group in ("model", "backbone", "roi", "dataset", "schedule", "classification"):
        assert f"\n  {group} " in done.stdout
        for option in (ROOT / "conf" / group).glob("*.yaml"):
            assert option.stem in done.stdout
    assert "mask_rcnn*" in done.stdout  # the default is marked


def test_nearest_keys_prefer_the_same_parent() -> None:
    keys = ["a", "a.size", "a.pool.size", "b.size", "b.steps"]
    assert nearest_key("a.sizee", keys) == ["a.size"]
    assert nearest_key("b.pool.sizee", ["a.pool.size", "b.pool", "b.size"]) == ["a.pool.size", "b.size"]
    assert nearest_key("zzz", keys) == []


def test_few_names_are_all_told() -> None:
    assert did_you_mean("zzz", ["b", "a"]) == "There are: b, a."
    assert did_you_mean("zzz", []) == "There are: none."


def message_of(override: str) -> str:
    return explain(error_of(override), ROOT, [override])


def error_of(override: str) -> HydraException:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()  # `compose` allows sweeps, a run does not
        with pytest.raises(HydraException) as error:
            loader.load_configuration("train", [override], RunMode.RUN)
    return error.value


def train(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(ROOT / "train.py"), *arguments], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("~dataset=0", "~dataset=0: dataset is a config group, whose options are words"),
        ("+backbone@x=inf", "+backbone@x=inf: backbone is a config group, whose options are words"),
        ("augment=[1,2]", "augment=[1,2]: augment is a config group, whose options are words"),
        ("augment=[[]]", "augment=[[]]: augment is a config group, whose options are words"),
        ("=3", "'=3' is not KEY=VALUE: it has no key"),
        ("callbacks=[em]", "callbacks=[em]: callbacks has no option 'em'. Did you mean ema?"),
    ],
)
def test_hydras_value_errors_are_messages(override: str, message: str) -> None:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        with pytest.raises((ValueError, TypeError, HydraException)) as error:
            loader.load_configuration("train", [override], RunMode.RUN)
    assert is_user_error(error.value)
    assert explain(error.value, ROOT, ["seed=2", override]) == message


def test_commands_beside_train_get_the_same_message() -> None:
    with pytest.raises(ConfigError, match=r"^augment=\[1,2\]: augment is a config group"):
        compose_config(["augment=[1,2]"])


def test_a_value_error_of_ours_keeps_its_traceback() -> None:
    assert not is_user_error(ValueError("a bug"))


@pytest.mark.parametrize(
    ("text", "is_lost"),
    [
        ("[.../gloo/transport/tcp/pair.cc:545] Read error [127.0.0.1]:30877: Connection reset by peer", True),
        ("[.../gloo/transport/tcp/pair.cc:547] Connection closed by peer [10.0.0.2]:4711", True),
        ("NCCL error: remote process exited or there was a network error", True),
        ("[Errno 104] Connection reset by peer", False),  # of a download
        ("[.../gloo/gather.cc] invalid argument", False),
    ],
)
def test_the_stack_of_a_collective_that_lost_a_process_is_one_line(text: str, is_lost: bool) -> None:
    error = RuntimeError(text)
    assert is_user_error(error) == is_lost
    assert explain(error, ROOT, []).startswith("another process of this run has ended") == is_lost


def test_an_interrupted_command_prints_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setenv("LINEAGE_EXPLAINS", "1")
    with pytest.raises(SystemExit) as end:
        run_with_friendly_errors(interrupted)
    assert end.value.code == 130


@pytest.mark.parametrize(
    ("override", "takes"),
    [
        ("schedule.epochs=abc", "schedule.epochs is a number"),
        ("++seed=abc", "seed is a whole number"),
        ("evaluate_only=maybe", "evaluate_only is true or false"),
        ("schedule.milestones=[a]", r"schedule.milestones\[0\] is a whole number"),
        ("schedule.milestones=3", "schedule.milestones is a list"),
    ],
)
def test_a_value_of_another_type_names_what_the_key_takes(override: str, takes: str) -> None:
    with pytest.raises(ConfigError, match=takes) as info:
        compose_config([override])
    assert re.fullmatch(re.escape(override) + ": " + takes + ".*", str(info.value))


@pytest.mark.parametrize(
    ("overrides", "sizes"),
    [
        (["dataset=coco", "tier=mini"], [320]),
        (["dataset=voc07", "tier=mini"], [320]),
        (["dataset=penn_fudan", "tier=smoke"], [112]),
        (["dataset=cityscapes", "tier=mini", "model=rcnn"], [320]),
        (["dataset=coco", "tier=paper"], [800]),
        (["dataset=coco", "tier=mini", "augment=flip_600"], [600]),
        (["dataset=shapes", "tier=mini"], None),  # drawn at the size of the tier
        (["dataset=shapes_tail", "tier=smoke"], None),
        (["model=panoptic_fpn", "dataset=shapes_panoptic"], None),
    ],
)
def test_small_tiers_resize_photographs_and_no_drawing(overrides: list[str], sizes: list[int] | None) -> None:
    test = compose_config(overrides).augment.test
    assert test.get("sizes") == sizes
    assert test._target_ == ("torch.nn.Identity" if sizes is None else f"{RESIZE}.ResizeShortestEdge")
