from __future__ import annotations

from pathlib import Path

import pytest

from lineage.tables import index, store
from tests.tables import made


def test_equals_the_store_and_opens_no_file_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    whole = store.read
    monkeypatch.setattr(store, "read", lambda path: opened.append(path) or whole(path))
    for seed in range(50):
        store.write(made.entry("new", 30.0, seed), tmp_path)
    first, second = index.contents(tmp_path), index.contents(tmp_path)
    assert len(opened) == 50
    store.write(made.entry("old", 20.0, 99), tmp_path)
    assert len(index.contents(tmp_path).entries) == 51
    assert len(opened) == 51
    assert [entry.metrics for entry in first.entries] == [entry.metrics for entry in second.entries]


def test_a_damaged_index_and_a_damaged_entry(tmp_path: Path) -> None:
    path = store.write(made.entry(), tmp_path)
    index.contents(tmp_path)
    (tmp_path / index.NAME).write_text('{"shape"')
    assert len(index.contents(tmp_path).entries) == 1
    path.write_text("{")
    held = index.contents(tmp_path)
    assert not held.entries
    assert held.damaged[0].path == path
    path.unlink()
    assert not index.contents(tmp_path).damaged


def test_an_absent_folder_is_empty(tmp_path: Path) -> None:
    assert not index.contents(tmp_path / "none").entries
    assert not (tmp_path / "none").exists()
