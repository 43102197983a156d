"""Every option of conf/augment: composed, built, and run on samples that carry everything."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir

import lineage.config.schema  # noqa: F401  registers the schema
from lineage.config.build import build
from lineage.data.collate import collate
from lineage.data.samples.metadata import DatasetMeta
from lineage.data.samples.sample import Sample
from lineage.data.transforms.resize_flip import bind, clean, parts
from tests.data.test_geometry import full

CONF = Path(__file__).parents[2] / "conf"
OPTIONS = sorted(path.stem for path in (CONF / "augment").glob("*.yaml"))


def augment(option: str) -> Any:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", overrides=[f"augment={option}"])
    return SimpleNamespace(**build(config.augment))


class Photos:
    """Four samples of camera-like proportions, without what an option cannot move."""

    meta = DatasetMeta(("cat",), (1,))

    def __init__(self, option: str) -> None:
        self.without: dict[str, Any] = {"object_weights": None}
        if "copy_paste" in option:
            self.without["proposals"] = None
        if "mixup" in option:
            self.without["semantic"] = None

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Sample:
        size = [(48, 64), (64, 48), (36, 64), (50, 50)][index]
        return full(3, *size)._replace(image_id=index, **self.without)


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_runs_and_keeps_all_fields_together(option: str) -> None:
    made, dataset = augment(option), Photos(option)
    bind(made.train, dataset)
    for one in parts(made.train):
        if hasattr(one, "at"):
            one.at(3, 0)
    for index in range(4):
        torch.manual_seed(index)
        sample = clean(made.train(dataset[index]))
        canvas = tuple(sample.image.shape[-2:])
        located = (sample.boxes, sample.masks, sample.keypoints, sample.proposals)
        assert {field.canvas_size for field in located if field is not None} == {canvas}
        assert sample.semantic is None or tuple(sample.semantic.shape) == canvas
        assert len({len(sample.labels), len(sample.boxes), len(sample.masks), len(sample.keypoints)}) == 1
        for one in (sample, clean(made.test(dataset[index]))):
            height, width = made.collate([one], [0]).images.pixels.shape[-2:]
            assert height % 32 == width % 32 == 0
            shapes = made.collate.keywords.get("shapes") or [[height, width]]
            assert [height, width] in [*shapes, *(shape[::-1] for shape in shapes)], "an image fits none of the shapes"


@pytest.mark.parametrize("option", OPTIONS)
def test_the_same_seed_gives_the_same_sample(option: str) -> None:
    made, dataset = augment(option), Photos(option)
    bind(made.train, dataset)
    found = []
    for _ in range(2):
        torch.manual_seed(5)
        found.append(collate([clean(made.train(dataset[1]))], [0]))
    assert found[0].images.pixels.equal(found[1].images.pixels)
    assert found[0].targets.boxes.equal(found[1].targets.boxes)
