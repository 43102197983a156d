"""Collect what an entry records of a run, and the lines printed at its start."""

from __future__ import annotations

import platform
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from omegaconf import DictConfig, OmegaConf
from torch import nn

from lineage.config import digests
from lineage.data.datamodule import DetectionData
from lineage.ops.layers.float32 import name_precision
from lineage.results import entry, git_state, paths
from lineage.results.count_noun import count_noun
from lineage.results.key_roles import within
from lineage.results.overrides import Override
from lineage.results.paths import ROOT
from lineage.run.assemble import Parts, count_processes
from lineage.run.checks.machine import has_bf16
from lineage.run.parents import Parents
from lineage.run.resume import Attempt
from lineage.run.splits import describe_val
from lineage.run.task import find_task
from lineage.structures import DETECTION
from lineage.tables.read import read_published
from lineage.train import environment, startup_message
from lineage.train.detection_module import DetectionModule
from lineage.train.evaluated_weights import describe_weights
from lineage.train.loggers import RunName, find_dashboard_url
from lineage.weights import state_dict


def to_plain_config(config: DictConfig) -> dict[str, Any]:
    """Return the config as plain data, nothing left to look up."""
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return {str(name): value for name, value in plain.items()}


def describe_start(attempt: Attempt, parts: Parts, started: datetime) -> dict[str, Any]:
    """Return the part of the entry that is known before the first step."""
    config = to_plain_config(attempt.config)
    code = git_state.current(ROOT)
    config_digest = digests.config_digest(config)
    val = parts.data.val
    splits = {"train": parts.data.train.fingerprint, "val": "" if val is None else val.fingerprint}
    sizes = parts.data.train.sizes[:0] if val is None else val.sizes
    inputs = parts.data.canvas_rule.describe(sizes) | describe_random_stream(parts.model)
    return {
        **{name: config["cell"][name] for name in ("table", "row", "note")},
        "id": entry.new_id(started, config_digest),
        "tier": config["tier"],
        "seed": config["seed"],
        "deviations": entry.deviations(attempt.overrides),
        "config_digest": config_digest,
        "evaluation_digest": entry.digest(
            {"protocol": parts.module.evaluator.protocol, "data": splits["val"], **inputs}
        ),
        "choices": attempt.choices,
        "command": [paths.portable(sys.argv[0], ROOT), *sys.argv[1:]],
        "commit": code.commit,
        "dirty": code.dirty,
        "diff": code.diff,
        "packages": environment.read_package_versions(),
        "host": platform.node(),
        "dataset": splits,
        "initial_weights_sha256": state_dict.sha256(parts.model.state_dict()),
        "evaluated_weights": describe_average(config),
        "parameters": sum(p.numel() for p in parts.model.parameters()),
        "supersedes": attempt.supersedes,
        "folder": paths.portable(attempt.folder, ROOT),
        "config": make_portable(config),
    }


def make_portable(config: dict[str, Any]) -> dict[str, Any]:
    """Return a resolved config whose folders name no place of this machine."""
    return config | {"paths": {name: paths.portable(path, ROOT) for name, path in config["paths"].items()}}


def describe_average(config: dict[str, Any]) -> str:
    """Return which checkpoints a test averages, or "" for weights as they were loaded."""
    parts = config.get("average_checkpoints")
    return f"mean of the checkpoints after {', '.join(f'{part:g}' for part in parts)} of the training" if parts else ""


def describe_random_stream(model: nn.Module) -> dict[str, Any]:
    """Return the part of an evaluation digest of a model that draws at test time.

    It gets the same random stream for all images; entries before 2026-11-26 had one for each image.
    """
    draws = any(getattr(module, "draws_at_test", False) for module in model.modules())
    return {"random_stream": "the same for all images"} if draws else {}


def describe_parents(parents: Parents) -> dict[str, Any]:
    """Return the part of the entry that follows from earlier runs."""
    return {"parents": parents.ids, "training_digest": parents.training_digest, "cell_digest": parents.cell_digest}


def describe_progress(trainer: pl.Trainer, module: DetectionModule) -> dict[str, Any]:
    """Return the part of the entry that depends on how far the run got."""
    device, speed, cost = trainer.strategy.root_device, module.throughput, module.inference_cost
    return {
        "metrics": module.metrics,
        "steps": trainer.global_step,
        "processes": trainer.world_size,
        "images_per_second": round(speed.images / speed.seconds, 3) if speed.seconds else None,
        "step_seconds": round(module.images_per_step * speed.seconds / speed.images, 5) if speed.images else None,
        "image_ms": round(cost.image_ms, 3) if cost.image_ms is not None else None,
        "macs": cost.macs,
        "peak_memory": environment.get_peak_memory(device),
        "dashboard": find_dashboard_url(trainer.loggers),
        **({"evaluated_weights": describe_weights(trainer)} if trainer.global_step else {}),
    }


def describe_hardware(trainer: pl.Trainer) -> dict[str, Any]:
    """Return the part of the entry that the machine decides, read before anything can break it."""
    device = trainer.strategy.root_device
    return {
        "hardware": environment.describe_hardware(device)
        | {"precision": name_precision(str(trainer.precision), device)}
    }


