"""The store's promises: nothing finished is lost, nothing unreadable appears, merging is copying."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lineage.results import integrity, paths, store
from lineage.results.atomic import TEMPORARY
from lineage.results.store import StoreError
from lineage.tables.format.terminal import render_terminal
from lineage.tables.format.view import build_view
from tests.tables import made

WRITER = """
import sys
from lineage.results import store
from tests.tables import made
big = {str(i): "x" * 50 for i in range(400)}
for seed in range(10_000):
    print(store.write(made.entry(seed=seed, config=big), sys.argv[1]).name, flush=True)
"""


def test_sixteen_writers_killed_at_work_lose_nothing(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", WRITER, str(tmp_path / "store")]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root, text=True) for _ in range(16)]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.readline()  # every one of them is writing by now
    for writer in writers:
        time.sleep(0.02)
        writer.send_signal(signal.SIGKILL)
    reported = {name for writer in writers for name in writer.communicate()[0].splitlines() if name.endswith(".json")}
    held = store.contents(tmp_path / "store")
    assert len(reported) > 16
    assert not held.damaged
    assert reported <= {f"{entry.id}.json" for entry in held.entries}


def test_what_killed_writers_left_is_swept_when_it_is_old(tmp_path: Path) -> None:
    path = store.write(made.entry(), tmp_path)
    young, old = (path.parent / f"{TEMPORARY}{name}" for name in ("young", "old"))
    for left in (young, old):
        left.write_text("{")
    os.utime(old, (0, 0))
    assert integrity.verify(tmp_path) == (1, [])
    assert young.exists()
    assert not old.exists()


def test_an_entry_is_never_overwritten(tmp_path: Path) -> None:
    first = made.entry()
    path = store.write(first, tmp_path)
    with pytest.raises(StoreError, match="never overwritten"):
        store.write(replace(first, note="changed"), tmp_path)
    assert store.read(path) == first
    assert [name.name for name in path.parent.iterdir()] == [path.name]


def test_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    first = made.entry()
    path = store.write(first, tmp_path)
    with pytest.raises(StoreError, match="never overwritten"):
        store.write(first, tmp_path)
    assert [name.name for name in path.parent.iterdir()] == [path.name]


def test_free_runs_and_rows_have_their_places(tmp_path: Path) -> None:
    assert store.write(made.entry(row=None), tmp_path).parent == tmp_path / "scratch/mask_rcnn"
    assert store.write(made.entry(row="new"), tmp_path).parent == tmp_path / "paper/table/new"


def test_stores_merge_by_copying(tmp_path: Path) -> None:
    entries = [made.entry(row, value, seed) for row, value in (("old", 27.1), ("new", 30.2)) for seed in range(4)]
    for i, entry in enumerate(entries):
        store.write(entry, tmp_path / ("a" if i % 3 else "b"))
        store.write(entry, tmp_path / "all")
    shutil.copytree(tmp_path / "b", tmp_path / "a", dirs_exist_ok=True)
    shutil.copytree(tmp_path / "b", tmp_path / "a", dirs_exist_ok=True)  # copying twice changes nothing
    texts = [
        render_terminal(build_view(made.table(), store.contents(tmp_path / name).entries)) for name in ("a", "all")
    ]
    assert texts[0] == texts[1]
    assert integrity.verify(tmp_path / "a") == (8, [])


def test_damage_is_named_and_left_out(tmp_path: Path) -> None:
    good = store.write(made.entry(seed=1), tmp_path)
    torn = store.write(made.entry(seed=2), tmp_path)
    torn.write_text(torn.read_text()[:100])
    renamed = good.with_name("20261123T040305Z-00000000-000000.json")
    shutil.copy(good, renamed)
    moved = tmp_path / "paper/table/old"
    moved.mkdir()
    stray = store.write(made.entry(seed=3), tmp_path).rename(moved / "x.json")
    whole, damaged = integrity.verify(tmp_path)
    assert whole == 1
    assert {damage.path for damage in damaged} == {torn, renamed, stray}


def test_a_misplaced_entry_is_told_where_it_belongs(tmp_path: Path) -> None:
    path = store.write(made.entry(), tmp_path)
    (tmp_path / "elsewhere").mkdir()
    path.rename(tmp_path / "elsewhere" / path.name)
    whole, (damage,) = integrity.verify(tmp_path)
    assert whole == 0
    assert str(tmp_path / "paper/table/new") in damage.reason


def test_last_names_the_newest_entries(tmp_path: Path) -> None:
    paths = sorted((store.write(made.entry(), tmp_path) for _ in range(3)), key=lambda path: path.stem)
    assert [store.find(tmp_path, name) for name in ("last", "last~1", "last~2")] == paths[::-1]
    with pytest.raises(StoreError, match="no entry named 'last~3' among the 3"):
        store.find(tmp_path, "last~3")


def test_last_is_a_run_and_no_measurement(tmp_path: Path) -> None:
    """`predict --weights last` took the model whose latency had been measured, not the one trained last."""
    older, newest = (store.write(made.entry(seed=seed), tmp_path) for seed in range(2))
    store.write(made.entry(seed=2, command=["lineage", "latency", "runs/x"]), tmp_path)
    store.write(made.entry(seed=3, command=[], origin="detectron2"), tmp_path)
    assert [store.find(tmp_path, name) for name in ("last", "last~1")] == [newest, older]
    with pytest.raises(StoreError, match=r"no entry named 'last~2' among the 4 .* no measured latency"):
        store.find(tmp_path, "last~2")


def test_a_damaged_entry_is_not_passed_over(tmp_path: Path) -> None:
    store.write(made.entry(seed=0), tmp_path)
    newest = store.write(made.entry(seed=1), tmp_path)
    newest.write_text("{")
    assert store.find(tmp_path, "last") == newest


def test_find_by_any_unique_part(tmp_path: Path) -> None:
    path = store.write(made.entry(seed=0), tmp_path)
    store.write(made.entry(seed=1), tmp_path)
    assert store.find(tmp_path, path.stem) == store.find(tmp_path, path.stem[-6:]) == store.find(tmp_path, str(path))
    with pytest.raises(StoreError, match="2 entries"):
        store.find(tmp_path, "2026")
    with pytest.raises(StoreError, match="no entry named 'zzz'"):
        store.find(tmp_path, "zzz")


def test_a_file_is_found_by_its_path_wherever_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere, root = store.write(made.entry(seed=1), tmp_path / "elsewhere"), tmp_path / "results"
    path = store.write(made.entry(seed=0), root)
    assert store.find(root, str(elsewhere)) == elsewhere
    with pytest.raises(StoreError, match="no entry named"):
        store.find(root, str(elsewhere.with_name("20261123T040305Z-00000000-000000.json")))
    monkeypatch.chdir(tmp_path)
    for name in ("last", path.stem):  # other files that happen to have the name of an entry
        (tmp_path / name).touch()
        assert store.find(root, name) == path


def test_an_empty_store_is_no_error(tmp_path: Path) -> None:
    assert store.contents(tmp_path / "nothing").entries == []
    assert integrity.verify(tmp_path / "nothing") == (0, [])


def test_a_user_without_a_home_has_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs under a number that no user has."""

    def refuse() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", refuse)
    assert paths.portable(tmp_path / "runs", paths.ROOT) == str(tmp_path / "runs")
    assert paths.portable(paths.ROOT / "runs", paths.ROOT) == "runs"
