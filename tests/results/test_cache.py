from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lineage.results import cache, store
from lineage.results.entry import VERSION
from tests.tables import made


def test_equals_the_store_and_opens_no_file_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    read = cache._read
    monkeypatch.setattr(cache, "_read", lambda path: opened.append(path) or read(path))
    for seed in range(50):
        store.write(made.entry("new", 30.0, seed), tmp_path)
    first, second = cache.contents(tmp_path), cache.contents(tmp_path)
    assert len(opened) == 50
    store.write(made.entry("old", 20.0, 99), tmp_path)
    assert len(cache.contents(tmp_path).entries) == 51
    assert len(opened) == 51
    assert [entry.metrics for entry in first.entries] == [entry.metrics for entry in second.entries]


def test_says_what_the_store_says(tmp_path: Path) -> None:
    """Of every field that it keeps, whether it read the file as far as the config or, not written by us, whole."""
    large = {"error": "long " * 3000, "status": "failed"}
    for seed, changes in enumerate(({}, {"supersedes": "x"}, large, {"config": {}}, {"diff": "a\n}\n", "dirty": True})):
        store.write(made.entry("new", 30.0, seed, **changes), tmp_path)
    edited = store.write(made.entry("new", 30.0, 9), tmp_path)
    edited.write_text(json.dumps(json.loads(edited.read_text()), sort_keys=True))
    whole, short = store.contents(tmp_path).entries, cache.contents(tmp_path).entries
    assert len(short) == 6
    told = [[getattr(entry, name) for name in cache.FIELDS] for entry in whole]
    assert [[getattr(entry, name) for name in cache.FIELDS] for entry in short] == told


@pytest.mark.parametrize("cut", [100, 1200, -1, -2, -40])
def test_a_file_that_was_cut_off_is_damage(tmp_path: Path, cut: int) -> None:
    path = store.write(made.entry(config={f"key_{i}": "value" for i in range(2000)}), tmp_path)
    path.write_bytes(path.read_bytes()[:cut])
    held = cache.contents(tmp_path)
    if cut == -1:  # the last line break
        assert len(held.entries) == 1
        return
    assert [damage.path for damage in held.damaged] == [path]
    assert "not JSON" in held.damaged[0].reason


def test_an_entry_of_another_shape_is_damage(tmp_path: Path) -> None:
    """As store.read says it: a newer version, no status, a missing field, another entry's name."""
    path = store.write(made.entry(), tmp_path)
    text = path.read_text()
    for old, new in (
        (f'"v": {VERSION}', '"v": 99'),
        ('"finished"', '"done"'),
        ('"seed": 0,', ""),
        (path.stem, "another"),
    ):
        path.write_text(text.replace(old, new, 1))
        (damage,) = cache.contents(tmp_path).damaged
        assert damage.reason == store.contents(tmp_path).damaged[0].reason


def test_a_damaged_index_and_a_damaged_entry(tmp_path: Path) -> None:
    path = store.write(made.entry(), tmp_path)
    cache.contents(tmp_path)
    (tmp_path / cache.NAME).write_text('{"shape"')
    assert len(cache.contents(tmp_path).entries) == 1
    path.write_text("{")
    held = cache.contents(tmp_path)
    assert not held.entries
    assert held.damaged[0].path == path
    path.unlink()
    assert not cache.contents(tmp_path).damaged


def test_an_absent_folder_is_empty(tmp_path: Path) -> None:
    assert not cache.contents(tmp_path / "none").entries
    assert not (tmp_path / "none").exists()


def test_a_process_that_reads_a_store_after_torch_ends_in_silence(tmp_path: Path) -> None:
    """Read the store after torch, as `lineage table TABLE --images` does.

    Triton, where it is installed, listed what it calls leaks.
    """
    store.write(made.entry(), tmp_path)
    script = "import lineage.train.detection_module, sys, lineage.results.cache as cache; cache.contents(sys.argv[1])"
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert (ended.stdout, ended.stderr) == ("", "")
