"""Bodies: sizes as published, options that start as the plain network, freezing, and weights of other code bases."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck
from torchvision.ops import deform_conv2d
from torchvision.transforms.v2.functional import pil_to_tensor

from lineage.config.build import build as made
from lineage.models.backbones.deformable_conv import DeformableConv
from lineage.models.backbones.mobilenet import SamePadded
from lineage.models.backbones.non_local import NonLocal
from lineage.structures import Images
from lineage.weights import tfjs
from lineage.weights.arrays import FileError
from lineage.weights.identify import identify
from tests.models.compose import config

SCRATCH = ("tier=paper", "backbone.weights=null", "backbone.norm=bn", "backbone.frozen_stages=0")


def body(name: str, *options: str) -> nn.Module:
    torch.manual_seed(0)
    return made(config(*SCRATCH, f"backbone={name}", *options).backbone)


def images(*size: int) -> Images:
    pixels = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Images(pixels, torch.tensor([size, size]).float(), torch.tensor([0, 1]))


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


# torchvision documents its models' parameters, classifiers of 1000 classes included
PUBLISHED = {
    "resnet18": (11689512, 512), "resnet34": (21797672, 512), "resnet50": (25557032, 2048),
    "resnet101": (44549160, 2048), "resnet152": (60192808, 2048), "resnext101_32x8d": (88791336, 2048),
    "resnext101_64x4d": (83455272, 2048),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_as_many_as_published(name: str) -> None:
    count, channels = PUBLISHED[name]
    with torch.device("meta"):
        model = body(name)
    assert parameters(model) == count - 1000 * (channels + 1)
    weights = next(w for w in torchvision.models.get_model_weights(name) if w.name == "IMAGENET1K_V1")
    assert weights.meta["num_params"] == count


def test_resnext152_has_the_layers_of_its_name() -> None:
    with torch.device("meta"):
        model = body("resnext152_32x8d")
        expected = torchvision.models.ResNet(Bottleneck, [3, 8, 36, 3], groups=32, width_per_group=8)
    assert parameters(model) == parameters(expected) - parameters(expected.fc)
    assert 121e6 < parameters(expected) < 123e6
    assert [len(stage) for stage in model.stages] == [3, 8, 36, 3]
    assert model.stages[0][0].conv2.weight.shape == (256, 8, 3, 3)


def test_mobilenet_v3_has_the_features_of_torchvision() -> None:
    model = body("mobilenet_v3_large")
    expected = torchvision.models.mobilenet_v3_large().features
    assert parameters(model) == parameters(expected)
    assert model.channels == [24, 40, 112, 960]
    assert [tuple(x.shape[-2:]) for x in model(images(64, 96))] == [(16, 24), (8, 12), (4, 6), (2, 3)]


def test_mobilenet_v1_strides_round_up_as_tensorflow_does() -> None:
    model = body("mobilenet_v1_075").eval()
    assert model.channels == [96, 192, 384, 768]
    assert [tuple(x.shape[-2:]) for x in model(images(65, 96))] == [(17, 24), (9, 12), (5, 6), (3, 3)]


@pytest.mark.parametrize(
    ("side", "stride", "padding"),
    [(64, 2, (0, 1)), (65, 2, (1, 1)), (7, 2, (1, 1)), (8, 1, (1, 1)), (9, 1, (1, 1)), (10, 3, (1, 1)), (9, 3, (0, 0))],
)
def test_padding_is_tensorflows_same(side: int, stride: int, padding: tuple[int, int]) -> None:
    """tf.nn: in all max((ceil(n / s) - 1) s + k - n, 0) pixels, of which the smaller half lies before."""
    layer = SamePadded(nn.Conv2d(1, 1, 3, stride=stride, bias=False))
    x = torch.randn(1, 1, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = layer.convolution(nn.functional.pad(x, (*padding, *padding)))
        assert torch.equal(layer(x), expected)
    assert expected.shape[-1] == -(-side // stride)


def test_where_a_bottleneck_strides_changes_no_shape() -> None:
    late, early = body("resnet50"), body("resnet50", "backbone.stride_in=1x1")
    assert [stage[0].conv1.stride[0] for stage in early.stages] == [1, 2, 2, 2]
    assert all(stage[0].conv2.stride == (1, 1) for stage in early.stages)
    assert [stage[0].conv2.stride[0] for stage in late.stages] == [1, 2, 2, 2]
    with torch.no_grad():
        a, b = late.eval()(images(64, 64)), early.eval()(images(64, 64))
    assert [x.shape for x in a] == [x.shape for x in b]
    assert torch.equal(a[0], b[0])
    assert not torch.equal(a[1], b[1])


@pytest.mark.parametrize("version", [1, 2])
def test_deformable_convolutions_start_as_plain_ones(version: int) -> None:
    plain = body("resnet50").eval()
    moved = body("resnet50", "backbone.deform=[3,4,5]", f"backbone.deform_version={version}").eval()
    missing, unexpected = moved.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected
    assert all(".offset." in name for name in missing)
    assert len(missing) == 2 * (4 + 6 + 3)
    with torch.no_grad():
        for a, b in zip(plain(images(64, 64)), moved(images(64, 64)), strict=True):
            torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)


def test_an_offset_moves_what_a_tap_sees() -> None:
    layer = DeformableConv(nn.Conv2d(2, 3, 3, padding=1, bias=False), version=2)
    nn.init.normal_(layer.offset.weight, std=0.1)
    x = torch.randn(1, 2, 7, 9)
    field, mask = layer.offset(x).split((18, 9), 1)
    expected = deform_conv2d(x, field, layer.weight, None, 1, 1, 1, 2 * mask.sigmoid())
    torch.testing.assert_close(layer(x), expected)
    layer(x).sum().backward()
    assert layer.offset.weight.grad.abs().sum() > 0


def test_a_non_local_block_starts_as_nothing_and_sees_everything() -> None:
    torch.manual_seed(0)
    block, x = NonLocal(8), torch.randn(1, 8, 5, 7)
    assert torch.equal(block(x), x)
    for layer in (block.theta, block.phi, block.g, block.out):
        nn.init.normal_(layer.weight)
    far = x.clone()
    far[..., -1, -1] += 5
    assert (block(far) - block(x))[0, :, 0, 0].abs().sum() > 1e-4
    query, key, value = (layer(x) for layer in (block.theta, block.phi, block.g))
    key, value = (torch.max_pool2d(y, 2, ceil_mode=True).flatten(2) for y in (key, value))
    weights = (query.flatten(2).transpose(1, 2) @ key).softmax(-1)
    expected = x + block.out((weights @ value.transpose(1, 2)).transpose(1, 2).unflatten(2, (5, 7)))
    torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-4)


def test_a_body_with_a_non_local_block_still_loads_plain_weights() -> None:
    plain, related = body("resnet50").eval(), body("resnet50", "backbone.non_local=[4]").eval()
    missing, unexpected = related.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected
    assert {name.split(".")[0] for name in missing} == {"relations"}
    with torch.no_grad():
        for a, b in zip(plain(images(64, 64)), related(images(64, 64)), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v3_large", "mobilenet_v1_075"])
@pytest.mark.parametrize("norm", ["bn", "gn", "gn32", "sync_bn"])
def test_every_norm_fits_every_body(name: str, norm: str) -> None:
    with torch.device("meta"):
        model = body(name, f"backbone.norm={norm}")
    assert parameters(model) > 0


def test_group_norm_has_32_groups_at_64_channels() -> None:
    """Compare with torch.nn.GroupNorm(32, channels), of the paper, Detectron and detectron2 at every width."""
    theirs = torchvision.models.resnet18(norm_layer=partial(nn.GroupNorm, 32)).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.uniform_(-0.2, 0.3)
    ours = body("resnet18", "backbone.norm=gn32").eval()
    state = identify(theirs.state_dict()).state
    ours.load_state_dict({name.removeprefix("backbone."): value for name, value in state.items()})
    pixels = images(64, 96)
    with torch.no_grad():
        x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(ours.normalize(pixels)))))
        for stage, level in zip(
            (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4), ours(pixels), strict=True
        ):
            x = stage(x)
            torch.testing.assert_close(level, x)


def test_a_thin_norm_on_a_wide_body_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with torch.device("meta"):
        body("resnet50", "backbone.norm=gn")
    assert "backbone.norm=gn has 16 groups at 64 channels" in caplog.text
    assert "backbone.norm=gn32" in caplog.text


@pytest.mark.parametrize(("name", "frozen"), [("resnet50", 2), ("mobilenet_v3_large", 3), ("mobilenet_v1_075", 2)])
def test_frozen_stages_are_the_first_ones(name: str, frozen: int) -> None:
    model = body(name, "backbone.weights=later", f"backbone.frozen_stages={frozen}")
    trained = [p.requires_grad for p in model.parameters()]
    assert not trained[0]
    assert trained[-1]
    assert trained == sorted(trained)


@pytest.mark.parametrize("name", ["mobilenet_v3_large", "mobilenet_v1_075"])
@pytest.mark.parametrize("frozen", [1, 2, 3, 4])
def test_a_stage_of_mobilenet_begins_with_the_block_that_strides(name: str, frozen: int) -> None:
    blocks = body(name, "backbone.weights=later", f"backbone.frozen_stages={frozen}").eval().blocks
    is_trained = [all(parameter.requires_grad for parameter in block.parameters()) for block in blocks]
    first = is_trained.index(True)
    before = blocks[:first](torch.zeros(1, 3, 64, 64))
    assert (before.shape[-1], blocks[first](before).shape[-1]) == (64 >> frozen, 64 >> (frozen + 1))


def test_a_body_of_three_stages_ends_with_c4() -> None:
    """Its maps are those of the whole body, without the last."""
    torch.manual_seed(0)
    whole = body("mini")
    short = body("mini", "backbone.layers=[1,1,1]")
    short.load_state_dict({name: value for name, value in whole.state_dict().items() if name in short.state_dict()})
    assert short.channels == whole.channels[:3]
    for ours, theirs in zip(short(images(64, 96)), whole(images(64, 96))[:3], strict=True):
        assert torch.equal(ours, theirs)


def test_untrained_frozen_layers_are_refused_with_the_fix() -> None:
    with pytest.raises(Exception, match=r"weights=null.*backbone.norm=gn32 backbone.frozen_stages=0"):
        body("mobilenet_v1_075", "backbone.norm=frozen_bn")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("backbone.deform=[6]", "stages are numbered 2 to 5"),
        ("backbone.layers=[1,1]", "four stages, or three"),
        ("backbone.deform_version=3", "deform_version=3 is unknown"),
        ("backbone.stride_in=2x2", "stride_in=2x2: choose 1x1 or 3x3"),
        ("backbone.block=plain", "block=plain: choose basic or bottleneck"),
    ],
)
def test_wrong_options_are_named(option: str, message: str) -> None:
    options = [option, "backbone.deform=[5]"] if "version" in option else [option]
    with pytest.raises(Exception, match=message):
        body("resnet50", *options)


@pytest.fixture(scope="module")
def keras(real_data: Path) -> Path:
    return real_data / "mobilenet_v1_075_imagenet" / "mobilenet_v1_0.75_224"


def classified(model: nn.Module, picture: Image.Image, folder: Path) -> list[int]:
    pixels = pil_to_tensor(picture.convert("RGB").resize((224, 224)))[None]
    with torch.no_grad():
        pooled = model(Images(pixels, torch.tensor([[224.0, 224.0]]), torch.tensor([0])))[-1].mean((2, 3))
    given = tfjs.read_tfjs(folder)
    scores: Tensor = pooled @ given["conv_preds/kernel"][0, 0] + given["conv_preds/bias"]
    return scores[0].topk(3).indices.tolist()


def test_real_weights_know_a_bulldog_and_a_cat(keras: Path, real_data: Path) -> None:
    model = body("mobilenet_v1_075", f"backbone.weights={keras}").eval()
    both = Image.open(real_data / "images" / "both.png")
    labels = json.loads((keras / "metadata.json").read_text())["labels"]
    assert [labels[i].split(",")[0] for i in classified(model, both, keras)[:2]] == ["bull mastiff", "tiger cat"]
    assert labels[classified(model, both.crop((40, 115, 210, 224)), keras)[0]].startswith("tiger cat")


def test_a_missing_or_short_shard_is_named(tmp_path: Path) -> None:
    weights = [{"name": "conv1/kernel", "dtype": "float32", "shape": [3, 2]}]
    index = {"weightsManifest": [{"paths": ["one"], "weights": weights}]}
    (tmp_path / "model.json").write_text(json.dumps(index))
    with pytest.raises(FileError, match=r"one: this shard of the model is missing"):
        tfjs.read_tfjs(tmp_path)
    (tmp_path / "one").write_bytes(b"\0" * 20)
    with pytest.raises(FileError, match=r"one: cut off inside conv1/kernel"):
        tfjs.read_tfjs(tmp_path)
    (tmp_path / "one").write_bytes(torch.arange(6.0).numpy().tobytes())
    assert tfjs.read_tfjs(tmp_path)["conv1/kernel"].tolist() == [[0, 1], [2, 3], [4, 5]]
