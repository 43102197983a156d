"""Plain bodies against their prototxts: sizes by Caffe's rules, parameters as published, layers frozen, colours."""

from __future__ import annotations

from math import ceil, floor
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from torch import Tensor, nn
from torchvision.models import vgg16

from lineage.models.backbones.zf import WithinChannel
from lineage.structures import Images
from tests.models.compose import build, config

LAYER = {"caffenet": "conv5", "vgg_m": "conv5", "zf": "conv5", "vgg16": "conv5_3"}
PARAMETERS = {  # of the convolutions; fc6 and fc7
    "caffenet": (2_334_080, 37_752_832 + 16_781_312),  # with fc8, the 60,965,224 of Caffe's model
    "vgg_m": (6_528_640, 75_501_568 + 4_195_328),
    "zf": (3_726_464, 37_752_832 + 16_781_312),
    "vgg16": (14_714_688, 102_764_544 + 16_781_312),  # with fc8, the 138,357,544 of torchvision's
}
FIRST = {"caffenet": "conv1", "vgg_m": "conv1", "zf": "conv1", "vgg16": "conv1_1"}


def built(*overrides: str) -> nn.Module:
    return instantiate(config(*overrides).backbone, _convert_="all")


def body(name: str, *overrides: str, first: str | None = None) -> nn.Module:
    start = ("backbone.weights=null", f"backbone.first_trained={first or FIRST[name]}")
    return built(f"backbone={name}", *start, *overrides)


def images(height: int, width: int) -> Images:
    pixels = torch.randint(0, 256, (1, 3, height, width), dtype=torch.uint8)
    return Images(pixels, torch.tensor([[float(height), float(width)]]), torch.zeros(1, dtype=torch.int64))


def caffe_size(layer: nn.Module, size: int) -> int:
    """What Caffe makes of a side: convolutions round down, pools up, and no pool starts in the padding."""
    kernel, stride, padding = (
        value if isinstance(value, int) else value[0] for value in (layer.kernel_size, layer.stride, layer.padding)
    )
    if isinstance(layer, nn.Conv2d):
        return floor((size + 2 * padding - kernel) / stride) + 1
    pooled = ceil((size + 2 * padding - kernel) / stride) + 1
    return pooled - 1 if padding and (pooled - 1) * stride >= size + padding else pooled


@pytest.mark.parametrize("name", LAYER)
def test_parameters_are_as_published(name: str) -> None:
    with torch.device("meta"):
        model = body(name)
    count = tuple(sum(p.numel() for p in part.parameters()) for part in (model.trunk, model.classifier.pretrained))
    assert count == PARAMETERS[name]


@pytest.mark.parametrize("name", LAYER)
@pytest.mark.parametrize("side", [227, 600, 613])
def test_every_layer_has_the_size_that_caffe_gives_it(name: str, side: int) -> None:
    with torch.device("meta"):
        trunk, x = body(name).trunk, torch.zeros(1, 3, side, side)
        for layer in trunk:
            expected = caffe_size(layer, x.shape[-1]) if hasattr(layer, "stride") else x.shape[-1]
            x = layer(x)
            assert x.shape[-2:] == (expected, expected), layer


def test_golden_shapes() -> None:
    """conv5 of a 600 x 1000 image, and each layer of the VGG-16 paper at 224."""
    with torch.device("meta"):
        x = torch.zeros(1, 3, 600, 1000)
        assert {name: tuple(body(name).trunk(x).shape) for name in LAYER} == {
            "caffenet": (1, 256, 39, 64), "vgg_m": (1, 512, 36, 61), "zf": (1, 256, 39, 64), "vgg16": (1, 512, 38, 63),
        }  # fmt: skip
        x, shapes = torch.zeros(1, 3, 224, 224), []
        for layer in body("vgg16").trunk:
            x = layer(x)
            shapes += [tuple(x.shape[1:])] if isinstance(layer, nn.Conv2d) else []
    sides = [(64, 224)] * 2 + [(128, 112)] * 2 + [(256, 56)] * 3 + [(512, 28)] * 3 + [(512, 14)] * 3
    assert shapes == [(width, side, side) for width, side in sides]


