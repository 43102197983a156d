"""The methods by name, and the maps of several of them at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from torch import Tensor

from lineage.explain import baselines, cam, gradients
from lineage.explain.scalar_output import ScalarOutput

PIXEL_METHODS: dict[str, Callable[[ScalarOutput], Tensor]] = {
    "gradient": gradients.map_gradient,
    "gradient_x_input": gradients.map_gradient_x_input,
    "deconvnet": gradients.map_deconvnet,
    "guided_backprop": gradients.map_guided_backprop,
    "smooth_grad": gradients.map_smooth_grad,
    "integrated_gradients": gradients.map_integrated_gradients,
}
CAM_METHODS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "grad_cam": cam.grad_cam,
    "odam": cam.hires_cam,  # HiResCAM is the same formula
    "grad_cam_plus_plus": cam.grad_cam_plus_plus,
    "layer_cam": cam.layer_cam,
    "ss_grad_cam": cam.spatial_grad_cam,
    "xgrad_cam": cam.xgrad_cam,
    "eigen_cam": cam.eigen_cam,
}
BASELINES: dict[str, Callable[[ScalarOutput], Tensor]] = {
    "random": baselines.draw_noise,
    "center": baselines.measure_closeness,
}
GUIDED_GRAD_CAM, D_RISE = "guided_grad_cam", "d_rise"
METHODS = (*PIXEL_METHODS, *CAM_METHODS, GUIDED_GRAD_CAM, D_RISE)
DEFAULT = ("gradient", "deconvnet", "guided_backprop", "grad_cam", "odam", "integrated_gradients")
ALIASES = {"hires_cam": "odam"}


class UnknownMethod(ValueError):
    """No such method or baseline."""


class Heatmap(NamedTuple):
    """A map of a method, in canvas pixels."""

    values: Tensor  # [H, W], larger where the scalar depends more on the pixel
    signed: Tensor  # [H, W] the values of a CAM before its ReLU; of other methods the same
    layer: str  # the place whose activations or pixels were weighted
    seconds: float  # wall clock


def explain(output: ScalarOutput, names: Iterable[str]) -> dict[str, Heatmap]:
    """Compute the maps of methods and baselines, of all but D_RISE."""
    names = [name for name in names if name != D_RISE]
    size = (int(output.pixels.shape[-2]), int(output.pixels.shape[-1]))
    activations, shared = None, 0.0
    if set(names) & {*CAM_METHODS, GUIDED_GRAD_CAM}:
        start = time.perf_counter()
        activations = cam.compute_activations(output)
        shared = time.perf_counter() - start
    maps = {}
    for name in names:
        start = time.perf_counter()
        if function := (PIXEL_METHODS | BASELINES).get(name):
            values = function(output).detach()
            maps[name] = Heatmap(values, values, "pixels", time.perf_counter() - start)
            continue
        assert activations is not None
        is_product = name == GUIDED_GRAD_CAM
        weighted = (cam.grad_cam if is_product else CAM_METHODS[name])(activations.maps, activations.gradients).detach()
        values = cam.enlarge(weighted, size)
        signed = cam.enlarge_signed(weighted, size)
        layer = describe_layer(activations, size)
        if is_product:
            guided = gradients.map_guided_backprop(output).detach()
            layer = f"pixels x {layer}"
            values, signed = guided * values, guided * signed
        maps[name] = Heatmap(values, signed, layer, shared + time.perf_counter() - start)
    return maps


def describe_layer(activations: cam.Activations, size: Sequence[int]) -> str:
    """Return the feature map that was weighted, such as `feature map 1 of stride 8`."""
    stride = round(size[0] / activations.maps.shape[-2])
    return f"feature map {activations.level + 1} of stride {stride}"
