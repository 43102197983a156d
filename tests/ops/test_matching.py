import pytest
import torch
import torchvision
from torch import Tensor
from torchvision.models.detection._utils import Matcher as Reference

from lineage.ops.matching import Match, Matcher, compute_overlaps, subsample
from lineage.ops.random import fold_in
from lineage.structures import Targets
from tests.ops.interpreter import run_interpreted
from tests.ops.test_boxes import random_boxes


def targets_of(boxes: Tensor, valid: Tensor, crowd: Tensor | None = None) -> Targets:
    crowd = torch.zeros_like(valid) if crowd is None else crowd
    return Targets(boxes, torch.zeros_like(valid, dtype=torch.int64), valid, crowd, None, None)


@pytest.mark.parametrize("seed", range(20))
def test_labels_equal_torchvision(seed: int) -> None:
    """Chunks of ground truth give what one big matrix gives; objects that overlap nothing are compared elsewhere."""
    count = 1 + seed
    anchors, boxes = random_boxes(500, seed=seed), random_boxes(count, seed=seed + 100)
    reference = Reference(0.6, 0.3, allow_low_quality_matches=True)(torchvision.ops.box_iou(boxes, anchors))
    padded = torch.zeros(1, 24, 4)
    padded[0, :count] = boxes
    match = Matcher(fg_iou_thresh=0.6, bg_iou_thresh=(0.0, 0.3), allow_low_quality_matches=True, crowd_ignore_iof=0.7)(
        anchors[None], targets_of(padded, torch.arange(24)[None] < count)
    )
    assert torch.equal(match.foreground[0], reference >= 0)
    assert torch.equal(match.background[0], reference == Reference.BELOW_LOW_THRESHOLD)
    assert torch.equal(match.matched_idx[0][reference >= 0], reference[reference >= 0])


def test_an_object_that_overlaps_nothing_makes_no_region_foreground() -> None:
    anchors = random_boxes(60, seed=0)
    boxes = torch.tensor([[[500.0, 500.0, 520.0, 520.0]]])
    match = Matcher(fg_iou_thresh=0.7, bg_iou_thresh=(0.0, 0.3), allow_low_quality_matches=True, crowd_ignore_iof=0.7)(
        anchors[None], targets_of(boxes, torch.ones(1, 1, dtype=torch.bool))
    )
    assert not match.foreground.any()
    iou = torchvision.ops.box_iou(boxes[0], anchors)
    assert (Reference(0.7, 0.3, allow_low_quality_matches=True)(iou) >= 0).all()  # the tie we deviate from


def test_regions_inside_a_crowd_are_ignored() -> None:
    boxes = torch.tensor([[[0.0, 0.0, 50.0, 50.0], [60.0, 60.0, 80.0, 80.0]]])
    crowd = torch.tensor([[True, False]])
    regions = torch.tensor([[[10.0, 10.0, 20.0, 20.0], [61.0, 61.0, 80.0, 80.0], [100.0, 100.0, 110.0, 110.0]]])
    match = Matcher(fg_iou_thresh=0.5, bg_iou_thresh=(0.0, 0.5), allow_low_quality_matches=False, crowd_ignore_iof=0.7)(
        regions, targets_of(boxes, torch.ones_like(crowd), crowd)
    )
    assert match.foreground.tolist() == [[False, True, False]]
    assert match.background.tolist() == [[False, False, True]]


def test_the_order_of_regions_does_not_matter() -> None:
    regions, boxes = random_boxes(1, 200, seed=3), random_boxes(1, 20, seed=4)
    targets = targets_of(boxes, torch.ones(1, 20, dtype=torch.bool))
    order = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    there, back = compute_overlaps(regions, targets), compute_overlaps(regions[:, order], targets)
    assert torch.equal(there.iou[:, order], back.iou)
    assert torch.equal(there.matched_idx[:, order], back.matched_idx)


