"""Temporal super-resolution against closed forms: warping, intermediate flow, blocks of the U-Net, sizes, ensemble."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.interpolation.baselines import FrameAverage, NearestFrame
from lineage.models.interpolation.dhdn import DHDN, DenseBlock, PlainBlock
from lineage.models.interpolation.dvtsr import DVTSR
from lineage.models.interpolation.flow import UnknownFlowError, combine_super_slomo, scale_flows
from lineage.models.interpolation.self_ensemble import SelfEnsemble
from lineage.models.interpolation.spynet import SPyNet, double
from lineage.ops.square_symmetries import SYMMETRIES, apply_symmetry, apply_symmetry_to_flow, undo_symmetry
from lineage.ops.warp import warp_backward
from lineage.structures import FramePairs
from tests.models import compose


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def draw_pairs(batch: int = 2, height: int = 32, width: int = 48, flows: Tensor | None = None) -> FramePairs:
    frames = torch.randint(256, (batch, 2, 3, height, width), dtype=torch.uint8)
    sizes = torch.tensor([[height, width]] * batch, dtype=torch.float32)
    return FramePairs(frames, sizes, torch.zeros(batch, dtype=torch.int64), flows)


def make_model(**changes: object) -> DVTSR:
    parts: dict[str, object] = {
        "time": 0.5, "flow": "spynet", "combination": "super_slomo", "loss": "l1", "flow_loss": 0.0,
        "spynet": lambda: SPyNet(levels=3, channels=(8, 8), kernel_size=3, mean=(0.4,) * 3, std=(0.25,) * 3),
        "network": DHDN(width=4, block="dense"),
    }  # fmt: skip
    return DVTSR(**(parts | changes))  # type: ignore[arg-type]


def test_a_warp_by_nothing_changes_nothing() -> None:
    images = torch.rand(2, 3, 9, 14)
    assert torch.allclose(warp_backward(images, torch.zeros(2, 2, 9, 14)), images, atol=1e-6)


def test_a_warp_by_whole_pixels_moves_them_unchanged() -> None:
    """With align_corners=False, torch's default today, they would be mixed with their neighbours."""
    images = torch.rand(1, 3, 12, 16)
    flow = torch.tensor([3.0, -2.0]).view(1, 2, 1, 1).expand(1, 2, 12, 16)
    warped = warp_backward(images, flow)
    assert torch.allclose(warped[..., 2:, :-3], images[..., :-2, 3:], atol=1e-6)
    assert torch.allclose(warped[..., 2:, -3:], images[..., :-2, -1:].expand(1, 3, 10, 3), atol=1e-6)  # the border


def test_a_warp_by_parts_of_a_pixel_is_bilinear() -> None:
    images = torch.rand(1, 1, 8, 8)
    flow = torch.tensor([0.25, 0.0]).view(1, 2, 1, 1).expand(1, 2, 8, 8)
    expected = 0.75 * images[..., :-1] + 0.25 * images[..., 1:]
    assert torch.allclose(warp_backward(images, flow)[..., :-1], expected, atol=1e-6)


