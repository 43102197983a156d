"""Methods against closed forms: CAM's network, networks without negative values, completeness, differences."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.explain import cam, gradients
from lineage.explain.methods import CAM_METHODS, D_RISE, METHODS, explain
from lineage.explain.relu_rules import RULES, ReLURule, UndefinedRule
from tests.explain.networks import NetworkOutput, pooled_linear


def plain(seed: int = 0, positive: bool = False) -> NetworkOutput:
    torch.manual_seed(seed)
    body = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU()
    ).double()
    if positive:
        for parameter in body.parameters():
            parameter.data.abs_()
    pixels = torch.rand(1, 3, 16, 16, dtype=torch.float64)
    weight = torch.randn(8, dtype=torch.float64)
    return NetworkOutput(body, pooled_linear(weight.abs() if positive else weight), pixels)


def test_grad_cam_of_a_pooled_linear_network_is_cam() -> None:
    torch.manual_seed(0)
    weight, maps = torch.randn(5), torch.rand(1, 5, 4, 4)
    output = NetworkOutput(nn.Identity(), pooled_linear(weight), maps)
    activations = cam.compute_activations(output)
    expected = (weight[:, None, None] * maps[0]).sum(0) / 16
    for method in (cam.grad_cam, cam.hires_cam, cam.xgrad_cam):
        torch.testing.assert_close(method(activations.maps, activations.gradients), expected)


def test_hires_cam_sums_to_the_scalar_of_a_linear_head_and_grad_cam_does_not() -> None:
    torch.manual_seed(0)
    weight, maps = torch.randn(1, 5, 4, 4), torch.rand(1, 5, 4, 4)
    output = NetworkOutput(nn.Identity(), lambda features: (features * weight).sum(), maps)
    activations = cam.compute_activations(output)
    torch.testing.assert_close(cam.hires_cam(*activations[:2]).sum(), (weight * maps).sum())
    assert abs(cam.grad_cam(*activations[:2]).sum() - (weight * maps).sum()) > 0.1


def test_grad_cam_plus_plus_of_one_pixel() -> None:
    """A = 2, G = 3 in one pixel of 1: alpha = 9 / (18 + 2 * 27), weight = 3 alpha, map = 6 alpha."""
    values = cam.grad_cam_plus_plus(torch.full((1, 1, 1), 2.0), torch.full((1, 1, 1), 3.0))
    assert float(values) == pytest.approx(6 * 9 / 72)


def test_spatial_grad_cam_weights_by_gradient_and_equals_grad_cam_where_that_is_constant() -> None:
    """G = (1, .5) has the mean .75 and the shares (1, .5); A = (2, 2)."""
    values = cam.spatial_grad_cam(torch.full((1, 1, 2), 2.0), torch.tensor([[[1.0, 0.5]]]))
    torch.testing.assert_close(values, torch.tensor([[1.5, 0.75]]))
    maps, constant = torch.rand(3, 4, 4), torch.randn(3, 1, 1).expand(3, 4, 4)
    torch.testing.assert_close(cam.spatial_grad_cam(maps, constant), cam.grad_cam(maps, constant))
    assert not cam.spatial_grad_cam(maps, torch.zeros(3, 4, 4)).any()


def test_eigen_cam_has_the_sign_of_the_activations() -> None:
    maps = torch.zeros(4, 6, 6)
    maps[:, 2, 3] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    values = cam.eigen_cam(maps, torch.zeros_like(maps))
    assert int(values.argmax()) == 2 * 6 + 3
    assert int((values > 0).sum()) == 1


def test_rules_coincide_where_nothing_is_negative() -> None:
    output = plain(positive=True)
    expected = gradients.compute_gradient(output)
    for rule in RULES:
        torch.testing.assert_close(gradients.propagate(output, rule), expected)


def test_rules_differ_in_general_and_gradient_is_autograd() -> None:
    output = plain()
    maps = {rule: gradients.propagate(output, rule) for rule in RULES}
    torch.testing.assert_close(maps["gradient"], gradients.compute_gradient(output), rtol=0, atol=0)
    assert (maps["guided"] - maps["gradient"]).abs().max() > 1e-4
    assert (maps["guided"] - maps["deconvnet"]).abs().max() > 1e-4


@pytest.mark.parametrize(
    "rectify", [F.relu, torch.relu, Tensor.relu, nn.ReLU(), nn.ReLU(inplace=True), lambda x: F.relu_(x.clone())]
)
def test_every_way_to_call_a_relu_is_replaced(rectify: nn.Module) -> None:
    """Two ReLUs, x = 1 and -1, signals 1 and -1: deconvnet passes positive signals, guided those of f > 0 too."""
    x = torch.tensor([1.0, 1.0, -1.0, -1.0])
    signal = torch.tensor([1.0, -1.0, 1.0, -1.0])
    expected = {"gradient": [1, -1, 0, 0], "deconvnet": [1, 0, 1, 0], "guided": [1, 0, 0, 0]}
    for rule, values in expected.items():
        leaf = x.clone().requires_grad_(True)
        with ReLURule(rule) as mode:
            y = rectify(leaf * 1)
        assert mode.count == 1
        assert torch.autograd.grad(y, leaf, signal)[0].tolist() == values


def test_relu6_closes_at_both_ends() -> None:
    leaf = torch.tensor([-1.0, 3.0, 7.0], requires_grad=True)
    with ReLURule("guided") as mode:
        y = nn.ReLU6()(leaf)
    assert mode.count == 1
    assert y.tolist() == [0, 3, 6]
    assert torch.autograd.grad(y.sum(), leaf)[0].tolist() == [0, 1, 0]


def test_an_activation_without_a_rule_is_refused() -> None:
    output = NetworkOutput(nn.Hardswish(), pooled_linear(torch.ones(3)), torch.rand(1, 3, 4, 4))
    with pytest.raises(UndefinedRule, match=r"hardswish.*choose gradient"):
        gradients.map_guided_backprop(output)
    assert gradients.map_gradient(output).max() > 0


def test_integrated_gradients_are_complete() -> None:
    output = plain()
    with torch.no_grad():
        difference = output.score(output.features(output.pixels)) - output.score(output.features(output.baseline))
    total = gradients.map_integrated_gradients(output, steps=256).sum()
    assert float(total) == pytest.approx(float(difference), rel=0.01)


def test_the_gradient_equals_central_differences() -> None:
    output, step = plain(), 1e-6
    gradient = gradients.compute_gradient(output)
    for channel, row, column in ((0, 3, 4), (1, 8, 8), (2, 15, 0)):
        offset = torch.zeros_like(output.pixels)
        offset[0, channel, row, column] = step
        ahead, behind = (output.score(output.features(output.pixels + sign * offset)) for sign in (1, -1))
        assert float(ahead - behind) / (2 * step) == pytest.approx(float(gradient[channel, row, column]), abs=1e-6)


def test_smooth_grad_of_a_linear_network_is_its_gradient() -> None:
    output = NetworkOutput(nn.Identity(), lambda features: (features[0, 0] * 3).sum(), torch.rand(1, 3, 4, 4))
    torch.testing.assert_close(gradients.map_smooth_grad(output, samples=4), torch.full((4, 4), 3.0))


def test_all_methods_return_maps_of_the_size_of_the_pixels() -> None:
    output = plain()
    output.pixels, output.baseline = output.pixels.float(), output.baseline.float()
    output.std = output.std.float()
    output.body.float()
    weight = torch.randn(8)
    output.head = pooled_linear(weight)
    maps = explain(output, METHODS)
    assert {*maps} == {*METHODS} - {D_RISE}
    assert all(heatmap.values.shape == (16, 16) for heatmap in maps.values())
    assert {maps[name].layer for name in CAM_METHODS} == {"feature map 1 of stride 2"}
