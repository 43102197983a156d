"""A config that cannot be built says which key is to blame and what would be right."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from lineage.config.build import ConfigError, build
from tests.models.compose import config as compose_config


def test_a_variable_that_is_not_set_is_named_with_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CELLS", raising=False)
    config = OmegaConf.create({"dataset": {"root": "${oc.env:CELLS}", "train": {"root": "${dataset.root}"}}})
    with pytest.raises(ConfigError, match=r"environment variable CELLS, which is not set: export CELLS=\.\.\."):
        build(config.dataset.train)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("~model.neck.top_down", r"^config node 'model\.neck' cannot be built: TypeError: FPN.* 'top_down'$"),
        ("+model.box.body.wdth=1", r"^config node 'model\.box\.body' cannot be built: TypeError: TwoFC.* 'wdth'$"),
    ],
)
def test_a_part_that_is_built_later_is_named_by_its_own_key(override: str, says: str) -> None:
    """A neck without one of its keys was an error of the node model."""
    with pytest.raises(ConfigError, match=says):
        build(compose_config("model=faster_rcnn", "tier=mini", override).model)