@pytest.mark.parametrize("time", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("combine", [combine_super_slomo, scale_flows])
def test_steady_motion_is_split_by_the_time(time: float, combine: object) -> None:
    velocity = torch.randn(1, 2, 4, 4)
    to_first, to_second = combine(velocity, -velocity, time)  # type: ignore[operator]
    assert torch.allclose(to_first, -time * velocity, atol=1e-6)
    assert torch.allclose(to_second, (1 - time) * velocity, atol=1e-6)


def test_super_slomo_combines_both_flows() -> None:
    forward, backward = torch.randn(2, 1, 2, 4, 4)
    to_first, to_second = combine_super_slomo(forward, backward, 0.25)
    assert torch.allclose(to_first, -0.75 * 0.25 * forward + 0.0625 * backward)
    assert torch.allclose(to_second, 0.5625 * forward - 0.25 * 0.75 * backward)


@pytest.mark.parametrize(("block", "parameters"), [("dense", 19_312_856), ("plain", 12_417_722)])
def test_the_network_has_the_size_of_the_authors(block: str, parameters: int) -> None:
    model = compose.build("model=dvtsr", "dataset=moving_shapes", "tier=paper", f"model.network.block={block}")
    assert sum(one.numel() for one in model.network.parameters()) == parameters
    assert sum(one.numel() for one in model.flow.parameters()) == 1_440_300


def test_a_dense_block_is_three_convolutions() -> None:
    block, features = DenseBlock(6), torch.randn(1, 6, 5, 7)

    def apply(layer: nn.Sequential, *inputs: Tensor) -> Tensor:
        values = F.conv2d(torch.cat(inputs, 1), layer[0].weight, layer[0].bias, padding=1)  # type: ignore[arg-type]
        return torch.where(values > 0, values, 0.25 * values)

    first = apply(block.first, features)
    second = apply(block.second, features, first)
    assert torch.allclose(block(features), features + apply(block.third, features, first, second), atol=1e-6)
    plain = PlainBlock(6)
    assert torch.allclose(plain(features), features + apply(plain.second, apply(plain.first, features)), atol=1e-6)


@pytest.mark.parametrize("block", ["dense", "plain"])
def test_a_frame_has_the_size_of_its_input(block: str) -> None:
    network = DHDN(width=4, block=block)  # type: ignore[arg-type]
    assert network(torch.rand(2, 6, 32, 48)).shape == (2, 3, 32, 48)


def test_a_doubled_flow_fits_odd_sides() -> None:
    flow = torch.ones(1, 2, 3, 4)
    assert torch.equal(double(flow, (7, 9)), torch.full((1, 2, 7, 9), 2.0))
    spynet = SPyNet(levels=6, channels=(4,), kernel_size=3, mean=(0.5,) * 3, std=(0.5,) * 3)
    assert spynet.estimate(torch.rand(1, 3, 35, 54), torch.rand(1, 3, 35, 54)).shape == (1, 2, 35, 54)


def test_a_single_level_corrects_a_flow_of_nothing() -> None:
    spynet = SPyNet(levels=1, channels=(4,), kernel_size=3, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    first, second = torch.rand(1, 3, 5, 6), torch.rand(1, 3, 5, 6)
    normal = [(frame - spynet.mean) / spynet.std for frame in (first, second)]
    expected = spynet.corrections[0](torch.cat((*normal, torch.zeros(1, 2, 5, 6)), 1))
    torch.testing.assert_close(spynet.estimate(first, second), expected)


def test_every_parameter_learns() -> None:
    model = make_model(flow_loss=0.1)
    losses = model.losses(draw_pairs(flows=torch.randn(2, 4, 2, 32, 48)), torch.zeros(2, 3, 32, 48, dtype=torch.uint8))
    assert [*losses] == ["frame", "flow"]
    torch.stack([loss.sum / loss.normalizer for loss in losses.values()]).sum().backward()
    assert [name for name, value in model.named_parameters() if value.grad is None] == []


@pytest.mark.parametrize(("name", "power"), [("l1", 1), ("l2", 2)])
def test_padding_costs_nothing(name: str, power: int) -> None:
    model = make_model(loss=name, flow="none")
    pairs = draw_pairs(1)._replace(sizes=torch.tensor([[20.0, 40.0]]))
    targets = torch.randint(256, (1, 3, 32, 48), dtype=torch.uint8)
    loss = model.losses(pairs, targets)["frame"]
    distance = (model.detect(pairs) - targets / 255)[..., :20, :40].abs() ** power
    assert float(loss.normalizer) == 3 * 20 * 40
    assert torch.allclose(loss.sum, distance.sum())


def test_exact_flow_has_to_be_there() -> None:
    with pytest.raises(UnknownFlowError, match="moving_shapes"):
        make_model(flow="exact").detect(draw_pairs())


@pytest.mark.parametrize("name", ["exact", "exact_intermediate"])
def test_exact_flow_finds_a_steady_motion(name: str) -> None:
    """Both frames are warped to the true one between them, so that nothing is left to the network."""
    wide = torch.randint(256, (1, 3, 32, 60), dtype=torch.uint8)
    frames = torch.stack((wide[..., 4:52], wide[..., 0:48]), 1)  # moves 4 pixels to the right
    flow = torch.tensor([4.0, 0.0]).view(2, 1, 1).expand(2, 32, 48)
    model = make_model(flow=name)
    read = []
    model.network.register_forward_pre_hook(lambda module, inputs: read.append(inputs[0]))
    model.detect(draw_pairs(1)._replace(frames=frames, flows=torch.stack((flow, -flow, -flow / 2, flow / 2))[None]))
    for warped in read[0].chunk(2, 1):
        assert torch.allclose(warped[..., 2:-2], wide[..., 4:48] / 255, atol=1e-5)


@pytest.mark.parametrize(("turns", "mirrored"), SYMMETRIES)
def test_a_symmetry_of_the_square_is_undone(turns: int, mirrored: bool) -> None:
    images = torch.rand(2, 3, 4, 6)
    assert torch.equal(undo_symmetry(apply_symmetry(images, turns, mirrored), turns, mirrored), images)


@pytest.mark.parametrize(("turns", "mirrored"), SYMMETRIES)
def test_flows_turn_with_their_frames(turns: int, mirrored: bool) -> None:
    """The turned frame warped by the turned flow is the warped frame, turned."""
    images, flow = torch.rand(1, 3, 8, 8), torch.randn(1, 2, 8, 8)
    turned = warp_backward(apply_symmetry(images, turns, mirrored), apply_symmetry_to_flow(flow, turns, mirrored))
    assert torch.allclose(turned, apply_symmetry(warp_backward(images, flow), turns, mirrored), atol=1e-5)


@pytest.mark.parametrize("views", [1, 8])
def test_the_ensemble_of_an_equivariant_model_is_the_model(views: int) -> None:
    pairs = draw_pairs()
    model = FrameAverage(time=0.5)
    assert torch.allclose(SelfEnsemble(model, views=views).detect(pairs), model.detect(pairs), atol=1e-6)
    with pytest.raises(ValueError, match="1 to 8"):
        SelfEnsemble(model, views=9)


@pytest.mark.parametrize("name", ["exact", "exact_intermediate"])
def test_the_ensemble_turns_known_flows(name: str) -> None:
    """Warping by exact flow is equivariant, so an ensemble of it is no other: a wrong turn would show."""
    flow = torch.randn(1, 4, 2, 16, 16) * 2
    model = make_model(flow=name, network=nn.Identity())
    pairs = draw_pairs(1, 16, 16, flow)
    assert torch.allclose(SelfEnsemble(model, views=8).detect(pairs), model.detect(pairs), atol=1e-5)


def test_baselines_know_the_time() -> None:
    pairs = draw_pairs()
    first, second = pairs.frames[:, 0] / 255, pairs.frames[:, 1] / 255
    assert torch.allclose(FrameAverage(time=0.25).detect(pairs), 0.75 * first + 0.25 * second)
    assert torch.equal(NearestFrame(time=0.5).detect(pairs), first)
    assert torch.equal(NearestFrame(time=0.75).detect(pairs), second)
