"""Every option of conf/augment: composed, built, and run on samples that carry everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir

import lineage.config.schema  # noqa: F401  registers the schema
from lineage.config.build import build
from lineage.data.collate import collate
from lineage.data.samples.metadata import DatasetMeta
from lineage.data.samples.sample import Sample
from lineage.data.transforms.augment import Augment
from lineage.data.transforms.context import Context, SampleTransform, Transform, bind_context
from lineage.data.transforms.output_size import compute_output_size
from lineage.data.transforms.sanitize import sanitize
from tests.data.samples import full

CONF = Path(__file__).parents[2] / "conf"
OPTIONS = sorted(path.stem for path in (CONF / "augment").glob("*.yaml") if "data.frames." not in path.read_text())


def augment(option: str) -> Augment:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", overrides=[f"augment={option}"])
    return Augment(**build(config.augment))


def bind(transform: Transform, dataset: Any) -> SampleTransform:
    return bind_context(transform, Context(dataset, step=3, seed=0))


class Photos:
    """Four samples of camera-like proportions, without the fields that an option refuses."""

    meta = DatasetMeta(("cat",), (1,), keypoints=tuple("abcde"), flip_indices=(0, 2, 1, 4, 3))

    def __init__(self, option: str) -> None:
        self.removed: dict[str, Any] = {"object_weights": None}
        if "copy_paste" in option:
            self.removed["proposals"] = None
        if "mixup" in option or option == "centernet":  # whose windows reach beyond the image
            self.removed["semantic"] = None

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Sample:
        size = [(48, 64), (64, 48), (36, 64), (50, 50)][index]
        return full(3, *size)._replace(image_id=index, **self.removed)


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_runs_and_keeps_all_fields_together(option: str) -> None:
    built, dataset = augment(option), Photos(option)
    train, test = (bind(transform, dataset) for transform in (built.train, built.test))
    for index in range(4):
        torch.manual_seed(index)
        sample = sanitize(train(dataset[index]))
        canvas = tuple(sample.image.shape[-2:])
        located = (sample.boxes, sample.masks, sample.keypoints, sample.proposals)
        assert {field.canvas_size for field in located if field is not None} == {canvas}
        assert sample.semantic is None or tuple(sample.semantic.shape) == canvas
        assert len({len(sample.labels), len(sample.boxes), len(sample.masks), len(sample.keypoints)}) == 1
        tested, size = sanitize(test(dataset[index])), tuple(dataset[index].image.shape[-2:])
        assert compute_output_size(built.test, size) == tuple(tested.image.shape[-2:])
        for result in (sample, tested):
            height, width = built.collate([result], [0]).images.pixels.shape[-2:]
            assert height % 32 == width % 32 == 0
            buckets = built.collate.keywords.get("buckets") or [[height, width]]
            assert [height, width] in [*buckets, *(bucket[::-1] for bucket in buckets)], "an image fits no bucket"


@pytest.mark.parametrize("option", OPTIONS)
def test_the_same_seed_gives_the_same_sample(option: str) -> None:
    dataset = Photos(option)
    train, batches = bind(augment(option).train, dataset), []
    for _ in range(2):
        torch.manual_seed(5)
        batches.append(collate([sanitize(train(dataset[1]))], [0]))
    assert batches[0].images.pixels.equal(batches[1].images.pixels)
    assert batches[0].targets.boxes.equal(batches[1].targets.boxes)