def test_convolutions_are_grouped_and_normalised_as_in_the_prototxts() -> None:
    with torch.device("meta"):
        groups = {name: layer.groups for name, layer in body("caffenet").trunk.named_children() if "conv" in name}
        order = [[name for name, _ in body(key).trunk.named_children()][:4] for key in ("caffenet", "vgg_m", "zf")]
    assert groups == {"conv1": 1, "conv2": 2, "conv3": 1, "conv4": 2, "conv5": 2}
    assert order == [["conv1", "relu1", "pool1", "norm1"], *[["conv1", "relu1", "norm1", "pool1"]] * 2]


def test_within_channel_normalisation_is_local() -> None:
    x = torch.zeros(1, 2, 5, 5)
    x[0, 0, 2, 2] = 3.0
    y = WithinChannel(window=3, alpha=0.5, beta=0.75)(x)
    assert y[0, 0, 2, 2] == pytest.approx(3 * (1 + 0.5 * 9 / 9) ** -0.75)
    assert y.count_nonzero() == 1


@pytest.mark.parametrize(("first", "frozen"), [("conv1_1", 0), ("conv3_1", 3), ("fc6", 5)])
def test_layers_before_the_first_trained_are_frozen(tmp_path: Path, first: str, frozen: int) -> None:
    file = save(tmp_path, body("vgg16_mini", "backbone.norm=null", first="conv1_1"))
    given = (f"backbone.weights={file}", f"backbone.first_trained={first}")
    model = built("backbone=vgg16_mini", "backbone.norm=null", *given)
    trained = [layer.weight.requires_grad for layer in model.trunk if isinstance(layer, nn.Conv2d)]
    assert trained == [False] * frozen + [True] * (5 - frozen)
    assert all(p.requires_grad for p in model.classifier.body(36).parameters())


def save(folder: Path, model: nn.Module) -> Path:
    state = {**model.trunk.state_dict(), **model.classifier.pretrained.state_dict()}
    torch.save(state, folder / "caffe.pt")
    return folder / "caffe.pt"


def test_torchvision_weights_give_torchvision_features(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = vgg16(weights=None, init_weights=False).eval()
    torch.save(theirs.state_dict(), tmp_path / "vgg16.pth")
    ours = built("backbone=vgg16", f"backbone.weights={tmp_path / 'vgg16.pth'}")
    x = torch.rand(1, 3, 64, 96)
    torch.testing.assert_close(ours.trunk(x), theirs.features[:-1](x))
    regions = torch.rand(2, 512, 7, 7)
    head = ours.classifier.body(49).eval()
    torch.testing.assert_close(head(regions), theirs.classifier[:5](regions.flatten(1)))


def test_colours_and_mean_are_those_of_the_weights() -> None:
    given = images(32, 32)
    seen: list[Tensor] = []
    for order in ("rgb", "bgr"):
        model = body("vgg16_mini", f"backbone.channel_order={order}", "backbone.std=[1.0,1.0,1.0]", first="conv1_1")
        model.trunk = nn.Identity()
        seen += model(given)
    mean = torch.tensor([123.675, 116.28, 103.53])[:, None, None]
    torch.testing.assert_close(seen[0][0], given.pixels[0].float() - mean)
    assert torch.equal(seen[1], seen[0].flip(1))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(Exception, match=r"lacks conv1_1\.weight"):
        built("backbone=vgg16_mini", f"backbone.weights={tmp_path / 'other.pt'}")


def test_untrained_frozen_layers_and_unknown_ones_are_refused() -> None:
    with pytest.raises(Exception, match=r"backbone.first_trained=conv1_1 backbone.norm=gn32"):
        body("vgg16_mini", first="conv3_1")
    with pytest.raises(Exception, match=r"first_trained=conv9 is no layer; choose one of conv1, conv2"):
        body("caffenet_mini", first="conv9")


def test_a_residual_body_has_no_classifier_to_share() -> None:
    with pytest.raises(Exception, match=r"needs a backbone with fc6 and fc7, which ResNet has not"):
        build("model=fast_rcnn", "backbone=mini")
