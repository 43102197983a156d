"""Commands printed after a run vary what was typed, on the same data."""

from __future__ import annotations

import logging
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from omegaconf import OmegaConf
from pytorch_lightning import Trainer

from lineage.results import paths, store
from lineage.run.artifacts import describe_others, show, suggest_commands, table
from lineage.run.resume import Attempt
from lineage.run.train import create_console, log_to, report_interruption
from lineage.train.entry_writer import EntryWriter
from tests.tables import made

BOX = {"model": {"box": {"roi": {}}}}


def attempt(*overrides: str, config: dict[str, Any] = BOX, **fields: Any) -> Attempt:
    common = {"evaluate_only": False, "paths": {"results": str(paths.results()), "runs": "runs"}}
    return Attempt(Path("runs/a"), OmegaConf.create(common | config), list(overrides), {"model": "mask_rcnn"}, **fields)


def test_a_test_is_varied_by_its_views() -> None:
    typed = ("model=mask_rcnn", "evaluate_only=true", "weights=runs/a", "tta=flip")
    config = {"model": {"neck": {}}, "evaluate_only": True}
    views, again = suggest_commands(attempt(*typed, config=config), made.entry(None, 1.0, 0))
    assert views.endswith("-m model=mask_rcnn evaluate_only=true weights=runs/a tta=none,flip")
    assert again.startswith("lineage rerun ")


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_training_on_images_of_a_folder_is_followed_by_predictions(tmp_path: Path, split: str) -> None:
    (tmp_path / "my cells").mkdir()
    config = BOX | {"dataset": {"train": None, "val": None, split: {"root": str(tmp_path), "images": "my cells"}}}
    first, *_ = suggest_commands(attempt(config=config), made.entry(None, 1.0, 0))
    assert shlex.split(first) == ["lineage", "predict", str(tmp_path / "my cells"), "--weights", "runs/a"]
    tested = suggest_commands(attempt(config=config | {"evaluate_only": True}), made.entry(None, 1.0, 0))
    assert not any("predict" in line for line in tested)


def test_another_store_is_named(tmp_path: Path) -> None:
    *_, again = suggest_commands(
        attempt(config={"model": {}, "paths": {"results": str(tmp_path)}}), made.entry(None, 1.0, 0)
    )
    assert again.endswith(f" --results {tmp_path}")
    row = made.entry("row", 1.0, 0)
    of_table, _ = suggest_commands(attempt(config={"model": {}, "paths": {"results": str(tmp_path)}}), row)
    assert of_table == f"lineage table {row.table} --results {tmp_path}"


def test_variations_keep_the_data_and_the_options_of_the_run() -> None:
    typed = ("model=faster_rcnn", "dataset=coco", "dataset.root=/data/my cells", "roi=pool", "seed=3", "paths.runs=r")
    layers, seeds, again = suggest_commands(attempt(*typed), made.entry(None, 1.0, 3))
    kept = "model=faster_rcnn dataset=coco 'dataset.root=/data/my cells'"
    assert layers.endswith(f"-m {kept} roi=pool,align")
    assert seeds.endswith(f"-m {kept} roi=pool seed=0,1,2")
    assert again.startswith("lineage rerun ")


def test_a_job_of_a_sweep_does_not_suggest_the_sweep_again() -> None:
    job = attempt("roi=pool", "seed=1")._replace(folder=Path("runs/a-sweep/3"))
    (again,) = suggest_commands(job, made.entry(None, 1.0, 1))
    assert again.startswith("lineage rerun ")


def test_files_below_the_current_folder_are_named_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert paths.from_here(tmp_path / "runs" / "a") == Path("runs/a")
    assert paths.from_here("runs/a") == Path("runs/a")
    assert paths.from_here(tmp_path.parent) == tmp_path.parent


def test_a_model_without_regions_is_not_told_to_pool_them() -> None:
    lines = suggest_commands(attempt("model=retinanet", config={"model": {"head": {}}}), made.entry(None, 1.0, 0))
    assert not any("roi=" in line for line in lines)


def test_a_model_without_parameters_is_not_repeated_with_other_seeds() -> None:
    typed = attempt("model=frame_average", config={"model": {}})
    (again,) = suggest_commands(typed, made.entry(None, 1.0, 0, parameters=0))
    assert again.startswith("lineage rerun ")
    assert any("seed=0,1,2" in line for line in suggest_commands(typed, made.entry(None, 1.0, 0, parameters=7)))


@pytest.mark.parametrize(("supersedes", "repeats"), [(None, False), ("20261126T000000Z-aa-bb", True)])
def test_a_resumed_run_is_repeated_only_if_an_entry_holds_its_command(supersedes: str | None, repeats: bool) -> None:
    lines = suggest_commands(attempt(step=5, supersedes=supersedes), made.entry(None, 1.0, 0))
    assert any(line.startswith("lineage rerun") for line in lines) == repeats


def test_brackets_in_commands_and_tables_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rich took callbacks=[ema] for markup: `next` was `callbacks=`, a command that does not run."""
    interrupted = attempt("callbacks=[ema]")._replace(folder=tmp_path / "[cat]")
    writer = cast(EntryWriter, SimpleNamespace(path=tmp_path / "[dog].json"))
    trainer = cast(Trainer, SimpleNamespace(max_steps=9, global_step=2))
    with pytest.raises(KeyboardInterrupt), report_interruption(interrupted, trainer, writer, create_console()):
        raise KeyboardInterrupt
    create_console().print(table({"[box]/AP": 0.5}))
    printed = capsys.readouterr().out
    for text in (f"{tmp_path}/[cat]", f"{tmp_path}/[dog].json", "[box]"):
        assert text in printed


def test_a_measure_without_a_column_is_printed_by_name() -> None:
    """Print the measure of an evaluator of one's own, which was in the entry alone."""
    usual = {"box/AP": 1.0, "box/AR1": 2.0, "box/ARs": 3.0, "voc/mAP": 4.0, "calibration/ECE": 5.0}
    assert describe_others(usual) == {}
    own = {"box/count_error": 5.77, "box/oLRP": None}
    assert describe_others(usual | own) == {"measures": "box/count_error 5.8, box/oLRP -"}


def test_a_run_prints_its_next_commands_with_brackets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lineage.run.artifacts.report_run", lambda *_, **__: tmp_path / "runs" / "a" / "report.html")
    path = store.write(made.entry(None, 1.0, 0), tmp_path)
    writer = SimpleNamespace(write=lambda _: path)
    show(attempt("callbacks=[ema]", "dataset.names=[cat,:dog:]"), cast(EntryWriter, writer), create_console())
    printed = capsys.readouterr().out
    assert "-m 'callbacks=[ema]' 'dataset.names=[cat,:dog:]' roi=pool,align" in printed
    assert "report   runs/a/report.html\n" in printed
    assert str(tmp_path) not in printed


def test_a_warning_is_printed_once_and_without_the_name_of_its_logger(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The cures of a file that dataset.val.fraction divides were printed for both sides, after WARNING:lineage...."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        with log_to(tmp_path):
            for name in ("train", "val"):
                logging.getLogger(name).warning("%s: cured", "all.json")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    assert capsys.readouterr().err == "all.json: cured\n"
    assert len((tmp_path / "run.log").read_text().splitlines()) == 2
