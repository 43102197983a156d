"""An image with its ground truth on the left and its detections on the right, drawn: for trackers without boxes."""

from __future__ import annotations

from PIL import Image

from lineage.report.draw import Mark, object_colour, paint
from lineage.report.site.polygons import fill_polygons
from lineage.report.site.upload.contents import Shape, ShownImage

WIDTH = 400  # pixels to which a smaller image is enlarged
GAP = 8


def paint_image(image: ShownImage) -> Image.Image:
    """Return the ground truth beside the detections, as boxes, masks and tags."""
    with Image.open(image.path) as file:
        pixels = file.convert("RGB")
    scale = max(1.0, WIDTH / pixels.width)
    left, right = (
        paint(pixels, [_make_mark(shape, image.size) for shape in shapes], scale)
        for shapes in (image.truth, image.predictions)
    )
    pair = Image.new("RGB", (left.width + GAP + right.width, left.height))
    pair.paste(left, (0, 0))
    pair.paste(right, (left.width + GAP, 0))
    return pair


def _make_mark(shape: Shape, size: tuple[int, int]) -> Mark:
    x, y, width, height = shape.box
    mask = fill_polygons(shape.polygons, size) if shape.polygons else None
    return Mark((x, y, x + width, y + height), shape.text, object_colour(shape.label), mask)
