"""A full or read-only disk, a long name, few open files: one line each, and what was there stays."""

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lineage.results import disk
from lineage.results.atomic import atomic_write
from lineage.results.disk import FOLDERS, PlaceError, check_writable, explain


@pytest.fixture
def small_files() -> Iterator[None]:
    """Let no file of this process grow over 64 kB, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, before)


@pytest.mark.usefixtures("small_files")
def test_a_write_that_fails_names_the_file_and_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "entry.json"
    atomic_write(path, "old")
    with pytest.raises(OSError, match="too large") as raised:
        atomic_write(path, bytes(1 << 17))
    assert explain(raised.value) == f"{path}: the file is larger than allowed (ulimit -f)"
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("small_files")
def test_a_folder_without_room_is_found_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(PlaceError, match=r"results: the file is larger .*Choose another folder: paths.results=FOLDER"):
        check_writable(tmp_path / "results", "paths.results")
    assert list((tmp_path / "results").iterdir()) == []


def test_a_folder_that_can_be_written_stays_empty(tmp_path: Path) -> None:
    check_writable(tmp_path / "results", "paths.results")
    assert list((tmp_path / "results").iterdir()) == []


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (errno.ENOSPC, "results/x.json: no room is left on the disk ({free} MB free)"),
        (errno.EROFS, "results/x.json: the file system is read-only"),
        (errno.EMFILE, "results/x.json: this process may open no more files; raise `ulimit -n`"),
        (errno.ENOENT, None),
    ],
)
def test_an_error_of_the_system_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int, line: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    text = explain(OSError(number, os.strerror(number), "results/x.json"))
    free = disk.shutil.disk_usage(tmp_path).free / 1e6
    assert text is None if line is None else text is not None
    if line and "{free}" in line:
        assert text is not None
        assert text.startswith(line.partition("{")[0])
        assert abs(float(text.partition("(")[2].partition(" ")[0]) - free) < 500
    else:
        assert text == line


def test_long_names_are_shortened(tmp_path: Path) -> None:
    with pytest.raises(PlaceError, match=r"\.\.\.a+: the name is too long") as raised:
        check_writable(tmp_path / ("a" * 300), "paths.results")
    assert len(str(raised.value)) < 400


def test_the_limit_of_open_files_is_raised_to_what_is_allowed() -> None:
    code = "from lineage.results.disk import raise_open_files_limit as f; print(f())"
    done = subprocess.run(
        ["sh", "-c", f"ulimit -Sn 64; ulimit -Hn 512; {sys.executable} -c '{code}'"], capture_output=True, text=True
    )
    assert done.stdout.strip() == "512", done.stderr


def test_an_error_without_a_file_name_names_no_other_disk() -> None:
    text = explain(OSError(errno.ENOSPC, "No space left on device"))
    assert text == f"a file could not be written: no room is left on the disk. {FOLDERS}"


def test_a_full_disk_of_a_command_names_its_option_and_no_key_of_a_run() -> None:
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # of a write to an open file, without a name
    expected = "no room is left on the disk. Make room or choose another place, --out PATH; caches are written"
    line = disk.explain_for_command(error, ["photos", "--weights", "last", "--out=full/p"])
    assert line is not None
    assert expected in line
    assert "paths.runs" not in line
    assert "--out" not in str(disk.explain_for_command(error, ["photos"]))
