"""Kills at chosen system calls, by strace: the calls that change a disk are listed once, then a run dies entering one.

A process that dies as it enters a call has done all calls before it and not this one, so dying at every call passes
through every state of the disk that a killed process can leave.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

CALLS = (
    "write", "pwrite64", "writev", "rename", "link", "unlink", "unlinkat", "mkdir", "rmdir", "fsync", "ftruncate",
    "fallocate", "utimensat",
)  # fmt: skip
SITE = "site"  # folder of the page of all runs
T = TypeVar("T")
STRACE = ("strace", "-f", "-y", "-qq", "-s", "16", "-e", "signal=none")
LINE = re.compile(r"^(\d+) +(\w+)\((.*)$")
DIGITS = re.compile(r"[0-9a-f]{8,}|\d+")


@dataclass(frozen=True, slots=True)
class SystemCall:
    name: str
    number: int  # how many calls of this name its thread has made, with this one
    target: str  # name of the file, numbers as #

    def __str__(self) -> str:
        return f"{self.name} {self.target}"


def record_command(log: Path) -> list[str]:
    """Return the words before a command that list its calls in `log`."""
    return [*STRACE, "-o", str(log), "-e", f"trace={','.join(CALLS)}"]


def kill_command(call: SystemCall, log: Path) -> list[str]:
    """Return the words before a command that kill -9 the process that first makes a call of this name and number."""
    inject = f"inject={call.name}:signal=SIGKILL:when={call.number}"
    return [*STRACE, "-o", str(log), "-e", f"trace={call.name}", "-e", inject]


def list_calls(log: Path, folder: Path) -> list[SystemCall]:
    """Return the calls of a recorded run that change a file below `folder`."""
    counts: Counter[tuple[str, str]] = Counter()
    calls = []
    for thread, name, arguments in read_log(log):
        counts[thread, name] += 1
        if target := find_target(arguments, folder):
            calls.append(SystemCall(name, counts[thread, name], target))
    return calls


def read_log(log: Path) -> Iterator[tuple[str, str, str]]:
    """Yield thread, name and arguments of each call."""
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if match := LINE.match(line):
            yield match[1], match[2], match[3]


def find_target(arguments: str, folder: Path) -> str | None:
    """Return the last file below `folder` that a call names (of a rename: the new name), with # for its numbers.

    The hundreds of files of the site are one target: as many kinds of call would leave no kills for the training.
    """
    names = re.findall(re.escape(str(folder)) + r"/([^\"<>]*)", arguments)
    if not names or names[-1] == "log":
        return None
    path = Path(names[-1])
    if SITE in path.parts:
        return SITE
    return DIGITS.sub("#", "/".join(path.parts[-2:]))


def choose(calls: list[SystemCall], count: int) -> list[SystemCall]:
    """Return `count` calls, spread over the kinds of call and file, then over the calls of a kind."""
    kinds: defaultdict[str, list[SystemCall]] = defaultdict(list)
    for call in calls:
        kinds[str(call)].append(call)
    rounds = zip_longest(*map(spread, spread(list(kinds.values()))))
    return [call for turn in rounds for call in turn if call is not None][:count]


def spread(items: list[T]) -> list[T]:
    """Return items in an order whose beginning is spread over all of them: last, first, middle, ..."""
    order, step = [len(items) - 1, 0], len(items)
    while step > 1:
        step = (step + 1) // 2
        order += range(step, len(items), step)
    return [items[index] for index in dict.fromkeys(order)]


def describe_death(log: Path, folder: Path) -> str:
    """Return the call at which the traced run died, or "not reached"."""
    *_, last = [None, *(line for line in log.read_text(errors="replace").splitlines() if line.rstrip().endswith("= ?"))]
    if last is None or not (match := LINE.match(last)):
        return "not reached"
    return f"{match[2]} {find_target(match[3], folder) or 'of another file'}"
