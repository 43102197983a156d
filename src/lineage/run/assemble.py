"""Build the objects of a run from its resolved config: model, data, evaluator, optimizer, trainer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.strategies import Strategy
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from rich.console import Console
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lineage.config.build import ConfigError, build
from lineage.config.evaluation_interval import choose_interval
from lineage.config.schema import Data, Schedule
from lineage.data.annotations.indexed_dataset import IndexedDataset
from lineage.data.concat import ConcatDataset
from lineage.data.datamodule import DetectionData
from lineage.data.samples.dataset import Dataset
from lineage.data.sampling.class_presence import find_presence
from lineage.data.transforms.augment import Augment
from lineage.eval.evaluator import Evaluator, ModelReader, NoEvaluation, make_evaluator
from lineage.models.backbones.norm import synchronize_on_cpu
from lineage.models.detectors.size_divisibility import get_size_divisibility
from lineage.models.losses.class_frequency import losses_with_class_counts, set_class_counts
from lineage.models.roi_heads.required_targets import MASKS
from lineage.ops.layers.float32 import UnknownPrecision, set_float32
from lineage.results.run_folder import RunFolder
from lineage.run.average_checkpoints import load_average
from lineage.run.checks.callbacks import check_callbacks
from lineage.run.checks.labels import check_class_numbers, check_labels, find_requirements
from lineage.run.checks.levels import check_levels
from lineage.run.checks.sharding import check_sharding
from lineage.run.checks.values import check_values
from lineage.run.initialize import load_initial_weights, locate_weights
from lineage.run.resolve import Resolved
from lineage.run.restore import build_views
from lineage.run.resume import Attempt
from lineage.run.task import TASKS, check_task, find_task
from lineage.train.callbacks.empty_hooks import NoProfiler, simplify_steps
from lineage.train.callbacks.profile_steps import ProfileSteps
from lineage.train.checkpoint import Checkpoints
from lineage.train.detection_module import DetectionModule
from lineage.train.engines.engine import Engine, UnknownEngine, make_engine
from lineage.train.evaluate_first import EvaluateFirst
from lineage.train.freeze import train_only
from lineage.train.loggers import RunName, make_loggers
from lineage.train.lr_schedule import MultiStep, with_warmup
from lineage.train.memory.checkpointed_blocks import CheckBlocksRun, checkpoint_blocks
from lineage.train.memory.sharding import ShardedStrategy
from lineage.train.progress import make_progress_callback
from lineage.train.rank_heartbeat import RankHeartbeat
from lineage.train.save_tensors import DirectCheckpointIO
from lineage.train.stop_signals import StopSignals

NO_GPU = ("No supported gpu backend", "can not run on your system")  # in Lightning's words


class Parts(NamedTuple):
    data: DetectionData
    model: nn.Module
    module: DetectionModule  # the model in training


def assemble(resolved: Resolved) -> Parts:
    """Build the model with its weights, the data and the module that trains it."""
    config = resolved.config
    check_values(config)
    check_task(config, resolved.train)
    train = add_labels(config, resolve_partial_masks(config, resolved.train))
    if not config.evaluate_only:
        check_labels(config, train, train if resolved.val is None else resolved.val)
    check_class_numbers(config, train)
    train, val = add_proposals(config, train, resolved.val)
    schedule, loading = Schedule(**config.schedule), Data(**config.data)
    augment = Augment(**build(config.augment))
    model = build(config.model)
    check_levels(model)
    if losses_with_class_counts(model):
        labels = torch.from_numpy(find_presence(train).labels)  # each class once per image
        set_class_counts(model, labels.bincount(minlength=len(train.meta.classes)).tolist(), len(train))
    if config.weights:
        sha256, results = config.get("weights_sha256"), Path(config.paths.results)
        load_initial_weights(model, config.weights, require_all=config.evaluate_only, sha256=sha256, results=results)
        if config.get("average_checkpoints"):
            load_average(model, locate_weights(config.weights, results), config.average_checkpoints)
    for edit in (build(config.edit) or {}).values():
        edit(model)
    if config.trainable is not None:
        train_only(model, config.trainable)
    views = build_views(config, model, train.meta if val is None else val.meta)
    module = DetectionModule(
        model,
        optimizer=build(config.optimizer),
        scheduler=build_scheduler(config, schedule),
        evaluator=build_evaluator(config, val, model),
        images_per_step=schedule.images_per_step,
        seed=config.seed,
        log_every=config.trainer.log_every_n_steps,
        loss_weights=config.loss_weights,
        detect=views.detect if views else None,
        detect_with_truth=getattr(views, "detect_with_truth", None),
    )
    check_callbacks(config, module.evaluator, model)
    sampling = build(config.sampling)
    size_divisibility = get_size_divisibility(model)
    finish = TASKS[find_task(train)].finish
    data = DetectionData(train, val, augment, schedule, loading, config.seed, sampling, size_divisibility, finish)
    return Parts(data, model, module)


def build_scheduler(config: DictConfig, schedule: Schedule) -> Callable[[Optimizer], LambdaLR]:
    """Return the schedule of the rate: a warm-up, then `lr_schedule`, or drops at the milestones."""
    decay = build(config.get("lr_schedule") or None) or MultiStep(tuple(schedule.milestones), schedule.gamma)
    warmup_steps, warmup_factor = schedule.warmup_steps, schedule.warmup_factor
    return partial(with_warmup, decay=decay, warmup_steps=warmup_steps, warmup_factor=warmup_factor)


def build_evaluator(config: DictConfig, val: Dataset | None, model: nn.Module) -> Evaluator:
    if val is None:
        return NoEvaluation()
    evaluator = make_evaluator(build(config.evaluator or config.dataset.evaluator), val)
    if isinstance(evaluator, ModelReader):
        evaluator.read_model(model)
    return evaluator


def add_proposals(config: DictConfig, train: Dataset, val: Dataset | None) -> tuple[Dataset, Dataset | None]:
    """Let the datasets carry precomputed proposals along, if `proposals` names any."""
    if not config.proposals or config.proposals.val is None:
        return train, val
    return build(config.proposals.train)(train), None if val is None else build(config.proposals.val)(val)


def resolve_partial_masks(config: DictConfig, train: Dataset) -> Dataset:
    """Return the training set without what this model cannot use, if only some of its objects have masks."""
    if not isinstance(train, IndexedDataset):
        return train
    return train.resolve_partial_masks(any(field == MASKS for _, field, _ in find_requirements(config)))


def add_labels(config: DictConfig, train: Dataset) -> Dataset:
    """Append the images that a model labelled (`dataset.distilled`) to the training set, unless nothing is trained."""
    node = config.dataset.get("distilled")
    if node is None and config.dataset.get("labels"):
        raise ConfigError(
            f"dataset={config.dataset.name} is trained on its own labels, not on {config.dataset.labels}; "
            "dataset=coco_person_distilled takes others, and so does any that has a node `distilled`"
        )
    if node is None or config.evaluate_only:
        return train
    both = ConcatDataset([train, build(node)])
    for key, field, _ in find_requirements(config):
        if field in both.lacking:
            raise ConfigError(
                f"{key} cannot be trained on {config.dataset.labels}, which has no {field}: its teacher has no "
                f"{key.rpartition('.')[2]} head. Choose labels of a model that has one"
            )
    return both


def make_trainer(
    attempt: Attempt, parts: Parts, name: RunName, console: Console, signals: StopSignals, heartbeat: RankHeartbeat
) -> pl.Trainer:
    """Return Lightning's trainer for the devices of the config. Raises ConfigError if there is none."""
    config, folder = attempt.config, attempt.folder
    makers = {title: build(node) for title, node in (config.logger or {}).items()}
    files = RunFolder(folder)
    callbacks = build_callbacks(config, files)  # before checkpoints: they may change what is saved
    if config.get("activation_checkpointing") and not config.evaluate_only:
        callbacks.append(CheckBlocksRun(checkpoint_blocks(parts.model)))
    keep = config.get("keep_checkpoints", ())
    checkpoints = Checkpoints(files.checkpoints, every=config.checkpoint_every, signals=signals, keep=keep)
    first = EvaluateFirst(files.metrics, attempt.step)
    try:
        make = build(config.trainer, _partial_=True, precision=set_float32(str(config.trainer.precision)))
        trainer: pl.Trainer = make(
            max_steps=config.schedule.steps,
            max_epochs=-1,
            check_val_every_n_epoch=None,
            num_sanity_val_steps=1,
            limit_val_batches=0 if parts.data.val is None else 1.0,
            use_distributed_sampler=False,  # lineage.data.sampling.order splits a step over processes
            enable_checkpointing=any(isinstance(callback, ModelCheckpoint) for callback in callbacks),
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=str(folder),
            logger=make_loggers(makers, folder=folder, name=name, start=attempt.step),
            callbacks=[*callbacks, checkpoints, make_progress_callback(console), signals, heartbeat, first],
            profiler=NoProfiler(),
        )
        if count_processes(trainer) == 1:
            vars(trainer)["callbacks"].remove(heartbeat)
        simplify_steps(trainer, parts.module)
        trainer.strategy.checkpoint_io = DirectCheckpointIO()
        trainer.accumulate_grad_batches = parts.data.accumulate(count_processes(trainer))
        check_sharding(trainer.strategy, config, parts.model, callbacks)
        parts.module.engine = choose_engine(config, parts.model, trainer.strategy)
    except (MisconfigurationException, ValueError) as error:
        raise ConfigError(explain_refusal(error)) from error
    interval = choose_interval(config, len(parts.data.val)) if parts.data.val is not None else 0
    between = interval or config.schedule.steps + 1  # run.train.fit evaluates after the last step
    trainer.val_check_interval = between * trainer.accumulate_grad_batches
    if trainer.strategy.root_device.type == "cpu":
        prepare_for_cpu(parts.model, count_processes(trainer))
    return trainer


