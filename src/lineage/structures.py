"""Batched tensors of the whole code base, the letters of their shapes and the names of what they hold.

    B  images in a batch              N  proposals per image         C  classes; label C is background
    G  ground-truth slots per image   P  foreground slots per image  K  keypoints per object
    A  anchors per image              D  detection slots per image   S  bytes of a batch's masks, or stuff classes

    pred_    output of the network                   gt_      of the ground truth
    num_     count                                   _idx     index into another tensor (matched_idx: into Targets)
    logits   class scores before softmax or sigmoid  deltas   encoded boxes (dx, dy, dw, dh), see ops.boxes

A batch is dense: every image has the same number of slots and a `valid` mask marks the filled ones. Shapes depend on
the config and on a few buckets, never on predictions, so a step needs no host sync and has no graph break. In eager
mode on a CPU, where a sync is free, heads on foreground drop empty slots (models/roi_heads/filled_slots.py).

Boxes are float (x1, y1, x2, y2) in continuous canvas pixels: pixel i covers [i, i + 1) and width is x2 - x1.
Sizes are (height, width). Keypoints lie at pixel centres: loading adds 0.5 to integer annotations.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from torch import Tensor

UNLABELLED = 255  # the semantic class of pixels without a label, padding among them
DETECTION, INTERPOLATION = "detection", "interpolation"  # tasks: what a dataset, a model and an evaluator agree on


class Images(NamedTuple):
    pixels: Tensor  # [B, 3, H, W] uint8 RGB, zero beyond each image's size
    sizes: Tensor  # [B, 2] float32 (height, width) of the content before padding
    rng_keys: Tensor  # [B] int64: the random stream of this image at this step (see ops.random); 0 at test time
    proposals: Proposals | None = None  # precomputed, in canvas pixels


class Masks(NamedTuple):
    """The instance masks of a batch, bit-exact and compact: each is stored as its own window of the canvas."""

    bits: Tensor  # [S] uint8 0/1, the windows one after the other, row-major
    offsets: Tensor  # [B, G] int64: start of each window in `bits`
    windows: Tensor  # [B, G, 4] int64 (x, y, width, height) in canvas pixels; zero outside the window


class Targets(NamedTuple):
    """The ground truth of a batch."""

    boxes: Tensor  # [B, G, 4] float32
    labels: Tensor  # [B, G] int64
    valid: Tensor  # [B, G] bool
    crowd: Tensor  # [B, G] bool, a subset of valid
    masks: Masks | None
    keypoints: Tensor | None  # [B, G, K, 3] float32 (x, y, visibility)
    semantic: Tensor | None = None  # [B, H, W] uint8 in 0..S-1, 255 is not labelled
    object_weights: Tensor | None = None  # [B, G] float32: loss weight of each object (mixup); None is 1 for all


class Batch(NamedTuple):
    images: Images
    targets: Targets
    ids: Tensor  # [B] int64 image ids
    original_sizes: Tensor  # [B, 2] int64 (height, width) of the files; detections are scaled back to these


class FramePairs(NamedTuple):
    """The input of frame interpolation: two frames of each video, and the motion between them where it is known."""

    frames: Tensor  # [B, 2, 3, H, W] uint8 RGB, its border repeated beyond each size
    sizes: Tensor  # [B, 2] float32 (height, width) of the content before padding
    rng_keys: Tensor  # [B] int64, as of Images
    # [B, 4, 2, H, W] float32 pixels (x, y): from the first frame to the second and back, and from the wanted frame to
    # the first and to the second
    flows: Tensor | None = None


class FrameBatch(NamedTuple):
    """A batch of frame interpolation, with the field names of Batch."""

    images: FramePairs
    targets: Tensor  # [B, 3, H, W] uint8: the frame between the two
    ids: Tensor  # [B] int64 positions in the dataset, from 1
    original_sizes: Tensor  # [B, 2] int64 (height, width) of the files


class Proposals(NamedTuple):
    """Boxes that may hold an object, of any class."""

    boxes: Tensor  # [B, N, 4]
    scores: Tensor  # [B, N]
    valid: Tensor  # [B, N] bool


class SampledProposals(NamedTuple):
    """The proposals of a training step with their targets; foreground fills the first slots."""

    boxes: Tensor  # [B, N, 4]
    valid: Tensor  # [B, N] bool
    labels: Tensor  # [B, N] int64 in 0..C, C is background
    matched_idx: Tensor  # [B, N] int64: slot of Targets that each proposal was matched to


class Detections(NamedTuple):
    boxes: Tensor  # [B, D, 4]
    scores: Tensor  # [B, D], descending
    labels: Tensor  # [B, D] int64
    valid: Tensor  # [B, D] bool
    proposal_index: Tensor  # [B, D] int64: the proposal (or anchor) each detection came from
    probabilities: Tensor  # [B, D, C + 1] of all classes and background, for calibration and explanation
    masks: Tensor | None = None  # [B, D, M, M] probabilities inside the box
    keypoints: Tensor | None = None  # [B, D, K, 3] (x, y, score)
    semantic: Tensor | None = None  # [B, S, H / 4, W / 4] logits over the canvas
    extra: dict[str, Tensor] | None = None  # {name: [B, D, ...]} outputs of heads that no field above holds


class Diagnostic(NamedTuple):
    """A number that is logged beside a loss, such as an accuracy, as a sum and its normalizer; it has no gradient."""

    name: str  # logged as <loss>/<name>, e.g. roi_cls/accuracy
    sum: Tensor  # []
    normalizer: Tensor  # []


class Loss(NamedTuple):
    """A loss as a sum and its normalizer, with the diagnostics of the tensors that it was computed from.

    The trainer divides by the normalizer summed over *all* processes, so 8 GPUs x 2 images equal 1 GPU x 16 images.
    """

    sum: Tensor  # [] sum of the per-element losses
    normalizer: Tensor  # [] number of elements the paper divides by
    diagnostics: tuple[Diagnostic, ...] = ()


Losses: TypeAlias = dict[str, Loss]  # keys are <where>_<what>: rpn_cls rpn_box roi_cls roi_box roi_mask


def first(sampled: SampledProposals, slots: int) -> SampledProposals:
    """Return the first `slots` proposals of every image, [B, slots, ...]: the sampler puts foreground there."""
    return SampledProposals(*(field[:, :slots] for field in sampled))
