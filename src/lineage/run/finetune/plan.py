"""The choices of a fine-tuning, each with its reason: a pure function of the data, the machine and what was typed.

benchmarks/results/finetune.md has what they gave, and which of them were not measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np

from lineage.config.build import ConfigError
from lineage.results.key_roles import within
from lineage.run.finetune.anchors import fit_anchors
from lineage.run.finetune.facts import DataFacts
from lineage.run.finetune.own_run import OwnModel
from lineage.run.finetune.weights import BODIES, DETECTORS, Availability, find_conventions

SMALL_BOX = 16  # pixels, the side below which objects call for larger images
AUGMENTS = {160: "scale_160", 320: "scale_320", 480: "scale_480", 800: "multiscale_640_800"}  # by the size of the test
MANY_IMAGES = 2000  # from here on, 16 images per step on a GPU
EVALUATIONS = 5  # of a training
EVALUATION_SHARE = 0.2  # of the time that evaluations may take; an image costs a third of one in training
MIN_SHARE = 0.5  # of objects with a mask, or with keypoints, from which a head for them is worth having


class Start(Enum):
    """The weights that a training begins with."""

    DETECTOR = "a detector trained on COCO"
    BODY = "a body trained on ImageNet"
    SCRATCH = "no weights"


EPOCHS = 12  # at least, as COCO's 1x
STEPS = {Start.DETECTOR: 500, Start.BODY: 600, Start.SCRATCH: 1500}  # at least
ADAMW_RATE = {Start.DETECTOR: 0.0003, Start.BODY: 0.001, Start.SCRATCH: 0.0015}  # tier mini, 4 images per step
SGD_RATE = {Start.DETECTOR: 0.01, Start.BODY: 0.02, Start.SCRATCH: 0.02}  # tier paper, 16 images per step


@dataclass(frozen=True, slots=True)
class Choice:
    """One override and why it was chosen."""

    override: str
    reason: str

    @property
    def key(self) -> str:
        return self.override.partition("=")[0]


@dataclass(frozen=True, slots=True)
class Beginning:
    """The weights, and the model and tier that they call for."""

    start: Start
    model: str
    tier: str
    choices: tuple[Choice, ...]


LATER_BODY = Choice("backbone.weights=later", "the body comes with the detector")


def choose_training(
    facts: DataFacts,
    typed: Mapping[str, str],
    has_gpu: bool,
    find_weights: Availability,
    own: OwnModel | None = None,
) -> list[Choice]:
    """Return what is chosen; keys that were typed, or lie in a group that was, are left out.

    typed: key -> value of the overrides
    own: model of the run whose weights were typed
    """
    beginning = continue_run(own) if own else choose_beginning(facts, typed, has_gpu, find_weights)
    size = choose_size(facts, beginning, has_gpu)
    choices = [*beginning.choices, choose_augment(facts, size), *choose_schedule(facts, beginning, typed, has_gpu)]
    if typed.get("finetune.anchors", "").lower() in ("true", "1", "yes"):
        choices += choose_anchors(facts, size)
    groups = [key for key in typed if key not in ("schedule", "data")]  # `schedule=2x` still has a length to adapt
    return [choice for choice in choices if not within(choice.key, groups)]


def choose_model(facts: DataFacts) -> Choice:
    """Return the model that learns the labels which the data have."""
    count = f"{facts.with_keypoints:,} of {facts.objects:,} objects have"
    if facts.with_keypoints and facts.with_keypoints >= MIN_SHARE * facts.objects:
        more = "; model=mask_keypoint_rcnn learns their masks too" if facts.masked >= MIN_SHARE else ""
        return Choice("model=keypoint_rcnn", f"{count} some of {facts.keypoints} keypoints{more}")
    few = f"; {count} keypoints, which model=keypoint_rcnn learns" if facts.with_keypoints else ""
    if facts.masked >= MIN_SHARE:
        reason = f"{facts.masked:.0%} of the objects have masks; model=faster_rcnn learns boxes alone{few}"
        return Choice("model=mask_rcnn", reason)
    masks = f"only {facts.masked:.0%} of the objects have masks" if facts.masked else "the objects have no masks"
    return Choice("model=faster_rcnn", f"{masks}, so boxes are learned{few}")


def continue_run(own: OwnModel) -> Beginning:
    """Return the model of an earlier run, whose weights were typed."""
    reason = f"as in {own.folder}, whose weights were typed"
    choices = tuple(Choice(override, reason) for override in own.overrides)
    return Beginning(Start.DETECTOR, own.model, own.tier, choices)


def choose_beginning(
    facts: DataFacts, typed: Mapping[str, str], has_gpu: bool, find_weights: Availability
) -> Beginning:
    """Return the best weights within reach: a detector of COCO, else a body of ImageNet, else none."""
    model = choose_model(facts) if "model" not in typed else Choice(f"model={typed['model']}", "typed")
    name, where = model.override.partition("=")[2], "GPU" if has_gpu else "CPU"
    tier = typed.get("tier") or ("paper" if has_gpu else "mini")
    tier_choice = Choice(
        f"tier={tier}", "the papers' model" if has_gpu else "a CPU: the papers' model with smaller numbers"
    )
    # 1. What was typed.
    if "weights" in typed:
        paper = Choice("tier=paper", "the weights of a whole detector were typed")
        return Beginning(Start.DETECTOR, name, typed.get("tier", "paper"), (model, paper, LATER_BODY))
    if "backbone" in typed or "backbone.weights" in typed:
        is_trained = typed.get("backbone.weights", "null") != "null" or typed.get("backbone") in BODIES
        return Beginning(Start.BODY if is_trained else Start.SCRATCH, name, tier, (model, tier_choice))
    # 2. A detector. On a CPU boxes have a small one.
    detector = "faster_rcnn_mobilenet_320" if name == "faster_rcnn" and not has_gpu and "model" not in typed else name
    if detector in DETECTORS and typed.get("tier", "paper") == "paper" and (place := find_weights(DETECTORS[detector])):
        small = Choice(f"model={detector}", "boxes are learned, and this is the small detector for a CPU")
        weights = Choice(f"weights={DETECTORS[detector]}", f"{place}: trained on COCO; new heads for your classes")
        paper = Choice("tier=paper", "the model of these weights")
        theirs = (Choice(text, "as torchvision trained them") for text in find_conventions())
        parts = (model if detector == name else small, paper, weights, LATER_BODY, *theirs)
        return Beginning(Start.DETECTOR, detector, "paper", parts)
    # 3. A body.
    body = "resnet50" if has_gpu else "mobilenet_v3_large"
    if place := find_weights(BODIES[body]):
        choice = Choice(f"backbone={body}", f"{place}: trained on ImageNet, of a size for a {where}")
        return Beginning(Start.BODY, name, tier, (model, tier_choice, choice))
    # 4. Neither: a small network with group norm.
    reason = "no trained weights are in the cache or within reach; a small body with group norm learns from scratch"
    scratch = (Choice("tier=mini", "from scratch, small networks learn sooner"), Choice("backbone=mini", reason))
    return Beginning(Start.SCRATCH, name, typed.get("tier", "mini"), (model, *scratch))


def choose_size(facts: DataFacts, beginning: Beginning, has_gpu: bool) -> int:
    """Return the short side of test images in pixels: a key of AUGMENTS."""
    if has_gpu and beginning.start is not Start.SCRATCH:
        fitting = [size for size in AUGMENTS if size <= 2 * facts.short_side]
        return max(fitting, default=160)
    if facts.short_side <= 200:
        return 160
    is_small = facts.objects and side_of_small_objects(facts) * 320 < SMALL_BOX
    is_large_model = beginning.start is Start.DETECTOR and beginning.model in (
        "mask_rcnn",
        "faster_rcnn",
        "keypoint_rcnn",
    )
    return 480 if is_small or is_large_model else 320


def side_of_small_objects(facts: DataFacts) -> float:
    """Return the side of which a quarter of the objects are smaller, divided by the short side of their image."""
    return float(np.quantile(np.sqrt(facts.boxes.prod(1)), 0.25))


def choose_augment(facts: DataFacts, size: int) -> Choice:
    """Return the augmentation around the size of the test."""
    reason = f"short side {size} in the test, varied in training (files have {facts.short_side})"
    if facts.objects:
        reason += f"; a quarter of the objects are smaller than {side_of_small_objects(facts) * size:.0f} pixels then"
    return Choice(f"augment={AUGMENTS[size]}", reason)


def choose_schedule(
    facts: DataFacts, beginning: Beginning, typed: Mapping[str, str], has_gpu: bool
) -> Iterator[Choice]:
    """Yield batch, length, rate, warm-up and evaluation interval."""
    start = beginning.start
    # 1. Images per step, which the rate follows (arXiv:1706.02677, section 2.1).
    is_large = has_gpu and facts.images >= MANY_IMAGES
    batch = read_number(typed, "schedule.images_per_step", 16 if is_large else 4)
    yield Choice(
        f"schedule.images_per_step={batch:g}", "16 from 2,000 images on" if is_large else "few images, many steps"
    )
    if has_gpu:
        yield Choice("data.images_per_device=4", "a step in one piece, if it is of 4 images")
    # 2. The length: epochs, but no fewer steps than the start needs.
    epochs = float(max(EPOCHS, math.ceil(STEPS[start] * batch / facts.images)))
    steps = read_steps(typed)
    if not steps:
        epochs = read_number(typed, "schedule.epochs", epochs)
        steps = math.ceil(epochs * facts.images / batch)
        least = f"at least {EPOCHS} epochs, and {STEPS[start]} steps from {start.value}"
        reason = f"{facts.images} images: {steps:,} steps ({least})"
        yield Choice(f"schedule.epochs={epochs:g}", reason)
    # 3. The rate, its warm-up and its fall.
    if "optimizer" not in typed and beginning.tier == "paper":
        rate = SGD_RATE[start] * batch / 16
        yield Choice(f"optimizer.lr={rate:g}", f"SGD; {SGD_RATE[start]:g} per 16 images, from {start.value}")
    elif "optimizer" not in typed:
        rate = ADAMW_RATE[start] * math.sqrt(batch / 4)
        yield Choice(
            f"optimizer.lr={rate:.3g}", f"AdamW; {ADAMW_RATE[start]:g} at 4 images per step, from {start.value}"
        )
    yield Choice(f"schedule.warmup_steps={min(steps // 10, 500):g}", "a tenth of the steps, 500 at most")
    if not typed.keys() & {"schedule", "schedule.milestones"}:
        yield Choice("lr_schedule=cosine", "falls to 0 by the last step, whatever the length")
    # 4. Evaluations that take a fifth of the time at most.
    most = int(EVALUATION_SHARE * steps * batch * 3 / facts.val_images) if facts.val_images else 0
    if most > 1:
        count = min(EVALUATIONS, most)
        yield Choice(
            f"schedule.evaluate_every={max(1, int(steps) // count)}", f"{count} times, on {facts.val_images} images"
        )


def read_steps(typed: Mapping[str, str]) -> float:
    """Return the typed number of steps, 0 if there is none. Raises ConfigError if it is below 1."""
    if read_number(typed, "schedule.steps", 1) < 1:
        steps = typed["schedule.steps"]
        raise ConfigError(f"schedule.steps={steps}: fine-tuning takes at least one step; without it a length is chosen")
    return read_number(typed, "schedule.steps", 0)


def read_number(typed: Mapping[str, str], key: str, default: float) -> float:
    """Return a typed number; the default if there is none, or several to sweep over."""
    try:
        return float(typed[key])
    except (KeyError, ValueError):
        return default


def choose_anchors(facts: DataFacts, size: int) -> Iterator[Choice]:
    """Yield anchors that fit the boxes as the test sees them."""
    sizes, shapes = fit_anchors(facts.boxes * size)
    reason = f"means of five clusters of the {facts.objects} boxes, at short side {size}"
    yield Choice(f"model.proposals.anchors.sizes={[[side] for side in sizes]}".replace(" ", ""), reason)
    yield Choice(
        f"model.proposals.anchors.aspect_ratios={shapes}".replace(" ", ""), "height / width, of three clusters"
    )
