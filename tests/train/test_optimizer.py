"""Parameter groups are the papers'."""

import pytest
import torch
from torch import nn

from lineage.models.backbones.deformable_conv import DeformableConv
from lineage.train.optimizer import adamw, sgd, split_parameters
from tests.train.toy import ToyData, detection_module, trainer

SGD = {"lr": 0.02, "momentum": 0.9, "weight_decay": 1e-4, "norm_decay": 0.0, "bias_lr_factor": 2.0, "bias_decay": 0.0}


def body() -> nn.Module:
    frozen = nn.Conv2d(3, 4, 1)
    frozen.requires_grad_(False)
    return nn.Sequential(frozen, nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Linear(4, 2))


def test_groups_hold_every_trainable_parameter_once() -> None:
    model = body()
    weights, norms, biases = split_parameters(model)
    assert [len(weights), len(norms), len(biases)] == [2, 2, 2]
    assert {*weights, *norms, *biases} == {p for p in model.parameters() if p.requires_grad}


def test_a_shared_parameter_is_stepped_once() -> None:
    linear = nn.Linear(3, 3)
    assert len(split_parameters(nn.Sequential(linear, nn.Sequential(linear)))[0]) == 1


def test_groups_get_their_own_decay_and_rate() -> None:
    weights, norms, biases = sgd(body(), **SGD).param_groups
    assert (weights["lr"], weights["weight_decay"]) == (0.02, 1e-4)
    assert (norms["lr"], norms["weight_decay"]) == (0.02, 0.0)
    assert (biases["lr"], biases["weight_decay"]) == (0.04, 0.0)


PLAIN = {"fused": False, "foreach": False}


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_fused_steps_equal_plain_ones(name: str) -> None:
    model, plain = nn.Linear(5, 5), nn.Linear(5, 5)
    plain.load_state_dict(model.state_dict())
    if name == "sgd":
        ours = sgd(model, **{**SGD, "bias_lr_factor": 1.0, "bias_decay": 1e-4})
        theirs = torch.optim.SGD(plain.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-4, **PLAIN)
    else:
        ours = adamw(model, lr=0.02, betas=[0.9, 0.99], weight_decay=0.0)
        theirs = torch.optim.AdamW(plain.parameters(), lr=0.02, betas=(0.9, 0.99), weight_decay=0.0, **PLAIN)
    assert all(group["fused"] for group in ours.param_groups)
    for _ in range(3):
        for net, optimizer in ((model, ours), (plain, theirs)):
            optimizer.zero_grad()
            net(torch.ones(2, 5)).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(model.weight, plain.weight)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_gradients_are_clipped_in_any_precision(precision: str) -> None:
    """Lightning refuses to clip for a fused optimizer under autocast; a step is at most the rate times the norm."""
    module = detection_module()
    before = [parameter.detach().clone() for parameter in module.parameters()]
    fitted = trainer(1, precision=precision, gradient_clip_val=1e-3)
    fitted.fit(module, datamodule=ToyData())
    steps = [new.detach() - old for new, old in zip(module.parameters(), before, strict=True)]
    assert torch.cat([step.flatten() for step in steps]).norm() == pytest.approx(0.02 * 0.1 * 1e-3, rel=0.05)


class Body(nn.Module):
    """Three layers in order, then a head beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Layers()
        self.head = nn.Linear(4, 2)


class Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [nn.Conv2d(3, 4, 1), nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)), nn.Conv2d(4, 4, 1)]
        )

    def list_layers(self) -> list[nn.Module]:
        return list(self.layers)


def rates_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, tuple[float, float]]:
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {names[p]: (group["lr"], group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]}


def test_layers_of_the_body_learn_the_more_slowly_the_earlier_they_are() -> None:
    """detectron2's get_vit_lr_decay_rate, 12 layers: 0.7^13 of the patches to 0.7^1 of the last block, 1 of heads."""
    model = Body()
    rates = rates_of(model, adamw(model, lr=1e-4, betas=[0.9, 0.999], weight_decay=0.1, layer_decay=0.7))
    assert rates["backbone.layers.0.weight"] == pytest.approx((1e-4 * 0.7**3, 0.1))
    assert rates["backbone.layers.0.bias"] == pytest.approx((1e-4 * 0.7**3, 0.0))
    assert rates["backbone.layers.1.1.weight"] == pytest.approx((1e-4 * 0.7**2, 0.0))
    assert rates["backbone.layers.2.weight"] == pytest.approx((1e-4 * 0.7, 0.1))
    assert rates["head.weight"] == (1e-4, 0.1)
    assert len(rates) == len(list(model.parameters()))
    both = rates_of(model, sgd(model, **SGD, layer_decay=0.5))
    assert both["backbone.layers.2.bias"] == pytest.approx((0.02 * 2 * 0.5, 0.0))


def test_filters_that_predict_offsets_learn_at_a_tenth() -> None:
    """Deformable ConvNets v2 (arXiv:1811.11168), section 2.2; on top of the rate of their layer."""
    model = Body()
    model.backbone.layers[2] = DeformableConv(nn.Conv2d(4, 4, 3, padding=1), version=2)
    rates = rates_of(model, sgd(model, **SGD, offset_lr_factor=0.1))
    assert rates["backbone.layers.2.weight"][0] == rates["head.weight"][0] == 0.02
    assert rates["backbone.layers.2.offset.weight"][0] == pytest.approx(0.002)
    rates = rates_of(
        model,
        adamw(model, lr=1e-3, betas=[0.9, 0.999], weight_decay=0.0, layer_decay=0.5, offset_lr_factor=0.1),
    )
    assert rates["backbone.layers.2.weight"][0] == pytest.approx(5e-4)
    assert rates["backbone.layers.2.offset.bias"][0] == pytest.approx(5e-5)
    assert len(rates) == len(list(model.parameters()))


def test_the_first_group_has_the_rate_that_is_logged() -> None:
    for optimizer in (sgd(Body(), **SGD, layer_decay=0.5), sgd(Body(), **SGD)):
        assert optimizer.param_groups[0]["lr"] == 0.02


def test_layer_decay_of_a_body_without_order_is_refused() -> None:
    with pytest.raises(ValueError, match=r"optimizer.layer_decay=0.7: Sequential has no method list_layers"):
        sgd(body(), **SGD, layer_decay=0.7)


def test_without_bias_decay_exactly_biases_and_norms_do_not_decay() -> None:
    """He et al. (arXiv:1812.01187), section 3.1: only the weights of convolutions and linear layers decay."""
    model = Body()
    rates = rates_of(model, sgd(model, **{**SGD, "bias_decay": 0.0, "norm_decay": 0.0}))
    assert {name for name, (_, decay) in rates.items() if decay == 0} == {
        name for name, parameter in model.named_parameters() if parameter.ndim == 1
    }
