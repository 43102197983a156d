"""Two nodes of torchrun are one process with four times the images, also if one of them is killed on the way.

The nodes are two agents of torchrun on this machine, each with two processes, which talk by gloo through 127.0.0.1. The
agents read the variables that a TrainJob of Kubeflow sets (PET_*).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lineage.results.run_folder import list_checkpoints
from tests.train import tiny

SMALL = (*tiny.TINY, "schedule.images_per_step=4", "dataset.val.length=4", "trainer.precision=64-true")
NODES = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.num_nodes=2")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="names the loopback device lo")]


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of one process."""
    folder = tmp_path_factory.mktemp("single")
    tiny.train(folder, *SMALL, f"hydra.run.dir={folder / 'run'}")
    return folder / "run"


def test_two_nodes_equal_one_process(tmp_path: Path, single: Path) -> None:
    run = tmp_path / "run"
    agents = start_nodes(tmp_path, "data.images_per_device=1", f"hydra.run.dir={run}")
    assert [agent.wait(600) for agent in agents] == [0, 0], read_logs(tmp_path)
    assert tiny.losses(run) == pytest.approx(tiny.losses(single), abs=1e-4)
    assert read_entry(run)["processes"] == 4
    assert read_entry(run)["metrics"] == pytest.approx(read_entry(single)["metrics"])
    assert read_entry(run)["config_digest"] == read_entry(single)["config_digest"]
    assert "sync_dist" not in read_logs(tmp_path)


@pytest.mark.parametrize("killed", [0, 1])
def test_a_job_killed_on_a_node_goes_on_to_the_same_metrics(tmp_path: Path, single: Path, killed: int) -> None:
    """Run the same command twice: the second start resumes. Node 0 has the process that writes."""
    run = tmp_path / "run"
    options = ("data.images_per_device=1", f"hydra.run.dir={run}", "resume=auto", "rank_timeout=20")
    agents = start_nodes(tmp_path, *options)
    while not list_checkpoints(run / "checkpoints"):
        assert agents[killed].poll() is None, read_logs(tmp_path)
        time.sleep(0.05)
    kill_node(agents[killed].pid)
    assert agents[1 - killed].wait(120) != 0  # the other node ends by itself
    again = start_nodes(tmp_path, *options)
    assert [agent.wait(600) for agent in again] == [0, 0], read_logs(tmp_path)
    assert "at step " in read_logs(tmp_path)
    assert read_entry(run)["metrics"] == pytest.approx(read_entry(single)["metrics"])
    assert tiny.losses(run) == pytest.approx(tiny.losses(single), abs=1e-4)


def start_nodes(folder: Path, *options: str) -> list[subprocess.Popen[bytes]]:
    """Start the two agents of torchrun, each as a pod would; their output goes to node-0 and node-1."""
    launcher = [sys.executable, "-m", "torch.distributed.run"]
    command = [*launcher, *tiny.command(folder, *SMALL, *NODES, *options)[1:]]
    environment = tiny.environment() | {"GLOO_SOCKET_IFNAME": "lo", "PET_NNODES": "2", "PET_NPROC_PER_NODE": "2"}
    environment |= {"PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": str(find_free_port())}
    agents = []
    for node in (0, 1):
        with (folder / f"node-{node}").open("w") as log:
            variables = environment | {"PET_NODE_RANK": str(node)}
            agents.append(subprocess.Popen(command, env=variables, stdout=log, stderr=log))
    return agents


def kill_node(agent: int) -> None:
    """Kill an agent and its processes at once, as a lost machine would."""
    children = Path(f"/proc/{agent}/task/{agent}/children").read_text().split()
    for process in (agent, *map(int, children)):
        os.kill(process, signal.SIGKILL)


def find_free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def read_entry(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "entry.json").read_text()))


def read_logs(folder: Path) -> str:
    return "\n".join((folder / f"node-{node}").read_text() for node in (0, 1))
