"""Maps of a plain network against captum 0.9.0, recorded: the sum of each map, and three of its values.

Captum hooks nn.ReLU modules, so that it is right where each is used once, as here. Recorded with Saliency,
GuidedBackprop, Deconvolution, InputXGradient, IntegratedGradients(n_steps=32, method="riemann_middle") and
LayerGradCam(relu_attributions=False), in float64, on the weights below.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lineage.explain import cam, gradients
from tests.explain.networks import NetworkOutput, pooled_linear

RECORDED = {
    "gradient": (1.3880645433030105, (0.005311484, 0.035593632, 0.03516239)),
    "guided_backprop": (2.040577973008507, (0.011796565, 0.061944563, 0.011666803)),
    "deconvnet": (0.5320091443715855, (0.004725829, 0.002668742, 0.000522273)),
    "gradient_x_input": (-0.08139848034664485, (-0.005181661, 0.033361345, -0.018618479)),
    "integrated_gradients": (-0.12565852919521933, (-0.001252882, 0.0340335, -0.006493761)),
}
GRAD_CAM = (0.27524795054916895, (-0.026548492, 0.040943706, 0.113766532))


def wave(*shape: int, frequency: float) -> Tensor:
    count = torch.Size(shape).numel()
    return torch.sin(torch.arange(count, dtype=torch.float64) * frequency).view(shape)


def network() -> NetworkOutput:
    body = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3, padding=1), nn.ReLU()
    ).double()
    for number, parameter in enumerate(body.parameters()):
        parameter.data = 0.5 * wave(*parameter.shape, frequency=0.7 + 0.3 * number)
    return NetworkOutput(body, pooled_linear(wave(5, frequency=1.3)), wave(1, 3, 8, 8, frequency=0.37))


@pytest.mark.parametrize("method", sorted(RECORDED))
def test_pixel_methods_equal_captum(method: str) -> None:
    values = getattr(gradients, f"map_{method}")(network())
    total, points = RECORDED[method]
    assert float(values.sum()) == pytest.approx(total, abs=1e-6)
    assert values.flatten()[[10, 27, 45]].tolist() == pytest.approx(points, abs=1e-7)


def test_grad_cam_equals_captum() -> None:
    values = cam.grad_cam(*cam.compute_activations(network())[:2])
    assert float(values.sum()) == pytest.approx(GRAD_CAM[0], abs=1e-6)
    assert values.flatten()[[0, 5, 10]].tolist() == pytest.approx(GRAD_CAM[1], abs=1e-7)
