"""Landmarks of CenterNet and DeepMark: planted maps, the refinement rule, layouts of classes, mirror images."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lineage.data.formats import deepfashion2
from lineage.data.formats.landmark_parts import group_landmarks
from lineage.data.samples.metadata import DatasetMeta
from lineage.models.centers.center_targets import encode_centers
from lineage.models.centers.heatmap import splat
from lineage.models.centers.landmark_head import LandmarkMaps
from lineage.models.centers.landmark_layout import LandmarkLayout, make_layout
from lineage.models.centers.landmark_targets import draw_landmarks, encode_landmarks
from lineage.models.centers.refinement import Peaks, read_heat, refine
from lineage.models.detectors.tta import TTA
from lineage.models.roi_heads.nms_variants import NoSuppression
from lineage.structures import Detections, Images, Targets
from tests.models.compose import build
from tests.models.scenes import batch

CLASSES = "dataset.classes=2", "+dataset.keypoints=5", "+dataset.keypoint_counts=[3,2]"
CLOTHES = (*CLASSES, "+dataset.keypoint_offsets=[0,3]")
FASHION = DatasetMeta(
    classes=deepfashion2.CLASSES, category_ids=tuple(range(1, 14)), keypoints=deepfashion2.LANDMARKS,
    flip_indices=deepfashion2.create_flip_indices(), keypoint_counts=deepfashion2.LENGTHS,
    keypoint_offsets=deepfashion2.OFFSETS,
)  # fmt: skip


def detections(boxes: list[list[float]], labels: list[int], cells: list[int]) -> Detections:
    one = torch.ones(1, len(boxes))
    return Detections(
        torch.tensor([boxes]), one, torch.tensor([labels]), one > 0, torch.tensor([cells]), torch.zeros(1, 1, 3)
    )


def planted() -> tuple[LandmarkMaps, Detections]:
    """One object of class 1 with landmarks 3 and 4, its centre in cell (4, 5)."""
    points, heat = torch.zeros(1, 10, 16, 16), torch.full((1, 5, 16, 16), 0.02)
    points[0, 6:10, 5, 4] = torch.tensor([-2.0, -1.5, 3.0, 2.0])  # to (2, 3.5) and (7, 7)
    heat[0, 3, 3, 2] = 0.8  # its offset is (0.25, 0.75)
    heat[0, 0, 7, 7] = 0.9  # a landmark of the other class
    offsets = torch.zeros(1, 2, 16, 16)
    offsets[0, :, 3, 2] = torch.tensor([0.25, 0.75])
    return LandmarkMaps(points, heat, offsets), detections([[4.0, 4, 36, 40]], [1], [5 * 16 + 4])


def test_planted_maps_give_the_landmarks_of_the_class_alone() -> None:
    model = build("model=deepmark", *CLOTHES)
    maps, found = planted()
    keypoints = model.landmarks.locate(maps, found).keypoints[0, 0]
    assert keypoints[:3].abs().sum() == 0
    torch.testing.assert_close(keypoints[3], torch.tensor([4 * 2.25, 4 * 3.75, 0.8]))  # its peak
    torch.testing.assert_close(keypoints[4], torch.tensor([28.0, 28.0, 0.02]))  # as regressed: its map has no peak


def moved(peak: tuple[float, float], score: float, *, channel: int = 0) -> bool:
    """Return True if the landmark regressed to (5, 5), in a box of 8 x 8, moves to the only peak of a map."""
    peaks = Peaks(torch.zeros(1, 2, 1, 2), torch.zeros(1, 2, 1))
    peaks.points[0, channel, 0], peaks.scores[0, channel, 0] = torch.tensor(peak), score
    boxes, points = torch.tensor([[[2.0, 2, 10, 10]]]), torch.tensor([[[[5.0, 5.0]]]])
    channels = torch.zeros(1, 1, 1, dtype=torch.int64)
    place, _, accepted = refine(points, boxes, peaks, channels, min_score=0.1, max_distance=0.3)
    assert place[0, 0, 0].tolist() == pytest.approx(peak if accepted else (5, 5))
    return bool(accepted)


def test_a_landmark_moves_to_the_nearest_peak_but_for_four_reasons() -> None:
    assert moved((6.0, 6.0), 0.5)
    assert moved((7.39, 5.0), 0.11)  # 0.3 of 8 pixels
    assert not moved((7.41, 5.0), 0.5)  # too far
    assert not moved((6.0, 6.0), 0.1)  # too low
    assert not moved((6.0, 6.0), 0.5, channel=1)  # of another landmark
    narrow = torch.tensor([[[4.0, 2, 5.5, 10]]])
    peaks = Peaks(torch.tensor([[[[5.6, 5.0]]]]), torch.tensor([[[0.9]]]))
    _, _, accepted = refine(
        torch.tensor([[[[5.0, 5.0]]]]), narrow, peaks, torch.zeros(1, 1, 1, dtype=torch.int64), min_score=0.1,
        max_distance=0.3,
    )  # fmt: skip
    assert not accepted.any()  # outside the box


def official_refine(points: Tensor, boxes: Tensor, peaks: Peaks) -> Tensor:
    """CenterNet's rule for each landmark by itself, [J][D]: in plain loops, from its text."""
    result = points.clone()
    for d in range(points.shape[1]):
        low, high = boxes[0, d, :2], boxes[0, d, 2:]
        for j in range(points.shape[2]):
            candidates = [
                (float((place - points[0, d, j]).norm()), place)
                for place, score in zip(peaks.points[0, j], peaks.scores[0, j], strict=True) if score > 0.1
            ]  # fmt: skip
            if not candidates:
                continue
            distance, place = min(candidates, key=lambda pair: pair[0])
            if (place >= low).all() and (place <= high).all() and distance <= 0.3 * float((high - low).max()):
                result[0, d, j] = place
    return result


