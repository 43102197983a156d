"""`--device` of predict and latency."""

from __future__ import annotations

import pytest
import torch

from lineage.run.inference.device import choose_device


@pytest.mark.parametrize(
    ("name", "current"), [("cuda:1", [torch.device("cuda:1")]), ("cuda", []), (None, []), ("cpu", [])]
)
def test_a_gpu_that_is_named_becomes_the_current_one(
    monkeypatch: pytest.MonkeyPatch, name: str | None, current: list[torch.device]
) -> None:
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    assert choose_device(name) == torch.device(name or "cuda")
    assert chosen == current
