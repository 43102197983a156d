"""Objects are counted by their areas; bars are as long as what they stand for, measured in the picture."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from lineage.data.stats import ClassStats, Stats, count_objects
from lineage.data.stats_plot import (
    BAR,
    PAPER,
    SIZE,
    Panel,
    count_shorter_sides,
    draw_bars,
    draw_classes,
    draw_curve,
    draw_sides,
)

PANEL = Panel(20, 30, 520, 300)


def sheet() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", SIZE, PAPER)
    return image, ImageDraw.Draw(image)


def bars(image: Image.Image) -> np.ndarray:
    """Where a bar is: [h, w] bool"""
    return (np.asarray(image) == BAR).all(2)


def lengths(mask: np.ndarray, axis: int) -> list[int]:
    """The lengths of the bars one after the other: a bar is a run of rows (axis 1) or columns (axis 0)."""
    sums = mask.sum(axis)
    borders = np.flatnonzero(np.diff(np.concatenate(([0], sums > 0, [0]))))
    return [int(sums[start:stop].max()) for start, stop in borders.reshape(-1, 2)]


def stats(*objects: int, sides: tuple[float, ...] = ()) -> Stats:
    classes = tuple(ClassStats(f"class {i}", 1, n, 0, 0, 0, 0, 1.0) for i, n in enumerate(objects))
    return Stats(1, 0, classes, np.array([1]), np.array(sides), np.array([[1, 1]]))


def test_classes_stand_in_the_order_of_their_objects() -> None:
    image, draw = sheet()
    draw_classes(draw, PANEL, stats(50, 200, 100))
    assert lengths(bars(image), 1) == pytest.approx([320, 160, 80], abs=1.01)  # the panel's width less 200


def test_columns_are_as_high_as_their_values() -> None:
    image, draw = sheet()
    draw_bars(draw, PANEL, "title", [10, 0, 40, 20], ["a", "b", "c", "d"])
    assert lengths(bars(image), 0) == pytest.approx([59.5, 238, 119], abs=1.6)  # the panel's height less 62


def test_the_curve_is_logarithmic() -> None:
    image, draw = sheet()
    draw_curve(draw, PANEL, "title", [1000, 100, 10, 0])
    unit, width = (300 - 26) / np.log10(1200), (520 - 46) / 4
    heights = [bars(image)[:, int(PANEL.left + 46 + (number + 0.5) * width)].sum() for number in range(4)]
    assert heights == pytest.approx([3 * unit, 2 * unit, unit, 0], abs=1.6)


def test_six_columns_to_an_octave() -> None:
    """Sides of 32 and 64 pixels are six columns apart, 36 is in the next one: 2^(1/6) x 32 = 35.9."""
    image, draw = sheet()
    draw_sides(draw, PANEL, stats(1, sides=(32.0, 33.0, 36.0, 64.0, 64.0, 64.0, 64.0)))
    width = PANEL.width / 7
    heights = [bars(image)[:, int(PANEL.left + (number + 0.4) * width)].sum() for number in range(7)]
    assert heights == pytest.approx([119, 59.5, 0, 0, 0, 0, 238], abs=1.6)


def test_objects_are_small_medium_or_large_by_the_borders_of_coco() -> None:
    """Below 32^2, from there to below 96^2, from there on; crowds are counted apart, and without an area the box's."""

    def annotation(image: int, category: int, area: float, crowd: int = 0) -> dict[str, object]:
        return {"image_id": image, "category_id": category, "area": area, "bbox": [0, 0, 40, 50], "iscrowd": crowd}

    areas = [1023, 1024, 9215, 9216, 100]
    annotations = [annotation(7, 5, area) for area in areas] + [annotation(9, 5, 0), annotation(9, 5, 4, crowd=1)]
    annotations += [annotation(7, 8, 30, crowd=1)]
    truth = {"images": [{"id": 9}, {"id": 3}, {"id": 7}], "annotations": annotations}
    meta = SimpleNamespace(classes=("cat", "dog"), category_ids=(5, 8))
    dataset = SimpleNamespace(ground_truth=lambda: truth, meta=meta, sizes=torch.tensor([[3, 4], [5, 6], [7, 8]]))
    counts = count_objects(dataset)  # type: ignore[arg-type]
    cat = ClassStats("cat", 2, 6, 1, small=2, medium=3, large=1, median=np.sqrt((1024 + 2000) / 2))
    assert counts.classes == (cat, ClassStats("dog", 0, 0, 1, 0, 0, 0, 0.0))
    assert (counts.images, counts.empty, counts.per_image.tolist()) == (3, 1, [1, 0, 5])
    assert counts.sides.tolist() == np.sqrt([*areas, 2000]).tolist()
    assert counts.sizes.tolist() == [[3, 4], [5, 6], [7, 8]]


@pytest.mark.parametrize(
    ("sides", "starts", "values"),
    [
        ([128, 128, 128], [128], [3]),
        ([100, 101, 103], [100, 101, 102, 103], [1, 1, 0, 1]),
        ([10, 33], [10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32], [1, *[0] * 10, 1]),
    ],
)
def test_bars_of_sides_start_at_whole_pixels(sides: list[int], starts: list[int], values: list[int]) -> None:
    sizes = np.array([[side, side + 7] for side in sides])
    assert count_shorter_sides(stats(1)._replace(sizes=sizes)) == (starts, values)


def test_objects_of_one_size_have_a_labelled_axis() -> None:
    image, draw = sheet()
    draw_sides(draw, PANEL, stats(1, sides=(50.0, 50.0)))
    below = np.asarray(image)[PANEL.top + PANEL.height - 16 :]
    assert (below != PAPER).any()
