"""`lineage run` on a toy project: what is shared is trained once, what is killed goes on, what fails is told."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from lineage.results import store
from tests.launch import toy

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return toy.project(tmp_path)


def test_a_table_is_filled_once(root: Path) -> None:
    code, text = toy.run(root, "--seeds", "1", "--plan")
    assert code == 0
    assert "0 cells done, 3 to train, 2 to test, 1 cannot run" in text
    assert toy.trained(root) == []
    code, text = toy.run(root, "--seeds", "1")
    entries = {entry.row: entry for entry in store.contents(root / "results").entries}
    assert set(entries) == {"pool", "align", "tested", "twin", "child"}, text
    assert sorted({line.split()[0] for line in toy.trained(root)}) == ["align", "child", "pool"]
    assert all(entries[row].parents == [entries["align"].id] for row in ("tested", "twin", "child"))
    assert entries["tested"].training_digest == entries["twin"].training_digest == entries["align"].training_digest
    assert entries["child"].training_digest != entries["align"].training_digest
    before = len(toy.trained(root))
    code, text = toy.run(root, "--seeds", "1")
    assert "5 cells done, 0 to train, 0 to test" in text
    assert len(toy.trained(root)) == before


def test_killed_at_work_it_goes_on_where_it_was(root: Path) -> None:
    first = toy.runner(root, "pool", "align", "--seeds", "1", nap=0.4)
    _until(lambda: len(toy.trained(root)) >= 2)
    first.send_signal(signal.SIGKILL)
    first.wait()
    time.sleep(0.5)  # the run ends with its runner
    taken = toy.trained(root)
    time.sleep(0.6)
    assert toy.trained(root) == taken
    code, text = toy.run(root, "pool", "align", "--seeds", "1")
    assert code == 0, text
    steps = toy.trained(root)
    assert len(set(steps)) == 8
    assert len(steps) - len(set(steps)) <= 1  # at most the step that was cut off is taken again
    assert len(store.contents(root / "results").entries) == 2


def test_two_runners_share_the_work(root: Path) -> None:
    both = [toy.runner(root, "pool", "align", "twin", "--seeds", "2", nap=0.05) for _ in range(2)]
    texts = [one.communicate(timeout=200)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0], texts
    assert len(toy.trained(root)) == len(set(toy.trained(root))) == 16
    assert len(store.contents(root / "results").entries) == 6
    assert not list((root / "results/.leases").glob("*.lease"))


def test_a_runner_passes_over_what_another_is_at(root: Path) -> None:
    both = [toy.runner(root, "pool", "align", "--seeds", "1", nap=1.0) for _ in range(2)]
    texts = [one.communicate(timeout=200)[0] for one in both]
    assert [text.count("train  paper") for text in texts] == [1, 1], texts
    rows = [line.split()[0] for line in toy.trained(root)]
    assert max(rows.index("align"), rows.index("pool")) < 4  # side by side


def test_a_row_that_does_not_compose_is_a_failure(root: Path) -> None:
    table = root / "experiments/paper/table1.yaml"
    table.write_text(table.read_text().replace("pool: {}", "pool: {with: {tier: nowhere}}"))
    code, text = toy.run(root, "pool", "align", "--seeds", "1")
    assert code == 1
    assert "nowhere" in text
    assert "done   paper/table1/align seed 0" in text


def test_a_failure_is_told_and_does_not_stop_the_rest(root: Path) -> None:
    table = root / "experiments/paper/table1.yaml"
    table.write_text(table.read_text().replace("pool: {}", "pool: {set: {model.broken: true}}"))
    code, text = toy.run(root, "pool", "align", "--seeds", "1", "--jobs", "2")
    assert code == 1
    assert "paper/table1/pool seed 0 failed (exit code 1)" in text
    assert "diverged at step 3" in text
    assert "done   paper/table1/align seed 0" in text
    assert "not done: 1 cell; the same command goes on" in text


def test_only_the_checkpoint_of_a_row_that_was_not_asked_for(root: Path) -> None:
    code, text = toy.run(root, "tested", "--seeds", "1")
    assert code == 0, text
    assert {entry.row for entry in store.contents(root / "results").entries} == {"align", "tested"}


def test_what_a_finished_run_left_elsewhere_is_named(root: Path) -> None:
    """A store that was merged without its run folders: what starts from them must not start from nothing."""
    toy.run(root, "align", "--seeds", "1")
    shutil.rmtree(root / "runs")
    code, text = toy.run(root, "tested", "child", "--seeds", "1")
    assert code == 1
    assert "1 cell done, 0 to train, 0 to test, 2 cannot run" in text
    assert "what paper/table1/align seed 0 left is in runs/cells/mini/paper/table1/align/" in text
    assert "add --retrain-lost" in text
    code, text = toy.run(root, "tested", "child", "--seeds", "1", "--retrain-lost")
    assert code == 0, text
    finished = {entry.row for entry in store.contents(root / "results").entries if entry.status == "finished"}
    assert finished == {"align", "tested", "child"}


def test_proposals_come_from_a_row_that_leaves_them(root: Path) -> None:
    table = root / "experiments/paper/table1.yaml"
    table.write_text(table.read_text().replace("child: {start: align", "child: {proposals: align"))
    code, text = toy.run(root, "child", "--seeds", "1", "--plan")
    assert code == 1
    assert "rows.child: paper/table1/align leaves no proposals; give it set: {dump_proposals: true}" in text


def teach(root: Path, tested: str = "dump_labels: true", child: str = "model.roi: align") -> None:
    """`child` is trained on the labels of `tested`, and `grown` tests it."""
    table = root / "experiments/paper/table1.yaml"
    text = table.read_text().replace("{start: align, set: {model.roi: align", f"{{labels: tested, set: {{{child}")
    text = text.replace("tested: {from: align, set: {", f"tested: {{from: align, set: {{{tested}, ")
    table.write_text(text.replace("  later:", "  grown: {from: child, set: {model.box.nms_thresh: 0.4}}\n  later:"))


def test_labels_come_from_a_test_and_only_a_training_needs_them(root: Path) -> None:
    teach(root)
    code, text = toy.run(root, "child", "--seeds", "1")
    assert code == 0, text
    entries = {entry.row: entry for entry in store.contents(root / "results").entries}
    assert entries["child"].parents == [entries["tested"].id]
    assert f"cell.labels={entries['tested'].id}" in entries["child"].command
    assert entries["child"].training_digest != entries["align"].training_digest
    assert "3 cells done, 0 to train, 0 to test" in toy.run(root, "child", "--seeds", "1", "--plan")[1]
    (left,) = root.glob("runs/cells/**/labels.json")
    left.unlink()
    code, text = toy.run(root, "grown", "--seeds", "1")  # the student's checkpoint is there
    assert code == 0, text


def test_labels_that_are_gone_are_named(root: Path) -> None:
    teach(root)
    toy.run(root, "tested", "--seeds", "1")
    (left,) = root.glob("runs/cells/**/labels.json")
    left.unlink()
    code, text = toy.run(root, "child", "--seeds", "1")
    assert code == 1
    assert "what paper/table1/tested seed 0 left is in runs/cells/mini/paper/table1/tested/" in text


def test_a_student_has_no_head_that_its_teacher_lacks(root: Path) -> None:
    teach(root, child="model.heads: {mask: 1}")
    code, text = toy.run(root, "child", "--seeds", "1", "--plan")
    assert code == 1
    assert "its mask head needs labels that paper/table1/tested cannot give: that model has none" in text


def test_a_row_that_leaves_no_labels_is_told_so(root: Path) -> None:
    teach(root, tested="model.quality: 33")
    code, text = toy.run(root, "child", "--seeds", "1", "--plan")
    assert code == 1
    assert "rows.child: paper/table1/tested leaves no labels; give it set: {dump_labels: true}" in text


def test_a_row_whose_checkpoint_somebody_else_trains_is_no_work(root: Path) -> None:
    toy.run(root, "twin", "--seeds", "1")  # the same training as align
    _, text = toy.run(root, "child", "--seeds", "1", "--plan")
    assert "0 cells done, 1 to train, 0 to test" in text
    assert "paper/table1/align" not in text


def test_the_cost_is_measured(root: Path) -> None:
    toy.run(root, "pool", "--seeds", "1")
    code, text = toy.run(root, "pool", "--seeds", "3", "--plan", "--hardware", "CPU")
    assert code == 0
    assert text.splitlines()[1].endswith("0.01  as 1 run on CPU")  # two seeds of ten seconds
    assert text.splitlines()[-1] == "1 cell done, 2 to train, 0 to test: 0.01 hours of one CPU"
    _, text = toy.run(root, "align", "--seeds", "1", "--plan", "--hardware", "H100")
    assert "no run of this model on H100 yet" in text
    assert text.splitlines()[-1].endswith("cost on H100 unknown")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["pol"], "has no row 'pol'. Did you mean pool"),
        (["--tier", "mni"], "no tier 'mni'. Did you mean mini"),
        (["--seeds", "0"], "1 or more"),
        (["--jobs", "0"], "1 or more"),
        (["--set", "x"], "expected KEY=VALUE"),
        (["--set", "track=wandb"], "track is now logger: --set logger=wandb"),
        (["--set", "seed=3"], "see --seeds"),
        (["--set", "trainer.precision=bf16-mixed"], "To change what is computed: python train.py -m experiment="),
        (["--results", "train.py"], "train.py/.leases: Not a directory. --results and --runs name other places"),
    ],
)
def test_mistakes_get_one_message(root: Path, arguments: list[str], says: str) -> None:
    code, text = toy.run(root, *arguments)
    assert code != 0
    assert says in text
    assert "Traceback" not in text


SBATCH = """#!/bin/sh
echo "$@" >> {root}/sbatch.log
for text in "$@"; do case "$text" in
  --array=*) tasks=${{text#--array=0-}}; last=${{tasks%%\\%*}};;
  --wrap=*) wrapped=${{text#--wrap=}};;
esac; done
for task in $(seq 0 $last); do SLURM_ARRAY_TASK_ID=$task sh -c "$wrapped" >> {root}/slurm.out 2>&1; done
echo $(wc -l < {root}/sbatch.log)
"""


def test_stopped_it_lets_its_jobs_end_and_gives_the_claims_back(root: Path) -> None:
    first = toy.runner(root, "pool", "--seeds", "1", nap=0.4)
    _until(lambda: len(toy.trained(root)) >= 2)
    first.send_signal(signal.SIGTERM)
    assert "stopped; the same command goes on" in first.communicate(timeout=30)[0]
    assert first.returncode == 143
    assert not list((root / "results/.leases").glob("*.lease"))
    code, text = toy.run(root, "pool", "--seeds", "1")
    assert code == 0
    assert "go on  paper/table1/pool seed 0" in text
    assert len(toy.trained(root)) == 4


def test_a_run_that_leaves_no_entry_is_not_started_again(root: Path) -> None:
    (root / "train.py").write_text("")
    code, text = toy.run(root, "pool", "--seeds", "1")
    assert code == 1
    assert "pool seed 0 ended well, but left no entry of this cell" in text


def test_a_cell_can_be_named_as_the_plan_prints_it(root: Path) -> None:
    text = toy.run(root, "--plan", table="paper/table1/pool")[1]
    assert "0 cells done, 3 to train, 0 to test" in text


def test_slurm(root: Path) -> None:
    """An sbatch that runs its tasks at once: the script's text does what it is to do."""
    (root / "bin").mkdir()
    (root / "bin/sbatch").write_text(SBATCH.format(root=root))
    (root / "bin/sbatch").chmod(0o755)
    more = ["--launcher", "slurm", "--jobs", "2", "--sbatch", "--gpus=1"]
    code, text = toy.run(root, "tested", "child", "--seeds", "1", *more, path=str(root / "bin"))
    assert code == 0, text
    handed = (root / "sbatch.log").read_text().splitlines()
    assert len(handed) == 2
    assert "--array=0-0%2" in handed[0]
    assert "--dependency=afterany:1" in handed[1]
    assert "--array=0-1%2" in handed[1]
    assert all("--gpus=1" in line and "--requeue" in line for line in handed)
    rows = {entry.row for entry in store.contents(root / "results").entries}
    assert rows == {"align", "tested", "child"}, (root / "slurm.out").read_text()


def test_without_sbatch_the_reason_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(root / "bin"))
    code, text = toy.run(root, "pool", "--seeds", "1", "--launcher", "slurm")
    assert code == 1
    assert "no sbatch on this machine" in text


def _until(true: object, seconds: float = 30.0) -> None:
    assert callable(true)
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)
