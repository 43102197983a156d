"""Roles of the keys of a run's config: the one table that digests, comparisons and commands ask.

A key that is not listed has the role of the node it lies in. `*` stands for any part of a dotted key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from fnmatch import fnmatchcase
from functools import cache
from typing import Any


class Role(Enum):
    """The part of a run that a key changes."""

    TRAINING = "the weights"
    TEST = "the metrics, not the weights"
    SEED = "the sample of an experiment, not the experiment"
    TIER = "a label: the rows of a tier differ in other keys too"
    CELL = "the cell of a table that a run fills"
    PARENT = "how a run names what it takes over from earlier runs"
    TASK = "what a run does beside training, or in place of it"
    DATASET = "filled in from the dataset"
    PLACE = "where files lie, or how they are checked"
    OUTPUT = "where a run writes"
    DISPLAY = "what is shown of a run"
    SPEED = "how fast a run is, on which hardware"
    PROCESS = "a single process of a run"


ROLES = {
    "model": Role.TRAINING,
    "model.*.test": Role.TEST,
    "model.box.score_thresh": Role.TEST,
    "model.box.nms_thresh": Role.TEST,
    "model.box.detections_per_img": Role.TEST,
    "model.box.topk_candidates": Role.TEST,
    "model.head.score_thresh": Role.TEST,
    "model.head.nms_thresh": Role.TEST,
    "model.head.detections_per_img": Role.TEST,
    "model.head.topk_candidates": Role.TEST,
    "backbone": Role.TRAINING,
    "roi": Role.TRAINING,
    "upsampling": Role.TRAINING,
    "proposals": Role.TRAINING,
    "proposals.folder": Role.PLACE,
    "dataset": Role.TRAINING,
    "dataset.root": Role.PLACE,
    "dataset.labels": Role.PLACE,
    "dataset.val": Role.TEST,
    "dataset.val.fraction": Role.TRAINING,
    "dataset.evaluator": Role.TEST,
    "dataset.classes": Role.DATASET,
    "dataset.max_megapixels": Role.PLACE,
    "dataset.*.max_megapixels": Role.PLACE,
    "dataset.keypoints": Role.DATASET,
    "dataset.keypoint_counts": Role.DATASET,
    "dataset.keypoint_offsets": Role.DATASET,
    "dataset.keypoint_groups": Role.DATASET,
    "augment": Role.TRAINING,
    "augment.test": Role.TEST,
    "augment.test_buckets": Role.TEST,
    "sampling": Role.TRAINING,
    "schedule": Role.TRAINING,
    "schedule.evaluate_every": Role.DISPLAY,  # of a callback that waits for metrics, more: config/digests.py
    "lr_schedule": Role.TRAINING,
    "optimizer": Role.TRAINING,
    "trainer": Role.TRAINING,
    "trainer.devices": Role.SPEED,
    "trainer.num_nodes": Role.SPEED,
    "trainer.accelerator": Role.SPEED,
    "trainer.strategy": Role.SPEED,
    "trainer.log_every_n_steps": Role.SPEED,
    "trainer.detect_anomaly": Role.SPEED,
    "evaluator": Role.TEST,
    "classification": Role.TRAINING,
    "regression": Role.TRAINING,
    "suppression": Role.TEST,
    "tta": Role.TEST,
    "edit": Role.TRAINING,
    "callbacks": Role.TRAINING,
    "callbacks.lr_finder": Role.DISPLAY,
    "callbacks.device_statistics": Role.DISPLAY,
    "callbacks.throughput": Role.DISPLAY,
    "logger": Role.DISPLAY,
    "data": Role.SPEED,
    "engine": Role.SPEED,
    "activation_checkpointing": Role.SPEED,
    "tier": Role.TIER,
    "seed": Role.SEED,
    "optimize": Role.DISPLAY,
    "checkpoint_every": Role.SPEED,
    "keep_checkpoints": Role.SPEED,
    "average_checkpoints": Role.TEST,
    "profile": Role.SPEED,
    "rank_timeout": Role.SPEED,
    "weights": Role.TRAINING,
    "weights_sha256": Role.PLACE,
    "trainable": Role.TRAINING,
    "loss_weights": Role.TRAINING,
    "refit_images": Role.TRAINING,
    "dump_proposals": Role.TASK,
    "dump_labels": Role.TASK,
    "evaluate_only": Role.TASK,
    "resume": Role.PROCESS,
    "hydra": Role.PROCESS,
    "cell": Role.CELL,
    "cell.table": Role.CELL,
    "cell.row": Role.CELL,
    "cell.note": Role.DISPLAY,
    "cell.start": Role.PARENT,
    "cell.proposals": Role.PARENT,
    "cell.labels": Role.PARENT,
    "paths": Role.OUTPUT,
    "paths.results": Role.OUTPUT,
    "paths.runs": Role.OUTPUT,
    "paths.cache": Role.PLACE,
}

# Keys that are younger than stored entries, each with the values at which it changes nothing: there a digest is that of
# a config without the key.
NEUTRAL_VALUES: dict[str, tuple[Any, ...]] = {
    "schedule.epochs": (None,),
    "lr_schedule": ({},),
    "optimizer.layer_decay": (1.0,),
    "optimizer.offset_lr_factor": (1.0,),
    "*backbone.stem": ("conv7",),
    "*backbone.shortcut": ("conv",),
    "*backbone.zero_gamma": (False,),
    "*backbone.drop_path": (0.0,),
    "callbacks": ({},),
    "upsampling": ({},),
    "average_checkpoints": (None,),
    "trainer.gradient_clip_val": (None,),
    "dataset.val.fraction": (None,),
    "dataset.pixel_range": (None,),
    "dataset.*.pixel_range": (None, "${dataset.pixel_range}"),
}

# Keys with these roles change neither weights nor metrics: the digest of a config leaves them out.
VOLATILE = (
    Role.SEED, Role.PARENT, Role.TASK, Role.PLACE, Role.OUTPUT, Role.DISPLAY, Role.SPEED, Role.PROCESS,
)  # fmt: skip
# Two configs that differ in these roles alone ask for the same.
SAME_EXPERIMENT = (*VOLATILE, Role.CELL, Role.TIER)


@cache
def role_of(key: str) -> Role:
    """Return the role of a dotted key; keys of no role change the weights, for all we know."""
    for part in _upwards(key):
        if part in ROLES:
            return ROLES[part]
        for pattern, role in ROLES.items():
            if "*" in pattern and fnmatchcase(part, pattern):
                return role
    return Role.TRAINING


def keys_with(config: Any, *roles: Role) -> list[str]:
    """Return the dotted keys of a config that have one of these roles; a node with no other keys counts as one key."""
    return list(_find_keys(config, "", lambda key, value: role_of(key) in roles))


def keys_without_effect(config: Any, *roles: Role) -> list[str]:
    """Return the keys that have one of these roles or one of their `NEUTRAL_VALUES`, as `keys_with` does."""
    return list(_find_keys(config, "", lambda key, value: role_of(key) in roles or is_neutral(key, value)))


def is_neutral(key: str, value: Any) -> bool:
    """Return whether a config with this key and value computes what a config without the key does."""
    return any(fnmatchcase(key, pattern) and value in values for pattern, values in NEUTRAL_VALUES.items())


def within(key: str, roots: Iterable[str]) -> bool:
    """Return whether a dotted key is one of `roots`, or lies in one."""
    return any(key == root or key.startswith(f"{root}.") for root in roots)


def _find_keys(node: Any, prefix: str, is_listed: Callable[[str, Any], bool]) -> Iterator[str]:
    for name, value in node.items() if isinstance(node, dict) else ():
        key = f"{prefix}{name}"
        below = list(_find_keys(value, f"{key}.", is_listed))
        if below == [f"{key}.{part}" for part in value] if below else is_listed(key, value):
            yield key
        else:
            yield from below


def _upwards(key: str) -> Iterator[str]:
    """`a.b.c` -> `a.b.c`, `a.b`, `a`."""
    while key:
        yield key
        key = key.rpartition(".")[0]
