"""Commands printed after a run vary what was typed, on the same data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from lineage.run.artifacts import suggest_commands
from lineage.run.resume import Attempt
from tests.tables import made

BOX = {"model": {"box": {"roi": {}}}}


def attempt(*overrides: str, config: dict[str, Any] = BOX, **fields: Any) -> Attempt:
    return Attempt(Path("runs/a"), OmegaConf.create(config), list(overrides), {"model": "mask_rcnn"}, **fields)


def test_variations_keep_the_data_and_the_options_of_the_run() -> None:
    typed = ("model=faster_rcnn", "dataset=coco", "dataset.root=/data/my cells", "roi=pool", "seed=3", "paths.runs=r")
    layers, seeds, again = suggest_commands(attempt(*typed), made.entry(None, 1.0, 3))
    kept = "model=faster_rcnn dataset=coco 'dataset.root=/data/my cells'"
    assert layers.endswith(f"-m {kept} roi=pool,align")
    assert seeds.endswith(f"-m {kept} roi=pool seed=0,1,2")
    assert again.startswith("lineage rerun ")


def test_a_model_without_regions_is_not_told_to_pool_them() -> None:
    lines = suggest_commands(attempt("model=retinanet", config={"model": {"head": {}}}), made.entry(None, 1.0, 0))
    assert not any("roi=" in line for line in lines)


@pytest.mark.parametrize(("supersedes", "repeats"), [(None, False), ("20261126T000000Z-aa-bb", True)])
def test_a_resumed_run_is_repeated_only_if_an_entry_holds_its_command(supersedes: str | None, repeats: bool) -> None:
    lines = suggest_commands(attempt(step=5, supersedes=supersedes), made.entry(None, 1.0, 0))
    assert any(line.startswith("lineage rerun") for line in lines) == repeats
