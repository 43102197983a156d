"""The canvas of a test image is a function of its own size; the digest of an evaluation moves where the canvas did."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torchvision.transforms import v2

from lineage.config import digests
from lineage.data.canvas import CanvasRule, count_images_at_once, group_batches
from lineage.data.collate import collate
from lineage.data.transforms.augment import Augment
from lineage.data.transforms.flip import RandomFlip
from lineage.data.transforms.output_size import compute_output_size
from lineage.data.transforms.resize import ResizeShortestEdge
from lineage.models.detectors.size_divisibility import get_size_divisibility
from tests.models.compose import build, config

BUCKETS = [[800, 1088], [800, 1344]]
KEEP = torch.nn.Identity()


def rule(size_divisibility: int, test: object = KEEP, buckets: object = (), test_buckets: bool = False) -> CanvasRule:
    padding = partial(collate, size_divisibility=32, buckets=buckets)
    return CanvasRule(Augment(KEEP, test, padding, test_buckets), size_divisibility)  # type: ignore[arg-type]


def test_with_a_pyramid_both_sides_are_multiples_of_32_and_no_bucket_is_used() -> None:
    assert rule(32, buckets=BUCKETS).choose((800, 1066)) == (800, 1088)
    assert rule(32, buckets=BUCKETS).choose((500, 333)) == (512, 352)
    assert rule(1, buckets=BUCKETS).choose((500, 333)) == (500, 333)


def test_buckets_are_for_those_who_choose_speed_and_a_line_warns_of_them() -> None:
    assert rule(32, buckets=BUCKETS, test_buckets=True).choose((900, 700)) == (1088, 800)
    assert "others than on the canvas of each image" in (rule(32, buckets=BUCKETS, test_buckets=True).warning or "")
    assert rule(32, buckets=BUCKETS).warning is None


@pytest.mark.parametrize(
    ("model", "expected"),
    [("mask_rcnn", 32), ("retinanet", 32), ("panoptic_fpn", 32), ("rpn", 32), ("mask_rcnn_c4", 1),
     ("faster_rcnn_dc5", 1), ("faster_rcnn_vgg", 1), ("rpn_c4", 1)],
)  # fmt: skip
def test_the_multiple_is_that_of_the_papers_code(model: str, expected: int) -> None:
    """detectron2 and Detectron: 32 for a pyramid, none for C4, DC5 and plain networks."""
    assert get_size_divisibility(build(f"model={model}", "tier=smoke", "dataset.classes=3")) == expected


def test_batches_hold_equal_keys_in_the_order_of_their_first_images() -> None:
    assert group_batches("abacbaa", 2) == [[0, 2], [1, 4], [3], [5, 6]]
    assert group_batches("abab", 1) == [[0], [1], [2], [3]]
    assert group_batches("", 4) == []


def test_a_cpu_works_on_one_image_at_a_time() -> None:
    assert count_images_at_once(torch.device("cpu"), 8) == 1
    assert count_images_at_once(torch.device("cuda"), 8) == 8


def test_output_sizes_are_known_of_what_draws_nothing() -> None:
    shrink = ResizeShortestEdge([80], 100)
    assert compute_output_size(v2.Compose([KEEP, shrink]), (100, 200)) == (50, 100)
    assert compute_output_size(v2.Compose([ResizeShortestEdge([32, 48], 100), KEEP]), (40, 60)) is None
    assert compute_output_size(RandomFlip(p=0.5), (40, 60)) is None
    assert rule(32, shrink).group_key((100, 200)) == (64, 128)
    assert rule(32, RandomFlip(p=0.5)).group_key((40, 60)) == ("file", (40, 60))


SAME = [(128, 128)] * 3


@pytest.mark.parametrize(
    ("canvas_rule", "sizes", "moves"),
    [
        (rule(32), SAME, False),  # shapes: its shipped results stay comparable
        (rule(1), SAME, False),
        (rule(32), [], False),
        (rule(1, ResizeShortestEdge([112], 1000)), SAME, True),  # was 128 x 128
        (rule(32, ResizeShortestEdge([112], 1000)), SAME, False),
        (rule(32), [(128, 128), (64, 64)], True),  # depended on the batch
        (rule(32, buckets=[[160, 160]]), SAME, True),
        (rule(32, buckets=[[160, 160]], test_buckets=True), SAME, False),
        (rule(32, RandomFlip(p=0.5)), SAME, True),  # nothing is known of its size
    ],
)
def test_the_digest_moves_where_the_canvas_did(canvas_rule: CanvasRule, sizes: list, moves: bool) -> None:
    described = canvas_rule.describe(torch.tensor(sizes, dtype=torch.int64).reshape(-1, 2))
    assert ("canvas" in described) == moves


def test_rows_with_buckets_are_cells_of_their_own_trained_as_before() -> None:
    small = config("model=mask_rcnn", "tier=mini")
    assert "test_buckets" not in small.augment
    choices = (f"augment.test_buckets={choice}" for choice in (False, True))
    large, fast = (config("model=mask_rcnn", "dataset=coco", choice) for choice in choices)
    assert digests.training_digest(large) == digests.training_digest(fast)
    assert digests.test_digest(large) != digests.test_digest(fast)
