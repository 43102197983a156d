"""Fixtures of several tests of indexes: an index of their own, and a small folder that is old enough to be trusted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data import folder


@pytest.fixture
def index_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the indexes of one test."""
    monkeypatch.setenv("LINEAGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "index"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six images, written a minute ago."""
    data = folder.write(tmp_path / "data", folder.content(6))
    folder.age(data)
    return data
