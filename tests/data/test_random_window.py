"""Windows and colours of CornerNet: boxes follow the pixels, beyond the image is black, colours stay in range."""

from __future__ import annotations

import pytest
import torch
from torchvision import tv_tensors as tv

from lineage.data.samples.sample import Sample
from lineage.data.shapes.dataset import Shapes
from lineage.data.transforms.colour_jitter import EIGENVECTORS, ColourJitter
from lineage.data.transforms.geometry import AugmentError
from lineage.data.transforms.random_window import RandomWindow, shrink_border


def white_square() -> Sample:
    """A white square of 40 x 30 pixels on grey; the sample's only object."""
    sample = Shapes(seed=1, length=1, size=128)[0]
    image = torch.full((3, 100, 128), 99, dtype=torch.uint8)
    image[:, 30:60, 50:90] = 255
    boxes = tv.BoundingBoxes(torch.tensor([[50.0, 30, 90, 60]]), format="XYXY", canvas_size=(100, 128))  # type: ignore[call-overload]
    points = tv.KeyPoints(torch.tensor([[[50.0, 30.0]]]), canvas_size=(100, 128))
    return sample._replace(
        image=tv.Image(image), boxes=boxes, labels=torch.tensor([0]), crowd=torch.tensor([False]), masks=None,
        keypoints=points, visibility=torch.tensor([[2]]),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scale", [0.6, 1.3])
def test_a_window_has_one_size_and_boxes_follow_the_pixels(seed: int, scale: float) -> None:
    torch.manual_seed(seed)
    window = RandomWindow(side=64, scales=[scale], border=128)(white_square())
    assert window.image.shape == (3, 64, 64)
    bright = (window.image[0] > 180).nonzero()
    x1, y1, x2, y2 = window.boxes[0].tolist()
    if len(bright) and x2 > x1 and y2 > y1:
        (top, left), (bottom, right) = bright.amin(0).tolist(), (bright.amax(0) + 1).tolist()
        assert [left, top, right, bottom] == pytest.approx([x1, y1, x2, y2], abs=1.5)
    if scale > 1:
        assert (window.image == 0).any()  # beyond the image
        factor = 64 / (128 * scale)
        assert x2 - x1 <= 40 * factor + 1


def test_all_scales_and_centres_come() -> None:
    torch.manual_seed(0)
    transform = RandomWindow(side=32, scales=[0.6, 1.0, 1.3], border=128)
    windows = [transform(white_square()) for _ in range(40)]
    widths = {round(float(window.boxes[0, 2] - window.boxes[0, 0]), 1) for window in windows}
    assert len(widths) >= 3
    corners = {tuple(window.keypoints[0, 0].tolist()) for window in windows if window.keypoints is not None}
    assert len(corners) > 30


@pytest.mark.parametrize(("length", "border"), [(640, 128), (257, 128), (256, 64), (100, 32), (20, 8)])
def test_the_border_is_halved_until_a_centre_remains(length: int, border: int) -> None:
    """The values are those of `_get_border(128, size)` of CenterNet's code."""
    assert shrink_border(128, length) == border


def test_windows_know_no_semantic_labels() -> None:
    sample = white_square()._replace(semantic=tv.Mask(torch.zeros(100, 128, dtype=torch.uint8)))
    with pytest.raises(AugmentError, match="has semantic labels"):
        RandomWindow(side=64, scales=[1.0], border=128)(sample)


def test_colours_change_within_their_range_and_nothing_else_does() -> None:
    torch.manual_seed(0)
    sample = white_square()
    changed = ColourJitter(strength=0.4, lighting=0.1)(sample)
    assert changed.image.dtype == torch.uint8
    assert not changed.image.equal(sample.image)
    assert changed.boxes is sample.boxes
    grey = [int(ColourJitter(strength=0.4, lighting=0.0)(sample).image[0, 0, 0]) for _ in range(40)]
    assert min(grey) >= 0.6 * 0.6 * 99 - 1
    assert max(grey) <= 1.4 * 1.4 * 99 + 1
    assert len(set(grey)) > 20
    assert ColourJitter(strength=0.0, lighting=0.0)(sample).image.equal(sample.image)


def test_the_principal_components_are_orthonormal() -> None:
    vectors = torch.tensor(EIGENVECTORS)
    torch.testing.assert_close(vectors.T @ vectors, torch.eye(3), atol=1e-6, rtol=0)
