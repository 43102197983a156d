"""A SLURM cluster of two nodes on this machine: a controller and two slurmd with names and ports of their own.

Debian: apt-get install slurm-wlm. It needs root, as slurmd does, and neither munge nor a network.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.train.test_nodes import find_free_port

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue")
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
NODES = ("n0", "n1")
CONFIG = """
ClusterName=lineage
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
SlurmdTimeout=10
SlurmdParameters=config_overrides
NodeName=n0 NodeHostname={host} NodeAddr=127.0.0.1 Port={first} CPUs=1 State=UNKNOWN
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={second} CPUs=1 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES State=UP
"""


def is_installed() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0 and all(shutil.which(name, path=PATH) for name in PROGRAMS)


class Cluster:
    """The daemons, from `start` to `stop`; their logs are in the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": PATH}
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        for name in ("state", *NODES):
            (self.folder / name).mkdir()
        ports = dict(zip(("port", "first", "second"), {find_free_port() for _ in range(9)}, strict=False))
        text = CONFIG.format(host=platform.node(), folder=self.folder, **ports)
        (self.folder / "slurm.conf").write_text(text)
        self._start("slurmctld", "slurmctld", "-i", "-D")
        for node in NODES:
            self.start_node(node)
        wait_until(lambda: self.call("sinfo", "-h", "-o", "%D %t").split() == ["2", "idle"], 60, self.read_logs)

    def start_node(self, node: str) -> None:
        stepd = shutil.which("slurmstepd", path=PATH)
        self._start(node, "slurmd", "-N", node, "-D", *(["-d", stepd] if stepd else []))

    def _start(self, name: str, *command: str) -> None:
        with (self.folder / f"{name}.out").open("a") as log:
            self.daemons[name] = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)

    def kill_node(self, node: str) -> None:
        """Kill what runs on a node at once, as a lost machine would: its daemon, its steps and their processes."""
        processes = [pid for pid in list_processes() if self._runs_on(pid, node)]
        steps = {read_parent(pid) for pid in processes} - {os.getpid(), 1}
        self.daemons[node].kill()
        self.daemons[node].wait()
        for pid in [*(step for step in steps if "slurmstepd" in read_command(step)), *processes]:
            os.kill(pid, signal.SIGKILL)

    def _runs_on(self, pid: int, node: str) -> bool:
        variables = read_variables(pid)
        conf, name = f"SLURM_CONF={self.folder / 'slurm.conf'}", f"SLURMD_NODENAME={node}"
        return conf in variables and name in variables

    def stop(self) -> None:
        for node in NODES:
            if self.daemons[node].poll() is None:
                self.kill_node(node)
        self.daemons["slurmctld"].kill()
        self.daemons["slurmctld"].wait()

    def call(self, *command: str) -> str:
        """Return what a command of SLURM prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=60)
        return done.stdout + done.stderr

    def read_state(self, job: str) -> str:
        """Return e.g. RUNNING; "" for a job that has ended."""
        lines = self.call("squeue", "-h", "-j", job, "-o", "%T").split()
        return lines[0] if len(lines) == 1 else ""

    def read_logs(self) -> str:
        return "\n".join(f"{path.name}\n{path.read_text()[-3000:]}" for path in self.folder.glob("*.out"))


def list_processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def read_variables(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def read_parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 1


def read_command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def wait_until(is_true: Callable[[], bool], seconds: float, explain: Callable[[], str]) -> None:
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, explain()
        time.sleep(0.5)
