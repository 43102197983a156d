"""R-CNN: crops as the paper cut them, the network's own pooling, and a head that is fitted anew after training."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from lineage.models.backbones.caffenet import caffenet
from lineage.models.backbones.plain import remove_padding
from lineage.models.detectors.rcnn import RCNN
from lineage.models.detectors.warped_crops import WarpedCropFeatures
from lineage.structures import Images, Proposals, Targets
from tests.models.compose import build
from tests.models.scenes import batch

SMALL = ("backbone=caffenet_mini", "proposals=jittered", "model.crop=67", "model.context=5")
SIZE = (96, 128)


def proposed(images: Images, targets: Targets) -> Images:
    """Objects, and some of the pictures' corners, as proposals."""
    corners = torch.tensor([[0.0, 0, 30, 30], [60, 40, 120, 90], [10, 50, 40, 95]]).expand(len(images.sizes), 3, 4)
    boxes = torch.cat((targets.boxes + 1, corners), 1)
    valid = torch.cat((targets.valid, torch.ones(corners.shape[:2], dtype=torch.bool)), 1)
    return images._replace(proposals=Proposals(boxes, valid.float(), valid))


@pytest.fixture(scope="module")
def scene() -> tuple[Images, Targets]:
    images, targets = batch([SIZE] * 3, [3, 0, 2], 4, canvas=SIZE)
    return proposed(images, targets), targets


@pytest.fixture(params=["rcnn", "fast_rcnn_svm"])
def model(request: pytest.FixtureRequest) -> RCNN:
    torch.manual_seed(0)
    small = SMALL if request.param == "rcnn" else SMALL[:2]
    settings = ("model.box.svm.cost=1", "model.box.svm.retrain_limit=3", "model.box.ridge_lambda=1")
    model = build(f"model={request.param}", *settings, *small)
    assert isinstance(model, RCNN)
    return model.eval()


def test_a_crop_holds_the_region_and_its_share_of_context() -> None:
    """On a ramp, where bilinear sampling is exact, each pixel of the crop says where it was taken from."""
    layer = WarpedCropFeatures(6, trunk=nn.Identity(), crop=227, context=16)
    x = (torch.arange(400) + 0.5).expand(300, 400)
    y = (torch.arange(300) + 0.5)[:, None].expand(300, 400)
    region = torch.tensor([[0, 100.0, 80.0, 295.0, 177.0]])
    crop = layer.warp(torch.stack((x, y))[None], region)[0]
    step = 195 / 195, 97 / 195  # source pixels per pixel of the 195 that the region itself fills
    for axis, (low, size) in enumerate(zip((100, 80), step, strict=True)):
        along = crop[axis, 100] if axis == 0 else crop[axis, :, 100]
        wanted = low + (torch.arange(227) + 0.5 - 16) * size
        torch.testing.assert_close(along, wanted, atol=1e-3, rtol=0)


def test_outside_the_picture_is_the_mean() -> None:
    layer = WarpedCropFeatures(6, trunk=nn.Identity(), crop=64, context=8)
    crop = layer.warp(torch.ones(1, 3, 50, 50), torch.tensor([[0, 0.0, 0.0, 48.0, 48.0]]))
    assert (crop[..., :6, :] == 0).all()
    assert (crop[..., 10:50, 10:50] == 1).all()


def test_caffenet_on_a_crop_is_the_classifier() -> None:
    """227 -> 55 -> 27 -> 13 -> 6: the published shapes, and pool5's own windows."""
    network = caffenet(
        channels=[96, 256, 384, 384, 256], stride=4, groups=2, lrn={"window": 5, "alpha": 1e-4, "beta": 0.75, "k": 1.0},
        norm=None, size=6, fc=[8, 8], dropout=0.5, first_trained="conv1", weights=None, channel_order="bgr",
        mean=[0.0] * 3, std=[1.0] * 3,
    )  # fmt: skip
    remove_padding(network.trunk, ["conv1", "pool1", "pool2"])
    sizes, hidden = [], torch.rand(1, 3, 227, 227)
    with torch.no_grad():
        for layer in network.trunk:
            hidden = layer(hidden)
            sizes.append(hidden.shape[-1])
    assert list(dict.fromkeys(sizes)) == [55, 27, 13]
    assert torch.equal(nn.AdaptiveMaxPool2d(6)(hidden), nn.MaxPool2d(3, 2)(hidden))


def test_losses_and_gradients_are_finite_without_objects(model: RCNN, scene: tuple[Images, Targets]) -> None:
    images, targets = scene
    none = targets._replace(valid=torch.zeros_like(targets.valid))
    for given in (targets, none):
        model.zero_grad()
        losses = model.losses(images, given)
        sum(loss.sum / loss.normalizer.clamp(min=1) for loss in losses.values()).backward()
        gradients = {name: value.grad for name, value in model.named_parameters() if value.requires_grad}
        assert all(grad is not None and grad.isfinite().all() for grad in gradients.values())


def test_a_fit_tells_objects_from_background(model: RCNN, scene: tuple[Images, Targets]) -> None:
    images, targets = scene

    def rounds() -> Iterator[tuple[list[Tensor], Proposals, Targets]]:
        with torch.no_grad():
            features = model.neck(model.backbone(images))
            yield features, model.proposals.propose(images, features), targets

    before = {name: value.clone() for name, value in model.state_dict().items() if "svms" not in name}
    model.box.fit(rounds)
    for name, value in before.items():
        assert "ridge" in name or torch.equal(model.state_dict()[name], value)
    with torch.no_grad():
        found = model.detect(images)
    for image in (0, 2):
        objects = int(targets.valid[image].sum())
        best = found.labels[image, :objects].sort().values
        assert torch.equal(best, targets.labels[image, :objects].sort().values)
    if model.box.ridge is not None:
        assert model.box.ridge.bias.any()


def test_a_trained_head_moves_into_the_one_with_svms() -> None:
    trained = build("model=fast_rcnn", *SMALL[:2])
    fresh = build("model=fast_rcnn_svm", *SMALL[:2])
    missing, unexpected = fresh.load_state_dict(trained.state_dict(), strict=False)
    assert not unexpected
    assert {name.rpartition(".")[0] for name in missing} == {"box.svms"}
    again = build("model=fast_rcnn_svm", *SMALL[:2])
    again.load_state_dict(fresh.state_dict())
    assert torch.equal(again.box.head.scores.weight, trained.box.scores.weight)


def test_a_layer_that_does_not_exist_is_named() -> None:
    with pytest.raises(Exception, match="choose pool, fc6, fc7"):
        build("model=fast_rcnn_svm", "model.box.layer=fc8", *SMALL[:2])
