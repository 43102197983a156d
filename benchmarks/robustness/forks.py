"""Processes of train.py that begin after their imports: forked from one that has imported everything, and nothing else.

Imports take most of the seconds of a small run. A fork is `python train.py` from there on: a process and a session of
its own, with the same code, arguments and working directory.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.robustness.report import ROOT

PR_SET_PTRACER, ANY = 0x59616D61, -1  # where only ancestors may trace a process, it lets strace do so
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


@dataclass(frozen=True, slots=True)
class Fork:
    """A running fork, with the part of Popen that is needed."""

    pid: int

    def poll(self) -> int | None:
        """Return None as long as the process runs."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return 0
        return None

    def wait(self, seconds: float) -> None:
        """Wait for its end. Raises TimeoutExpired."""
        until = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired(f"process {self.pid}", seconds)
            time.sleep(0.02)


class ForkServer:
    """The process that has imported everything."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server = subprocess.Popen(
            [sys.executable, "-m", __name__], cwd=ROOT, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip

    def start(self, overrides: Sequence[str], log: Path, trace: Sequence[str] = ()) -> Fork:
        """Fork, and run train.py with these overrides; with `trace`, the words of an strace, once that watches."""
        assert self._server.stdin
        assert self._server.stdout
        request = {"overrides": list(overrides), "log": str(log), "is_traced": bool(trace)}
        with self._lock:
            print(json.dumps(request), file=self._server.stdin, flush=True)
            fork = Fork(int(self._server.stdout.readline()))
        if trace:
            subprocess.Popen([*trace, "-p", str(fork.pid)], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return fork

    def close(self) -> None:
        assert self._server.stdin
        self._server.stdin.close()
        self._server.wait()


def serve() -> None:
    """Read requests, fork, and answer with the id of the process."""
    import lineage.report.site.run_report
    import lineage.run.train  # noqa: F401
    from lineage.cli import train

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            run(request, train)
        print(pid, flush=True)


def run(request: dict[str, Any], train: ModuleType) -> None:
    """Become a process of its own, wait for strace if one comes, train, and end as the interpreter would."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    handle = os.open(request["log"], os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)
    null = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, null), (1, handle), (2, handle)):
        os.dup2(source, target)
    sys.modules["__main__"].__spec__ = None  # as a script: Lightning starts its other ranks by sys.argv
    if request["is_traced"]:
        ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANY)
        while "TracerPid:\t0\n" in Path("/proc/self/status").read_text():
            time.sleep(0.01)
    sys.exit(train.main(request["overrides"]))


if __name__ == "__main__":
    serve()
