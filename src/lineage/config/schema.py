"""The typed part of a run's config: unknown keys and wrong types fail while Hydra composes, before anything is built.

Nodes typed `Any` are trees of `_target_` objects; tests bind each of them to its class. A new key needs a role in
results/key_roles.py: is it part of what a run computes?
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING


@dataclass
class Schedule:
    """Schedule of a training, counted in optimizer steps, each of `images_per_step` images whatever the hardware."""

    steps: int = MISSING
    epochs: float | None = None  # passes over the training images; replaces steps, and moves milestones in proportion
    images_per_step: int = MISSING
    milestones: list[int] = MISSING  # steps at which the learning rate is multiplied by gamma
    gamma: float = MISSING
    warmup_steps: int = MISSING  # linear from warmup_factor x lr to lr
    warmup_factor: float = MISSING
    evaluate_every: Any = "auto"  # steps between evaluations; 0: only at the end; auto: four in all where that is cheap


@dataclass
class Data:
    """Batches and workers: they change how fast a run is, not what it computes."""

    images_per_device: int = 2  # the rest of images_per_step is accumulated
    workers: int = 2
    on_unreadable: str = "raise"  # what an unreadable image does during training: raise | skip (reported either way)


@dataclass
class CellRef:
    """The cell that a run fills, null for a free run, and the entries of its parents."""

    table: str | None = None
    row: str | None = None
    note: str = ""
    start: str | None = None  # id of the entry whose weights this run starts from, or tests
    proposals: str | None = None  # id of the entry whose proposals this run uses
    labels: str | None = None  # id of the entry whose labels this run is trained on


@dataclass
class Paths:
    results: str = "results"  # the store: one immutable JSON per run
    runs: str = "runs"  # checkpoints, logs, pictures and the report of each run
    cache: str = "${oc.env:LINEAGE_CACHE,${oc.env:HOME}/.cache/lineage}"


@dataclass
class Run:
    model: Any = MISSING
    backbone: Any = MISSING
    roi: Any = MISSING
    upsampling: Any = field(default_factory=dict)  # of models on one map of stride 4: the neck; empty: the body's maps
    proposals: Any = None  # precomputed regions that the datasets carry along
    dataset: Any = MISSING
    augment: Any = MISSING
    sampling: Any = MISSING  # which images an epoch shows how often
    schedule: Schedule = field(default_factory=Schedule)
    lr_schedule: Any = field(default_factory=dict)  # empty: drops by schedule.gamma at schedule.milestones
    optimizer: Any = MISSING
    trainer: Any = MISSING
    evaluator: Any = None  # in place of the dataset's own
    classification: Any = None  # of the box head: what a wrong class costs
    regression: Any = None  # what a wrong box costs
    suppression: Any = None  # what happens to detections that say the same thing
    tta: Any = None  # test-time augmentation: several views of an image at evaluation
    edit: Any = None  # what is done to the model after its weights are there, such as compressing layers
    callbacks: Any = field(default_factory=dict)  # of Lightning, by name, such as averaged weights
    logger: Any = None  # where curves go: Lightning's loggers by name
    data: Data = field(default_factory=Data)
    engine: str = "auto"  # auto | eager | compiled | graph: how steps run, at equal results; auto: graph on CUDA
    activation_checkpointing: bool = False  # compute the body's blocks twice, in less memory, at equal results
    tier: str = "paper"
    seed: int = 0
    optimize: str | None = None  # metric that a search maximizes, e.g. mask/AP: what a job of a sweep returns
    checkpoint_every: int = 250  # steps; a killed run continues from the last checkpoint
    keep_checkpoints: list[float] = field(default_factory=list)  # after parts of the training, e.g. [0.8,0.9]
    average_checkpoints: list[float] | None = None  # test the mean of those of `weights`, e.g. [0.8,0.9,1]: SWA
    profile: bool = False  # time the operators of five steps: a table and a trace in the run folder
    rank_timeout: float = 300.0  # seconds without a sign of life, or a batch, of a process after which several end
    weights: Any = None  # start from a file, URL, torchvision weight, run or entry; of a list, later files win
    weights_sha256: str | None = None  # refuse weights whose file has another digest
    trainable: list[str] | None = None  # train only the parameters with such names, e.g. [box.deltas.*]
    loss_weights: Any = None  # e.g. {roi_box: 0}; a loss that is not named counts once
    refit_images: int | None = None  # images that SVMs and ridge regression are fitted on; null: all of training
    dump_proposals: bool = False  # leave the model's regions in the run folder, for proposals=file
    dump_labels: bool = False  # label the images of dataset.unlabelled and leave that in the run folder
    evaluate_only: bool = False  # test `weights`, or those of the entry `cell.start`, and train nothing
    resume: str | None = None  # continue this run folder, last: the newest run; auto: hydra.run.dir, if it has one
    cell: CellRef = field(default_factory=CellRef)
    paths: Paths = field(default_factory=Paths)


ConfigStore.instance().store(name="schema", node=Run)
