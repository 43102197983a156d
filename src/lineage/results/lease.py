"""Who is at work on what: claims in a shared folder, so that two runners never do the same thing at once.

A claim on `x` is a file `x.3.lease`; the holder is who made the highest number. Taking over an abandoned claim is
making the next number, which only one can do (O_EXCL), so two takers never both succeed. A holder touches its file
every few seconds; one that has stopped doing so, or whose process is gone from this machine, has abandoned it. Ages are
measured against the clock of the file system, so machines need not agree on the time.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from lineage.results.atomic import atomic_write, sweep

BEAT = 5.0  # seconds between signs of life
STALE = 60.0  # seconds without one
GONE = (errno.ENOENT, errno.ESTALE)  # the file is deleted; after any other error it may be there again


@dataclass
class Lease:
    """A claim that is held. `lost` is called, once, when somebody else has taken over."""

    path: Path
    token: str  # numbers begin anew when a claim is given back, so the number alone does not say whose a file is
    lost: Callable[[], None] = lambda: None
    _over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        threading.Thread(target=self._beat, daemon=True, name=f"lease {self.path.name}").start()

    def worker(self, pid: int) -> None:
        """The process that does the work: while it lives, the claim holds on this machine."""
        atomic_write(self.path, _claim(self.token, os.getpid(), pid))

    def release(self) -> None:
        self._over.set()
        if _read(self.path).get("token") == self.token:
            self.path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._over.wait(BEAT):
            try:
                if self._taken():
                    break
                os.utime(self.path)
            except OSError as error:
                if error.errno in GONE:
                    break
        if not self._over.is_set():
            self.lost()

    def _taken(self) -> bool:
        number, _ = _highest(self.path.parent, _name(self.path))
        return number > _number(self.path) or json.loads(self.path.read_text(encoding="utf-8"))["token"] != self.token


def acquire(folder: Path, name: str, stale: float = STALE) -> Lease | None:
    """A claim on `name`, or None where somebody holds one."""
    folder.mkdir(parents=True, exist_ok=True)
    number, held = _highest(folder, name)
    if held is not None and not abandoned(held, stale):
        return None
    path, token = folder / f"{name}.{number + 1}.lease", secrets.token_hex(8)
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(_claim(token, os.getpid()))
    others = [other for other in _files(folder, name) if other != path]
    if any(not abandoned(other, stale) for other in others):  # taken, given back and taken again since we looked
        path.unlink(missing_ok=True)
        return None
    for other in others:
        if _number(other) <= number:
            other.unlink(missing_ok=True)
    sweep(folder)
    return Lease(path, token)


def holder(folder: Path, name: str, stale: float = STALE) -> str | None:
    """Who is at work on `name`, for people."""
    _, held = _highest(folder, name)
    if held is None or abandoned(held, stale):
        return None
    told = _read(held)
    return f"{told.get('host', 'somebody')}, process {next(iter(told.get('processes', [])), ['?'])[0]}"


def abandoned(path: Path, stale: float = STALE) -> bool:
    told = _read(path)
    if told.get("machine") == _machine():
        return not any(_alive(pid, born) for pid, born in told["processes"])
    try:
        return _now(path.parent) - path.stat().st_mtime > stale
    except FileNotFoundError:
        return True


def _claim(token: str, *pids: int) -> str:
    who = {"host": platform.node(), "machine": _machine(), "processes": [[pid, _born(pid)] for pid in pids]}
    return json.dumps({"token": token} | who)


@cache
def _machine() -> str:
    """Where a process number means something: two machines may share a name, two containers share a machine."""
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
    """When a process began, for its number may be given to another later. One that only waits to be buried is dead."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # gone, or not Linux: there the number has to do
        return None
    return "dead" if fields[0] in ("Z", "X") else fields[19]


def _read(path: Path) -> dict[str, Any]:
    """Of a file that is just being written, nothing is known: its age decides."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _now(folder: Path) -> float:
    """The time as the file system has it."""
    probe = folder / f".clock-{secrets.token_hex(6)}"
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _highest(folder: Path, name: str) -> tuple[int, Path | None]:
    found = max(((_number(path), path) for path in _files(folder, name)), default=None)
    return found or (0, None)


def _files(folder: Path, name: str) -> list[Path]:
    return [path for path in folder.glob(f"{name}.*.lease") if path.name.count(".") == 2]


def _number(path: Path) -> int:
    return int(path.name.split(".")[1])


def _name(path: Path) -> str:
    return path.name.split(".")[0]
