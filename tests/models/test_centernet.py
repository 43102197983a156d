"""CenterNet against its code and closed forms: radius, heat maps, focal loss, decoding, sizes of its networks."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lineage.models.centers.center_head import CenterHead, CenterMaps
from lineage.models.centers.center_targets import IGNORED, count_shared_cells, draw_centers, encode_centers
from lineage.models.centers.heatmap import gaussian_radius, keep_peaks, splat
from lineage.models.losses.heat_focal import EPS, HeatFocalLoss
from lineage.models.roi_heads.nms_variants import NoSuppression
from lineage.structures import Images, Targets
from tests.models.compose import build
from tests.models.scenes import batch


def targets(boxes: list[list[float]], labels: list[int]) -> Targets:
    valid = torch.ones(1, len(boxes), dtype=torch.bool)
    return Targets(torch.tensor([boxes]), torch.tensor([labels]), valid, torch.zeros_like(valid), None, None)


def coded(width: float, height: float, overlap: float = 0.7) -> float:
    """CornerNet's equations as all codes have them."""
    b1, c1 = height + width, width * height * (1 - overlap) / (1 + overlap)
    b2, c2 = 2 * (height + width), (1 - overlap) * width * height
    a3, b3, c3 = 4 * overlap, -2 * overlap * (height + width), (overlap - 1) * width * height
    roots = [math.sqrt(b * b - 4 * a * c) for a, b, c in ((1, b1, c1), (4, b2, c2), (a3, b3, c3))]
    return min((b + root) / 2 for b, root in zip((b1, b2, b3), roots, strict=True))


@pytest.mark.parametrize("size", [(10, 10), (64, 64), (3, 40), (128, 17), (1, 1)])
def test_the_coded_radius_is_that_of_the_codes(size: tuple[int, int]) -> None:
    radius = gaussian_radius(torch.tensor(size).float(), min_overlap=0.7, kind="coded")
    assert radius.item() == pytest.approx(coded(*size), rel=1e-5)


def test_the_coded_radius_is_three_times_the_geometric_one() -> None:
    """Values measured with the codes; 10 x 10: 2.73 and 0.82, 64 x 64: 17.5 and 5.2."""
    sizes = torch.tensor([[10.0, 10.0], [64.0, 64.0]])
    both = [gaussian_radius(sizes, min_overlap=0.7, kind=kind) for kind in ("coded", "geometric")]
    assert both[0].tolist() == pytest.approx([2.73, 17.5], abs=0.05)
    assert both[1].tolist() == pytest.approx([0.82, 5.2], abs=0.05)


@pytest.mark.parametrize("size", [(10.0, 10.0), (64.0, 64.0), (3.0, 40.0)])
def test_corners_that_move_by_the_geometric_radius_leave_the_overlap(size: tuple[float, float]) -> None:
    width, height = size
    r = gaussian_radius(torch.tensor(size), min_overlap=0.7, kind="geometric").item()
    area, inner, outer = (max(width + d, 0) * max(height + d, 0) for d in (0, -2 * r, 2 * r))
    shared = (width - r) * (height - r)
    overlaps = (inner / area, area / outer, shared / (2 * area - shared))
    assert min(overlaps) == pytest.approx(0.7, abs=1e-4)


def test_a_gaussian_is_one_in_its_cell_symmetric_and_ends_at_its_window() -> None:
    cells, radius = torch.tensor([[[10, 12]]]), torch.tensor([[3.0]])
    (heat,) = splat(cells, radius, torch.tensor([[1]]), torch.tensor([[True]]), channels=2, size=(24, 20))
    assert heat[0].sum() == 0
    assert heat[1, 12, 10] == 1
    window = heat[1, 9:16, 7:14]
    assert window.equal(window.flip(0))
    assert window.equal(window.T)
    assert window[0, 3].item() == pytest.approx(math.exp(-9 / (2 * (7 / 6) ** 2)))
    assert heat.count_nonzero() == window.count_nonzero() == 49


