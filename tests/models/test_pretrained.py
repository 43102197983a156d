"""What a body starts from: a file that holds no weights is named, and so is what cannot start without."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lineage.config.build import build
from lineage.models.backbones.norm import FrozenBatchNorm
from lineage.weights.pretrained import WeightsError, load_backbone_state
from tests.models.compose import CONF, config


def test_a_file_of_weights(tmp_path: Path) -> None:
    torch.save({"state_dict": {"weight": torch.ones(2)}}, tmp_path / "good.pt")
    assert load_backbone_state(str(tmp_path / "good.pt"))["weight"].tolist() == [1, 1]


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"PK\x03\x04 cut off"])
def test_a_file_of_something_else(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.pt").write_bytes(content)
    with pytest.raises(
        WeightsError, match=r"bad.pt(: not a file of weights, or cut off| is empty| is a web page| is damaged)"
    ):
        load_backbone_state(str(tmp_path / "bad.pt"))


def test_no_such_file() -> None:
    with pytest.raises(WeightsError, match=r"weights nowhere.pt: no such file"):
        load_backbone_state("nowhere.pt")


BACKBONES = sorted(path.stem for path in (CONF / "backbone").glob("*.yaml"))


@pytest.mark.parametrize("name", BACKBONES)
def test_from_scratch_a_body_trains_whole_or_names_what_to_set(name: str) -> None:
    """Norm and freezing follow the initialisation; the fix that a message names is one."""
    options = [f"backbone={name}", "backbone.weights=null"]
    with torch.device("meta"):
        try:
            body = build(config(*options).backbone)
        except WeightsError as error:
            reason, _, fix = str(error).partition("or train from scratch with ")
            assert "backbone.weights=null" in reason
            assert "never trained would stay as they are" in reason
            body = build(config(*options, *fix.split()).backbone)
    assert all(p.requires_grad for p in body.parameters())
    assert not any(isinstance(layer, FrozenBatchNorm) for layer in body.modules())