def test_the_refinement_is_that_of_the_rule_in_loops() -> None:
    generator = torch.Generator().manual_seed(0)
    peaks = Peaks(torch.rand(1, 4, 6, 2, generator=generator) * 16, torch.rand(1, 4, 6, generator=generator) * 0.3)
    low = torch.rand(1, 9, 2, generator=generator) * 8
    boxes = torch.cat((low, low + 3 + torch.rand(1, 9, 2, generator=generator) * 8), -1)
    points = torch.rand(1, 9, 4, 2, generator=generator) * 16
    place, _, accepted = refine(points, boxes, peaks, torch.arange(4).expand(1, 9, 4), min_score=0.1, max_distance=0.3)
    assert 0.1 < accepted.float().mean() < 0.9
    torch.testing.assert_close(place, official_refine(points, boxes, peaks))


def person(keypoints: list[list[float]], size: float = 64) -> tuple[Targets, tuple[int, int]]:
    valid = torch.ones(1, 1, dtype=torch.bool)
    boxes = torch.tensor([[[8.0, 8, 40, 48]]])
    points = torch.tensor([[keypoints]])
    return Targets(boxes, torch.zeros(1, 1).long(), valid, ~valid, None, points), (int(size / 4), int(size / 4))


def test_heat_is_read_in_the_cell_of_a_point_and_at_the_border_outside() -> None:
    """Cells of a 3 x 4 map hold 100 image + 10 row + column, and the second map the negative."""
    cells = 10.0 * torch.arange(3)[:, None] + torch.arange(4)
    heat = torch.stack([torch.stack([100 * image + cells, -(100 * image + cells)]) for image in range(2)])
    points = torch.tensor([[[0.2, 0.9], [3.9, 2.1]], [[-5.0, 1.0], [9.0, 7.0]]])[:, None]
    channels = torch.tensor([[[0, 1]], [[1, 0]]])
    assert read_heat(heat, points, channels).tolist() == [[[0.0, -23.0]], [[-110.0, 123.0]]]


