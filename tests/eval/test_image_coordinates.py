"""Detections of a canvas in the pixels of the image file, in numbers that can be computed by hand."""

from __future__ import annotations

import numpy as np
import pycocotools.mask
import torch

from lineage.eval.predictions.host_copy import ImageSizes
from lineage.eval.predictions.image_coordinates import to_image_coordinates
from lineage.eval.predictions.predictions import split_images
from lineage.structures import Detections

# The second image has 40 x 60 pixels in the canvas and is a file of 80 x 180: twice as high, three times as wide.
SIZES = ImageSizes(
    ids=torch.tensor([7, 9]),
    canvas=torch.tensor([[50.0, 50.0], [40.0, 60.0]]),
    files=torch.tensor([[50, 50], [80, 180]]),
)
KEYPOINTS = [[10.5, 20.0, 0.25], [0.5, 0.25, 2.0]]


def make_detections() -> Detections:
    """Three slots per image; of the second image the middle one is empty, and the last one leaves the canvas."""
    boxes = torch.tensor([[1.0, 2, 11, 12], [0, 0, 60, 40], [50, -3, 66, 50]]).expand(2, 3, 4)
    return Detections(
        boxes=boxes,
        scores=torch.tensor([[0.9, 0.8, 0.7], [0.6, 0.5, 0.4]]),
        labels=torch.tensor([[0, 1, 2], [3, 4, 5]]),
        valid=torch.tensor([[True, True, True], [True, False, True]]),
        proposal_index=torch.zeros(2, 3, dtype=torch.long),
        probabilities=torch.zeros(2, 3, 7),
        masks=torch.ones(2, 3, 4, 4),
        keypoints=torch.tensor(KEYPOINTS).expand(2, 3, 2, 3),
        extra={"embedding": torch.arange(12.0).view(2, 3, 2)},
    )


def test_boxes_are_scaled_per_side_and_end_at_the_borders_of_the_file() -> None:
    found = split_images(to_image_coordinates(make_detections(), SIZES, ("box",)))[1]
    assert found.boxes.tolist() == [[3, 4, 30, 20], [150, 0, 30, 80]]  # x, y, width, height
    assert found.scores.tolist() == [np.float32(0.6), np.float32(0.4)]
    assert (found.labels.tolist(), found.image_index.tolist()) == ([3, 5], [0, 0])
    assert (found.images.tolist(), found.sizes.tolist()) == ([9], [[80, 180]])
    assert found.extra["embedding"].tolist() == [[6, 7], [10, 11]]
    assert (found.rle.size, found.keypoints.size) == (0, 0)


def test_keypoints_are_scaled_to_the_indices_of_pixels_and_keep_their_scores() -> None:
    found = split_images(to_image_coordinates(make_detections(), SIZES, ("keypoint",)))[1]
    assert found.keypoints.tolist() == [[[31, 39.5, 0.25], [1, 0, 2]]] * 2


def test_full_masks_fill_their_boxes() -> None:
    found = split_images(to_image_coordinates(make_detections(), SIZES, ("mask",)))[1]
    ends = np.cumsum(found.rle_lengths)
    texts = [bytes(found.rle[end - length : end]) for end, length in zip(ends, found.rle_lengths, strict=True)]
    boxes = [pycocotools.mask.toBbox({"size": [80, 180], "counts": text}).tolist() for text in texts]
    assert boxes == [[3, 4, 30, 20], [150, 0, 30, 80]]
