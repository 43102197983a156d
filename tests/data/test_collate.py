from __future__ import annotations

import pytest
import torch
from torchvision import tv_tensors as tv

from lineage.data.collate import choose_canvas, collate, round_up_to_power
from lineage.data.samples.mask_crops import MaskCrops
from lineage.data.samples.sample import Sample


def sample(n: int, height: int, width: int, *, seed: int = 0, crowds: int = 0, joints: int = 0) -> Sample:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(n, 2, generator=generator) * torch.tensor([width / 2, height / 2])
    size = torch.rand(n, 2, generator=generator) * torch.tensor([width / 2, height / 2])
    canvas = (height, width)
    return Sample(
        image=tv.Image(torch.randint(1, 256, (3, height, width), dtype=torch.uint8, generator=generator)),
        boxes=tv.BoundingBoxes(torch.cat([corner, corner + size], 1), format="XYXY", canvas_size=canvas),
        labels=torch.randint(5, (n,), generator=generator),
        crowd=torch.arange(n) < crowds,
        masks=MaskCrops.from_masks(torch.rand(n, height, width, generator=generator) < 0.1),
        keypoints=tv.KeyPoints(torch.rand(n, joints, 2, generator=generator), canvas_size=canvas) if joints else None,
        visibility=torch.randint(3, (n, joints), generator=generator) if joints else None,
        image_id=seed + 100,
        original_size=(height * 2, width * 2),
    )


def window(batch_masks: tuple[torch.Tensor, ...], image: int, slot: int, canvas: tuple[int, int]) -> torch.Tensor:
    """One object's mask drawn back on the canvas, by the definition in structures.Masks."""
    bits, offsets, windows = batch_masks
    x, y, width, height = windows[image, slot].tolist()
    start = int(offsets[image, slot])
    whole = torch.zeros(canvas, dtype=torch.uint8)
    whole[y : y + height, x : x + width] = bits[start : start + width * height].view(height, width)
    return whole


def test_differently_sized_images_and_one_without_objects() -> None:
    samples = [sample(3, 40, 60, seed=1), sample(0, 50, 30, seed=2), sample(11, 20, 70, seed=3)]
    batch = collate(samples, [7, 8, 9])
    assert batch.images.pixels.shape == (3, 3, 64, 96)
    assert batch.images.sizes.tolist() == [[40, 60], [50, 30], [20, 70]]
    assert batch.images.rng_keys.tolist() == [7, 8, 9]
    assert batch.original_sizes.tolist() == [[80, 120], [100, 60], [40, 140]]
    assert batch.targets.valid.sum(1).tolist() == [3, 0, 11]
    for b, expected in enumerate(samples):
        height, width = expected.image.shape[-2:]
        assert batch.images.pixels[b, :, :height, :width].equal(expected.image.as_subclass(torch.Tensor))
        assert not batch.images.pixels[b, :, height:].any()
        assert not batch.images.pixels[b, :, :, width:].any()
        assert batch.targets.boxes[b, : len(expected.labels)].equal(expected.boxes.as_subclass(torch.Tensor))
        assert not batch.targets.boxes[b, len(expected.labels) :].any()


def test_pixels_are_the_same_however_they_lie_in_memory() -> None:
    single = sample(1, 40, 60)
    together = single.image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    wider = torch.cat([together, together], 2).contiguous(memory_format=torch.preserve_format)[..., :60]
    for image in (together, together[..., :60], wider, single.image[:, :, ::2], together[:, ::2, ::2]):
        pixels = collate([single._replace(image=tv.Image(image))], [0]).images.pixels[0]
        height, width = image.shape[-2:]
        assert pixels[:, :height, :width].equal(image.as_subclass(torch.Tensor))
        assert not pixels[:, height:].any()
        assert not pixels[:, :, width:].any()


def test_masks_come_back_bit_by_bit() -> None:
    samples = [sample(3, 40, 60, seed=1), sample(0, 50, 30, seed=2), sample(9, 20, 70, seed=3)]
    masks = collate(samples, [0, 0, 0]).targets.masks
    assert masks is not None
    for b, expected in enumerate(samples):
        assert expected.masks is not None
        for slot, dense in enumerate(expected.masks.dense()):
            assert window(masks, b, slot, expected.masks.canvas_size).equal(dense)


def test_crowds_are_marked_and_carry_no_mask() -> None:
    single = sample(5, 40, 60, seed=1, crowds=2)
    targets = collate([single], [0]).targets
    assert targets.crowd[0].tolist() == [True, True] + [False] * 6
    assert targets.masks is not None
    assert not targets.masks.windows[0, :2].any()
    assert single.masks is not None
    for slot in range(2, 5):
        assert window(targets.masks, 0, slot, (40, 60)).equal(single.masks.dense()[slot])


def test_keypoints_carry_their_visibility() -> None:
    samples = [sample(2, 40, 60, seed=1, joints=4), sample(0, 40, 60, seed=2, joints=4)]
    keypoints = collate(samples, [0, 0]).targets.keypoints
    assert keypoints is not None
    assert keypoints.shape == (2, 8, 4, 3)
    assert samples[0].visibility is not None
    assert keypoints[0, :2, :, 2].equal(samples[0].visibility.float())


def test_boxes_alone_make_no_masks_and_no_keypoints() -> None:
    targets = collate([sample(2, 40, 60)._replace(masks=None)], [0]).targets
    assert targets.masks is None
    assert targets.keypoints is None


def test_everything_in_a_batch_is_a_plain_tensor() -> None:
    batch = collate([sample(2, 40, 60, joints=3)], [0])
    leaves = [leaf for leaf in torch.utils._pytree.tree_leaves(batch) if leaf is not None]
    assert {type(leaf) for leaf in leaves} == {torch.Tensor}


@pytest.mark.parametrize(("n", "expected"), [(0, 8), (1, 8), (8, 8), (9, 16), (64, 64), (65, 128), (300, 512)])
def test_slots_grow_by_powers_of_two(n: int, expected: int) -> None:
    assert round_up_to_power(n, 8) == expected


def test_the_smallest_listed_shape_either_way_round_is_taken() -> None:
    shapes = [[800, 1088], [800, 1344]]
    assert choose_canvas([(800, 1067)], 32, shapes) == (800, 1088)
    assert choose_canvas([(1067, 800)], 32, shapes) == (1088, 800)
    assert choose_canvas([(800, 1067), (750, 1333)], 32, shapes) == (800, 1344)
    assert choose_canvas([(800, 1067), (1067, 800)], 32, shapes) == (1088, 1088)
    assert choose_canvas([(801, 65)], 32) == (832, 96)