def test_targets_are_those_of_labelled_landmarks_inside_the_map() -> None:
    truth, size = person([[10.0, 12, 2], [30, 30, 1], [30, 30, 0], [70, 30, 2]])
    centers = encode_centers(truth, stride=4, size=size, min_overlap=0.7, radius="coded")
    layout = make_layout(1, 4, None, None, None)
    assert truth.keypoints is not None
    goal = encode_landmarks(truth.keypoints, centers, layout.slots[None], layout.channels[None], stride=4, size=size)
    assert goal.labelled[0, 0].tolist() == [True, True, False, False]  # not labelled, outside
    assert goal.cells[0, 0].tolist() == [[2, 3], [7, 7], [7, 7], [size[1] - 1, 7]]
    assert centers.cells[0, 0].tolist() == [6, 7]
    torch.testing.assert_close(goal.points[0, 0, :2], torch.tensor([[2.5 - 6, 3.0 - 7], [7.5 - 6, 7.5 - 7]]))
    torch.testing.assert_close(goal.offsets[0, 0, :2], torch.tensor([[0.5, 0.0], [0.5, 0.5]]))
    heat = draw_landmarks(goal, centers.radius, num_maps=4, size=size)
    assert heat.eq(1).nonzero().tolist() == [[0, 0, 3, 2], [0, 1, 7, 7]]
    alone = splat(
        torch.tensor([[[2, 3]]]), centers.radius, torch.zeros(1, 1).long(), centers.positive, channels=1, size=size
    )
    assert heat[0, 0].equal(alone[0, 0])


def test_landmarks_of_another_class_cost_nothing() -> None:
    torch.manual_seed(0)
    model = build("model=deepmark", *CLOTHES)
    images, truth = batch([(64, 64)], [2], 2, canvas=(64, 64))
    assert truth.keypoints is not None
    keypoints = truth.keypoints[:, :, :5].contiguous()
    losses = model.losses(images, truth._replace(keypoints=keypoints))
    other = keypoints.clone()
    for slot, label in enumerate(truth.labels[0].tolist()):
        other[0, slot, slice(3, 5) if label == 0 else slice(0, 3)] = torch.tensor([7.0, 9.0, 2.0])
    again = model.losses(images, truth._replace(keypoints=other))
    assert all(losses[name].sum == again[name].sum for name in losses)
    assert losses["landmark_point"].normalizer > 0


def test_deepfashion2_has_294_maps_or_89_groups_that_mirror_alike() -> None:
    groups = group_landmarks(FASHION)
    separate = make_layout(13, 294, deepfashion2.LENGTHS, deepfashion2.OFFSETS, None)
    grouped = make_layout(13, 294, deepfashion2.LENGTHS, deepfashion2.OFFSETS, groups)
    assert (separate.num_maps, grouped.num_maps) == (294, 89)
    assert separate.slots.shape == (13, 39)
    assert separate.mirror([FASHION.flip_indices]) == list(FASHION.flip_indices)
    mirrored = grouped.mirror([FASHION.flip_indices])
    assert [mirrored[mirrored[channel]] for channel in range(89)] == list(range(89))
    names = dict(zip(FASHION.keypoints, groups, strict=True))
    assert names["vest_1"] == names["long_sleeve_dress_1"]  # collars
    assert names["short_sleeve_top_9"] == names["short_sleeve_dress_9"]  # sleeves
    assert names["vest_7"] == names["short_sleeve_top_12"]  # armpits
    assert names["shorts_1"] == names["skirt_1"] != names["vest_1"]  # waists


def test_groups_that_no_class_or_mirror_image_can_have_are_refused() -> None:
    with pytest.raises(ValueError, match="two keypoints of class 0 share a map"):
        make_layout(1, 3, None, None, [0, 1, 1])
    with pytest.raises(ValueError, match="become those of several in a mirrored image"):
        make_layout(2, 4, [2, 2], [0, 2], [0, 1, 0, 2]).mirror([[1, 0, 2, 3]])
    with pytest.raises(ValueError, match="2 groups for 3 keypoints"):
        make_layout(1, 3, None, None, [0, 1])


def test_a_grouped_head_reads_the_same_maps_for_both_classes() -> None:
    model = build("model=deepmark", *CLOTHES, "model.landmarks.sharing=grouped", "+dataset.keypoint_groups=[0,1,2,0,2]")
    assert model.landmarks.layout.num_maps == 3
    assert model.landmarks.channels.tolist() == [[0, 1, 2], [0, 2, 0]]
    with pytest.raises(Exception, match=r"needs model\.landmarks\.groups"):
        build("model=deepmark", *CLOTHES, "model.landmarks.sharing=grouped")


