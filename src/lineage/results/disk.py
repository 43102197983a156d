"""Places that take no more files: full or read-only disks, long names, too few open files. One line for each."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import traceback
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from lineage.results.atomic import TEMPORARY

PROBE = 1 << 18  # bytes
REASONS = {
    errno.ENOSPC: "no room is left on the disk{free}",
    errno.EDQUOT: "your quota of the disk is used up{free}",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "the operation is not permitted",
    errno.EFBIG: "the file is larger than allowed (ulimit -f)",
    errno.EIO: "the disk fails (input/output error)",
    errno.EMFILE: "this process may open no more files; raise `ulimit -n`",
    errno.ENFILE: "this machine may open no more files",
    errno.ENAMETOOLONG: "the name is too long; a part of a path has 255 bytes at most",
}
WRITE_REASONS = {  # of an error while a file or folder is written; elsewhere they may be faults of the program
    errno.ENOENT: "no file or folder can be made there",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EEXIST: "a file of this name is in the way",
    errno.EISDIR: "that is a folder, not a file",
    errno.EBUSY: "the file is in use",
}
WRITERS = ("mkdir", "touch", "write_text", "write_bytes", "write_frames", "save", "publish")  # of pathlib, PIL and ours
FOLDERS = "Runs are written to paths.runs, results to paths.results, caches to $LINEAGE_CACHE"
OUT = "--out"  # option of commands for what they write

KEYS = ("hydra.run.dir", "hydra.sweep.dir", "paths.runs", "paths.results")  # of folders that a run makes
DEFAULTS = (("paths.runs", "runs"), ("paths.results", "results"))


class PlaceError(OSError):
    """A folder that cannot be written, found before a run begins; the message names the key of another folder."""


def explain(error: BaseException, writes: bool | None = None) -> str | None:
    """Return one line for an error of a disk or of a limit of the system, None for any other.

    writes: whether a file was being written; None: if the traceback says so.
    """
    if not isinstance(error, OSError):
        return None
    reason = REASONS.get(error.errno or 0)
    if reason is None and (is_write(error) if writes is None else writes):
        reason = WRITE_REASONS.get(error.errno or 0)
    if reason is None:
        return None
    if not error.filename:  # a write to an open file
        return f"a file could not be written: {reason.format(free='')}. {FOLDERS}"
    return f"{shorten(str(error.filename))}: {reason.format(free=_describe_free(error.filename))}"


def is_write(error: BaseException) -> bool:
    """Return whether a file or folder was being written when the error was raised."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    names = [frame.f_code.co_name for frame in frames]
    modes = [str(frame.f_locals.get("mode")) for frame, name in zip(frames, names, strict=True) if name == "open"]
    return not {*WRITERS}.isdisjoint(names) or any(mode[0] in "wax" for mode in modes)


def explain_for_command(error: OSError, arguments: Sequence[str]) -> str | None:
    """Return the line for an error of a command; for a place that it cannot write to, with the argument to change."""
    line = explain(error)
    words = [word for text in arguments for word in (text.split("=", 1) if text.startswith("-") else [text])]
    options = [(name, value) for name, value in pairwise(words) if name.startswith("-")]
    if line and not error.filename:  # a write to an open file, most likely of what the command makes
        place = f"another place, {OUT} PATH" if OUT in dict(options) else "another place"
        return line.replace(FOLDERS, f"Make room or choose {place}; caches are written to $LINEAGE_CACHE")
    if line is None or not is_write(error):
        return line
    failed = str(error.filename)
    within = [name for name, value in options if _leads_to(value, failed)]
    beside = [name for name, value in options if _lies_beside(value, failed)]
    option = next(iter(within + beside), None)
    return f"{line}. Choose another place{f': {option} PATH' if option else ''}"


def explain_for_run(error: BaseException, overrides: Sequence[str]) -> str | None:
    """Return the line for an error of a run; for a folder that it cannot make, with the key that names another."""
    line = explain(error)
    if line is None or not isinstance(error, OSError) or not error.filename or not is_write(error):
        return line
    typed = [text.split("=", 1) for text in overrides if "=" in text]
    places = [(key, value.strip("'\"")) for key, value in (*typed, *DEFAULTS)]
    key = next((key for key, value in places if key in KEYS and _leads_to(value, str(error.filename))), None)
    return f"{line}. Choose another folder: {key}=FOLDER" if key else line


def _leads_to(argument: str, path: str) -> bool:
    """Return whether a word of a command is a path, or lies above or below it."""
    typed, failed = Path(os.path.abspath(argument)), Path(os.path.abspath(path))
    return typed == failed or failed in typed.parents or typed in failed.parents


def _lies_beside(argument: str, path: str) -> bool:
    """Return whether a word of a command is in the folder of a path, as names of several files are."""
    return Path(os.path.abspath(argument)).parent == Path(os.path.abspath(path)).parent


def shorten(path: str) -> str:
    return path if len(path) <= 160 else f"{path[:70]}...{path[-70:]}"


def check_writable(folder: Path, key: str) -> None:
    """Write a file and remove it again. Raises PlaceError if that fails, with the key that names another folder."""
    probe = folder / f"{TEMPORARY}{os.urandom(4).hex()}-probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with probe.open("wb") as file:
            file.write(bytes(PROBE))
            os.fsync(file.fileno())
    except OSError as error:
        named = OSError(error.errno, error.strerror, str(folder))
        line = explain(named, writes=True) or f"{folder}: {error}"
        raise PlaceError(f"{line}. Choose another folder: {key}=FOLDER") from error
    finally:
        with suppress(OSError):  # no folder, or too long a name
            probe.unlink(missing_ok=True)


def raise_open_files_limit() -> int:
    """Raise the soft limit of open files to the hard one; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):  # macOS has another limit above
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            return hard
    return soft


def _describe_free(filename: object) -> str:
    """Return e.g. " (3 MB free)", of the nearest folder that exists; empty if that is not known."""
    path = Path(str(filename))
    try:
        folder = next(parent for parent in (path, *path.absolute().parents) if parent.is_dir())
        return f" ({shutil.disk_usage(folder).free / 1e6:.0f} MB free)"
    except (OSError, StopIteration):
        return ""