def test_where_gaussians_overlap_the_larger_value_counts_and_empty_slots_draw_nothing() -> None:
    cells = torch.tensor([[[4, 4], [6, 4], [9, 9]]])
    radius, valid = torch.tensor([[3.0, 2.0, 3.0]]), torch.tensor([[True, True, False]])
    channel = torch.zeros(1, 3, dtype=torch.int64)
    together = splat(cells, radius, channel, valid, channels=1, size=(12, 12))
    alone = [
        splat(cells[:, i : i + 1], radius[:, i : i + 1], channel[:, :1], valid[:, :1], channels=1, size=(12, 12))
        for i in (0, 1)
    ]
    assert together.equal(torch.maximum(*alone))


def official_focal(pred: Tensor, gt: Tensor) -> Tensor:
    """The sum of CenterNet's `_neg_loss`, written from its formula."""
    p = pred.clamp(1e-4, 1 - 1e-4)
    positive = ((1 - p) ** 2 * p.log())[gt == 1].sum()
    negative = ((1 - gt) ** 4 * p**2 * (1 - p).log())[gt < 1].sum()
    return -(positive + negative)


def test_the_focal_loss_is_that_of_the_code_and_a_perfect_map_costs_eps_alone() -> None:
    target = splat(
        torch.tensor([[[3, 3]]]), torch.tensor([[2.0]]), torch.tensor([[0]]), torch.tensor([[True]]),
        channels=1, size=(8, 8),
    )  # fmt: skip
    loss = HeatFocalLoss(alpha=2.0, beta=4.0)
    logits = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 3
    torch.testing.assert_close(loss(logits, target).sum(), official_focal(logits.sigmoid(), target))
    perfect = torch.where(target == 1, 30.0, -30.0)
    cost = loss(perfect, target)
    weights = torch.where(target == 1, 1.0, (1 - target) ** 4)
    torch.testing.assert_close(cost, weights * -(EPS**2) * math.log(1 - EPS), rtol=1e-2, atol=0)


def test_losses_are_sums_over_objects_and_weigh_size_and_offset() -> None:
    images, truth = batch([(128, 128), (100, 90)], [3, 0], 4, canvas=(128, 128))
    torch.manual_seed(0)
    model = build("model=centernet")
    with torch.no_grad():
        losses = model.losses(images, truth)
        maps = model.head.maps(model.neck(model.backbone(images)))[0]
    centers = model.head.encode([maps.heat], truth)
    heat = draw_centers(centers, truth, num_classes=4, size=(32, 32))
    torch.testing.assert_close(losses["center_heat"].sum, official_focal(maps.heat.sigmoid(), heat))
    assert losses["center_heat"].normalizer == 3
    size = offset = 0.0
    for box in truth.boxes[0, :3]:
        x, y = ((box[:2] + box[2:]) / 8).tolist()
        column, row = int(x), int(y)
        goal = (box[2:] - box[:2]) / 4
        size += (maps.sizes[0, :, row, column] - goal).abs().sum().item()
        offset += (maps.offsets[0, :, row, column] - torch.tensor([x - column, y - row])).abs().sum().item()
    assert losses["center_size"].sum.item() == pytest.approx(0.1 * size, rel=1e-4)
    assert losses["center_offset"].sum.item() == pytest.approx(offset, rel=1e-4)
    assert losses["center_size"].normalizer == losses["center_offset"].normalizer == 6


def test_losses_are_linear_in_the_weights_of_objects() -> None:
    images, truth = batch([(128, 128)] * 2, [3, 2], 4, canvas=(128, 128))
    torch.manual_seed(0)
    model = build("model=centernet")
    sums = []
    for weight in (None, 1.0, 0.5, 0.0):
        weights = None if weight is None else torch.full(truth.labels.shape, weight)
        with torch.no_grad():
            losses = model.losses(images, truth._replace(object_weights=weights))
        sums.append(torch.stack([loss.sum for loss in losses.values()]))
    torch.testing.assert_close(sums[0], sums[1])
    torch.testing.assert_close(sums[2], (sums[1] + sums[3]) / 2)
    assert sums[3][1:].tolist() == [0, 0]
    assert 0 < sums[3][0] < sums[1][0]


