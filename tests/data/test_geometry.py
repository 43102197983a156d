from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision import tv_tensors as tv

from lineage.data.collate import collate
from lineage.data.transforms import geometry
from lineage.data.transforms.flip import flip
from lineage.data.transforms.resize import ResizeShortestEdge
from lineage.data.transforms.sanitize import sanitize
from tests.data.samples import full, scene

FLIP_INDICES = (0, 2, 1, 4, 3)


def test_resizing_moves_proposals_with_boxes_and_labels_with_masks() -> None:
    sample = full()
    labelled = sample._replace(semantic=tv.Mask(sample.masks.dense()[0]))
    resized = geometry.resize(labelled, (80, 41))
    assert resized.masks is not None
    assert resized.proposals is not None
    assert resized.semantic is not None
    assert resized.proposals[:4].equal(resized.boxes)
    assert resized.proposals.canvas_size == (80, 41)
    assert resized.semantic.equal(resized.masks.dense()[0])
    assert resized.object_weights is sample.object_weights


def test_labels_are_sampled_at_pixel_centres() -> None:
    sample = full()
    resized = geometry.resize(sample, (19, 97)).semantic
    assert sample.semantic is not None
    assert resized is not None
    expected = interpolate(sample.semantic.as_subclass(Tensor)[None, None].float(), size=(19, 97), mode="nearest-exact")
    assert resized.equal(expected[0, 0].byte())


def test_a_mirror_shows_the_same_pixels_under_every_field() -> None:
    sample = full()
    flipped = flip(sample, FLIP_INDICES)
    assert sample.semantic is not None
    assert flipped.semantic is not None
    assert flipped.proposals is not None
    assert flipped.semantic.equal(sample.semantic.flip(-1))
    assert flipped.proposals[:4].equal(flipped.boxes)
    again = flip(flipped, FLIP_INDICES)
    assert again.proposals.equal(sample.proposals)
    assert again.object_weights.equal(sample.object_weights)


def test_a_crop_is_a_slice_of_everything() -> None:
    sample = full()
    top, left, size = 4, 7, (20, 30)
    cut = geometry.crop(sample, top, left, size)
    window = (slice(top, top + size[0]), slice(left, left + size[1]))
    assert cut.image.equal(sample.image[:, window[0], window[1]])
    assert cut.masks.dense().equal(sample.masks.dense()[:, window[0], window[1]])
    assert cut.semantic.equal(sample.semantic[window])
    assert cut.keypoints.equal(sample.keypoints - torch.tensor([7.0, 4.0]))
    expected = sample.boxes.as_subclass(Tensor) - torch.tensor([7.0, 4.0, 7.0, 4.0])
    limits = torch.tensor([30.0, 20.0, 30.0, 20.0])
    assert cut.boxes.equal(torch.minimum(expected.clamp(min=0), limits))
    assert cut.proposals[:4].equal(cut.boxes)


def test_padding_moves_nothing() -> None:
    sample = full()
    grown = geometry.pad(sample, (50, 60), fill=128)
    assert grown.image[:, :37, :53].equal(sample.image)
    assert (grown.image[:, 37:] == 128).all()
    assert (grown.image[:, :, 53:] == 128).all()
    assert grown.semantic[:37, :53].equal(sample.semantic)
    assert (grown.semantic[37:] == 255).all()
    assert grown.boxes.equal(sample.boxes)
    assert grown.boxes.canvas_size == grown.masks.canvas_size == (50, 60)
    assert grown.masks.dense()[:, :37, :53].equal(sample.masks.dense())


def test_clean_clips_proposals_and_drops_weights_with_their_objects() -> None:
    sample = full()
    boxes = sample.boxes.clone()
    boxes[1] = torch.tensor([60.0, 5.0, 70.0, 9.0])
    regions = torch.tensor([[-5.0, 1, 9, 9], [55, 1, 60, 9], [1, 30, 9, 99]])
    proposals = tv.wrap(regions, like=sample.proposals)
    cleaned = sanitize(sample._replace(boxes=tv.wrap(boxes, like=sample.boxes), proposals=proposals))
    assert cleaned.proposals.tolist() == [[0, 1, 9, 9], [1, 30, 9, 37]]
    assert cleaned.object_weights.equal(sample.object_weights[[0, 2, 3]])


def test_a_batch_carries_proposals_labels_and_weights_padded() -> None:
    first, second = full(3, 40, 60), ResizeShortestEdge([30], 90)(full(9, 37, 53, regions=100))
    batch = collate([first, second._replace(object_weights=None)], [1, 2])
    proposals, targets = batch.images.proposals, batch.targets
    assert proposals is not None
    assert proposals.boxes.shape == (2, 128, 4)
    assert proposals.valid.sum(1).tolist() == [9, 109]
    assert proposals.boxes[1, :109].equal(second.proposals.as_subclass(Tensor))
    assert not proposals.boxes[0, 9:].any()
    assert (proposals.scores[1, :108] > proposals.scores[1, 1:109]).all()
    assert not proposals.scores[0, 9:].any()
    assert targets.semantic is not None
    assert targets.semantic.shape == (2, *batch.images.pixels.shape[-2:])
    assert targets.semantic[0, :40, :60].equal(first.semantic.as_subclass(Tensor))
    assert (targets.semantic[0, 40:] == 255).all()
    assert (targets.semantic[1, 30:] == 255).all()
    assert targets.object_weights is not None
    assert targets.object_weights[0, :3].equal(first.object_weights)
    assert targets.object_weights[1].tolist() == [1.0] * 9 + [0.0] * 7


def test_a_batch_keeps_the_best_of_a_given_number_of_proposals() -> None:
    sample = full(3, regions=20)
    proposals = collate([sample], [0], max_proposals=5).images.proposals
    assert proposals is not None
    assert proposals.boxes[0].equal(sample.proposals[:5].as_subclass(Tensor))
    few = collate([sample], [0], max_proposals=50).images.proposals
    assert few is not None
    assert few.valid.sum() == 23
    assert few.boxes.shape == (1, 50, 4)


def test_without_proposals_labels_or_weights_a_batch_has_none() -> None:
    batch = collate([scene(2), full(2)], [0, 1])
    assert batch.images.proposals is None
    assert batch.targets.semantic is None
    assert batch.targets.object_weights is not None
    assert collate([scene(2)], [0]).targets.object_weights is None


def test_no_proposal_and_no_object() -> None:
    bare = full(0, regions=0)
    moved = sanitize(flip(ResizeShortestEdge([50], 90)(bare), FLIP_INDICES))
    batch = collate([moved], [0])
    assert batch.images.proposals is not None
    assert not batch.images.proposals.valid.any()
    assert batch.targets.object_weights is not None
