"""Leases in a shared folder, so that two runners never do the same work at once.

A lease on `x` is a file `x.3.lease`; the file of the highest number is valid. To take over an abandoned lease, a runner
creates the next number; O_EXCL lets only one succeed. A holder touches its file every few seconds. A lease is abandoned
if its file is not touched any more, or its process on this machine is gone. Ages are measured by the clock of the file
system, so clocks of machines may differ.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from lineage.results.atomic import atomic_write, read_mapping, sweep

BEAT = 5.0  # seconds between signs of life
STALE = 60.0  # seconds without one
GONE = (errno.ENOENT, errno.ESTALE)  # the file is deleted; after any other error it may be there again


@dataclass
class Lease:
    """A lease that this process holds. `lost` is called, once, when another process has taken it over."""

    path: Path
    token: str  # numbers start again after a release, so only the token identifies the holder
    lost: Callable[[], None] = lambda: None
    _over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        threading.Thread(target=self._beat, daemon=True, name=f"lease {self.path.name}").start()

    def register_worker(self, pid: int) -> None:
        """Register the process that does the work: while it lives, the lease is valid on this machine."""
        atomic_write(self.path, _claim(self.token, os.getpid(), pid))

    def release(self) -> None:
        self._over.set()
        if _read(self.path).get("token") == self.token:
            self.path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._over.wait(BEAT):
            try:
                if self._is_taken_over():
                    break
                os.utime(self.path)
            except OSError as error:
                if error.errno in GONE:
                    break
        if not self._over.is_set():
            self.lost()

    def _is_taken_over(self) -> bool:
        number, _ = _highest(self.path.parent, _name(self.path))
        return number > _number(self.path) or json.loads(self.path.read_text(encoding="utf-8"))["token"] != self.token


def acquire(folder: Path, name: str, stale: float = STALE) -> Lease | None:
    """Take the lease on `name`; return None if another process holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    number, newest = _highest(folder, name)
    if newest is not None and not is_abandoned(newest, stale):
        return None
    path, token = folder / f"{name}.{number + 1}.lease", secrets.token_hex(8)
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(_claim(token, os.getpid()))
    others = [other for other in _files(folder, name) if other != path]
    if any(not is_abandoned(other, stale) for other in others):  # taken, released and taken again since we looked
        path.unlink(missing_ok=True)
        return None
    for other in others:
        if _number(other) <= number:
            other.unlink(missing_ok=True)
    sweep(folder)
    return Lease(path, token)


def wait_and_acquire(folder: Path, name: str, stale: float = STALE) -> Lease | None:
    """Take the lease on `name`; return None if a process that is alive holds it.

    If the holder is on another machine, it may be dead: wait until its last sign of life is `stale` seconds old.
    """
    until = time.monotonic() + stale + 2 * BEAT
    while (taken := acquire(folder, name, stale)) is None:
        _, newest = _highest(folder, name)
        is_here = newest is not None and _read(newest).get("machine") == _machine()
        if is_here or time.monotonic() > until:
            return None
        time.sleep(min(1.0, stale / 4))
    return taken


def holder(folder: Path, name: str, stale: float = STALE) -> str | None:
    """Return the host and process that hold the lease on `name`, as text, or None."""
    _, newest = _highest(folder, name)
    if newest is None or is_abandoned(newest, stale):
        return None
    record = _read(newest)
    return f"{record.get('host', 'somebody')}, process {next(iter(record.get('processes', [])), ['?'])[0]}"


def is_abandoned(path: Path, stale: float = STALE) -> bool:
    """Return whether no process holds the lease of this file any more."""
    record = _read(path)
    if record.get("machine") == _machine():
        return not any(_alive(pid, born) for pid, born in record["processes"])
    try:
        return _now(path.parent) - path.stat().st_mtime > stale
    except FileNotFoundError:
        return True


def _claim(token: str, *pids: int) -> str:
    holder = {"host": platform.node(), "machine": _machine(), "processes": [[pid, _born(pid)] for pid in pids]}
    return json.dumps({"token": token} | holder)


@cache
def _machine() -> str:
    """Return the scope of process ids: two machines may have one name, two containers one machine."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{platform.node()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return platform.node()


def _alive(pid: int, born: str | None) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's, and perhaps hidden from us
        return True
    return _born(pid) == born


def _born(pid: int) -> str | None:
    """Return the start time of a process, because ids are reused; "dead" for a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # gone, or not Linux: there the number has to do
        return None
    return "dead" if fields[0] in ("Z", "X") else fields[19]


def _read(path: Path) -> dict[str, Any]:
    """Read a lease; empty while its file is being written: then its age decides."""
    return read_mapping(path)


def _now(folder: Path) -> float:
    """Return the time by the clock of the file system."""
    probe = folder / f".clock-{secrets.token_hex(6)}"
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _highest(folder: Path, name: str) -> tuple[int, Path | None]:
    newest = max(((_number(path), path) for path in _files(folder, name)), default=None)
    return newest or (0, None)


def _files(folder: Path, name: str) -> list[Path]:
    return [path for path in folder.glob(f"{name}.*.lease") if path.name.count(".") == 2]


def _number(path: Path) -> int:
    return int(path.name.split(".")[1])


def _name(path: Path) -> str:
    return path.name.split(".")[0]
