"""Defects of the records of a COCO-format file: every kind with its remedy, found in one pass."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from lineage.data.annotations.polygon_table import Polygons
from lineage.data.annotations.skeleton import count_keypoints
from lineage.data.annotations.sound import LONGEST, MAX_ID, TOLERANCE, VISIBILITIES, are_coordinates, find_sound
from lineage.data.samples.rle_decode import decode_counts

Record = dict[str, Any]
IDS = ("id", "image_id", "category_id")  # of an annotation


class DefectKind(NamedTuple):
    """A kind of defect. `drops` is what `on_defect=drop` leaves out: image, object, mask, a margin, or nothing."""

    summary: str
    fix: str
    drops: Literal["image", "object", "mask", "clip", "nothing"]


class Defect(NamedTuple):
    """One defect of one record."""

    kind: DefectKind
    record: str  # "annotation 17 of image 3 (cat.jpg)"
    detail: str
    position: int  # in the file's list of images or annotations; ids may be what is wrong


IMAGE_RECORD = DefectKind(
    "image record is incomplete", "every image needs file_name and, as whole numbers, id, width and height", "image"
)
DUPLICATE_IMAGE = DefectKind("image id used twice", "give every image an id of its own", "image")
MISSING_FILE = DefectKind(
    "image file is missing", "put the file there, or remove the image from the annotation file", "image"
)
OUTSIDE_FOLDER = DefectKind(
    "file name leads out of the folder of images",
    "put the images in one folder and name their paths within it; dataset.*.images chooses the folder", "image",
)  # fmt: skip
UNUSABLE_FILE = DefectKind("image file cannot be used", "see each file", "image")
CONSTANT_IMAGE = DefectKind(
    "all pixels of the image are equal",
    "open it in a viewer: if it shows something there, its values lie outside the range that is read (see "
    "dataset.pixel_range); if it is empty, remove it",
    "nothing",
)
ANNOTATION_RECORD = DefectKind(
    "annotation is incomplete",
    "every annotation needs a bbox and, as whole numbers, id, image_id and category_id; area a number, iscrowd 0 or 1",
    "object",
)
DUPLICATE_ANNOTATION = DefectKind("annotation id used twice", "give every annotation an id of its own", "object")
UNKNOWN_IMAGE = DefectKind(
    "annotation of an unknown image", "add the image to `images`, or delete the annotation", "object"
)
UNKNOWN_CATEGORY = DefectKind(
    "category id unknown", "add the category to `categories`, or correct the category_id", "object"
)
EMPTY_BOX = DefectKind("box of zero or negative size", "correct the bbox, [x, y, width, height] in pixels", "object")
BOX_OUTSIDE = DefectKind("box outside its image", "correct the bbox, [x, y, width, height] in pixels", "object")
BOX_OVERLAPS = DefectKind(
    f"box reaches more than {TOLERANCE:g} px outside its image",
    "correct the bbox: it is [x, y, width, height] in pixels, not two corners and not relative", "clip",
)  # fmt: skip
SHORT_POLYGON = DefectKind(
    "polygon with fewer than 3 points", "a polygon is [x1, y1, x2, y2, x3, y3, ...]; delete what is less", "mask"
)
POLYGON_OUTSIDE = DefectKind(
    "polygon reaches farther from its image than the image is large", "correct the coordinates: they are pixels", "mask"
)
UNKNOWN_NOTATION = DefectKind(
    "segmentation in no notation of COCO",
    "it is a list of polygons, [[x1, y1, x2, y2, x3, y3, ...], ...], or {'size': [height, width], 'counts': ...}",
    "mask",
)
WRONG_RLE = DefectKind(
    "run-length mask does not fit its image", "encode it again at the image's own height and width", "mask"
)
MISSING_MASK = DefectKind(  # no reason to stop: a model without a mask head learns the box
    "annotation without a mask among others that have one",
    "add its segmentation, or a model with a mask head is trained without the object",
    "mask",
)
WRONG_KEYPOINTS = DefectKind(
    "wrong number of keypoints", "[x, y, visibility] for each keypoint its category names", "object"
)
WRONG_VISIBILITY = DefectKind(
    "unknown visibility of a keypoint", "correct it: 0 is not labelled, 1 hidden, 2 visible", "object"
)
KEYPOINT_OUTSIDE = DefectKind(  # dropped by nobody: training takes keypoints outside for not labelled
    f"labelled keypoint more than {TOLERANCE:g} px outside its image",
    "correct x and y, which are pixels and not relative, or make its visibility 0", "clip",
)  # fmt: skip


def find_defects(content: Record) -> Iterator[Defect]:
    """Yield the defects of the records alone; no file is opened."""
    yield from _check_images(content["images"])
    yield from _check_annotations(content)


def _check_images(images: list[Record]) -> Iterator[Defect]:
    ids: set[Any] = set()
    for position, image in enumerate(images):
        is_named = is_file_name(image.get("file_name")) and is_id(image.get("id"))
        if is_named and has_size(image) and image["id"] not in ids:
            ids.add(image["id"])
            continue
        record = f"image {image.get('id')} ({image.get('file_name')})"
        if not is_named or not has_size(image):
            values = ", ".join(f"{name} {image.get(name)!r}" for name in ("id", "height", "width"))
            yield Defect(IMAGE_RECORD, record, values, position)
        else:
            yield Defect(DUPLICATE_IMAGE, record, f"id {image['id']}", position)


def _check_annotations(content: Record) -> Iterator[Defect]:
    images = {image["id"]: image for image in content["images"] if is_id(image.get("id"))}
    keypoints = count_keypoints(content["categories"], content["annotations"])
    longest = max(keypoints.values(), default=0)
    has_masks = any(annotation.get("segmentation") for annotation in content["annotations"])
    sizes = {image_id: (image["height"], image["width"]) for image_id, image in images.items() if has_size(image)}
    sound = find_sound(content["annotations"], sizes, keypoints, has_masks)
    if all(sound) and len({annotation["id"] for annotation in content["annotations"]}) == len(sound):
        return
    ids: set[Any] = set()
    for position, annotation in enumerate(content["annotations"]):
        if sound[position] and annotation["id"] not in ids:
            ids.add(annotation["id"])
            continue
        if not _has_ids(annotation) or annotation.get("bbox") is None:
            broken = [name for name in IDS if not is_id(annotation.get(name))]
            record = f"annotation {annotation.get('id')} of image {annotation.get('image_id')}"
            values = ", ".join(f"{name} {annotation.get(name)!r}" for name in (*broken, "bbox"))
            yield Defect(ANNOTATION_RECORD, record, values, position)
            continue
        image = images.get(annotation["image_id"])
        if annotation["id"] in ids:
            yield Defect(DUPLICATE_ANNOTATION, _describe(annotation, image), f"id {annotation['id']}", position)
        for kind, detail in _check_annotation(annotation, image, keypoints, longest, has_masks):
            yield Defect(kind, _describe(annotation, image), detail, position)
        ids.add(annotation["id"])


def _describe(annotation: Record, image: Record | None) -> str:
    file_name = f" ({image.get('file_name')})" if image else ""
    return f"annotation {annotation['id']} of image {annotation['image_id']}{file_name}"


def _check_annotation(
    annotation: Record, image: Record | None, keypoints: dict[int, int], longest: int, has_masks: bool
) -> Iterator[tuple[DefectKind, str]]:
    """Yield what is wrong with one annotation.

    keypoints: category id -> number of keypoints; `longest` is the largest of these numbers
    has_masks: whether any annotation has a mask
    """
    if image is None:
        yield UNKNOWN_IMAGE, f"image_id {annotation['image_id']}"
        return
    if annotation["category_id"] not in keypoints:
        ids = _format_first(sorted(keypoints))
        yield UNKNOWN_CATEGORY, f"category_id {annotation['category_id']}, known are {ids}"
        return
    if not _is_number(annotation.get("area", 0)):
        yield ANNOTATION_RECORD, f"area {annotation['area']!r}"
    if annotation.get("iscrowd") not in (None, 0, 1):
        yield ANNOTATION_RECORD, f"iscrowd {annotation['iscrowd']!r}"
    size = (image["height"], image["width"]) if has_size(image) else None
    if size is not None:
        yield from _check_box(annotation["bbox"], *size)
        mask = annotation.get("segmentation")
        mask = mask.to_lists() if isinstance(mask, Polygons) else mask
        yield from _check_mask(mask, size, has_masks and not annotation.get("iscrowd"))
    values = annotation.get("keypoints")
    if values and "first_keypoint" not in annotation:  # else a format that has checked its own
        yield from _check_keypoints(values, keypoints[annotation["category_id"]], longest, size)


def _check_keypoints(
    values: Any, count: int, longest: int, size: tuple[int, int] | None
) -> Iterator[tuple[DefectKind, str]]:
    """Yield what is wrong with the keypoints of an object, which may be filled up to the longest of all categories."""
    if not (isinstance(values, list) and are_coordinates(values)):
        yield WRONG_KEYPOINTS, f"{values!r:.80} is not a list of numbers of pixels"
    elif len(values) not in (3 * count, 3 * longest):
        yield WRONG_KEYPOINTS, f"{len(values)} numbers for {count} keypoints"
    elif any(flag > 0 for flag in values[3 * count + 2 :: 3]):
        yield WRONG_KEYPOINTS, f"labels more than the {count} keypoints of its category"
    elif wrong := [number for number, flag in enumerate(values[2::3], 1) if flag not in VISIBILITIES]:
        yield WRONG_VISIBILITY, f"keypoint {wrong[0]} has visibility {values[3 * wrong[0] - 1]}"
    elif size is not None:
        for number, (x, y, flag) in enumerate(zip(values[::3], values[1::3], values[2::3], strict=True), 1):
            if flag and max(-x, -y, x - size[1], y - size[0]) > TOLERANCE:
                where = f"({x:g}, {y:g}) in an image of {size[1]} x {size[0]} (width x height)"
                yield KEYPOINT_OUTSIDE, f"keypoint {number} is at {where}"
                return


def _check_box(box: Any, height: float, width: float) -> Iterator[tuple[DefectKind, str]]:
    is_box = isinstance(box, list) and len(box) == 4 and _are_finite(box)
    if not is_box or max(map(abs, box)) > LONGEST:
        yield ANNOTATION_RECORD, f"bbox {box} is not four numbers of pixels"
        return
    x, y, w, h = box
    if w <= 0 or h <= 0:
        yield EMPTY_BOX, f"bbox {box}"
    elif x >= width or y >= height or x + w <= 0 or y + h <= 0:
        yield BOX_OUTSIDE, f"bbox {box} in an image of {width} x {height} (width x height)"
    elif max(-x, -y, x + w - width, y + h - height) > TOLERANCE:
        yield BOX_OVERLAPS, f"bbox {box} in an image of {width} x {height} (width x height)"


def _check_mask(segmentation: Any, size: tuple[int, int], is_expected: bool) -> Iterator[tuple[DefectKind, str]]:
    if not segmentation:
        if is_expected:
            yield MISSING_MASK, "no segmentation"
    elif isinstance(segmentation, dict) and isinstance(segmentation.get("size"), list) and "counts" in segmentation:
        try:
            decode_counts([segmentation], size)
        except ValueError as error:
            yield WRONG_RLE, str(error)
        except TypeError:
            yield WRONG_RLE, f"counts {segmentation['counts']!r:.60} are neither text nor whole numbers"
    elif not isinstance(segmentation, list) or not all(isinstance(polygon, list) for polygon in segmentation):
        yield UNKNOWN_NOTATION, f"segmentation {segmentation!r:.80}"
    else:
        yield from _check_polygons(segmentation, size)


def _check_polygons(polygons: list[list[Any]], size: tuple[int, int]) -> Iterator[tuple[DefectKind, str]]:
    """Yield the first defect of any polygon; pycocotools ends the process for coordinates of some 10^12."""
    reach = max(size)
    for polygon in polygons:
        if len(polygon) < 6 or len(polygon) % 2:
            yield SHORT_POLYGON, f"polygon {polygon if len(str(polygon)) < 80 else f'of {len(polygon)} numbers'}"
            return
        if not _are_finite(polygon):
            yield UNKNOWN_NOTATION, "a coordinate is not a number"
            return
        if min(polygon) < -reach or max(polygon) > 2 * reach:
            yield POLYGON_OUTSIDE, f"{min(polygon):g} to {max(polygon):g} in an image of {size[1]} x {size[0]}"
            return


def _are_finite(numbers: list[Any]) -> bool:
    """Return whether all are finite numbers; testing their sum takes seconds for tens of millions of coordinates."""
    try:
        return math.isfinite(sum(numbers))
    except (TypeError, OverflowError):  # a whole number of 310 digits is no coordinate
        return False


def _has_ids(annotation: Record) -> bool:
    """Return whether the id of the annotation and those it refers to are whole numbers."""
    return is_id(annotation.get("id")) and is_id(annotation.get("image_id")) and is_id(annotation.get("category_id"))


def is_id(number: Any) -> bool:
    """Return whether this is a whole number that fits a column."""
    return isinstance(number, int) and not isinstance(number, bool) and -MAX_ID <= number <= MAX_ID


def is_file_name(name: Any) -> bool:
    """Return whether this is a text that a file system takes; JSON may hold halves of characters."""
    try:
        return isinstance(name, str) and bool(name.encode(errors="surrogateescape"))
    except UnicodeEncodeError:
        return False


def has_size(image: Record) -> bool:
    """Return whether the record states the image's height and width. Boxes and masks are checked only then."""
    height, width = image.get("height"), image.get("width")
    return isinstance(height, int) and isinstance(width, int) and 0 < height < LONGEST and 0 < width < LONGEST


def _is_number(value: Any) -> bool:
    """Return whether a value is absent or a number of a size that a float has."""
    if value is None or isinstance(value, int):
        return value is None or abs(value) <= sys.float_info.max
    return isinstance(value, float) and math.isfinite(value)


def _format_first(values: list[Any]) -> str:
    return ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")