def name_run(attempt: Attempt, facts: dict[str, Any]) -> RunName:
    """Name a run by its row and the overrides that differ from it; a free run belongs to its sweep, if it is in one."""
    sweep = attempt.folder.parent.name if attempt.folder.name.isdigit() else "scratch"
    row = facts["row"] or facts["choices"]["model"]
    tags = sorted({facts["tier"], *facts["choices"].values()} - {"none"})
    options = [text for text in facts["deviations"] if text != f"model={row}"]
    published = read_published(paths.experiments(), facts["table"], facts["row"])
    run_id, group = attempt.run_id or facts["id"], facts["table"] or sweep
    return RunName(run_id, group, row, facts["seed"], options, tags, published)


def format_first_lines(attempt: Attempt, trainer: pl.Trainer, parts: Parts) -> list[str]:
    """Return the line before the start, and a line each for a split, rate, milestones, canvases or sizes to note."""
    is_test = trains_nothing(attempt, parts)
    lines = describe_test(trainer, parts) if is_test else describe_training(attempt, trainer, parts)
    return [*lines, *(text for text in (parts.data.canvas_rule.warning, describe_sizes(parts.data)) if text)]


def trains_nothing(attempt: Attempt, parts: Parts) -> bool:
    """Return whether a run trains nothing: by its config, or because its model has no weights."""
    return attempt.config.evaluate_only or not has_parameters(parts.model)


def has_parameters(model: nn.Module) -> bool:
    return next(model.parameters(), None) is not None


def describe_test(trainer: pl.Trainer, parts: Parts) -> list[str]:
    images = "nothing" if parts.data.val is None else count_noun(len(parts.data.val), "image")
    return [f"{describe_machine(trainer, parts)} · tests {images}, trains nothing"]


def describe_machine(trainer: pl.Trainer, parts: Parts) -> str:
    device = trainer.strategy.root_device
    threads = f" ({count_noun(torch.get_num_threads(), 'thread')})" if device.type == "cpu" else ""
    precision = name_precision(str(trainer.precision), device)
    return f"{environment.get_device_name(device)}{threads}, {precision}, {parts.module.engine.description}"


def describe_training(attempt: Attempt, trainer: pl.Trainer, parts: Parts) -> list[str]:
    """Return the line before a training, and a line each for what does not fit."""
    config, device = attempt.config, trainer.strategy.root_device
    schedule, optimizer = config.schedule, config.optimizer
    ours = startup_message.LrScaling(optimizer.lr, schedule.images_per_step, schedule.steps, optimizer["_target_"])
    paper = ours if follows_row(attempt) else read_reference(find_task(parts.data.train))
    split = startup_message.BatchSplit(count_processes(trainer), ours.images_per_step, trainer.accumulate_grad_batches)
    images = len(parts.data.train)
    line = startup_message.format_start_line(describe_machine(trainer, parts), split, ours, paper, images)
    val = None if parts.data.val is None else len(parts.data.val)
    warnings = (
        describe_resume(attempt),
        describe_val(config, images, val),
        startup_message.format_scale_warning(config.tier, attempt.choices.get("model", ""), has_scale(attempt)),
        startup_message.format_lr_warning(ours, paper),
        startup_message.format_precision_warning(device.type, str(config.trainer.precision), has_bf16()),
        startup_message.format_schedule_warning(schedule.steps, schedule.milestones, schedule.warmup_steps),
    )
    return [line, *(text for text in warnings if text)]


def has_scale(attempt: Attempt) -> bool:
    """Return whether a file shrinks the model of a run to its tier."""
    file = Path("scale", attempt.config.tier, f"{attempt.choices.get('model', '')}.yaml")
    return any((folder / file).is_file() for folder in paths.configs())


def describe_sizes(data: DetectionData) -> str | None:
    """Return a line about images that no transform resizes, if they are read from files; None otherwise."""
    is_resized = not isinstance(data.augment.test, nn.Identity)
    if data.train.source is None or is_resized or find_task(data.train) != DETECTION:
        return None
    height, width = data.train.sizes[data.train.sizes.prod(1).argmax()].tolist()
    return (
        f"images keep the size of their files, the largest of which is {width} x {height}: augment=flip_320 makes the "
        "short side 320, augment=flip 800"
    )


def describe_resume(attempt: Attempt) -> str | None:
    """Return the step at which a resumed run goes on, with the reason if that is 0; None for a new run."""
    if not attempt.is_resumed:
        return None
    if attempt.checkpoint is not None:
        return f"goes on at step {attempt.step}, from {attempt.checkpoint.name}"
    return f"begins again at step 0: {attempt.folder} has no checkpoint"


def follows_row(attempt: Attempt) -> bool:
    """Return whether a run is a row of a table as it is written: its own numbers are the paper's."""
    changed = any(within(Override.parse(text).key, ("schedule", "optimizer")) for text in attempt.overrides)
    return bool(attempt.config.cell.row) and not changed


def read_reference(task: str) -> startup_message.LrScaling | None:
    """Return Detectron's 1x schedule, which most papers on detection used; None for another task."""
    if task != DETECTION:
        return None
    schedule = yaml.safe_load((paths.shipping_root() / "conf" / "schedule" / "1x.yaml").read_text())
    optimizer = yaml.safe_load((paths.shipping_root() / "conf" / "optimizer" / "sgd.yaml").read_text())
    rate, images, steps = optimizer["lr"], schedule["images_per_step"], schedule["steps"]
    return startup_message.LrScaling(rate, images, steps, optimizer["_target_"])
