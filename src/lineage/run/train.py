"""One run, in order: a config becomes objects, the objects train, the result is written down.

begin           choose or reopen the run folder                          resume.py
resolve_parents what earlier runs left, and the digests of this one      parents.py
resolve         the config with everything filled in, read-only          resolve.py
assemble        data, model with its weights, the module that trains it  assemble.py
metadata        the entry as far as it is known at the start               metadata.py
make_trainer    Lightning's, for these devices                           assemble.py
fit or test     train and evaluate, or evaluate alone
dump, distil    proposals or labels for other runs                       dump_proposals.py, pseudo_label.py
save_artifacts  weights, results, names of the classes                   artifacts.py
"""

from __future__ import annotations

import logging
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from pytorch_lightning.utilities import rank_zero_only
from rich.console import Console

from lineage.config.build import ConfigError
from lineage.config.friendly_errors import is_user_error
from lineage.config.schema import Run
from lineage.data.samples.dataset import Dataset
from lineage.launch.child_process import end_with_parent
from lineage.results import disk, lease, paths, store
from lineage.results.entry import Entry
from lineage.results.overrides import quote
from lineage.results.run_folder import RunFolder
from lineage.run import metadata
from lineage.run.artifacts import draw_predictions, save_artifacts, show
from lineage.run.assemble import Parts, assemble, make_trainer
from lineage.run.check_system import check_system
from lineage.run.dump_proposals import dump
from lineage.run.fit_box_head import refit
from lineage.run.parents import resolve_parents
from lineage.run.pseudo_label import distil, open_unlabelled
from lineage.run.repeated_warnings import ON_TERMINAL
from lineage.run.resolve import resolve
from lineage.run.resume import Attempt, load_resumed, record_run_id, write_config, write_start
from lineage.train.entry_writer import EntryWriter, is_interruption, write_at_end
from lineage.train.evaluated_weights import restore_best
from lineage.train.gloo_threads import wait_for_gloo_threads
from lineage.train.loggers import close_at_end
from lineage.train.memory.sharding import gather_state
from lineage.train.progress import silence_lightning
from lineage.train.rank_heartbeat import RankHeartbeat
from lineage.train.rank_watch import is_started_by_lightning, watch_ranks
from lineage.train.stop_signals import StopSignals

LEASE = "run"  # name of the lease on a run folder
RANK_TIMEOUT = Run.rank_timeout  # of runs that are older than the key


def run(composed: DictConfig, overrides: Sequence[str]) -> None:
    """Train, evaluate and log one config, on every process of a distributed run alike."""
    silence_lightning()
    with hold_folder(Path(composed.resume or HydraConfig.get().runtime.output_dir)):
        run_attempt(begin(composed, overrides))
    wait_for_gloo_threads()


def run_attempt(attempt: Attempt) -> None:
    """Train from the start or from a checkpoint, evaluate and write the entry."""
    if attempt.unpublished:
        publish(attempt.unpublished, Path(attempt.config.paths.results))
        return
    check_system(attempt)
    with log_to(attempt.folder), ExitStack() as after_run:
        started, console = datetime.now(UTC), create_console()
        parents = resolve_parents(attempt.config)
        resolved = resolve(attempt.config, parents.artifacts, attempt.overrides)
        attempt = attempt._replace(config=resolved.recorded)
        parts = assemble(resolved)
        images = open_unlabelled(resolved.config) if resolved.config.dump_labels else None
        signals, heartbeat = StopSignals(), RankHeartbeat(attempt.config.get("rank_timeout", RANK_TIMEOUT))
        facts = metadata.describe_start(attempt, parts, started) | metadata.describe_parents(parents)
        trainer = make_trainer(attempt, parts, metadata.name_run(attempt, facts), console, signals, heartbeat)
        after_run.enter_context(close_at_end(trainer.loggers, attempt.folder))
        facts |= metadata.describe_hardware(trainer)
        describe_progress = partial(metadata.describe_progress, trainer, parts.module)
        writer = EntryWriter(Path(attempt.config.paths.results), started, facts, describe_progress)
        if is_first():
            record_run_id(attempt, facts["id"])
            watch_ranks(writer, trainer.strategy.launcher)
        elif is_started_by_lightning(trainer.strategy):
            end_with_parent(signal.SIGKILL)
        with (
            heartbeat.run(partial(writer.write, "failed")),
            report_interruption(attempt, trainer, writer, console),
            write_at_end(writer if is_first() else None, signals),
        ):
            for line in metadata.format_first_lines(attempt, trainer, parts):
                console.print(line, highlight=False, soft_wrap=True)
            train_or_test(attempt, trainer, parts, images)
            weights = gather_state(parts.model.state_dict())
            if is_first():  # a finished entry promises what other runs start from
                writer.facts |= {"trained_weights_sha256": save_artifacts(attempt.folder, parts, weights)}
        if is_first():
            draw_predictions(attempt.folder, parts)
            show(attempt, writer, console)


def train_or_test(attempt: Attempt, trainer: pl.Trainer, parts: Parts, images: Dataset | None) -> None:
    """Train and evaluate, or evaluate alone; then write what other runs learn from, if that is asked for."""
    if metadata.trains_nothing(attempt, parts):
        test(attempt, trainer, parts)
    else:
        fit(attempt, trainer, parts)
    if attempt.config.dump_proposals:
        dump(trainer, parts, RunFolder(attempt.folder).proposals)
    if images is not None:
        distil(trainer, parts, images, RunFolder(attempt.folder).labels)


