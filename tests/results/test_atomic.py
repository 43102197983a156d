"""A file is whole or not there, whatever happens to its writer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lineage.results import atomic
from lineage.results.atomic import TEMPORARY, atomic_path, atomic_write, publish, read_mapping, sweep

WRITER = """
import itertools, json, sys
from pathlib import Path
from lineage.results.atomic import atomic_write
path, name = Path(sys.argv[1]), sys.argv[2]
for i in itertools.count():
    atomic_write(path, json.dumps({"writer": name, "lines": [i] * 20_000}), durable=name == "durable")
    print(i, flush=True)
"""


def writer(path: Path, name: str) -> subprocess.Popen[str]:
    started = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert started.stdout is not None
    started.stdout.readline()  # it is writing by now
    return started


@pytest.mark.parametrize("durable", [False, True])
def test_text_bytes_and_functions(durable: bool, tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.txt"
    for content in ("grün\n", "grün\n".encode(), lambda temporary: temporary.write_text("grün\n", encoding="utf-8")):
        atomic_write(path, content, durable=durable)
        assert path.read_bytes() == "grün\n".encode()
    assert os.listdir(path.parent) == ["file.txt"]


def test_a_function_writes_to_a_file_of_the_same_suffix(tmp_path: Path) -> None:
    paths: list[Path] = []
    atomic_write(tmp_path / "array.npy", lambda temporary: (paths.append(temporary), temporary.touch()))
    assert paths[0].suffix == ".npy"
    assert paths[0].parent == tmp_path


def test_two_writers_never_mix_and_a_killed_one_leaves_nothing_half(tmp_path: Path) -> None:
    path = tmp_path / "shared.json"
    writers = [writer(path, "one"), writer(path, "durable")]
    until, names = time.monotonic() + 1.0, set()
    while time.monotonic() < until:
        record = json.loads(path.read_text())
        names.add(record["writer"])
        assert len(record["lines"]) == 20_000
        assert len(set(record["lines"])) == 1
    for process in writers:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert names == {"one", "durable"}
    assert len(json.loads(path.read_text())["lines"]) == 20_000
    assert {item for item in os.listdir(tmp_path) if not item.startswith(TEMPORARY)} == {"shared.json"}
    sweep(tmp_path, age=0.0)
    assert os.listdir(tmp_path) == ["shared.json"]


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt, OSError])
def test_an_error_leaves_the_old_file_and_no_other(kind: type[BaseException], tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    atomic_write(path, "old")

    def fail(temporary: Path) -> None:
        temporary.write_text("ne")
        raise kind("disk full")

    with pytest.raises(kind, match="disk full"):
        atomic_write(path, fail)
    with pytest.raises(kind, match="disk full"), atomic_path(path) as temporary:
        fail(temporary)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_an_error_of_the_system_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError) as info:
        atomic_write(tmp_path / "folder", "a folder has this name")
    assert info.value.filename == str(tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"]


def test_names_may_be_as_long_as_the_system_allows(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 250 + ".json")
    atomic_write(path, "text")
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="file"):
        atomic_write(tmp_path / "file.txt", "text")


def test_the_folder_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        atomic_write(tmp_path / "file" / "below.txt", "text")


def test_an_exclusive_file_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.txt"
    atomic_write(path, "first", exclusive=True)
    with pytest.raises(FileExistsError):
        atomic_write(path, "second", exclusive=True)

    def refuse(*_: object) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(FileExistsError):
        atomic_write(path, "third", exclusive=True)
    atomic_write(tmp_path / "other.txt", "first", exclusive=True)
    assert path.read_text() == (tmp_path / "other.txt").read_text() == "first"
    assert sorted(os.listdir(tmp_path)) == ["file.txt", "other.txt"]


def test_a_complete_file_gets_its_name(tmp_path: Path) -> None:
    part, path = tmp_path / "file.part", tmp_path / "file"
    part.write_text("all of it")
    publish(part, path, durable=True)
    assert path.read_text() == "all of it"
    assert os.listdir(tmp_path) == ["file"]


def test_modes_are_those_of_the_user(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        atomic_write(tmp_path / "file", "others of the group read it too")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_only_old_temporaries_are_swept(tmp_path: Path) -> None:
    young, old, other = (tmp_path / name for name in (f"{TEMPORARY}young", f"{TEMPORARY}old", "file"))
    for path in (young, old, other):
        path.touch()
    os.utime(old, (0, 0))
    os.utime(other, (0, 0))
    sweep(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [young.name, "file"]
    assert atomic.ABANDONED > 60


def test_what_is_no_mapping_is_read_as_an_empty_one(tmp_path: Path) -> None:
    deep = b"[" * 100_000, b'{"a":' * 100_000
    for content in (b"", b'{"a": 1', b"[1, 2]", b"null", b"3", b"\xff\xfe{", *deep):
        (tmp_path / "a.json").write_bytes(content)
        assert read_mapping(tmp_path / "a.json") == {}


def test_a_mapping_is_read_as_it_was_written(tmp_path: Path) -> None:
    atomic_write(tmp_path / "a.json", json.dumps({"ä": [1, None]}, ensure_ascii=False))
    assert read_mapping(tmp_path / "a.json") == {"ä": [1, None]}
    assert read_mapping(tmp_path / "b.json") == read_mapping(tmp_path) == {}
