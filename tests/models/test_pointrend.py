"""PointRend: subdivision against dense evaluation, chosen points, and boundaries sharper than a coarse mask's."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.roi_heads.pointrend import CoarseHead, PointHead, PointRend
from lineage.ops import point_sampling as point_ops
from lineage.structures import Detections, Images, Masks, SampledProposals, Targets
from tests.models.compose import build
from tests.models.scenes import batch

NUMBERS = {
    "train_num_points": 49, "oversample_ratio": 3, "importance_sample_ratio": 0.75, "subdivision_steps": 3,
    "subdivision_num_points": 196, "target_sampling_ratio": 4, "target_aligned": True, "binary_targets": True,
    "stride": 4, "class_agnostic": False,
}  # fmt: skip


def head(channels: int = 8, classes: int = 3, **changed: int) -> PointRend:
    torch.manual_seed(0)
    made = PointRend(
        channels,
        coarse=lambda width, maps: CoarseHead(width, maps, input_size=14, width=16, fc=64, output_size=7),
        point=lambda width, maps: PointHead(width, maps, width=32, depth=3),
        num_classes=classes,
        **(NUMBERS | changed),
    )
    with torch.no_grad():  # their start is nearly zero
        made.coarse.masks.weight.mul_(500)
        made.point.masks.weight.mul_(100)
    return made


def found(boxes: Tensor, labels: Tensor) -> Detections:
    scores = torch.ones(labels.shape)
    return Detections(boxes, scores, labels, scores > 0, labels, torch.ones(*labels.shape, 4))


BOXES = torch.tensor(
    [[[8.0, 12.0, 70.0, 90.0], [30.0, 5.0, 110.0, 60.0]], [[1.0, 1.0, 40.0, 44.0], [0.0, 0.0, 9.0, 9.0]]]
)
LABELS = torch.tensor([[0, 2], [1, 1]])


@torch.no_grad()
def test_subdivision_of_all_points_is_dense_evaluation() -> None:
    made, features = head(subdivision_num_points=56**2), [torch.randn(2, 8, 32, 32)]
    masks = made.detect(features, found(BOXES, LABELS)).masks
    places = point_ops.cell_centres(56, BOXES.device).expand(2, 2, 56**2, 2)
    coarse = made.coarse_logits(features, BOXES)
    dense = made.point_logits(features, coarse, LABELS, places, point_ops.to_canvas(BOXES, places))
    assert torch.equal(masks, dense.view(2, 2, 56, 56).sigmoid())


@torch.no_grad()
def test_only_the_unsure_cells_are_decided_anew() -> None:
    made, features = head(subdivision_num_points=100, subdivision_steps=2), [torch.randn(2, 8, 32, 32)]
    coarse = made.select_class(made.coarse_logits(features, BOXES), LABELS)
    twice = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
    first = made.refine(features, made.coarse_logits(features, BOXES), twice, LABELS, BOXES)
    changed = (first != twice).flatten(2)
    assert (changed.sum(2) == 100).all()
    doubt = twice.flatten(2).abs()
    sure = doubt.masked_fill(changed, torch.inf).amin(2)
    assert (doubt.masked_fill(~changed, 0).amax(2) <= sure).all()
    four = F.interpolate(first, scale_factor=2, mode="bilinear", align_corners=False)
    last = made.refine(features, made.coarse_logits(features, BOXES), four, LABELS, BOXES)
    assert torch.equal(made.detect(features, found(BOXES, LABELS)).masks, last.sigmoid())


def test_what_the_next_step_decides_anew_is_not_decided_before() -> None:
    made, sizes = head(subdivision_steps=5, subdivision_num_points=784), []
    refine = made.refine
    made.refine = lambda *given: (sizes.append(given[2].shape[-1]), refine(*given))[1]
    with torch.no_grad():
        masks = made.detect([torch.randn(2, 8, 32, 32)], found(BOXES, LABELS)).masks
    assert sizes == [28, 56, 112, 224]
    assert masks.shape[-2:] == (224, 224)


def test_three_quarters_of_the_points_are_unsure_ones() -> None:
    made = head()
    own = torch.randn(2, 2, 7, 7)
    keys = torch.tensor([5, 9])
    places = made.sample_training_points(own, keys)
    assert places.shape == (2, 2, 49, 2)
    assert ((places >= 0) & (places < 1)).all()
    doubt = point_ops.sample(own.flatten(0, 1)[:, None], places.flatten(0, 1), (1, 1))[..., 0].abs()
    assert (doubt[:, :36].amax(1) < doubt[:, 36:].amax(1)).all()
    assert torch.equal(made.sample_training_points(own[1:], keys[1:])[0], places[1])  # of the image alone
    assert not torch.equal(made.sample_training_points(own, keys + 1), places)


def disc(size: int, centre: tuple[float, float], radius: float) -> Tensor:
    y, x = torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="ij")
    return ((x - centre[0]) ** 2 + (y - centre[1]) ** 2 <= radius**2).float()


def discs(count: int, seed: int) -> tuple[list[Tensor], SampledProposals, Targets, Images, Tensor]:
    """One disc per 64-pixel image, and features at stride 4 that show it as an antialiased picture would."""
    generator = torch.Generator().manual_seed(seed)
    places = (24 + 16 * torch.rand(count, 2, generator=generator)).tolist()
    radii = (12 + 10 * torch.rand(count, generator=generator)).tolist()
    pictures = torch.stack([disc(64, (x, y), r) for (x, y), r in zip(places, radii, strict=True)])
    features = F.avg_pool2d(pictures[:, None], 4)
    boxes = torch.tensor([[[x - r, y - r, x + r, y + r]] for (x, y), r in zip(places, radii, strict=True)])
    there, zero = torch.ones(count, 1, dtype=torch.bool), torch.zeros(count, 1, dtype=torch.int64)
    windows = torch.tensor([0, 0, 64, 64]).expand(count, 1, 4)
    masks = Masks(pictures.flatten().to(torch.uint8), torch.arange(count)[:, None] * 64 * 64, windows)
    targets = Targets(boxes, zero, there, ~there, masks, None)
    images = Images(torch.zeros(count, 3, 64, 64), torch.full((count, 2), 64.0), torch.arange(count))
    return (
        [torch.cat((features, features**2), 1)],
        SampledProposals(boxes, there, zero, zero),
        targets,
        images,
        pictures,
    )


def boundary_iou(masks: Tensor, pictures: Tensor, boxes: Tensor) -> float:
    """Overlap of mask and disc within two pixels of the disc's border, on the mask's own cells."""
    side = masks.shape[-1]
    points = point_ops.to_canvas(boxes, point_ops.cell_centres(side, boxes.device).expand(*boxes.shape[:2], -1, 2))
    centre, radius = (boxes[..., :2] + boxes[..., 2:]) / 2, (boxes[..., 2] - boxes[..., 0]) / 2
    away = (points - centre[..., None, :]).norm(dim=-1) - radius[..., None]
    truth, guess, near = away <= 0, masks.flatten(2) > 0.5, away.abs() < 2
    return float((truth & guess & near).sum() / ((truth | guess) & near).sum())


def test_the_boundary_of_a_disc_is_sharper_than_that_of_the_coarse_mask() -> None:
    torch.manual_seed(0)
    made = PointRend(
        2,
        coarse=lambda width, maps: CoarseHead(width, maps, input_size=14, width=16, fc=64, output_size=7),
        point=lambda width, maps: PointHead(width, maps, width=32, depth=3),
        num_classes=1,
        **NUMBERS,
    )
    optimizer = torch.optim.Adam(made.parameters(), 0.005)
    for step in range(80):
        features, rois, targets, images, _ = discs(8, step)
        losses = made.losses(features, rois, targets, images)
        optimizer.zero_grad()
        torch.stack([loss.sum / loss.normalizer for loss in losses.values()]).sum().backward()
        optimizer.step()
    features, rois, _, _, pictures = discs(16, 1000)
    with torch.no_grad():
        masks = made.detect(features, found(rois.boxes, rois.labels)).masks
        coarse = made.select_class(made.coarse_logits(features, rois.boxes), rois.labels)
    upsampled = F.interpolate(coarse, scale_factor=8, mode="bilinear", align_corners=False).sigmoid()
    sharp, blunt = (boundary_iou(each, pictures, rois.boxes) for each in (masks, upsampled))
    assert sharp > 0.85
    assert sharp > blunt + 0.05


def test_masks_are_trained_on_predicted_boxes() -> None:
    torch.manual_seed(0)
    model = build("model=pointrend")
    images, targets = batch([(128, 128)], [3], 4, canvas=(128, 128))
    features = model.neck(model.backbone(images))
    proposals, _ = model.proposals.losses(images, features, targets)
    rois = model.sampler(proposals, targets, images, 4)
    with torch.no_grad():
        model.box.deltas.weight.mul_(300)
    (seen,), _ = model.box.losses(features, rois, targets, images)
    assert torch.equal(seen.labels, rois.labels)
    assert (seen.boxes - rois.boxes).abs().max() > 1
    assert not seen.boxes.requires_grad
    assert ((seen.boxes >= 0) & (seen.boxes <= 128)).all()


def test_parameters_are_those_of_the_paper() -> None:
    """Detectron2's project: a 2x2 convolution of 256, two layers of 1024, 80 masks of 7 x 7; three layers of 256."""
    with torch.device("meta"):
        scratch = ("backbone.weights=null", "backbone.norm=gn32", "backbone.frozen_stages=0")
        made: nn.Module = build("model=pointrend", "tier=paper", "dataset.classes=80", *scratch).heads["mask"]
    coarse = (256 * 4 + 1) * 256 + (256 * 49 + 1) * 1024 + 1025 * 1024 + 1025 * 80 * 49
    point = 3 * (256 + 80 + 1) * 256 + (256 + 80 + 1) * 80
    assert sum(p.numel() for p in made.parameters()) == coarse + point