def test_objects_that_share_a_cell_are_counted_and_both_learned() -> None:
    truth = targets([[8, 8, 24, 24], [10, 6, 22, 26], [40, 40, 60, 60]], [0, 1, 1])
    centers = encode_centers(truth, stride=4, size=(32, 32), min_overlap=0.7, radius="coded")
    assert centers.cells[0].tolist() == [[4, 4], [4, 4], [12, 12]]
    assert count_shared_cells(centers) == 1
    heat = draw_centers(centers, truth, num_classes=2, size=(32, 32))
    assert heat.flatten(2).eq(1).sum(-1).tolist() == [[1, 2]]


def test_objects_are_cut_at_the_border_and_those_outside_are_none() -> None:
    """A map of 8 x 6 cells of 4 pixels; the last two objects are a crowd and an empty slot."""
    truth = targets([[-8, 4, 8, 12], [28, 20, 40, 40], [40, 0, 50, 8], [8, 8, 16, 16], [8, 8, 16, 16]], [0, 1, 1, 0, 0])
    truth.crowd[0, 3], truth.valid[0, 4] = True, False
    centers = encode_centers(truth, stride=4, size=(6, 8), min_overlap=0.7, radius="coded")
    assert centers.positive[0].tolist() == [True, True, False, False, False]
    assert centers.cells[0, :3].tolist() == [[1, 2], [7, 5], [7, 1]]
    assert centers.cell_index[0, :3].tolist() == [17, 47, 15]
    assert centers.offsets[0, :2].tolist() == [[0, 0], [0.5, 0.5]]
    assert centers.sizes[0, :3].tolist() == [[2, 2], [1, 1], [0, 2]]


def test_a_crowd_is_neither_positive_nor_negative_in_its_middle() -> None:
    truth = targets([[8, 8, 40, 40]], [0])
    crowd = truth._replace(crowd=truth.valid)
    centers = encode_centers(crowd, stride=4, size=(32, 32), min_overlap=0.7, radius="coded")
    heat = draw_centers(centers, crowd, num_classes=1, size=(32, 32))
    assert heat.max().item() == pytest.approx(IGNORED)
    assert heat[0, 0, 6, 6].item() == pytest.approx(IGNORED)


def head(**options: object) -> CenterHead:
    settings = {
        "stride": 4, "width": 8, "num_classes": 3, "prior_prob": 0.1, "heat_loss": HeatFocalLoss(alpha=2.0, beta=4.0),
        "min_overlap": 0.7, "radius": "coded", "size_weight": 0.1, "offset_weight": 1.0, "score_thresh": 0.0,
        "nms_thresh": 0.5, "suppression": NoSuppression(), "topk_candidates": 100, "detections_per_img": 20,
    }  # fmt: skip
    return CenterHead(8, 1, **settings | options)  # type: ignore[arg-type]


