"""The data structures of the whole code base, and the letters of their shapes.

    B  images in a batch              N  regions per image           C  classes; label C is background
    G  ground-truth slots per image   P  foreground slots per image  K  keypoints per object
    A  anchors per image              D  detection slots per image   S  bytes of a batch's masks, or stuff classes

A batch is dense: every image owns the same number of slots and a `valid` mask says which are filled. Shapes depend on
the config and on a few buckets, never on what the model predicted, so a step needs no host sync and compiles whole.

Boxes are float (x1, y1, x2, y2) in continuous canvas pixels: pixel i covers [i, i + 1) and width is x2 - x1.
Sizes are (height, width). Keypoints sit at pixel centres, so an integer annotation gets +0.5 on loading.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from torch import Tensor

if TYPE_CHECKING:
    from torchvision import tv_tensors as tv

    from lineage.data.samples.mask_crops import Crops


class Sample(NamedTuple):
    """One annotated image before batching, as a dataset gives it and as augmentations pass it on."""

    image: tv.Image  # [3, h, w] uint8, RGB
    boxes: tv.BoundingBoxes  # [n, 4] float32 XYXY
    labels: Tensor  # [n] int64 in 0..C-1
    crowd: Tensor  # [n] bool: regions that hold uncounted objects; proposals inside them are ignored
    masks: Crops | None  # n instance masks, each kept inside its own window
    keypoints: tv.KeyPoints | None  # [n, K, 2] float32
    visible: Tensor | None  # [n, K] int64: 0 not labelled, 1 hidden, 2 visible
    id: int  # the image id of the annotation file
    size: tuple[int, int]  # (height, width) of the file, before any augmentation
    proposals: tv.BoundingBoxes | None = None  # [r, 4] float32 XYXY, best first: precomputed regions (Fast R-CNN)
    semantic: tv.Mask | None = None  # [h, w] uint8 class of each pixel in 0..S-1, 255 is not labelled (Panoptic FPN)
    weights: Tensor | None = None  # [n] float32: what an object counts in the losses (mixup)


class Images(NamedTuple):
    pixels: Tensor  # [B, 3, H, W] uint8 RGB, zero beyond each image's size
    sizes: Tensor  # [B, 2] float32 (height, width) of the content before padding
    keys: Tensor  # [B] int64: names the random stream of this image at this step (see ops.chance)
    proposals: Regions | None = None  # precomputed ones, in canvas pixels


class Masks(NamedTuple):
    """The masks of a batch, bit-exact and compact: each instance keeps only its own window of the canvas."""

    bits: Tensor  # [S] uint8 0/1, the windows one after the other, row-major
    offsets: Tensor  # [B, G] int64: where in `bits` a window starts
    windows: Tensor  # [B, G, 4] int64 (x, y, width, height) in canvas pixels; zero outside the window


class Targets(NamedTuple):
    boxes: Tensor  # [B, G, 4] float32
    labels: Tensor  # [B, G] int64
    valid: Tensor  # [B, G] bool
    crowd: Tensor  # [B, G] bool, a subset of valid
    masks: Masks | None
    keypoints: Tensor | None  # [B, G, K, 3] float32 (x, y, visibility)
    semantic: Tensor | None = None  # [B, H, W] uint8 in 0..S-1, 255 is not labelled
    weights: Tensor | None = None  # [B, G] float32: what an object counts in the losses; None is 1 for all


class Batch(NamedTuple):
    images: Images
    targets: Targets
    ids: Tensor  # [B] int64 image ids
    originals: Tensor  # [B, 2] int64 (height, width) of the files; detections are restored to these


class Regions(NamedTuple):
    boxes: Tensor  # [B, N, 4]
    scores: Tensor  # [B, N]
    valid: Tensor  # [B, N] bool


class Matched(NamedTuple):
    """Sampled regions with what they should become; foreground fills the first slots."""

    boxes: Tensor  # [B, N, 4]
    valid: Tensor  # [B, N] bool
    labels: Tensor  # [B, N] int64 in 0..C, C is background
    gt: Tensor  # [B, N] int64: the slot of Targets each region was matched to


class Detections(NamedTuple):
    boxes: Tensor  # [B, D, 4]
    scores: Tensor  # [B, D], descending
    labels: Tensor  # [B, D] int64
    valid: Tensor  # [B, D] bool
    region: Tensor  # [B, D] int64: the proposal each detection came from
    probabilities: Tensor  # [B, D, C + 1]: calibration and explanation need the whole row
    masks: Tensor | None = None  # [B, D, M, M] probabilities inside the box
    keypoints: Tensor | None = None  # [B, D, K, 3] (x, y, score)
    semantic: Tensor | None = None  # [B, S, H / 4, W / 4] logits over the canvas


class Loss(NamedTuple):
    """A loss as a sum and what it is divided by.

    The trainer divides by the number over *all* processes, so 8 GPUs x 2 images equal 1 GPU x 16 images exactly.
    """

    total: Tensor  # [] sum of the terms
    terms: Tensor  # [] how many terms the paper divides by


Losses: TypeAlias = dict[str, Loss]  # keys are <where>_<what>: rpn_cls rpn_box roi_cls roi_box roi_mask


def first(rois: Matched, slots: int) -> Matched:
    """The leading `slots` regions of every image: [B, slots, ...]. The sampler puts foreground there."""
    return Matched(*(field[:, :slots] for field in rois))
