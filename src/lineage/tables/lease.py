"""Who is at work on what: claims in a shared folder, so that two runners never do the same thing at once.

A claim on `x` is a file `x.3.lease`; the holder is who made the highest number. Taking over an abandoned claim is
making the next number, which only one can do (O_EXCL), so two takers never both succeed. A holder touches its file
every few seconds; one that has stopped doing so, or whose process is gone from this machine, has abandoned it. Ages are
measured against the clock of the file system, so machines need not agree on the time.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

BEAT = 5.0  # seconds between signs of life
STALE = 60.0  # seconds without one


@dataclass
class Lease:
    """A claim that is held. `lost` is called, once, when somebody else has taken over."""

    path: Path
    lost: Callable[[], None] = lambda: None
    _over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        threading.Thread(target=self._beat, daemon=True, name=f"lease {self.path.name}").start()

    def worker(self, pid: int) -> None:
        """The process that does the work: while it lives, the claim holds on this machine."""
        partial = self.path.with_suffix(f".{secrets.token_hex(4)}.partial")
        partial.write_text(json.dumps(_me() | {"worker": pid}), encoding="utf-8")
        os.replace(partial, self.path)

    def release(self) -> None:
        self._over.set()
        self.path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._over.wait(BEAT):
            try:
                os.utime(self.path)
            except FileNotFoundError:
                break
            if _highest(self.path.parent, _name(self.path))[0] > _number(self.path):
                break
            continue
        if not self._over.is_set():
            self.lost()


def acquire(folder: Path, name: str, stale: float = STALE) -> Lease | None:
    """A claim on `name`, or None where somebody holds one."""
    folder.mkdir(parents=True, exist_ok=True)
    number, held = _highest(folder, name)
    if held is not None and not abandoned(held, stale):
        return None
    path = folder / f"{name}.{number + 1}.lease"
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(json.dumps(_me()))
    for older in _files(folder, name):
        if _number(older) < number + 1:
            older.unlink(missing_ok=True)
    return Lease(path)


def holder(folder: Path, name: str, stale: float = STALE) -> str | None:
    """Who is at work on `name`, for people."""
    _, held = _highest(folder, name)
    if held is None or abandoned(held, stale):
        return None
    told = _read(held)
    return f"{told.get('host', 'somebody')}, process {told.get('pid', '?')}"


def abandoned(path: Path, stale: float = STALE) -> bool:
    told = _read(path)
    if told.get("host") == platform.node():
        pids = [pid for key in ("pid", "worker") if isinstance(pid := told.get(key), int)]
        if pids:
            return not any(_alive(pid) for pid in pids)
    try:
        return _now(path.parent) - path.stat().st_mtime > stale
    except FileNotFoundError:
        return True


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    state = Path(f"/proc/{pid}/stat")  # a killed process that nobody has waited for is not at work
    try:
        return state.read_text().rpartition(")")[2].split()[0] not in ("Z", "X") if state.exists() else True
    except OSError:
        return False


def _me() -> dict[str, object]:
    return {"host": platform.node(), "pid": os.getpid()}


def _read(path: Path) -> dict[str, object]:
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
