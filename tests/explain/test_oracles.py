"""Maps and measures beside captum 0.9.0 and quantus 0.6.0 themselves, on the plain network of test_captum.py.

Neither is installed by `make setup`; the numbers of captum are recorded there too. To run these tests:
`pip install captum quantus` into an environment of this project, or into a folder on PYTHONPATH.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lineage.explain import cam, gradients
from lineage.explain.deletion import trace_deletion
from lineage.explain.pointing import measure_energy, points_inside
from lineage.explain.randomization import rank_correlation
from lineage.explain.road import impute
from lineage.explain.sensitivity import correlate, measure_losses
from tests.explain.networks import NetworkOutput, pooled_linear
from tests.explain.test_captum import network, wave

Floats = NDArray[np.float64]


class Classifier(nn.Module):
    """The network of a NetworkOutput as the libraries expect it: [B, C, H, W] -> [B, 1]."""

    def __init__(self, output: NetworkOutput):
        super().__init__()
        self.body, self.head = output.body, output.head

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.stack([self.head(features[None]) for features in self.body(pixels)])[:, None]


def load_captum() -> Any:
    return pytest.importorskip("captum", reason="captum is not installed").attr


def load_quantus() -> Any:
    return pytest.importorskip("quantus", reason="quantus is not installed")


def combine(attributions: Tensor) -> Tensor:
    """Return what `map_gradient` shows of gradients [1, 3, H, W]: max over colours of abs."""
    return attributions[0].abs().amax(0)


@pytest.mark.parametrize("method", ["Saliency", "GuidedBackprop", "Deconvolution", "InputXGradient"])
def test_gradients_equal_captum(method: str) -> None:
    output = network()
    theirs = getattr(load_captum(), method)(Classifier(output)).attribute(output.pixels.clone(), target=0)
    function = {"Saliency": gradients.map_gradient, "GuidedBackprop": gradients.map_guided_backprop,
                "Deconvolution": gradients.map_deconvnet,
                "InputXGradient": gradients.map_gradient_x_input}[method]  # fmt: skip
    expected = theirs[0].sum(0) if method == "InputXGradient" else combine(theirs)
    torch.testing.assert_close(function(output), expected.detach(), rtol=0, atol=1e-9)


def test_integrated_gradients_and_grad_cam_equal_captum() -> None:
    output, captum = network(), load_captum()
    theirs = captum.IntegratedGradients(Classifier(output)).attribute(
        output.pixels.clone(), target=0, n_steps=32, method="riemann_middle"
    )
    torch.testing.assert_close(gradients.map_integrated_gradients(output), theirs[0].sum(0).detach(), rtol=0, atol=1e-6)
    model = Classifier(output)
    theirs = captum.LayerGradCam(model, model.body[4]).attribute(output.pixels, target=0, relu_attributions=False)
    ours = cam.grad_cam(*cam.compute_activations(output)[:2])
    torch.testing.assert_close(ours, theirs[0, 0].detach(), rtol=0, atol=1e-9)


def test_smooth_grad_without_noise_and_guided_grad_cam_equal_captum() -> None:
    """Their product is of the gradients themselves, before the maximum over colours; ours is of the guided map."""
    output, captum = network(), load_captum()
    smooth = captum.NoiseTunnel(captum.Saliency(Classifier(output))).attribute(
        output.pixels.clone(), nt_type="smoothgrad", nt_samples=3, stdevs=0.0, target=0
    )
    ours = gradients.map_smooth_grad(output, samples=3, noise=0.0)
    torch.testing.assert_close(ours.double(), combine(smooth).detach(), rtol=0, atol=1e-6)
    model = Classifier(output)
    theirs = captum.GuidedGradCam(model, model.body[4]).attribute(
        output.pixels.clone(), target=0, interpolate_mode="bilinear"
    )
    weighted = cam.enlarge(cam.grad_cam(*cam.compute_activations(output)[:2]), (8, 8))
    ours = gradients.map_guided_backprop(output) * weighted
    torch.testing.assert_close(ours, combine(theirs).detach(), rtol=0, atol=1e-9)


@pytest.fixture(scope="module")
def maps() -> Floats:
    """Twenty maps [20, 12, 9] of both signs."""
    return np.random.default_rng(0).normal(size=(20, 12, 9))


@pytest.fixture(scope="module")
def regions() -> NDArray[np.bool_]:
    """A rectangle for each of twenty maps."""
    corners = np.random.default_rng(1).integers(0, [[6, 4]] * 20)
    rows, columns = np.mgrid[:12, :9]
    inside = [(rows >= top) & (rows < top + 5) & (columns >= left) & (columns < left + 4) for top, left in corners]
    return np.stack(inside)


def judge(metric: Any, maps: Floats, regions: NDArray[np.bool_]) -> list[float]:
    """Return the values of a localisation measure of quantus, which reads no network."""
    images = np.zeros((len(maps), 3, *maps.shape[1:]))
    labels = np.zeros(len(maps), np.int64)
    return metric(model=nn.Identity(), x_batch=images, y_batch=labels, a_batch=maps[:, None], s_batch=regions[:, None])


def test_pointing_game_and_energy_equal_quantus(maps: Floats, regions: NDArray[np.bool_]) -> None:
    quantus = load_quantus()
    plain = {"abs": False, "normalise": False, "disable_warnings": True}
    hits = judge(quantus.PointingGame(**plain), maps, regions)
    assert [points_inside(values, region) for values, region in zip(maps, regions, strict=True)] == [*map(bool, hits)]
    assert 0 < sum(hits) < len(hits)
    energies = [measure_energy(values, region) for values, region in zip(maps, regions, strict=True)]
    theirs = quantus.AttributionLocalisation(positive_attributions=True, max_size=1.0, **plain)
    assert energies == pytest.approx(judge(theirs, maps, regions), abs=1e-6)
    mass = judge(quantus.RelevanceMassAccuracy(**plain), maps.clip(0), regions)
    assert energies == pytest.approx(mass, abs=1e-9)


def test_correlations_equal_quantus(maps: Floats) -> None:
    quantus = load_quantus()
    pairs = [(maps[number].round(1), maps[number + 1].round(1) ** 2) for number in range(0, 20, 2)]  # with ties
    for function, theirs in ((rank_correlation, quantus.similarity_func.correlation_spearman),
                             (correlate, quantus.similarity_func.correlation_pearson)):  # fmt: skip
        ours = [function(torch.from_numpy(a.ravel()), torch.from_numpy(b.ravel())) for a, b in pairs]
        assert ours == pytest.approx([theirs(a.ravel(), b.ravel()) for a, b in pairs], abs=1e-9)


def test_imputed_pixels_equal_quantus(maps: Floats) -> None:
    impute_theirs = load_quantus().perturb_func.noisy_linear_imputation
    image = np.abs(maps[:3]) * 50
    for number in (5, 40, 90):
        order = np.argsort(-maps[4].ravel(), kind="stable")[:number]
        removed = torch.zeros(12 * 9, dtype=torch.bool)
        removed[order] = True
        ours = impute(torch.from_numpy(image), removed.view(12, 9), torch.zeros(3, 12, 9), tolerance=1e-9)
        torch.testing.assert_close(ours, torch.from_numpy(impute_theirs(image, order, noise=0.0)), rtol=0, atol=1e-6)


def grey_network() -> NetworkOutput:
    """A network of one colour: quantus perturbs values, not pixels, so that the colours of a pixel would go apart."""
    body = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU())
    for number, parameter in enumerate(body.parameters()):
        parameter.data = 0.5 * wave(*parameter.shape, frequency=0.7 + 0.3 * number).float()
    weight, pixels = wave(4, frequency=1.3).float(), wave(1, 1, 8, 8, frequency=0.37).float()
    return NetworkOutput(body, pooled_linear(weight), pixels)


def measure_by_quantus(metric: Any, output: NetworkOutput, values: Tensor) -> Any:
    arrays = {"x_batch": output.pixels.numpy(), "a_batch": values[None, None].numpy()}
    return metric(model=Classifier(output).eval(), y_batch=np.zeros(1, np.int64), softmax=False, device="cpu", **arrays)


def test_deletion_equals_pixel_flipping_of_quantus() -> None:
    """Their curve has no score of the whole image. Values are all different: their order of equal ones is unstable."""
    quantus, output = load_quantus(), grey_network()
    values = gradients.map_gradient_x_input(output)
    fill = torch.full_like(output.pixels, 0.25)

    def score(variants: Iterator[Tensor]) -> list[float]:
        return [float(output.score(output.features(variant)).detach()) for variant in variants]

    ours = trace_deletion(score, output.pixels, fill, values, count=64, steps=16)
    choices: dict[str, Any] = {"features_in_step": 4, "perturb_baseline": 0.25, "abs": False, "normalise": False}
    metric = quantus.PixelFlipping(disable_warnings=True, **choices)
    (theirs,) = measure_by_quantus(metric, output, values)
    assert ours[1:] == pytest.approx(theirs, abs=1e-5)


@pytest.mark.parametrize("method", [gradients.map_gradient, gradients.map_gradient_x_input])
def test_sensitivity_n_equals_faithfulness_correlation_of_quantus(
    method: Callable[[NetworkOutput], Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ancona's definition has this name in quantus (its SensitivityN removes the largest values, no random subsets)."""
    quantus, output = load_quantus(), grey_network()
    values = method(output)
    drawn, draw = [], np.random.choice

    def record(*arguments: Any, **keywords: Any) -> Any:
        drawn.append(draw(*arguments, **keywords))
        return drawn[-1]

    monkeypatch.setattr(np.random, "choice", record)
    metric = quantus.FaithfulnessCorrelation(
        nr_runs=40, subset_size=6, perturb_baseline="black", abs=False, normalise=False, return_aggregate=False,
        disable_warnings=True,
    )  # fmt: skip
    (theirs,) = measure_by_quantus(metric, output, values)
    subsets = torch.zeros(40, 64, dtype=torch.bool)
    for subset, pixels in zip(subsets, drawn, strict=True):
        subset[torch.from_numpy(pixels)] = True
    sums = torch.stack([values.flatten()[subset].sum() for subset in subsets])
    output.baseline = torch.full_like(output.pixels, float(output.pixels.min()))  # their black
    assert correlate(sums, measure_losses(output, subsets.view(-1, 8, 8))) == pytest.approx(theirs, abs=1e-5)
