"""Options of ResNet that recipes of today need: stems, pooled shortcuts, zero gamma, stochastic depth."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.config.build import build
from lineage.models.backbones.last_stage import dilate_last_stage
from lineage.models.backbones.residual import run_block
from lineage.models.backbones.stochastic_depth import StochasticDepth
from lineage.structures import Images
from tests.models.compose import config

SCRATCH = ("tier=paper", "backbone.weights=null", "backbone.norm=bn", "backbone.frozen_stages=0")


def body(*options: str, name: str = "resnet18") -> nn.Module:
    torch.manual_seed(0)
    return build(config(*SCRATCH, f"backbone={name}", *options).backbone)


def images(*size: int, count: int = 2) -> Images:
    pixels = torch.randint(0, 256, (count, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Images(pixels, torch.tensor([size] * count).float(), torch.arange(count) + 1)


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_deep_stem_and_pooled_shortcut_have_the_parameters_of_resnet_50_d() -> None:
    """timm documents 25.58 M for ResNet-50-D, a classifier of 1000 classes included.

    The stem has 3*32*9 + 32*32*9 + 32*64*9 weights in place of 3*64*49, and two more norms of 32 channels.
    """
    with torch.device("meta"):
        plain, variant = (
            body(*options, name="resnet50") for options in ((), ("backbone.stem=deep", "backbone.shortcut=pool"))
        )
    assert count(variant) - count(plain) == (864 + 9216 + 18432) - 9408 + 2 * 2 * 32
    assert round((count(variant) + 1000 * 2049) / 1e6, 2) == 25.58
    assert [stage[0].downsample[1].stride for stage in variant.stages] == [(1, 1)] * 4
    assert [stage[0].downsample[0].stride for stage in variant.stages] == [1, 2, 2, 2]


def test_maps_of_the_variants_have_the_strides_of_resnet() -> None:
    plain, variant = body().eval(), body("backbone.stem=deep", "backbone.shortcut=pool").eval()
    for size in ((64, 96), (70, 61)):  # at odd sizes a pooled shortcut rounds up, as a strided convolution does
        with torch.no_grad():
            assert [x.shape for x in plain(images(*size))] == [x.shape for x in variant(images(*size))]


def test_a_pooled_shortcut_reads_all_pixels_of_a_cell() -> None:
    shortcut = body("backbone.shortcut=pool").eval().stages[1][0].downsample
    x = torch.randn(1, 64, 4, 5)
    expected = F.conv2d(F.avg_pool2d(F.pad(x, (0, 1, 0, 0), mode="replicate"), 2), shortcut[1].weight)
    torch.testing.assert_close(shortcut[:2](x), expected)  # the mean of a half cell is that of a repeated column


def test_dilation_stops_the_pooling_of_a_shortcut() -> None:
    model = dilate_last_stage(body("backbone.shortcut=pool", name="resnet50").eval(), 2)
    with torch.no_grad():
        maps = model(images(64, 64))
    assert maps[-1].shape[-2:] == maps[-2].shape[-2:] == (4, 4)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_with_zero_gamma_a_block_starts_as_its_shortcut(name: str) -> None:
    model = body("backbone.zero_gamma=true", name=name)
    block = model.stages[0][-1]
    x = torch.rand(2, block.conv1.in_channels, 6, 6)
    assert torch.equal(block(x), x)  # ReLU of what is positive
    zeros = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d) and not module.weight.any()]
    assert len(zeros) == sum(len(stage) for stage in model.stages)


def test_zero_gamma_of_frozen_norms_is_refused() -> None:
    with pytest.raises(Exception, match="a frozen norm would stay 0"):
        body("backbone.zero_gamma=true", "backbone.norm=frozen_bn", "backbone.weights=later")


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_block_whose_branch_counts_once_is_torchvisions(name: str) -> None:
    block = body(name=name).eval().stages[1][0]
    x = torch.randn(3, block.conv1.in_channels, 8, 8)
    assert torch.equal(run_block(block, x, torch.ones(3)), block(x))
    skipped = run_block(block, x, torch.tensor([0.0, 1.0, 2.0]))
    torch.testing.assert_close(skipped[0], block.downsample(x)[0].relu())
    torch.testing.assert_close(skipped[1], block(x)[1])


def test_stochastic_depth_rises_linearly_and_keeps_the_mean() -> None:
    depth = StochasticDepth(0.4, 4)
    scales = depth(torch.arange(20_000))
    assert scales.shape == (4, 20_000)
    for number, row in enumerate(scales, 1):
        probability = 0.4 * number / 4
        torch.testing.assert_close(row.unique(), torch.tensor([0.0, 1 / (1 - probability)]))
        assert (row == 0).float().mean() == pytest.approx(probability, abs=0.015)
        assert row.mean() == pytest.approx(1, abs=0.02)
    assert depth.eval()(torch.arange(5)).equal(torch.ones(4, 5))


def test_an_image_skips_the_same_blocks_in_any_batch() -> None:
    """The draw is of the image's key: 2 processes x 1 image equal 1 process x 2, and a resumed run goes on alike."""
    model = body("backbone.drop_path=0.5", "backbone.norm=gn")
    batch = images(64, 64, count=4)
    alone = Images(*(field[2:3] for field in batch[:3]))

    def forward(part: Images) -> list[Tensor]:
        with torch.no_grad():
            return model(part)

    for whole, single in zip(forward(batch), forward(alone), strict=True):
        torch.testing.assert_close(whole[2:3], single, atol=1e-5, rtol=1e-4)
    other = batch._replace(rng_keys=batch.rng_keys + 100)
    assert not torch.equal(forward(batch)[-1], forward(other)[-1])
    plain = body("backbone.norm=gn").eval()
    plain.load_state_dict(model.state_dict())  # stochastic depth has no parameters
    for expected, tested in zip(plain(batch), model.eval()(batch), strict=True):
        torch.testing.assert_close(tested, expected)


def test_wrong_words_are_refused() -> None:
    for option, message in (
        ("stem=deeper", "stem=deeper: choose conv7 or deep"),
        ("shortcut=max", "shortcut=max: choose conv or pool"),
        ("drop_path=1.5", "below 1"),
    ):
        with pytest.raises(Exception, match=message):
            body(f"backbone.{option}")
