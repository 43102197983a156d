"""The only composition root: a config becomes objects, the objects train, and the result is written down."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities import rank_zero_only
from rich.console import Console

from lineage.build import ConfigError, build
from lineage.config import VOLATILE, Data, Schedule
from lineage.data.module import DetectionData
from lineage.models import pretrained
from lineage.outcome import keep, show
from lineage.resume import CHECKPOINTS, CONFIG, Attempt, continued
from lineage.tables import commit, entry, store
from lineage.train import machine, plan, weights
from lineage.train.checkpoint import Checkpoints
from lineage.train.module import Reproduction
from lineage.train.optimizer import warmup_multistep
from lineage.train.progress import progress, quiet
from lineage.train.record import Interruptible, Record, recorded
from lineage.train.track import Name, dashboard


class Parts(NamedTuple):
    data: DetectionData
    module: Reproduction


def run(composed: DictConfig, overrides: Sequence[str]) -> None:
    """Train, evaluate and log what the config says; on every process of a distributed run alike."""
    quiet()
    attempt = begin(composed, overrides)
    with logged(attempt.folder):
        started = datetime.now(UTC)
        console = Console(quiet=not is_first())
        parts = assemble(attempt.config)
        facts = describe(attempt, parts, overrides, started)
        trainer = trainer_for(attempt, parts, facts, console)
        record = Record(Path(attempt.config.paths.results), started=started, **facts)
        record.follow(partial(progress_of, trainer, parts.module))
        with recorded(record if is_first() else None):
            announce(attempt.config, trainer, parts, overrides, console)
            fit(attempt, trainer, parts)
        if is_first():
            path = record.write("finished")
            keep(attempt.folder, parts.module)
            show(store.read(path), {"entry": path, "folder": attempt.folder}, console)


def is_first() -> bool:
    return bool(rank_zero_only.rank == 0)


def begin(composed: DictConfig, overrides: Sequence[str]) -> Attempt:
    """Choose the run folder; the config is kept there before anything can go wrong."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    if composed.resume:
        attempt = continued(composed, overrides)
        if is_first() and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()  # Hydra's, for a run that goes on elsewhere
        return attempt
    if is_first():
        OmegaConf.save(composed, folder / CONFIG)
    return Attempt(folder, composed)


@contextmanager
def logged(folder: Path) -> Iterator[None]:
    """Warnings go to the terminal and run.log, tracebacks to run.log only: what a person reads is one message."""
    if not is_first():
        yield
        return
    terminal, file = logging.StreamHandler(sys.stderr), logging.FileHandler(folder / "run.log", delay=True)
    file.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[terminal, file], force=True)
    try:
        yield
    except Exception:
        file.stream = file.stream or file._open()
        file.stream.write(traceback.format_exc())
        raise
    finally:
        file.close()


def assemble(config: DictConfig) -> Parts:
    pl.seed_everything(config.seed, workers=True, verbose=False)
    train, val = build(config.dataset.train), build(config.dataset.val)
    fill_classes(config, train, val)
    schedule, loading = Schedule(**config.schedule), Data(**config.data)
    augment = SimpleNamespace(**build(config.augment))
    data = DetectionData(train, val, augment, schedule, loading, config.seed)
    model = build(config.model)
    if config.weights:
        start_from(model, config.weights)
    module = Reproduction(
        model,
        optimizer=build(config.optimizer),
        scheduler=partial(
            warmup_multistep,
            milestones=schedule.milestones,
            gamma=schedule.gamma,
            warmup_steps=schedule.warmup_steps,
            warmup_factor=schedule.warmup_factor,
        ),
        evaluator=build(config.dataset.evaluator)(dataset=val),
        images_per_step=schedule.images_per_step,
        seed=config.seed,
        log_every=config.trainer.log_every_n_steps,
    )
    return Parts(data, module)


def fill_classes(config: DictConfig, train: Any, val: Any) -> None:
    """The dataset knows its classes; the heads of the model read their number from the config."""
    if train.classes != val.classes:
        raise ConfigError(f"dataset.train and dataset.val have different classes: {train.classes} and {val.classes}")
    found, given = len(train.classes), config.dataset.classes
    if given not in (None, found):
        raise ConfigError(f"dataset.classes={given}, but the dataset has {found}; leave dataset.classes out")
    config.dataset.classes = found


def start_from(model: torch.nn.Module, path: str) -> None:
    missing = weights.adopt(model, pretrained.load(path))
    if len(missing) == len(model.state_dict()):
        raise ConfigError(f"weights={path}: nothing in it fits this model by name and shape")
    if missing:
        logging.getLogger(__name__).warning(f"not in weights={path}, starting afresh: {', '.join(missing)}")


