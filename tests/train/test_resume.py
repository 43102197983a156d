"""kill -9, then `resume=`: the weights at the end equal those of a run that was not killed."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from lineage.config.build import ConfigError
from lineage.config.compose import compose_config
from lineage.config.resume_overrides import extend_command
from lineage.results import store
from lineage.results.entry import Entry, dump
from lineage.results.run_folder import list_checkpoints, read_metrics
from lineage.run.metadata import describe_resume
from lineage.run.resume import load_resumed
from lineage.run.train import hold_folder, publish
from lineage.train.save_tensors import save_tensors
from tests.train import tiny

FRAMES = (
    *tiny.TINY, "model=dvtsr", "dataset=moving_shapes", "dataset.val.pairs=2", "tier=smoke", "dataset.size=[32,32]",
    "augment=frames_crop",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("options", [tiny.TINY, FRAMES], ids=["detector", "frames"])
def test_a_killed_run_continues_to_the_same_weights(tmp_path: Path, options: tuple[str, ...]) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    tiny.train(tmp_path, *options, f"hydra.run.dir={whole}")
    tiny.kill_at(6, tmp_path, killed, *options)
    assert 12 not in list_checkpoints(killed / "checkpoints")
    tiny.train(tmp_path, f"resume={killed}", "seed=0")
    ours, theirs = torch.load(killed / "weights.pt"), torch.load(whole / "weights.pt")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert tiny.losses(killed) == tiny.losses(whole)
    metrics = [json.loads((run / "entry.json").read_text())["metrics"] for run in (whole, killed)]
    assert metrics[0] == metrics[1]
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.slow
def test_a_run_killed_again_and_again_leaves_one_entry_and_one_line_per_step(tmp_path: Path) -> None:
    """In training, in evaluations and at its end: the weights are those of a run that nobody killed."""
    options = (*tiny.TINY, "schedule.evaluate_every=6", "checkpoint_every=6", "dataset.val.length=20")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    tiny.train(tmp_path / "a", *options, f"hydra.run.dir={whole}")
    marks = ["checkpoints/step-0000006.ckpt", "checkpoints/step-0000006.ckpt", "checkpoints/step-0000012.ckpt"]
    for attempt, mark in enumerate([*marks, "results.json"]):
        words = (f"resume={killed}",) if attempt else (*options, f"hydra.run.dir={killed}")
        process = tiny.start(tmp_path / "b", *words)
        tiny.wait_for(killed / mark, process)
        time.sleep(0.3 * attempt)
        process.kill()
        process.communicate()
    tiny.start(tmp_path / "b", f"resume={killed}").communicate()
    entries = store.contents(tmp_path / "b" / "results").entries
    assert [entry.status for entry in entries] == ["finished"]
    ours, theirs = torch.load(killed / "weights.pt"), torch.load(whole / "weights.pt")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert json.loads((whole / "entry.json").read_text())["metrics"] == entries[0].metrics
    timing = ("lr", "images_per_second", "data_wait")
    rows = [
        [{name: text for name, text in row.items() if name not in timing} for row in read_metrics(run / "metrics.csv")]
        for run in (whole, killed)
    ]
    assert rows[0] == rows[1]


def folder(path: Path, **values: object) -> Path:
    OmegaConf.save({"seed": 0, "schedule": {"steps": 4}, "resume": None, **values}, path / "config.yaml")
    (path / "start.json").write_text('{"overrides": ["schedule=smoke"], "choices": {"model": "mask_rcnn"}}')
    (path / "checkpoints").mkdir()
    return path


def make_config(path: Path, **values: object) -> object:
    defaults = {"seed": 0, "schedule": {"steps": 4}, "paths": {"runs": "runs"}, "resume": str(path)}
    return OmegaConf.create(defaults | values)


def test_an_override_that_repeats_the_config_is_fine(tmp_path: Path) -> None:
    attempt = load_resumed(make_config(folder(tmp_path)), ["resume=x", "seed=0"])  # type: ignore[arg-type]
    assert (attempt.step, attempt.checkpoint) == (0, None)
    assert attempt.overrides == ["schedule=smoke"]


def test_a_resumed_run_says_at_which_step(tmp_path: Path) -> None:
    """A run killed before its first checkpoint began again without a word."""
    attempt = load_resumed(make_config(folder(tmp_path)), [])  # type: ignore[arg-type]
    assert describe_resume(attempt) == f"begins again at step 0: {tmp_path} has no checkpoint"
    save_tensors({"a": torch.zeros(1)}, tmp_path / "checkpoints" / "step-0000003.ckpt")
    attempt = load_resumed(make_config(tmp_path), [])  # type: ignore[arg-type]
    assert describe_resume(attempt) == "goes on at step 3, from step-0000003.ckpt"
    assert describe_resume(attempt._replace(is_resumed=False)) is None


def test_an_override_that_contradicts_the_config_is_refused(tmp_path: Path) -> None:
    changed = make_config(folder(tmp_path), seed=3)
    with pytest.raises(ConfigError, match=r"seed=3 contradicts .*config.yaml, which says seed=0"):
        load_resumed(changed, ["resume=x", "seed=3"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("dataset.root=/new", {"dataset": {"root": "/new"}}),
        ("data.images_per_device=1", {"data": {"images_per_device": 1}}),
        ("data.workers=0", {"data": {"workers": 0}}),
        ("logger=wandb", {"logger": {"csv": None, "wandb": {"project": "x"}}}),
        ("trainer=ddp", {"trainer": {"devices": 4, "precision": "32-true"}}),
        ("checkpoint_every=9", {"checkpoint_every": 9}),
    ],
)
def test_what_changes_neither_weights_nor_metrics_may_change(
    tmp_path: Path, text: str, changed: dict[str, Any]
) -> None:
    defaults = {"dataset": {"root": "/old", "train": {"images": "${dataset.root}/train"}}, "checkpoint_every": 3}
    defaults |= {"data": {"images_per_device": 2, "workers": 2}, "logger": {"csv": None}}
    defaults |= {"trainer": {"devices": 1, "precision": "32-true"}}
    composed = OmegaConf.merge(make_config(folder(tmp_path, **defaults), **defaults), changed)
    attempt = load_resumed(composed, ["resume=x", text])  # type: ignore[arg-type]
    assert attempt.is_changed
    assert OmegaConf.merge(attempt.config, changed) == attempt.config
    moved = "/new/train" if "root" in text else "/old/train"
    assert attempt.config.dataset.train.images == moved


def test_a_group_that_changes_results_is_refused(tmp_path: Path) -> None:
    trainer = {"trainer": {"devices": 1, "precision": "32-true"}}
    composed = make_config(folder(tmp_path, **trainer), trainer={"devices": 4, "precision": "bf16-mixed"})
    with pytest.raises(ConfigError, match=r"trainer=big contradicts .*, which says trainer.precision=32-true"):
        load_resumed(composed, ["trainer=big"])  # type: ignore[arg-type]


def test_a_resumed_run_composes_from_its_own_overrides(tmp_path: Path) -> None:
    folder(tmp_path)
    started = ["dataset=coco", "+model.heads.x=1", "seed=3", "~tta"]
    (tmp_path / "start.json").write_text(json.dumps({"overrides": started, "choices": {}}))
    resume = f"resume={tmp_path}"
    assert extend_command([resume, "dataset.root=/new"]) == [*started, resume, "dataset.root=/new"]
    assert extend_command([resume, "seed=3", "model.heads.x=1"]) == [
        "dataset=coco", "~tta", resume, "seed=3", "+model.heads.x=1",
    ]  # fmt: skip
    assert extend_command([resume, "paths.runs=x"]) == [resume, "paths.runs=x"]
    assert extend_command(["seed=3", "-m"]) == ["seed=3", "-m"]


def test_auto_starts_a_run_and_then_resumes_it(tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = ["seed=3", "resume=auto", f"hydra.run.dir={run}"]
    assert extend_command(command) == ["seed=3", f"hydra.run.dir={run}"]
    run.mkdir()
    folder(run)
    (run / "start.json").write_text(json.dumps({"overrides": ["seed=3", "+model.heads.x=1"], "choices": {}}))
    resumed = ["+model.heads.x=1", "seed=3", f"hydra.run.dir={run}", f'resume="{run}"']
    assert extend_command(command) == resumed
    assert extend_command(["seed=3", "resume=auto"]) == ["seed=3", "resume=auto"]  # validate.py refuses it


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="that is no run folder"):
        load_resumed(make_config(tmp_path), [])  # type: ignore[arg-type]


def test_the_last_of_no_runs_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ConfigError, match=r"^resume=last: \S*runs holds no run, .*name the folder of the run"
    ) as raised:
        load_resumed(compose_config(["resume=last"]), [])
    assert "/last" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("start.json", '{"overrides": [1], "choices": {}}'),
        ("start.json", "{"),
        ("config.yaml", "- a"),
        ("config.yaml", "}"),
    ],
)
def test_damaged_files_of_a_run_are_named(tmp_path: Path, name: str, text: str) -> None:
    (folder(tmp_path) / name).write_text(text)
    with pytest.raises(ConfigError, match=f"{name} is damaged"):
        load_resumed(make_config(tmp_path), [])  # type: ignore[arg-type]


def write_entry(path: Path, status: str) -> Entry:
    entry = Entry(
        id="20260101T000000Z-aaaaaaaa-bbbbbb", table=None, row=None, tier="mini", status=status, config={}, command=[],
        metrics={"box/AP": 1.0}, deviations=[], seed=0, config_digest="aaaaaaaa", evaluation_digest="e", commit=None,
        choices={"model": "mask_rcnn"}, started="2026-01-01T00:00:00+00:00", dirty=False,
    )  # fmt: skip
    (path / "entry.json").write_text(dump(entry))
    return entry


def test_a_finished_run_is_refused(tmp_path: Path) -> None:
    config = make_config(folder(tmp_path, paths={"results": str(tmp_path / "results")}))
    store.write(write_entry(tmp_path, "finished"), tmp_path / "results")
    with pytest.raises(ConfigError, match=r"this run is finished; its entry is .*-bbbbbb.json"):
        load_resumed(config, [])  # type: ignore[arg-type]


def test_a_finished_run_that_was_killed_before_the_store_had_its_entry_is_published(tmp_path: Path) -> None:
    """One run, one entry: it is not evaluated again under another id."""
    config = make_config(folder(tmp_path, paths={"results": str(tmp_path / "results")}))
    entry = write_entry(tmp_path, "finished")
    attempt = load_resumed(config, [])  # type: ignore[arg-type]
    assert attempt.unpublished == entry
    publish(entry, tmp_path / "results")
    assert store.contents(tmp_path / "results").entries == [entry]


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_damaged_checkpoint_gives_way_to_the_older_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder(tmp_path)
    newer, older = (tmp_path / "checkpoints" / f"step-000000{step}.ckpt" for step in (6, 3))
    for path in (newer, older):
        save_tensors({"a": torch.zeros(100)}, path)
    damage(newer)
    attempt = load_resumed(make_config(tmp_path), [])  # type: ignore[arg-type]
    assert (attempt.step, attempt.checkpoint) == (3, older)
    assert "step-0000006.ckpt is damaged: its bytes differ from step-0000006.ckpt.sha256" in caplog.text
    damage(older)
    with pytest.raises(ConfigError, match="all 2 checkpoints are damaged"):
        load_resumed(make_config(tmp_path), [])  # type: ignore[arg-type]


def test_two_processes_never_continue_one_run(tmp_path: Path) -> None:
    folder(tmp_path)
    with hold_folder(tmp_path):
        with pytest.raises(ConfigError, match=r"this run is in progress \(.*, process \d+\)"), hold_folder(tmp_path):
            pass
        assert [path.name for path in tmp_path.glob("*.lease")] == ["run.1.lease"]
    dead = subprocess.run([sys.executable, "-c", HOLD_AND_DIE, str(tmp_path)], check=False)
    assert dead.returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.glob("*.lease")] == ["run.1.lease"]
    with hold_folder(tmp_path):  # of a holder that was killed
        assert [path.name for path in tmp_path.glob("*.lease")] == ["run.2.lease"]
    assert not list(tmp_path.glob("*.lease"))


HOLD_AND_DIE = """
import os, pathlib, signal, sys
from lineage.results import lease
lease.acquire(pathlib.Path(sys.argv[1]), "run")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_entry_of_a_stopped_run_is_superseded(tmp_path: Path) -> None:
    entry = write_entry(folder(tmp_path), "stopped")
    attempt = load_resumed(make_config(tmp_path), [])  # type: ignore[arg-type]
    assert (attempt.supersedes, attempt.run_id) == (entry.id, entry.id)


def test_a_damaged_entry_is_named(tmp_path: Path) -> None:
    (folder(tmp_path) / "entry.json").write_text('{"id": "abc", "status"')
    with pytest.raises(ConfigError, match=r"entry.json is damaged: not JSON.*Remove it to resume the run"):
        load_resumed(make_config(tmp_path), [])  # type: ignore[arg-type]
