"""Parts of a detection that can be scored, with their fields in COCO's files."""

from __future__ import annotations

FIELDS = {  # task -> the field of a COCO record that it scores; a boundary is that of a mask
    "box": "bbox",
    "mask": "segmentation",
    "keypoint": "keypoints",
    "boundary": "segmentation",
}
TASKS = tuple(FIELDS)
IOU_TYPES = {"box": "bbox", "mask": "segm", "keypoint": "keypoints"}  # as pycocotools and hotcoco call them
