"""Landmarks of several classes that mean the same: groups for heads whose classes share heat maps.

A landmark's name is that of its class and of its part, such as skirt_hem_left: equal parts are one group. DeepFashion2
numbers its landmarks along the outline of each class. The sections of the outlines follow from their lengths and
mirror images: a collar, sleeves of 5 or 9 points, sides of 4 or 6, a waist.

# deviates: DeepMark++ (arXiv:2006.00710) groups the 294 landmarks by a list that is not public; these groups are ours
"""

from __future__ import annotations

from lineage.data.formats.deepfashion2 import CLASSES, LENGTHS
from lineage.data.samples.metadata import DatasetMeta

COLLAR, WAIST = 6, 3  # points before the left side of an upper and of a lower garment
SHORT_SLEEVE, LONG_SLEEVE = 5, 9
OPEN_COLLAR = 4  # the point of an open collar on the first edge
OUTWEAR_FRONT = 6  # points of the second edge of an open front, which come last


def group_landmarks(meta: DatasetMeta) -> list[int]:
    """Return the group of each keypoint [K]; keypoints of one class are in different groups."""
    parts = []
    for label, name in enumerate(meta.classes):
        prefix = f"{name.replace(' ', '_')}_"
        own = [meta.keypoints[slot].removeprefix(prefix) for slot in meta.keypoint_slots(label)]
        if all(part.isdigit() for part in own) and name in CLASSES and len(own) == LENGTHS[CLASSES.index(name)]:
            own = [name_part(name, int(part)) for part in own]
        parts += own
    names = list(dict.fromkeys(parts))
    return [names.index(part) for part in parts]


def name_part(category: str, number: int) -> str:
    """Return the part of an outline that a landmark of DeepFashion2, counted from 1 within its class, stands for."""
    count = LENGTHS[CLASSES.index(category)]
    if category.endswith("outwear"):
        count -= OUTWEAR_FRONT
        middle = (COLLAR + count + 1) // 2
        if number > count or number in (OPEN_COLLAR, middle):  # open: the mirror image of each edge is the other one
            return f"front_{'collar' if number == OPEN_COLLAR else 'hem' if number == middle else number - count}"
    is_lower = category in ("shorts", "trousers", "skirt")
    first = WAIST if is_lower else COLLAR
    if number <= first:
        return f"{'waist' if is_lower else 'collar'}_{number}"
    # 1. the left side runs down, the right side up; a single point in the middle lies between them
    along, length = number - first, count - first
    from_end = min(along, length + 1 - along)
    side = "left" if 2 * along < length + 1 else "right" if 2 * along > length + 1 else "middle"
    if is_lower:
        return f"{category}_{from_end}_{side}"
    # 2. sleeves come before the sides of the body
    half = length // 2
    body = 6 if category.endswith("dress") else 4
    sleeve = {SHORT_SLEEVE: "short_sleeve", LONG_SLEEVE: "long_sleeve"}.get(half - body, "")
    if side == "middle":
        return "hem_middle"
    if from_end <= half - body:
        return f"{sleeve}_{from_end}_{side}"
    return f"{'dress' if body > 4 else 'top'}_{from_end - (half - body)}_{side}"