def test_planted_maps_decode_to_the_boxes_exactly() -> None:
    boxes = torch.tensor([[8.0, 8, 24, 40], [50, 60, 81, 99], [100, 3, 120, 21]])
    labels = torch.tensor([2, 0, 2])
    heat = torch.full((1, 3, 32, 32), 0.01)
    sizes, offsets = torch.zeros(1, 2, 32, 32), torch.zeros(1, 2, 32, 32)
    for box, label, score in zip(boxes, labels, (0.9, 0.7, 0.8), strict=True):
        middle = (box[:2] + box[2:]) / 8
        column, row = middle.long().tolist()
        heat[0, label, row, column] = score
        heat[0, label, row, column + 1] = score - 0.1  # no peak: its neighbour is higher
        sizes[0, :, row, column] = (box[2:] - box[:2]) / 4
        offsets[0, :, row, column] = middle - middle.floor()
    images = Images(torch.zeros(1, 3, 128, 128, dtype=torch.uint8), torch.tensor([[128.0, 128.0]]), torch.zeros(1))
    detections = head(score_thresh=0.1).decode(CenterMaps(heat, sizes, offsets), images)
    assert detections.valid[0].tolist() == [True] * 3 + [False] * 17
    assert detections.labels[0, :3].tolist() == [2, 2, 0]
    torch.testing.assert_close(detections.boxes[0, :3], boxes[[0, 2, 1]])
    torch.testing.assert_close(detections.probabilities[0, 0], torch.tensor([0.01, 0.01, 0.9, 0.1]))
    assert (detections.proposal_index[0, 0] % 32, detections.proposal_index[0, 0] // 32) == (4, 6)


def test_a_map_with_fewer_peaks_than_slots_has_no_other_detections() -> None:
    """CenterNet's code fills its 100 rows up with cells of score 0, in an order that `topk` leaves open.

    So the decoding of maps at random weights differs from the code's there, and there alone: of DLA-34's map of 32 x 32
    cells, 20 are peaks.
    """
    heat, sizes = torch.rand(1, 3, 6, 6), torch.full((1, 2, 6, 6), 2.0)
    images = Images(torch.zeros(1, 3, 24, 24, dtype=torch.uint8), torch.tensor([[24.0, 24.0]]), torch.zeros(1))
    detections = head(detections_per_img=100).decode(CenterMaps(heat, sizes, torch.full_like(sizes, 0.5)), images)
    # 1. the code's `_topk`: of each class, then of all; ours are the same cells by falling score
    peaks = keep_peaks(heat)[0].flatten(1)
    best, cells = peaks.topk(36)
    scores, order = best.flatten().topk(100)
    # 2. every peak is a detection and nothing else is
    count = int((peaks > 0).sum())
    assert 3 <= count < 40
    assert detections.valid[0].tolist() == [True] * count + [False] * (100 - count)
    assert torch.equal(detections.scores[0, :count], scores[:count])
    assert torch.equal(detections.proposal_index[0, :count], cells.flatten()[order[:count]])
    assert torch.equal(detections.labels[0, :count], order[:count] // 36)
    assert not scores[count:].any()
    assert not detections.scores[0, count:].any()


def test_of_two_equal_neighbours_both_are_peaks_and_borders_are_no_peaks_by_themselves() -> None:
    heat = torch.zeros(1, 1, 4, 4)
    heat[0, 0, 1, 1] = heat[0, 0, 1, 2] = 0.5
    heat[0, 0, 3, 3], heat[0, 0, 3, 2] = 0.3, 0.2
    assert keep_peaks(heat)[0, 0].nonzero().tolist() == [[1, 1], [1, 2], [3, 3]]


@pytest.mark.parametrize(
    ("choices", "parameters"),
    [  # counted in networks of CenterNet's code, at 80 classes, 17 keypoints, 13 classes with 294 landmarks
        ("model=centernet backbone=resnet18 upsampling=deconvolution", 15820372),
        ("model=centernet backbone=resnet18 upsampling=deformable", 14437349),
        ("model=centernet backbone=resnet50 upsampling=deconvolution", 34443348),
        ("model=centernet backbone=resnet101 upsampling=deformable", 49673189),
        ("model=centernet backbone=dla34 upsampling=aggregation model.head.width=256", 19675892 - 41728),
        ("model=centernet backbone=hourglass104 upsampling=none model.head.width=256", 191284008),
        ("model=centernet_pose dataset.classes=1 backbone=resnet18 upsampling=deformable", 14546443),
        ("model=deepmark dataset.classes=13 +dataset.keypoints=294 backbone=resnet18 upsampling=deformable", 14601238),
    ],
)
def test_networks_have_the_size_of_those_of_the_code(choices: str, parameters: int) -> None:
    """DLA-34 there has 41,728 parameters without effect: projections whose result its trees do not read."""
    classes = [] if "dataset.classes" in choices else ["dataset.classes=80"]
    body = ["backbone.norm=bn", "backbone.frozen_stages=0", "backbone.weights=null"]
    with torch.device("meta"):
        model = build("tier=paper", *choices.split(), *classes, *body)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_bilinear_filters_interpolate_each_channel() -> None:
    model = build("model=centernet", "upsampling=deformable_mini")
    enlarging = model.neck.layers[3]
    assert isinstance(enlarging, torch.nn.ConvTranspose2d)
    x = torch.rand(1, enlarging.in_channels, 6, 6)
    goal = torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(enlarging(x)[..., 2:-2, 2:-2], goal[..., 2:-2, 2:-2])


def test_a_body_with_maps_of_several_strides_needs_upsampling() -> None:
    with pytest.raises(Exception, match="Choose upsampling=deconvolution"):
        build("model=centernet", "upsampling=none")
