"""A config that cannot be built says which key is to blame and what would be right."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from lineage.config.build import ConfigError, build


def test_a_variable_that_is_not_set_is_named_with_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CELLS", raising=False)
    config = OmegaConf.create({"dataset": {"root": "${oc.env:CELLS}", "train": {"root": "${dataset.root}"}}})
    with pytest.raises(ConfigError, match=r"environment variable CELLS, which is not set: export CELLS=\.\.\."):
        build(config.dataset.train)