def explain_refusal(error: Exception) -> str:
    """Return what to do about a trainer that cannot be made."""
    if isinstance(error, UnknownEngine | UnknownPrecision):
        return str(error)
    if any(text in str(error) for text in NO_GPU):
        return "torch sees no GPU on this machine: leave trainer=gpu out, or let `lineage doctor` say what is missing"
    return f"no trainer for this config: {error}"


def prepare_for_cpu(model: nn.Module, processes: int) -> None:
    """Let a model compute on CPUs what torch leaves to GPUs, and the same at every run."""
    if processes > 1:
        synchronize_on_cpu(model)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # costs time only


def choose_engine(config: DictConfig, model: nn.Module, strategy: Strategy) -> Engine:
    """Return the engine of the steps for the device of a strategy."""
    options = {
        "detect_anomaly": bool(config.trainer.detect_anomaly),
        "computes_twice": bool(config.get("activation_checkpointing")),
        "sharded": isinstance(strategy, ShardedStrategy),
    }
    return make_engine(config.get("engine", "auto"), model, strategy.root_device, **options)


def build_callbacks(config: DictConfig, files: RunFolder) -> list[pl.Callback]:
    """Build the callbacks of the config; the best weights lie among the checkpoints of the run."""
    callbacks: list[pl.Callback] = list(build(config.get("callbacks") or {}).values())
    for callback in callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
            callback.dirpath = str(files.checkpoints)
    return [*callbacks, ProfileSteps(files.profile)] if config.get("profile") else callbacks


def count_processes(trainer: pl.Trainer) -> int:
    """Return how many processes train; Lightning's world size is 1 until it has started them."""
    return int(trainer.num_devices * trainer.num_nodes)
