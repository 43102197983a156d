"""The noise of the test images of a stored run, and what it does to a verdict."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from lineage.config.build import build
from lineage.config.compose import compose_config
from lineage.results import image_noise, store
from lineage.run.inference.bootstrap_images import bootstrap_images
from lineage.tables import verdicts
from tests.tables import made

ROOT = Path(__file__).parents[2]


def test_replicates_of_a_run_whose_detections_are_there(tmp_path: Path) -> None:
    """Perfect detections have AP 100 on any draw of images; without a run folder nothing is known."""
    config = OmegaConf.to_container(
        compose_config(["dataset.val.length=4"], ROOT), resolve=True, throw_on_missing=False
    )
    assert isinstance(config, dict)
    dataset = build(OmegaConf.create(config["dataset"]["val"]))
    objects = dataset.ground_truth()["annotations"]
    names = ("image_id", "category_id", "bbox", "segmentation")
    perfect = [{name: one[name] for name in names if name in one} | {"score": 1.0} for one in objects]
    (tmp_path / "results.json").write_text(json.dumps(perfect))
    ran = made.entry(metrics={"box/AP": 100.0}, config=config, folder=str(tmp_path))
    lost = made.entry(seed=1, metrics={"box/AP": 100.0}, config=config, folder=str(tmp_path / "nothing"))
    paths = [store.write(entry, tmp_path / "store") for entry in (ran, lost)]
    assert bootstrap_images([ran, lost], tmp_path / "store") == (1, 1)
    replicates = image_noise.read(paths[0])
    assert set(replicates) == {"box/AP", "box/AP50", "box/AP75"}
    assert set(replicates["box/AP"]) == {100.0}
    assert image_noise.read(paths[1]) == {}
    assert image_noise.list_ids(paths[0].parent) == {ran.id}
    assert len(store.contents(tmp_path / "store").entries) == 2  # the hidden file is no entry


@pytest.mark.parametrize("shared", [True, False])
def test_the_noise_of_images_is_paired_and_widens_the_interval(shared: bool) -> None:
    """Difference 1, sd of seeds .1: clear, unless the images alone move it by as much."""
    entries = [made.entry(row, value, seed, tier="mini") for row, mean in (("old", 10.0), ("new", 11.0))
               for seed, value in enumerate((mean, mean + 0.1, mean - 0.1))]  # fmt: skip
    chance = np.random.default_rng(0)
    draws = chance.normal(0, 1.0, 200)
    images = {e.id: {"mask/AP": list(draws if shared else chance.normal(0, 1.0, 200))} for e in entries}
    table = made.table("order", None)
    ((alone,),) = verdicts.judge(table, entries).effects
    ((both,),) = verdicts.judge(table, entries, verdicts.Background(images=images)).effects
    assert alone.word == "same sign at mini"
    assert "noise of seeds:" in alone.noise
    assert "noise of seeds and images:" in both.noise
    assert both.word == ("same sign at mini" if shared else "underpowered")
    assert both.margin is not None
    assert alone.margin is not None
    assert both.margin == pytest.approx(alone.margin, rel=0.1) if shared else both.margin > 2 * alone.margin
    partly = {name: values for name, values in images.items() if name != entries[0].id}
    ((unknown,),) = verdicts.judge(table, entries, verdicts.Background(images=partly)).effects
    assert unknown == replace(alone)
