"""Transforms that read the dataset, the step or the seed take them as an argument."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torchvision.transforms import v2

from lineage.data.samples.metadata import DatasetMeta
from lineage.data.samples.sample import Sample
from lineage.data.transforms.context import Context, bind_context
from lineage.data.transforms.copy_paste import CopyPaste
from lineage.data.transforms.flip import RandomFlip, flip
from lineage.data.transforms.mixup import Mixup
from lineage.data.transforms.resize import RandomShapes, ResizeShortestEdge
from lineage.data.transforms.sanitize import sanitize
from tests.data.samples import full, same, scene

FLIP_INDICES = (0, 2, 1, 4, 3)


class Two:
    """Two images, ids 0 and 1."""

    meta = DatasetMeta(("cat",), (1,), keypoints=tuple("abcde"), flip_indices=FLIP_INDICES)

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Sample:
        return scene(3)._replace(image_id=index)


DATASET: Any = Two()


class SetId:
    """Writes the step into the image id."""

    def __call__(self, sample: Sample, context: Context) -> Sample:
        return sample._replace(image_id=context.step)


@pytest.mark.parametrize(
    "transform",
    [
        RandomFlip(p=1.0),
        Mixup(alpha=1.5, beta=1.5, until=None),
        RandomShapes(sizes=[20], max_size=100, interval=10),
        CopyPaste(transform=nn.Identity(), p=1.0),
    ],
    ids=lambda transform: type(transform).__name__,
)
def test_without_a_context_they_raise(transform: Any) -> None:
    for alone in (transform, v2.Compose([transform]), v2.Compose([v2.RandomOrder([transform])])):
        with pytest.raises(TypeError, match="context"):
            alone(scene())


def test_containers_pass_the_context_on_and_stay_as_they_are() -> None:
    inner = v2.RandomApply([SetId()], p=1.0)
    compose = v2.Compose([ResizeShortestEdge([60], 100), v2.RandomChoice([inner])])
    for step in (3, 8):
        sample = bind_context(compose, Context(DATASET, step, seed=0))(scene())
        assert (sample.image_id, sample.image.shape[-2]) == (step, 60)
    assert isinstance(inner.transforms[0], SetId)
    with pytest.raises(TypeError, match="context"):
        compose(scene())


def test_the_partner_is_another_image() -> None:
    torch.manual_seed(0)
    context = Context(DATASET, step=0, seed=0)
    assert {context.draw_partner(DATASET[0]).image_id for _ in range(20)} == {1}


def test_torchvision_transforms_take_a_sample_too() -> None:
    compose = v2.Compose(
        [ResizeShortestEdge([60], 100), v2.ColorJitter(0.5), v2.RandomCrop(50, pad_if_needed=True), RandomFlip(p=1.0)]
    )
    sample = sanitize(bind_context(compose, Context(DATASET, step=0, seed=0))(scene()))
    assert isinstance(sample, Sample)
    assert sample.masks is not None
    assert sample.image.shape[-2:] == sample.masks.canvas_size == (50, 50)
    assert len(sample.labels) == len(sample.masks) == len(sample.boxes)


def test_binding_draws_the_same_random_numbers() -> None:
    half = v2.Compose([v2.RandomApply([RandomFlip(p=0.5)], p=0.5), v2.ColorJitter(0.5)])
    bound = bind_context(half, Context(DATASET, step=0, seed=0))
    plain = v2.Compose([v2.RandomApply([lambda s: flip(s, FLIP_INDICES) if torch.rand(()) < 0.5 else s], p=0.5),
                        v2.ColorJitter(0.5)])  # fmt: skip
    for seed in range(10):
        torch.manual_seed(seed)
        ours = bound(full())
        torch.manual_seed(seed)
        assert same(ours, plain(full()))


def test_without_objects_masks_or_keypoints() -> None:
    bare = scene(0)._replace(masks=None, keypoints=None, visibility=None)
    for sample in (bare, scene(0)):
        assert len(sanitize(flip(ResizeShortestEdge([50], 90)(sample), FLIP_INDICES)).labels) == 0
