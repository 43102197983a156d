"""The options that the page of a run lists: those of its model, not the defaults of models that it is not."""

from __future__ import annotations

from typing import Any, cast

import pytest
from omegaconf import OmegaConf

from lineage.config.compose import compose_config
from lineage.report.site.run_details import PARTS, list_options
from lineage.results.entry import Entry


class ComposedEntry:
    """An entry as far as its options go."""

    def __init__(self, *overrides: str) -> None:
        config: Any = OmegaConf.to_container(compose_config(["dataset.classes=3", *overrides]), resolve=True)
        parts = {group: "an option" if config[group] else "none" for group in PARTS}
        self.config, self.choices = config, {**parts, "dataset": "shapes", "tta": "flip"}


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ("mask_rcnn", ["backbone", "roi", "classification", "regression", "suppression"]),
        ("retinanet", ["backbone", "regression", "suppression"]),
        ("centernet", ["backbone", "upsampling", "suppression"]),
        ("dvtsr", []),
    ],
)
def test_a_run_lists_the_parts_that_its_model_has(model: str, parts: list[str]) -> None:
    listed = [group for group, _ in list_options(cast(Entry, ComposedEntry(f"model={model}")))]
    assert [group for group in listed if group in PARTS] == sorted(parts, key=PARTS.index)
    assert listed[-2:] == ["dataset", "tta"]
