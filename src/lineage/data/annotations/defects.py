"""What can be wrong with the records of a COCO-format file: every kind with its remedy, found in one pass."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from lineage.data.samples.rle_decode import runs

Record = dict[str, Any]
TOLERANCE = 2.0  # pixels a box may reach outside, as boxes of COCO do by rounding; they are clipped


class Kind(NamedTuple):
    """A way to be wrong. `loses` is what leaving it out means: the object, its image, or only clipping a box."""

    what: str
    fix: str
    loses: Literal["image", "object", "clip"]


class Defect(NamedTuple):
    kind: Kind
    who: str  # "annotation 17 of image 3 (cat.jpg)"
    detail: str
    place: int  # in the file's list of images or annotations; ids may be what is wrong


IMAGE_RECORD = Kind(
    "image record is incomplete", "every image needs file_name and, as whole numbers, id, width and height", "image"
)
IMAGE_TWICE = Kind("image id used twice", "give every image an id of its own", "image")
MISSING = Kind("image file is missing", "put the file there, or remove the image from the annotation file", "image")
UNUSABLE = Kind("image file cannot be used", "see each file", "image")
RECORD = Kind(
    "annotation is incomplete",
    "every annotation needs a bbox and, as whole numbers, id, image_id and category_id; area a number, iscrowd 0 or 1",
    "object",
)
TWICE = Kind("annotation id used twice", "give every annotation an id of its own", "object")
NO_IMAGE = Kind("annotation of an unknown image", "add the image to `images`, or delete the annotation", "object")
NO_CATEGORY = Kind("category id unknown", "add the category to `categories`, or correct the category_id", "object")
NO_AREA = Kind("box of zero or negative size", "correct the bbox, [x, y, width, height] in pixels", "object")
BEYOND = Kind("box outside its image", "correct the bbox, [x, y, width, height] in pixels", "object")
OVERLAPS = Kind(
    f"box reaches more than {TOLERANCE:g} px outside its image",
    "correct the bbox: it is [x, y, width, height] in pixels, not two corners and not relative", "clip",
)  # fmt: skip
POINTS = Kind(
    "polygon with fewer than 3 points", "a polygon is [x1, y1, x2, y2, x3, y3, ...]; delete what is less", "object"
)
NOTATION = Kind(
    "segmentation in no notation of COCO",
    "it is a list of polygons, [[x1, y1, x2, y2, x3, y3, ...], ...], or {'size': [height, width], 'counts': ...}",
    "object",
)
RLE = Kind("run-length mask does not fit its image", "encode it again at the image's own height and width", "object")
NO_MASK = Kind("annotation without a mask among others that have one", "add its segmentation, or delete it", "object")
JOINTS = Kind("wrong number of keypoints", "[x, y, visibility] for each keypoint its category names", "object")


def find(content: Record) -> Iterator[Defect]:
    """The defects of the records alone; no file is opened."""
    yield from _images(content["images"])
    yield from _annotations(content)


def _images(images: list[Record]) -> Iterator[Defect]:
    seen: set[Any] = set()
    for index, image in enumerate(images):
        who = f"image {image.get('id')} ({image.get('file_name')})"
        named = isinstance(image.get("file_name"), str) and whole(image.get("id"))
        if not named or not sized(image):
            told = ", ".join(f"{name} {image.get(name)!r}" for name in ("id", "height", "width"))
            yield Defect(IMAGE_RECORD, who, told, index)
        elif image["id"] in seen:
            yield Defect(IMAGE_TWICE, who, f"id {image['id']}", index)
        else:
            seen.add(image["id"])


def _annotations(content: Record) -> Iterator[Defect]:
    images = {image["id"]: image for image in content["images"] if whole(image.get("id"))}
    joints = {one["id"]: len(one.get("keypoints", ())) for one in content["categories"]}
    masks = any(one.get("segmentation") for one in content["annotations"])
    seen: set[Any] = set()
    for index, one in enumerate(content["annotations"]):
        broken = [name for name in ("id", "image_id", "category_id") if not whole(one.get(name))]
        if broken or one.get("bbox") is None:
            told = ", ".join(f"{name} {one.get(name)!r}" for name in (*broken, "bbox"))
            yield Defect(RECORD, f"annotation {one.get('id')} of image {one.get('image_id')}", told, index)
            continue
        image = images.get(one["image_id"])
        name = f" ({image.get('file_name')})" if image else ""
        who = f"annotation {one['id']} of image {one['image_id']}{name}"
        if one["id"] in seen:
            yield Defect(TWICE, who, f"id {one['id']}", index)
        for kind, detail in _problems(one, image, joints, masks):
            yield Defect(kind, who, detail, index)
        seen.add(one["id"])


def _problems(one: Record, image: Record | None, joints: dict[int, int], masks: bool) -> Iterator[tuple[Kind, str]]:
    if image is None:
        yield NO_IMAGE, f"image_id {one['image_id']}"
        return
    if one["category_id"] not in joints:
        yield NO_CATEGORY, f"category_id {one['category_id']}, known are {_some(sorted(joints))}"
        return
    for name, fits in (("area", _number(one.get("area", 0))), ("iscrowd", one.get("iscrowd") in (None, 0, 1))):
        if not fits:
            yield RECORD, f"{name} {one[name]!r}"
    if sized(image):
        size = image["height"], image["width"]
        yield from _box(one["bbox"], *size)
        yield from _mask(one.get("segmentation"), size, masks and not one.get("iscrowd"))
    if "first_keypoint" not in one:  # else a format that has checked its own
        yield from _joints(one.get("keypoints"), max(joints.values()))


def _joints(given: Any, number: int) -> Iterator[tuple[Kind, str]]:
    if given and not (isinstance(given, list) and _finite(given)):
        yield JOINTS, f"{given!r:.80} is not a list of numbers"
    elif given and len(given) != 3 * number:
        yield JOINTS, f"{len(given)} numbers for {number} keypoints"


def _box(box: Any, height: float, width: float) -> Iterator[tuple[Kind, str]]:
    told = f"bbox {box} in an image of {width} x {height} (width x height)"
    if not (isinstance(box, list) and len(box) == 4 and _finite(box)):
        yield RECORD, f"bbox {box} is not four numbers"
        return
    x, y, w, h = box
    if w <= 0 or h <= 0:
        yield NO_AREA, f"bbox {box}"
    elif x >= width or y >= height or x + w <= 0 or y + h <= 0:
        yield BEYOND, told
    elif max(-x, -y, x + w - width, y + h - height) > TOLERANCE:
        yield OVERLAPS, told


def _mask(shape: Any, size: tuple[int, int], expected: bool) -> Iterator[tuple[Kind, str]]:
    if not shape:
        if expected:
            yield NO_MASK, "no segmentation"
    elif isinstance(shape, dict) and isinstance(shape.get("size"), list) and "counts" in shape:
        try:
            runs([shape], size)
        except ValueError as error:
            yield RLE, str(error)
        except TypeError:
            yield RLE, f"counts {shape['counts']!r:.60} are neither text nor whole numbers"
    elif not isinstance(shape, list) or not all(isinstance(polygon, list) for polygon in shape):
        yield NOTATION, f"segmentation {shape!r:.80}"
    else:
        for polygon in shape:
            if len(polygon) < 6 or len(polygon) % 2:
                yield POINTS, f"polygon {polygon if len(str(polygon)) < 80 else f'of {len(polygon)} numbers'}"
                return
            if not _finite(polygon):
                yield NOTATION, "a coordinate is not a number"
                return


def _finite(numbers: list[Any]) -> bool:
    """Whether all are finite numbers; their sum asks this of tens of millions of coordinates in a few seconds."""
    try:
        return math.isfinite(sum(numbers))
    except TypeError:
        return False


def whole(number: Any) -> bool:
    """Whether it can be an id: a whole number that fits a column."""
    return isinstance(number, int) and not isinstance(number, bool) and abs(number) < 2**63


def sized(image: Record) -> bool:
    """Whether the record says how large its image is; where it does not, nothing else is asked of it."""
    return all(isinstance(image.get(side), int) and image[side] > 0 for side in ("height", "width"))


def _number(value: Any) -> bool:
    return value is None or isinstance(value, int | float)


def _some(values: list[Any]) -> str:
    return ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")