@pytest.mark.parametrize(("objects", "negatives"), [(0, 100), (5, 100), (80, 100), (80, 5), (3, 2)])
def test_a_sample_has_its_quota_and_foreground_first(objects: int, negatives: int) -> None:
    foreground = torch.arange(objects + negatives)[None] < objects
    match = Match(torch.zeros(1, objects + negatives, dtype=torch.int64), foreground, ~foreground)
    chosen = subsample(match, count=64, fraction=0.25, rng_keys=torch.tensor([fold_in(0, 0)]), salt=1)
    positive = min(objects, 16)
    assert chosen.foreground.sum() == positive
    assert chosen.foreground[0, :positive].all()
    assert chosen.valid.sum() == min(64, positive + negatives)
    picked = chosen.slots[chosen.valid]
    assert len(picked.unique()) == len(picked)
    assert torch.equal(foreground[0][picked], chosen.foreground[chosen.valid])


def test_a_sample_depends_on_its_key_alone() -> None:
    match = Match(
        torch.zeros(2, 50, dtype=torch.int64), torch.zeros(2, 50, dtype=torch.bool), torch.ones(2, 50, dtype=torch.bool)
    )
    keys = torch.tensor([fold_in(0, 7), fold_in(0, 8)])
    both = subsample(match, count=8, fraction=0.5, rng_keys=keys, salt=1).slots
    alone = subsample(Match(*(field[1:] for field in match)), count=8, fraction=0.5, rng_keys=keys[1:], salt=1).slots
    assert torch.equal(both[1:], alone)
    assert not torch.equal(both[0], both[1])


def test_background_of_the_largest_random_number_is_no_foreground(monkeypatch: pytest.MonkeyPatch) -> None:
    """1 + (1 - 2^-24) is rounded to 2."""
    monkeypatch.setattr("lineage.ops.matching.uniform", lambda keys, salt, n: torch.full((len(keys), n), 1 - 2.0**-24))
    background = torch.tensor([[True, True, False]])
    match = Match(torch.zeros(1, 3, dtype=torch.int64), ~background, background)
    subset = subsample(match, count=3, fraction=0.5, rng_keys=torch.zeros(1, dtype=torch.int64), salt=1)
    assert subset.foreground.gather(1, subset.slots.argsort(1)).tolist() == [[False, False, True]]
    assert subset.valid.all()


CUDA_KERNELS = """
import torch
from lineage.ops import matching
from lineage.ops.matching import Matcher, compute_overlaps
from lineage.structures import Targets
from tests.ops.test_boxes import random_boxes

def compare(function, *arguments, **options):
    matching.runs_kernels = lambda x: False
    expected = function(*arguments, **options)
    matching.runs_kernels = lambda x: True
    actual = function(*arguments, **options)
    for name, ours, theirs in zip(expected._fields, actual, expected):
        assert ours.dtype == theirs.dtype and torch.equal(ours, theirs), (function, name)
    return actual

generator = torch.Generator().manual_seed(0)
for slots in (1, 16, 40):
    valid = torch.rand(3, slots, generator=generator) > 0.3
    valid[0, 0], valid[2] = True, False
    crowd = valid & (torch.rand(3, slots, generator=generator) > 0.7)
    boxes = random_boxes(3, slots, seed=1)
    labels = torch.randint(80, (3, slots), generator=generator)
    targets = Targets(boxes, labels, valid, crowd, None, None)
    for regions in (random_boxes(3, 600, seed=2), random_boxes(1, 600, seed=3)):
        regions[0, :9] = 0
        regions[0, 20:22] = boxes[0, 0]  # two regions share the largest IoU
        regions[:, 30:300] = boxes[: len(regions)].repeat(1, 270, 1)[:, :270] + torch.randn(270, 4, generator=generator)
        compare(compute_overlaps, regions, targets)
        is_valid = torch.rand(3, regions.shape[1], generator=generator) > 0.2
        for iou, low, ignored in ((0.5, 0.0, 0.7), (0.7, 0.1, 0.0), (0.6, 0.3, 2.0)):
            for best in (False, True):
                matcher = Matcher(fg_iou_thresh=iou, bg_iou_thresh=(low, iou), allow_low_quality_matches=best,
                                  crowd_ignore_iof=ignored)
                match = compare(matcher, regions, targets)
                assert match.foreground.any()
                if len(regions) == 3:
                    compare(matcher.label, regions, is_valid, targets, num_classes=80, min_size=5.0)
"""


def test_the_cuda_kernels_agree_bit_for_bit_under_tritons_interpreter() -> None:
    run_interpreted("-c", CUDA_KERNELS)
