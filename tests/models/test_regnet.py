"""RegNets: stages as the paper lists them, values as torchvision's at equal weights, weights under three code bases."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn

from lineage.models.backbones.regnet import stage_sizes
from lineage.weights.identify import identify
from lineage.weights.infer_overrides import infer_overrides
from lineage.weights.sources import regnet as names
from lineage.weights.sources.table import to_theirs
from tests.models.test_backbones import body, images, parameters
from tests.weights.published import d2_regnet, filled

PUBLISHED = {  # figures 15 and 16: blocks and widths of the stages, width of a group; millions in pycls's MODEL_ZOO.md
    "regnetx_3_2gf": ([2, 6, 15, 2], [96, 192, 432, 1008], 48, 15.3),
    "regnetx_4gf": ([2, 5, 14, 2], [80, 240, 560, 1360], 40, 22.1),
    "regnety_3_2gf": ([2, 5, 13, 1], [72, 216, 576, 1512], 24, 19.4),
    "regnety_4gf": ([2, 6, 12, 2], [128, 192, 512, 1088], 64, 20.6),
}
THEIRS = {"regnetx_3_2gf": "regnet_x_3_2gf", "regnety_3_2gf": "regnet_y_3_2gf"}


@pytest.mark.parametrize("name", PUBLISHED)
def test_stages_and_parameters_are_the_published_ones(name: str) -> None:
    depths, widths, group, millions = PUBLISHED[name]
    with torch.device("meta"):
        model = body(name)
    assert [len(stage) for stage in model.stages] == depths
    assert model.channels == widths
    assert {block.f.b[0].weight.shape[1] for stage in model.stages for block in stage} == {group}
    assert round((parameters(model) + 1000 * (widths[-1] + 1)) / 1e6, 1) == millions


@pytest.mark.parametrize("name", THEIRS)
def test_parameters_are_as_many_as_torchvision_publishes(name: str) -> None:
    weights = torchvision.models.get_model_weights(THEIRS[name])["IMAGENET1K_V2"]
    with torch.device("meta"):
        model = body(name)
    assert parameters(model) + 1000 * (model.channels[-1] + 1) == weights.meta["num_params"]


def random(name: str) -> nn.Module:
    torch.manual_seed(0)
    model = torchvision.models.get_model(THEIRS[name], weights=None).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.8, 1.2)
    return model


@pytest.mark.parametrize("name", THEIRS)
@torch.no_grad()
def test_a_file_of_torchvisions_gives_torchvisions_maps(name: str, tmp_path: Path) -> None:
    theirs, given = random(name), images(64, 96)
    torch.save(theirs.state_dict(), tmp_path / "regnet.pth")
    frozen = ("backbone.norm=frozen_bn", "backbone.frozen_stages=2")
    model = body(name, f"backbone.weights={tmp_path / 'regnet.pth'}", *frozen)
    x = theirs.stem(model.normalize(given))
    for ours, stage in zip(model(given), theirs.trunk_output, strict=True):
        x = stage(x)
        torch.testing.assert_close(ours, x, atol=1e-4, rtol=1e-4)
    assert not any(p.requires_grad for part in (model.stem, model.stages[0]) for p in part.parameters())
    assert all(p.requires_grad for stage in model.stages[1:] for p in stage.parameters())


@pytest.mark.parametrize("name", THEIRS)
def test_names_of_torchvision_go_there_and_back(name: str) -> None:
    state = random(name).state_dict()
    given = identify(state)
    assert (given.source, given.unknown) == (names.TORCHVISION.source, [])
    assert infer_overrides(given.state) == [f"backbone={name}"]
    again, unknown = to_theirs(names.TORCHVISION, given.state)
    assert not unknown
    assert again.keys() == {name for name in state if not name.startswith("fc.")}
    assert all(torch.equal(value, state[name]) for name, value in again.items())


@pytest.mark.parametrize("name", ["regnetx_4gf", "regnety_4gf"])
def test_a_checkpoint_of_pycls_fills_the_body(name: str, tmp_path: Path) -> None:
    """The file that detectron2's configs start from: names of pycls, blue first."""
    shapes = d2_regnet("", *PUBLISHED[name][:3], squeezed=name[6] == "y")
    state = filled(shapes) | {"head.fc.weight": torch.zeros(1000, shapes["s4.b1.bn.bias"][0])}
    torch.save({"epoch": 99, "model_state": state, "cfg": "MODEL: {}"}, tmp_path / "model.pyth")
    model = body(name, f"backbone.weights={tmp_path / 'model.pyth'}", "backbone.norm=frozen_bn")
    assert torch.equal(model.stem[0].weight, state["stem.conv.weight"].flip(1))
    assert torch.equal(model.stages[2][1].f.b[1].running_var, state["s3.b2.f.b_bn.running_var"])
    given = identify(state)
    assert (given.source, given.unknown) == ("pycls RegNet", [])
    assert infer_overrides(given.state) == [f"backbone={name}"]
    assert given.state.keys() == {f"backbone.{own}" for own in model.state_dict()}
    again = to_theirs(names.PYCLS, given.state)[0]
    assert all(torch.equal(again[leaf], state[leaf]) for leaf in state if not leaf.startswith("head."))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save(random("regnetx_3_2gf").state_dict(), tmp_path / "x.pth")
    for other in ("regnety_3_2gf", "resnet50"):
        with pytest.raises(Exception, match=r"x.pth are of another network: \d+ of \d+ tensors are not there"):
            body(other, f"backbone.weights={tmp_path / 'x.pth'}")


def test_numbers_that_make_no_four_stages_are_named() -> None:
    with pytest.raises(Exception, match=r"backbone.depth=2, .* make 2 stages, of widths \[96, 232\]"):
        body("regnetx_4gf", "backbone.depth=2", "backbone.w_a=100")
    assert stage_sizes(5, 32, 40, 2.0, 16) == ([1, 1, 2, 1], [32, 64, 128, 256], [16] * 4)


@pytest.mark.parametrize("name", ["regnetx_mini", "regnety_mini"])
@pytest.mark.parametrize("norm", ["gn", "sync_bn"])
def test_every_parameter_of_the_small_one_gets_a_gradient(name: str, norm: str) -> None:
    model = body(name, f"backbone.norm={norm}")
    maps: list[Tensor] = model(images(64, 96))
    assert [tuple(x.shape[1:]) for x in maps] == [(32, 16, 24), (64, 8, 12), (128, 4, 6), (256, 2, 3)]
    sum(x.square().mean() for x in maps).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
