"""ROAD and sensitivity-n in cases whose answer is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from lineage.explain import gradients
from lineage.explain.road import SHARES, impute, measure_road
from lineage.explain.scalar_output import ScalarOutput
from lineage.explain.sensitivity import measure_losses, measure_sensitivity
from tests.explain.networks import NetworkOutput, pooled_linear
from tests.explain.test_captum import wave


def test_imputed_pixels_equal_those_of_the_published_code() -> None:
    """Recorded from NoisyLinearImputer of pytorch-grad-cam 1.5.7 (Leemann's, MIT) without noise: 25 of 42 pixels."""
    image = (wave(3 * 6 * 7, frequency=0.37) * 100 + 120).view(3, 6, 7)
    values = wave(42, frequency=1.3)
    removed = torch.zeros(42, dtype=torch.bool)
    removed[values.argsort(descending=True, stable=True)[:25]] = True
    removed = removed.view(6, 7)
    imputed = impute(image, removed, torch.zeros_like(image), tolerance=1e-9)
    assert torch.equal(imputed[:, ~removed], image[:, ~removed])
    assert imputed[:, removed].sum(1).tolist() == pytest.approx([3202.1403087, 2788.50693002, 3214.89327486], abs=1e-6)
    assert imputed[:, removed][:, 0].tolist() == pytest.approx([120.38737839, 108.7877849, 141.72147956], abs=1e-6)
    assert imputed[:, removed][:, -1].tolist() == pytest.approx([87.36812451, 161.35027016, 71.09515493], abs=1e-6)


def test_a_hole_in_a_linear_ramp_is_filled_with_the_ramp() -> None:
    """A linear function is the mean of its neighbours; the default tolerance costs less than the noise."""
    rows, columns = torch.meshgrid(torch.arange(40.0), torch.arange(50.0), indexing="ij")
    ramp = torch.stack((rows, columns, 2 * rows - columns))
    removed = torch.zeros(40, 50, dtype=torch.bool)
    removed[5:30, 8:44] = True
    holed = torch.where(removed, 255.0, ramp)
    torch.testing.assert_close(impute(holed, removed, torch.zeros_like(ramp)), ramp, rtol=0, atol=0.1)
    noise = torch.randn(ramp.shape, generator=torch.Generator().manual_seed(0))
    added = (impute(holed, removed, noise) - ramp)[:, removed]
    torch.testing.assert_close(added, noise[:, removed], rtol=0, atol=0.1)


def test_road_of_a_map_that_names_the_evidence() -> None:
    """The score is the share of a white square that is left; all of it goes with the first tenth, or with the last."""
    pixels = torch.zeros(1, 3, 24, 32)
    pixels[..., 4:8, 4:8] = 255  # 16 of 20 x 20 pixels, which 10 % contain; the rest of the canvas is padding
    values = torch.zeros(20, 20)
    values[4:8, 4:8] = 1

    def score(variants: Iterator[Tensor]) -> list[float]:
        images = list(variants)
        assert all(torch.equal(variant[..., 20:, :], pixels[..., 20:, :]) for variant in images)
        return [float((variant[0, 0, 4:8, 4:8] > 128).float().mean()) for variant in images]

    std = torch.full((3, 1, 1), 50.0)
    assert measure_road(score, pixels, values, std) == pytest.approx(0.5)
    assert measure_road(score, pixels, -values, std) == pytest.approx(-0.5)
    assert len(SHARES) == 9


@pytest.mark.parametrize("method", [gradients.map_gradient_x_input, gradients.map_integrated_gradients])
def test_attributions_of_a_linear_network_are_sensitive_for_every_n(method: Callable[[ScalarOutput], Tensor]) -> None:
    """Proposition of arXiv:1711.06104: the values of any subset sum to what the scalar loses."""
    body = nn.Conv2d(3, 5, 3, padding=1).double()
    for number, parameter in enumerate(body.parameters()):
        parameter.data = wave(*parameter.shape, frequency=0.7 + 0.3 * number)
    output = NetworkOutput(body, pooled_linear(wave(5, frequency=1.3)), wave(1, 3, 12, 12, frequency=0.37))
    values = method(output)
    assert measure_sensitivity(output, values) == pytest.approx(1, abs=1e-6)
    assert measure_sensitivity(output, -values) == pytest.approx(-1, abs=1e-6)
    assert measure_sensitivity(output, torch.ones(12, 12)) == 0
    subsets = torch.zeros(2, 12, 12, dtype=torch.bool)
    subsets[0, 3:5, 2:9], subsets[1] = True, True
    expected = torch.stack([values[subset].sum() for subset in subsets])
    torch.testing.assert_close(measure_losses(output, subsets), expected)
