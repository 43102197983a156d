"""Fast R-CNN, Faster R-CNN on plain bodies, SPPnet and RPN alone at mini size, and the axes of their tables."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lineage.models.detectors.image_pyramid import ScalePooler, resize
from lineage.models.detectors.sppnet import SpatialPyramid
from lineage.models.detectors.truncated_svd import apply_truncated_svd, factorize, zero_box_deltas
from lineage.models.proposals.precomputed import ProposalsMissing
from lineage.models.roi_heads.pooler import Pooler, RoIAlign
from lineage.ops import boxes as box_ops
from lineage.ops.layers.joined_linear import apply_joined
from lineage.structures import Images, Losses, Proposals, Targets
from tests.models.compose import build
from tests.models.scenes import batch

GIVEN = ["fast_rcnn", "fast_rcnn_fpn", "sppnet", "fast_rcnn_multiscale"]
OWN = ["faster_rcnn_vgg", "rpn", "rpn_c4", "rpn_vgg"]
SIZE = (128, 128)


def total(losses: Losses) -> torch.Tensor:
    return torch.stack([loss.sum / loss.normalizer.clamp(min=1) for loss in losses.values()]).sum()


def scene(counts: list[int], sizes: list[tuple[int, int]] | None = None) -> tuple[Images, Targets]:
    """With proposals: objects moved a little, four corners, and an empty slot."""
    images, targets = batch(sizes or [SIZE] * len(counts), counts, 4, canvas=SIZE)
    corners = torch.tensor([[0.0, 0, 40, 40], [50, 0, 90, 60], [0, 50, 60, 90], [30, 30, 85, 85], [0, 0, 0, 0]])
    boxes = torch.cat((targets.boxes + 2, corners.expand(len(counts), -1, -1)), 1)
    valid = torch.cat((targets.valid, (torch.arange(5) < 4).expand(len(counts), -1)), 1)
    return images._replace(proposals=Proposals(box_ops.clip(boxes, images.sizes), valid.float(), valid)), targets


def part(images: Images, i: int) -> Images:
    given = images.proposals and Proposals(*(field[i : i + 1] for field in images.proposals))
    return Images(*(field[i : i + 1] for field in images[:3]), given)


@pytest.fixture(scope="module", params=GIVEN + OWN)
def model(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return build(f"model={request.param}").eval()


@pytest.mark.parametrize("counts", [[3, 2], [3, 0], [0, 0]])
def test_every_parameter_gets_a_finite_gradient(model: nn.Module, counts: list[int]) -> None:
    model.zero_grad(set_to_none=True)
    loss = total(model.losses(*scene(counts)))
    loss.backward()
    assert loss.isfinite()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


def test_an_image_is_detected_alike_alone_and_in_a_batch(model: nn.Module) -> None:
    images, _ = scene([1, 1, 1], [SIZE, (100, 128), (128, 90)])
    with torch.no_grad():
        together = model.detect(images)
        for i in range(3):
            alone = model.detect(part(images, i))
            torch.testing.assert_close(alone.boxes[0], together.boxes[i], atol=1e-3, rtol=1e-4)
            assert torch.equal(alone.valid[0], together.valid[i])
    assert together.valid.any()
    assert (together.scores[:, 1:] <= together.scores[:, :-1]).all()


def test_a_step_decreases_the_loss(model: nn.Module) -> None:
    images, targets = scene([3, 2])
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    before = total(model.losses(images, targets))
    optimizer.zero_grad()
    before.backward()
    optimizer.step()
    assert total(model.losses(images, targets)) < before


def test_proposals_that_are_missing_are_asked_for() -> None:
    images, targets = batch([SIZE], [2], 4, canvas=SIZE)
    with pytest.raises(ProposalsMissing, match=r"proposals=selective_search, or proposals=file"):
        build("model=fast_rcnn").losses(images, targets)


def rpn(*overrides: str) -> nn.Module:
    torch.manual_seed(0)
    return build("model=rpn_vgg", *(f"model.proposals.{text}" for text in overrides)).eval()


def test_without_regression_proposals_are_anchors_and_without_scores_random() -> None:
    images, _ = scene([2, 2])
    usual, still, random = rpn(), rpn("regress_at_test=false", "nms_thresh=1.0"), rpn("ranking=random")
    with torch.no_grad():
        anchors = still.proposals.anchors(still.neck(still.backbone(images)))[0]
        found = still.detect(images)
        inside = box_ops.clip(anchors[None], images.sizes[:1])[0]
        kept = found.boxes[0][found.valid[0]]
        assert ((kept[:, None] - inside).abs().amax(-1).amin(1) < 1e-3).all()
        first, again = random.detect(images), random.detect(images)
        assert torch.equal(first.boxes, again.boxes)
        assert not torch.equal(first.boxes, usual.detect(images).boxes)


def test_without_nms_the_best_stay_whatever_they_overlap() -> None:
    images, _ = scene([2])
    with torch.no_grad():
        counts = [
            int(rpn(f"nms_thresh={nms}", "post_nms_top_n.test=1000").detect(images).valid.sum()) for nms in (0.7, 1.0)
        ]
    assert counts[0] < counts[1] <= 1000
    assert counts[1] > 900  # all but those too small to keep


def test_wrong_words_are_refused_one_by_one() -> None:
    with pytest.raises(Exception, match=r"proposals\.ranking=size: choose score or random"):
        rpn("ranking=size")
    with pytest.raises(Exception, match=r"proposals\.box_loss_normalizer=all: choose samples or positions"):
        rpn("box_loss_normalizer=all")


def test_lambda_scales_the_box_loss_and_positions_divide_it() -> None:
    inputs = scene([3, 2])
    plain, ten = rpn().losses(*inputs), rpn("box_loss_weight=10.0", "box_loss_normalizer=positions").losses(*inputs)
    torch.testing.assert_close(ten["rpn_box"].sum, 10 * plain["rpn_box"].sum)
    assert ten["rpn_box"].normalizer == 2 * 32 * 32  # both images' positions on a map of stride 4
    torch.testing.assert_close(ten["rpn_cls"].sum, plain["rpn_cls"].sum)


def test_anchors_across_the_border_are_not_trained() -> None:
    images, targets = scene([1], [(100, 100)])
    targets = targets._replace(boxes=torch.tensor([[60.0, 60, 100, 100]] + [[0.0] * 4] * 7)[None])
    network = rpn("anchor_boundary_thresh=0").proposals
    anchors = network.anchors([torch.zeros(1, 1, 32, 32)])[0]
    match = network.match_anchors(images, anchors, targets)
    outside = (anchors < 0).any(1) | (anchors > 100).any(1)
    assert not (match.foreground | match.background)[0, outside].any()
    assert match.foreground[0].any()  # the best of the others stands in
    network.anchor_boundary_thresh = None
    assert (network.match_anchors(images, anchors, targets).background[0, outside]).any()


def test_dense_windows_replace_or_join_proposals() -> None:
    images, targets = scene([2, 1])
    given = images.proposals
    assert given is not None
    counts = {}
    for option in ("dense", "selective_search_dense", "selective_search_nearest"):
        model = build("model=fast_rcnn", f"proposals={option}", "proposals.module.num_windows=50").eval()
        counts[option] = model.proposals.propose(images, [torch.zeros(2, 1, 32, 32)])
        assert total(model.losses(images, targets)).isfinite()
    assert counts["dense"].boxes.shape[1] == 50
    joined = counts["selective_search_dense"]
    assert torch.equal(joined.boxes[:, :-50], given.boxes)
    assert (joined.scores[:, -50:][joined.valid[:, -50:]] < 0).all()
    assert counts["selective_search_nearest"].boxes.shape == given.boxes.shape
    assert torch.equal(counts["selective_search_nearest"].valid, given.valid)


def test_truncated_svd_is_the_best_of_its_rank() -> None:
    torch.manual_seed(0)
    linear, x = nn.Linear(12, 8), torch.randn(5, 12)
    torch.testing.assert_close(factorize(linear, 8)(x), linear(x))
    first, second = factorize(linear, 3)
    error = torch.linalg.matrix_norm(second.weight @ first.weight - linear.weight)
    torch.testing.assert_close(error, torch.linalg.svdvals(linear.weight)[3:].square().sum().sqrt())
    assert first.bias is None
    assert torch.equal(second.bias, linear.bias)


def test_compressed_layers_hold_fewer_numbers_and_others_are_named() -> None:
    model = build("model=fast_rcnn")
    before = sum(p.numel() for p in model.box.body.parameters())
    apply_truncated_svd(model, ranks={"box.body.fc6": 20, "box.body.fc7": 10})
    inputs = 96 * 6 * 6
    saved = inputs * 256 + 256 * 256 - 20 * (inputs + 256) - 10 * (256 + 256)
    assert before - sum(p.numel() for p in model.box.body.parameters()) == saved
    with pytest.raises(ValueError, match=r"box.body.fc9 is no fully connected layer; there are box.body.fc6.0"):
        apply_truncated_svd(model, ranks={"box.body.fc9": 3})


def test_every_layer_of_a_box_head_may_be_compressed() -> None:
    """Those of a TwoFC and of the predictor are fused on CUDA."""
    torch.manual_seed(0)
    head = build("model=faster_rcnn").box
    regions = torch.randn(3, head.body[1].in_features // head.pool.size**2, head.pool.size, head.pool.size)
    expected = [layer(head.body(regions)) for layer in (head.scores, head.deltas)]
    names = ("body.1", "body.3", "scores", "deltas")
    apply_truncated_svd(head, ranks={name: min(head.get_submodule(name).weight.shape) for name in names})
    hidden = head.body(regions)
    torch.testing.assert_close([*apply_joined(hidden, head.scores, head.deltas)], expected, rtol=1e-4, atol=1e-4)


def test_without_box_regression_detections_are_their_proposals() -> None:
    torch.manual_seed(0)
    model = build("model=fast_rcnn").eval()
    nn.init.normal_(model.box.deltas.weight)
    images, _ = scene([2])
    zero_box_deltas(model)
    with torch.no_grad():
        found = model.detect(images)
    assert images.proposals is not None
    wanted = box_ops.take(images.proposals.boxes, found.proposal_index)
    torch.testing.assert_close(found.boxes[found.valid], wanted[found.valid], atol=1e-4, rtol=0)


def test_spatial_pyramid_bins_are_those_of_each_grid() -> None:
    layer = lambda size: RoIAlign(size, sampling_ratio=2, aligned=True, reduce="mean")  # noqa: E731
    feature, rois = torch.rand(1, 3, 20, 20), torch.tensor([[0, 2.0, 3, 14, 16]])
    bins = SpatialPyramid(6, layer=layer, grids=[1, 2, 3, 6])([feature], rois)
    assert bins.shape == (1, 3, 1, 50)
    torch.testing.assert_close(bins[..., 5:14].view(1, 3, 3, 3), layer(3)([feature], rois))
    with pytest.raises(ValueError, match="the finest of the grids"):
        SpatialPyramid(7, layer=layer, grids=[1, 2])


def test_each_region_is_pooled_from_the_scale_nearest_to_its_canonical_size() -> None:
    layer = lambda size: RoIAlign(size, sampling_ratio=2, aligned=True, reduce="mean")  # noqa: E731
    ratios = [0.5, 1.0, 2.0]
    pool = ScalePooler(layer, size=4, strides=[4], ratios=ratios, canonical_size=32)
    maps = [torch.rand(1, 3, round(32 * r), round(32 * r)) for r in ratios]
    boxes = torch.tensor([[[10.0, 10, 74, 74], [20, 20, 52, 52], [30, 30, 46, 46]]])  # sides of 64, 32, 16
    for index, ratio in enumerate(ratios):
        own = Pooler(layer, size=4, strides=[4], canonical_size=1, canonical_level=4)
        expected = own([maps[index]], boxes[:, index : index + 1] * ratio)
        torch.testing.assert_close(pool(maps, boxes)[index : index + 1], expected)
    torch.testing.assert_close(pool(maps[1:2], boxes)[1:2], pool(maps, boxes)[1:2])


def test_positions_scale_exactly_with_the_image() -> None:
    images, _ = batch([SIZE], [1], 4, canvas=SIZE)
    ramp = (torch.arange(128)[None] * 2).expand(128, 128).clamp(max=255).to(torch.uint8)
    small = resize(images._replace(pixels=ramp.expand(1, 3, -1, -1)), 0.5)
    assert small.pixels.shape[-2:] == (64, 64)
    assert small.sizes.tolist() == [[64.0, 64.0]]
    wanted = 2 * ((torch.arange(64) + 0.5) / 0.5 - 0.5)
    assert (small.pixels[0, 0, 10, 5:-5] - wanted[5:-5]).abs().max() < 1e-3


def test_an_image_at_its_own_size_is_not_touched() -> None:
    images, _ = batch([SIZE], [1], 4, canvas=SIZE)
    assert resize(images, 1.0) is images


@pytest.mark.parametrize("ratio", [0.4, 0.48, 0.573333, 0.72, 0.5, 1.5])
def test_an_image_of_the_pyramid_is_smoothed_as_torch_does(ratio: float) -> None:
    images, _ = batch([(128, 96)], [1], 4, canvas=(128, 96))
    wanted = torch.nn.functional.interpolate(
        images.pixels.float(), scale_factor=ratio, mode="bilinear", antialias=True, recompute_scale_factor=False
    )
    torch.testing.assert_close(resize(images, ratio).pixels, wanted, atol=1e-2, rtol=0)  # of 255
