"""The script of docs/slurm.md on two nodes of SLURM is one process; a node that dies costs some steps.

The nodes are two slurmd on this machine: slurm_cluster.py.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from lineage.results.run_folder import list_checkpoints
from tests.train import slurm_cluster, tiny
from tests.train.slurm_cluster import NODES, Cluster, wait_until
from tests.train.test_nodes import SMALL, read_entry

SECONDS = 600
ROOT = Path(__file__).parents[2]
MISSING = "needs root and SLURM's programs: apt-get install slurm-wlm"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not slurm_cluster.is_installed(), reason=MISSING)]


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of one process."""
    folder = tmp_path_factory.mktemp("single")
    tiny.train(folder, *SMALL, f"hydra.run.dir={folder / 'run'}")
    return folder / "run"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    (tmp_path / "slurm").mkdir()
    cluster = Cluster(tmp_path / "slurm")
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop()


def test_two_nodes_equal_one_process(tmp_path: Path, cluster: Cluster, single: Path) -> None:
    job = submit(cluster, tmp_path)
    run = tmp_path / "runs" / f"job-{job}"
    wait_for_end(cluster, job, tmp_path)
    check_equal(run, single, tmp_path)
    assert "goes on at step" not in read_output(tmp_path)


@pytest.mark.parametrize("node", [0, 1])
def test_a_job_that_loses_a_node_is_requeued_and_ends_with_the_same_metrics(
    tmp_path: Path, cluster: Cluster, single: Path, node: int
) -> None:
    """Node 0 runs the script of the job and the process that writes."""
    job = submit(cluster, tmp_path)
    run = tmp_path / "runs" / f"job-{job}"
    wait_until(lambda: bool(list_checkpoints(run / "checkpoints")), SECONDS, lambda: read_output(tmp_path))
    cluster.kill_node(NODES[node])
    wait_until(lambda: cluster.read_state(job) == "PENDING", 120, lambda: read_output(tmp_path))
    cluster.start_node(NODES[node])
    wait_for_end(cluster, job, tmp_path)
    check_equal(run, single, tmp_path)
    assert "goes on at step" in read_output(tmp_path)


def submit(cluster: Cluster, folder: Path) -> str:
    """Hand in the script of docs/slurm.md, with a process on each node and a training of seconds; return the id."""
    script = read_script()
    nodes = "trainer=ddp trainer.accelerator=cpu trainer.devices=1 trainer.num_nodes=2"
    command = shlex.join([*tiny.command(folder, *SMALL), "data.images_per_device=2", "rank_timeout=60"])
    replaced = {
        "--nodes=2 --ntasks-per-node=8 --gpus-per-node=8 --time=24:00:00": "--nodes=2 --ntasks-per-node=1",
        "python train.py model=mask_rcnn dataset=coco trainer=ddp trainer.num_nodes=2": f"{command} {nodes}",
        "runs/job-": f"{folder / 'runs'}/job-",
    }
    for text, ours in replaced.items():
        assert script.count(text) == 1
        script = script.replace(text, ours)
    path = folder / "job.sh"
    path.write_text(script)
    on_this_machine = "ALL,MASTER_ADDR=127.0.0.1,GLOO_SOCKET_IFNAME=lo,OMP_NUM_THREADS=1"  # n0 is no name of a host
    answer = cluster.call("sbatch", f"--export={on_this_machine}", f"--output={folder / 'job.out'}", str(path))
    assert answer.startswith("Submitted batch job"), answer
    return answer.split()[-1]


def read_script() -> str:
    text = (ROOT / "docs" / "slurm.md").read_text()
    (script,) = (block for block in text.split("```") if block.strip().startswith("#!/bin/bash"))
    return script.strip() + "\n"


def wait_for_end(cluster: Cluster, job: str, folder: Path) -> None:
    def has_ended() -> bool:
        state = cluster.read_state(job)
        if state == "PENDING":
            cluster.call("scontrol", "update", f"JobId={job}", "StartTime=now")  # else SLURM lets two minutes pass
        return not state

    wait_until(has_ended, SECONDS, lambda: read_output(folder))


def check_equal(run: Path, single: Path, folder: Path) -> None:
    assert (run / "entry.json").is_file(), read_output(folder)
    assert read_entry(run)["status"] == "finished", read_output(folder)
    assert read_entry(run)["processes"] == 2
    assert read_entry(run)["metrics"] == pytest.approx(read_entry(single)["metrics"])
    assert read_entry(run)["config_digest"] == read_entry(single)["config_digest"]
    assert tiny.losses(run) == pytest.approx(tiny.losses(single), abs=1e-4)


def read_output(folder: Path) -> str:
    output = folder / "job.out"
    return output.read_text() if output.exists() else "the job has printed nothing"
