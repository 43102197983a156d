"""A file that holds no weights is named, whatever else it holds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lineage.models.pretrained import WeightsError, load


def test_a_file_of_weights(tmp_path: Path) -> None:
    torch.save({"state_dict": {"weight": torch.ones(2)}}, tmp_path / "good.pt")
    assert load(str(tmp_path / "good.pt"))["weight"].tolist() == [1, 1]


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"PK\x03\x04 cut off"])
def test_a_file_of_something_else(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.pt").write_bytes(content)
    with pytest.raises(WeightsError, match=r"bad.pt: not a file of weights, or cut off"):
        load(str(tmp_path / "bad.pt"))


def test_no_such_file() -> None:
    with pytest.raises(WeightsError, match=r"weights nowhere.pt: no such file"):
        load("nowhere.pt")