def create_console() -> Console:
    """Return the terminal of the first process; [ema] and :cat: in commands, paths and class names are plain text."""
    return Console(quiet=not is_first(), markup=False, emoji=False)


def is_first() -> bool:
    return int(getattr(rank_zero_only, "rank", 0)) == 0


def begin(composed: DictConfig, overrides: Sequence[str]) -> Attempt:
    """Choose the run folder, or reopen that of the run to resume. Only the first process writes there."""
    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    if composed.resume:
        with suppress(OSError):  # not empty, or another process was faster
            folder.rmdir()  # Hydra made it for a run that goes on elsewhere
        attempt = load_resumed(composed, overrides)
        if attempt.is_changed and is_first():
            write_config(attempt)
        return attempt
    choices = {group: option for group, option in hydra.runtime.choices.items() if option and group.isidentifier()}
    attempt = Attempt(folder, composed, list(overrides), choices)
    if is_first():
        write_start(attempt)
    return attempt


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Hold the lease on a run folder. Raises ConfigError if a process that is alive holds it."""
    files = RunFolder(folder)
    if not is_first() or not (files.start.is_file() or folder == Path(HydraConfig.get().runtime.output_dir)):
        yield
        return
    folder_lease = lease.wait_and_acquire(folder, LEASE)
    if folder_lease is None:
        holder = lease.holder(folder, LEASE) or "another process"
        raise ConfigError(f"{folder}: this run is in progress ({holder}). Stop it first, or let it finish")
    folder_lease.lost = end_process
    try:
        yield
    finally:
        folder_lease.release()


def end_process() -> None:
    """End at once: another process continues the run, and two would write the same files."""
    print("another process has taken over the run folder; this one ends", file=sys.stderr, flush=True)
    os._exit(1)


def publish(entry: Entry, results: Path) -> None:
    """Add the entry of a finished run, which stopped before it was in the store."""
    if is_first():
        print(f"this run is finished; its entry is in the store now:\nentry    {store.write(entry, results)}")


@contextmanager
def log_to(folder: Path) -> Iterator[None]:
    """Log warnings to the terminal and run.log, tracebacks to run.log alone: a person reads one message."""
    if not is_first():
        yield
        return
    log_file = RunFolder(folder).run_log
    terminal, file = logging.StreamHandler(sys.stderr), LogFile(log_file, delay=True)
    terminal.setFormatter(logging.Formatter("%(message)s"))
    terminal.addFilter(ON_TERMINAL)
    file.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[terminal, file], force=True)
    try:
        yield
    except Exception:
        with suppress(OSError), log_file.open("a", encoding="utf-8") as log:
            log.write(traceback.format_exc())
        raise
    finally:
        with suppress(OSError):
            file.close()


class LogFile(logging.FileHandler):
    """run.log; without room for it, warnings are on the terminal alone."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Print no traceback of the handler."""


@contextmanager
def report_interruption(attempt: Attempt, trainer: pl.Trainer, writer: EntryWriter, console: Console) -> Iterator[None]:
    """If the run stops early, print how far it got, the path of its entry and the command that resumes it."""
    try:
        yield
    except BaseException as error:
        if is_interruption(error) and trainer.max_steps > 0:
            line = describe_stop(trainer.global_step, trainer.max_steps, RunFolder(attempt.folder))
            console.print(line, highlight=False, soft_wrap=True)
        console.print(f"entry    {writer.path}", highlight=False, soft_wrap=True)
        if not is_final(error):
            command = f"{paths.train_command()} {shlex.quote(f'resume={quote(attempt.folder)}')}"
            console.print(f"go on    {command}", highlight=False, soft_wrap=True)
        raise


def describe_stop(step: int, steps: int, folder: RunFolder) -> str:
    """Return the line of a run that a signal ended: its step, and that of its checkpoint if it is an earlier one."""
    newest = max(folder.list_checkpoints(), default=0)
    lost = "" if newest == step else f"; it goes on from step {newest:,}, {'its checkpoint' if newest else 'the start'}"
    return f"stopped  at step {step:,} of {steps:,}{lost}"


def is_final(error: BaseException) -> bool:
    """Return whether another try would end in the same error: the user's input, not a disk that can be cleared."""
    return isinstance(error, Exception) and is_user_error(error) and disk.explain(error) is None


def test(attempt: Attempt, trainer: pl.Trainer, parts: Parts) -> None:
    """Evaluate the weights that were loaded, and train nothing."""
    for logger in trainer.loggers:
        logger.log_hyperparams(metadata.to_plain_config(attempt.config))
    trainer.validate(parts.module, datamodule=parts.data, verbose=False)


def fit(attempt: Attempt, trainer: pl.Trainer, parts: Parts) -> None:
    """Train to the last step and evaluate there, once more if a part was fitted after it."""
    for logger in trainer.loggers:
        logger.log_hyperparams(metadata.to_plain_config(attempt.config))
    trainer.fit(parts.module, datamodule=parts.data, ckpt_path=attempt.checkpoint, weights_only=True)
    is_best = restore_best(trainer, parts.module)
    refitted = refit(parts, attempt.config.refit_images, trainer.strategy.root_device)
    if parts.data.val is None:
        return
    if is_best or refitted or parts.module.evaluated_at != trainer.global_step:
        trainer.validate(parts.module, datamodule=parts.data, verbose=False)