def describe(attempt: Attempt, parts: Parts, overrides: Sequence[str], started: datetime) -> dict[str, Any]:
    """What the entry says about a run before its first step."""
    config = OmegaConf.to_container(attempt.config, resolve=True)
    assert isinstance(config, dict)
    settings: dict[str, Any] = {str(name): value for name, value in config.items()}
    hydra = HydraConfig.get()
    code = commit.current(conf_folder().parent)
    protocol = entry.digest(settings, VOLATILE)
    data, module = parts
    splits = {"train": data.train.fingerprint, "val": data.val.fingerprint}
    return {
        "id": entry.new_id(started, protocol),
        "table": settings["entry"]["table"],
        "row": settings["entry"]["row"],
        "note": settings["entry"]["note"],
        "tier": settings["tier"],
        "seed": settings["seed"],
        "metrics": {},
        "deviations": entry.deviations(protocol_overrides(overrides), VOLATILE),
        "protocol": protocol,
        "evaluation": entry.digest({"protocol": module.evaluator.protocol, "data": splits["val"]}),
        "choices": {name: str(option) for name, option in hydra.runtime.choices.items() if "hydra" not in name},
        "command": sys.argv,
        "commit": code.commit,
        "dirty": code.dirty,
        "diff": code.diff,
        "packages": machine.packages(),
        "dataset": splits,
        "weights": weights.sha256(module.model),
        "parameters": sum(p.numel() for p in module.model.parameters()),
        "supersedes": attempt.supersedes,
        "folder": str(attempt.folder),
        "config": settings,
    }


def protocol_overrides(overrides: Sequence[str]) -> list[str]:
    """The options of `trainer` differ in nothing that is computed; its keys, such as the precision, may."""
    return [text for text in overrides if not text.startswith("trainer=")]


def conf_folder() -> Path:
    sources = HydraConfig.get().runtime.config_sources
    return Path(next(source.path for source in sources if source.provider == "main"))


def trainer_for(attempt: Attempt, parts: Parts, facts: dict[str, Any], console: Console) -> pl.Trainer:
    config, folder = attempt.config, attempt.folder
    if is_first():
        (folder / CHECKPOINTS).mkdir(exist_ok=True)
    name = Name(facts["id"], facts["table"] or "scratch", facts["row"] or facts["choices"]["model"], facts["seed"])
    tracks = (config.track or {}).values()
    callbacks = [Checkpoints(folder / CHECKPOINTS, every=config.checkpoint_every), progress(console), Interruptible()]
    trainer = build(
        config.trainer,
        max_steps=config.schedule.steps,
        max_epochs=-1,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=1,
        use_distributed_sampler=False,  # the data is split over processes by step, in data.order
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=str(folder),
    )
    trainer.callbacks += callbacks
    trainer.loggers = [build(track)(folder=folder, name=name, start=attempt.step) for track in tracks]
    trainer.accumulate_grad_batches = parts.data.accumulate(trainer.num_devices * trainer.num_nodes)
    between = config.schedule.evaluate_every or config.schedule.steps + 1
    trainer.val_check_interval = between * trainer.accumulate_grad_batches
    if trainer.strategy.root_device.type == "cpu":
        torch.use_deterministic_algorithms(True, warn_only=True)
    return trainer


def announce(config: DictConfig, trainer: pl.Trainer, parts: Parts, overrides: Sequence[str], console: Console) -> None:
    schedule = parts.data.schedule
    ours = plan.Recipe(config.optimizer.lr, schedule.images_per_step, schedule.steps)
    paper = ours if follows_row(config, overrides) else reference()
    devices = trainer.num_devices * trainer.num_nodes
    part = plan.Split(devices, schedule.images_per_step, trainer.accumulate_grad_batches)
    device = trainer.strategy.root_device
    place = machine.device_name(device) + (f" ({torch.get_num_threads()} threads)" if device.type == "cpu" else "")
    line = plan.announce(place, config.trainer.precision, part, ours, paper, len(parts.data.train))
    console.print(line, highlight=False, soft_wrap=True)
    warning = plan.unscaled(ours, paper)
    if warning:
        console.print(f"[yellow]{warning}", soft_wrap=True)


def follows_row(config: DictConfig, overrides: Sequence[str]) -> bool:
    """A row of a table run as written: its own numbers are the paper's."""
    return bool(config.entry.row) and not any(text.startswith(("schedule", "optimizer")) for text in overrides)


def reference() -> plan.Recipe:
    """What most of the papers used: Detectron's 1x schedule."""
    schedule = yaml.safe_load((conf_folder() / "schedule" / "1x.yaml").read_text())
    optimizer = yaml.safe_load((conf_folder() / "optimizer" / "sgd.yaml").read_text())
    return plan.Recipe(optimizer["lr"], schedule["images_per_step"], schedule["steps"])


def fit(attempt: Attempt, trainer: pl.Trainer, parts: Parts) -> None:
    data, module = parts
    for logger in trainer.loggers:
        logger.log_hyperparams(OmegaConf.to_container(attempt.config, resolve=True))  # type: ignore[arg-type]
    trainer.fit(module, datamodule=data, ckpt_path=attempt.checkpoint, weights_only=True)
    if module.evaluated_at != attempt.config.schedule.steps:
        trainer.validate(module, datamodule=data, verbose=False)


def progress_of(trainer: pl.Trainer, module: Reproduction) -> dict[str, Any]:
    """What the entry says about a run as far as it got."""
    device = trainer.strategy.root_device
    watch = module.stopwatch
    return {
        "metrics": module.metrics,
        "steps": trainer.global_step,
        "processes": trainer.world_size,
        "images_per_second": round(watch.images / watch.seconds, 3) if watch.seconds else None,
        "peak_memory": machine.peak_memory(device),
        "hardware": machine.hardware(device) | {"precision": str(trainer.precision)},
        "dashboard": dashboard(trainer.loggers),
    }
