"""Random windows of CornerNet (arXiv:1808.01244) and CenterNet (arXiv:1904.07850): scale and centre of a square window.

The window may lie partly outside the image; what it shows there is black, as in both codes.
"""

from __future__ import annotations

from collections.abc import Sequence

from lineage.data.samples.sample import Sample
from lineage.data.transforms import geometry
from lineage.data.transforms.crop import draw_integer


class RandomWindow:
    """A square window, resized to `side` pixels.

    scales: of the window's side relative to the longer side of the image; each with equal probability.
    border: distance in pixels of the window's centre from the image's border, halved until the image has such a centre.
    """

    def __init__(self, *, side: int, scales: Sequence[float], border: int) -> None:
        self.side, self.scales, self.border = side, tuple(scales), border

    def __call__(self, sample: Sample) -> Sample:
        if sample.semantic is not None:
            raise geometry.AugmentError(
                f"augment: image {sample.image_id} has semantic labels, of which a window beyond the image has none; "
                "use a transform of lineage.data.transforms.crop"
            )
        height, width = geometry.get_size(sample)
        # 1. the window
        window = max(height, width) * self.scales[draw_integer(0, len(self.scales) - 1)]
        y, x = (self._draw_center(length) for length in (height, width))
        # 2. the image at the window's scale, then the window
        factor = self.side / window
        resized = geometry.resize(sample, (max(1, int(height * factor + 0.5)), max(1, int(width * factor + 0.5))))
        top, left = (int((center - window / 2) * factor // 1) for center in (y, x))
        return geometry.crop(resized, top, left, (self.side, self.side))

    def _draw_center(self, length: int) -> int:
        border = shrink_border(self.border, length)
        return draw_integer(border, length - border - 1)


def shrink_border(border: int, length: int) -> int:
    """Return `border` halved until more than twice of it fits into `length`."""
    divisor = 1
    while length - border // divisor <= border // divisor:
        divisor *= 2
    return border // divisor