def views(model: torch.nn.Module, scales: list[float], flip: bool, flips: list[int]) -> TTA:
    return TTA(
        model, scales=scales, flip=flip, nms_thresh=0.5, suppression=NoSuppression(), detections_per_img=20,
        flip_indices=flips,
    )  # fmt: skip


@pytest.mark.parametrize("width", [64, 61])
def test_a_flip_test_gives_mirrored_results_for_mirrored_images(width: int) -> None:
    """The width of the content is free, as long as its mirror image lies on the same cells."""
    torch.manual_seed(0)
    model = build("model=centernet_pose", "dataset.classes=2", "+dataset.keypoints=3").eval()
    for branch in (model.landmarks.points[0], model.head.sizes[0]):  # positions that differ from cell to cell
        torch.nn.init.normal_(branch[-1].weight, std=0.3)
    torch.nn.init.constant_(model.head.sizes[0][-1].bias, 6.0)  # sizes of 0 or less are no boxes
    for branch in (model.landmarks.offsets[0], model.head.offsets[0]):  # of the plain image alone: the cell's middle
        torch.nn.init.zeros_(branch[-1].weight)
        torch.nn.init.constant_(branch[-1].bias, 0.5)
    pixels = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    pixels[..., :width] = torch.randint(0, 256, (1, 3, 64, width))
    if width < 64:
        pixels[..., width:] = pixels[..., width - 1 : width]  # so the mirror image has the same pixels
    images = Images(pixels, torch.tensor([[64.0, 64.0]]), torch.zeros(1).long())
    mirrored = images._replace(pixels=pixels.flip(-1))
    tested = views(model, [1.0], True, [0, 2, 1])
    with torch.no_grad():
        one, other = tested.detect(images), tested.detect(mirrored)
    assert one.keypoints is not None
    assert other.keypoints is not None
    assert one.valid.sum() > 20
    assert one.valid.equal(other.valid)
    torch.testing.assert_close(one.scores, other.scores, rtol=1e-3, atol=1e-4)
    cells = [detections.proposal_index[detections.valid] for detections in (one, other)]  # empty slots have any cell
    assert (15 - cells[1] % 16).equal(cells[0] % 16)
    assert (cells[1] // 16).equal(cells[0] // 16)
    points = other.keypoints[:, :, [0, 2, 1]]
    unmirrored = torch.cat((64 - points[..., :1], points[..., 1:2]), -1)
    torch.testing.assert_close(one.keypoints[one.valid][..., :2], unmirrored[other.valid], atol=2e-2, rtol=1e-3)


def test_scales_carry_keypoints_back_to_the_canvas() -> None:
    torch.manual_seed(0)
    model = build("model=centernet_pose", "dataset.classes=2", "+dataset.keypoints=3").eval()
    torch.nn.init.constant_(model.head.sizes[0][-1].bias, 6.0)
    images, _ = batch([(64, 64)], [1], 2, canvas=(64, 64))
    with torch.no_grad():
        plain = model.detect(images)
        same = views(model, [1.0], False, [0, 2, 1]).detect(images)
        several = views(model, [1.0, 2.0], True, [0, 2, 1]).detect(images)
    assert plain.keypoints is not None
    assert plain.keypoints.equal(same.keypoints)
    assert several.keypoints is not None
    assert several.keypoints.shape == (1, 20, 3, 3)
    middle = (several.boxes[..., :2] + several.boxes[..., 2:]) / 2
    distance = (several.keypoints[..., :2].mean(2) - middle).abs().amax(-1)[several.valid]
    assert len(distance) == 20
    assert distance.max() < 16


def test_a_layout_names_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="2 classes, but 1 counts and 2 offsets"):
        make_layout(2, 3, [3], [0, 0], None)
    assert isinstance(make_layout(2, 3, [3, 1], [0, 0], None), LandmarkLayout)
