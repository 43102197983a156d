"""Arrays of SLURM, with a script in place of sbatch; test_slurm.py has the cluster itself."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from lineage.launch.cells import Cell
from lineage.launch.job import RunnerSettings
from lineage.launch.plan import Plan, decide
from lineage.launch.slurm import SlurmError, make_commands, split_generations, submit
from lineage.launch.slurm_task import read_cell_names
from tests.launch.test_plan import cell, entry, name

SBATCH = """#!/bin/sh
echo "$@" >> {log}
number=$(wc -l < {log})
if [ $number -gt {accepted} ]; then echo "sbatch: error: the queue is full" >&2; exit 1; fi
echo "10$number;cluster"
"""


def plan(project: Path) -> Plan:
    """b and c start from a, d from b; e is alone, f is done."""
    cells = [cell("a"), cell("b", start="a"), cell("c", start="a"), cell("d", start="b"), cell("e"), cell("f")]
    by_name: dict = {one.name: one for one in cells}
    return Plan(by_name, decide(by_name, [entry("f")], lambda entry, role: True), project)


def rows(cells: list[Cell]) -> list[str]:
    return [one.name.row for one in cells]


def sbatch(folder: Path, monkeypatch: pytest.MonkeyPatch, accepted: int = 9) -> Path:
    """A script that takes `accepted` jobs and writes their arguments down."""
    log, script = folder / "sbatch.log", folder / "bin" / "sbatch"
    script.parent.mkdir()
    script.write_text(SBATCH.format(log=shlex.quote(str(log)), accepted=accepted))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    return log


def test_a_generation_is_what_the_ones_before_make_possible(tmp_path: Path) -> None:
    assert [rows(cells) for cells in split_generations(plan(tmp_path))] == [["a", "e"], ["b", "c"], ["d"]]


def test_a_command_is_an_array_of_runners(tmp_path: Path) -> None:
    settings = RunnerSettings(tmp_path, tmp_path / "results", tmp_path / "runs", ["trainer.devices=8"], ("python",))
    folder = tmp_path / "my jobs"
    first, _, third = make_commands(plan(tmp_path), settings, folder, 2, ["--time=60"])
    assert first[:5] == ["sbatch", "--parsable", "--requeue", "--signal=B:USR1@60", "--open-mode=append"]
    assert first[5:9] == [
        "--job-name=lineage-paper-table-0", "--array=0-1%2", f"--output={folder}/%A_%a.log", "--time=60",
    ]  # fmt: skip
    assert third[6] == "--array=0-0%2"
    assert make_commands(plan(tmp_path), settings, folder, None, [])[0][6] == "--array=0-1"
    assert first[9] == (
        f"--wrap=cd {tmp_path} && exec python -m lineage.cli.main run --cells '{folder}/generation-0.json' --cell "
        f"$SLURM_ARRAY_TASK_ID --results {tmp_path}/results --runs {tmp_path}/runs --set trainer.devices=8"
    )
    assert read_cell_names(folder / "generation-1.json") == [name("b"), name("c")]
    assert len(read_cell_names(folder / "generation-0.json")) == 2


def test_each_generation_waits_for_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, said = sbatch(tmp_path, monkeypatch), list[str]()
    assert submit([["sbatch", "--x=1"], ["sbatch", "--x=2"], ["sbatch", "--x=3"]], said.append) == ["101", "102", "103"]
    expected = ["--x=1", "--dependency=afterany:101 --x=2", "--dependency=afterany:102 --x=3"]
    assert log.read_text().splitlines() == expected
    assert said == [f"sbatch {line}" for line in expected]


def test_what_is_in_the_queue_is_named_when_sbatch_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sbatch(tmp_path, monkeypatch, accepted=2)
    with pytest.raises(SlurmError) as error:
        submit([["sbatch"], ["sbatch"], ["sbatch"]], lambda text: None)
    assert str(error.value) == (
        "sbatch: error: the queue is full\nin the queue before it: 101 102 (scancel takes them out)"
    )


def test_without_sbatch_the_message_says_where_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SlurmError, match="there is no sbatch on this machine: run this on a login node"):
        submit([["sbatch"]], lambda text: None)
