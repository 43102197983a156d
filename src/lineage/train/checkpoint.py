"""Checkpoints that survive kill -9: written under a temporary name and renamed, with a digest; the newest two stay."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from pytorch_lightning import Callback, LightningModule, Trainer

from lineage.results.atomic import sweep
from lineage.results.file_digest import remove
from lineage.results.run_folder import checkpoint_name, list_checkpoints, step_of
from lineage.train.detection_module import DetectionModule
from lineage.train.evaluate_first import evaluates_after
from lineage.train.memory.sharding import ShardedStrategy
from lineage.train.save_tensors import save_tensors
from lineage.train.stop_signals import StopSignals

NEWEST = 2  # that stay


class DifferentSteps(RuntimeError):
    """Error for processes of a run that resume from different checkpoints."""


class Checkpoints(Callback):
    """Callback that saves a checkpoint every `every` steps, before each evaluation, after the last step, and on a
    signal to stop. Those after the parts `keep` of the training, e.g. 0.9, stay beside the newest two.
    """

    def __init__(
        self, folder: Path, *, every: int, signals: StopSignals | None = None, keep: Sequence[float] = ()
    ) -> None:
        self.folder = folder
        self.every = every
        self.signals = signals or StopSignals()
        self.keep = tuple(keep)
        self.saved_at = 0  # step of the newest checkpoint

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        step = self.saved_at = trainer.global_step
        first = trainer.strategy.broadcast(step)
        if first != step:  # a file system that shows a machine an older state
            raise DifferentSteps(
                f"process {trainer.global_rank} resumes at step {step}, process 0 at step {first}: not all machines "
                f"see the newest files of {self.folder}. Start the run again when they do; it must lie on a shared disk"
            )
        if trainer.is_global_zero:
            sweep(self.folder, age=0.0)  # of an earlier process of this run, which was killed as it wrote

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Continue Lightning's count of micro batches as this hardware has them, and its best files in this folder."""
        relocate_best(checkpoint, self.folder)
        micro_batches = checkpoint["global_step"] * trainer.accumulate_grad_batches
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        for counts in (progress["total"], progress["current"]):
            behind = counts["ready"] - counts["completed"]  # saved before the last one counts as completed
            counts |= dict.fromkeys(("ready", "started", "processed"), micro_batches)
            counts["completed"] = micro_batches - behind

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *arguments: Any) -> None:
        step, (_, _, batch_index) = trainer.global_step, arguments
        is_step_done = (batch_index + 1) % trainer.accumulate_grad_batches == 0
        if is_step_done and step > self.saved_at and self._is_due(trainer, step):
            cast(DetectionModule, pl_module).flush_losses()  # raises if training diverged: such weights are not saved
            self.save(trainer, step)
        if is_step_done and self._must_stop(trainer):
            if step > self.saved_at:
                cast(DetectionModule, pl_module).flush_losses()
                self.stop_and_save(trainer, step)
            raise KeyboardInterrupt  # the other ranks end with this one

    def _is_due(self, trainer: Trainer, step: int) -> bool:
        is_regular = step % self.every == 0 or step == trainer.max_steps
        return is_regular or evaluates_after(trainer, step) or step in self._permanent(trainer)

    def _permanent(self, trainer: Trainer) -> set[int]:
        return {step_of(part, trainer.max_steps) for part in self.keep}

    def save(self, trainer: Trainer, step: int) -> None:
        self.saved_at = step
        trainer.save_checkpoint(self.folder / checkpoint_name(step))  # all take part; the first process alone writes
        if trainer.is_global_zero:
            self._remove_old(self._permanent(trainer))

    def _must_stop(self, trainer: Trainer) -> bool:
        """Return whether this process ends now: the first at a signal, and with it all among which weights are split.

        Only they ask each other at every step.
        """
        if isinstance(trainer.strategy, ShardedStrategy):
            return bool(trainer.strategy.reduce_boolean_decision(self.signals.requested, all=False))
        return self.signals.requested and trainer.is_global_zero

    def stop_and_save(self, trainer: Trainer, step: int) -> None:
        if isinstance(trainer.strategy, ShardedStrategy):
            self.save(trainer, step)
        else:
            self.save_alone(trainer, step)

    def save_alone(self, trainer: Trainer, step: int) -> None:
        """Save without the other ranks, which may be at another step when the signal comes."""
        self.saved_at = step
        checkpoint = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
        save_tensors(checkpoint, self.folder / checkpoint_name(step))
        self._remove_old(self._permanent(trainer))

    def _remove_old(self, permanent: set[int]) -> None:
        for step, path in list(list_checkpoints(self.folder).items())[:-NEWEST]:
            if step not in permanent:
                remove(path)


def relocate_best(checkpoint: dict[str, Any], folder: Path) -> None:
    """Let a ModelCheckpoint find its files in a run folder that was moved; Lightning would forget the best weights."""
    for state in checkpoint.get("callbacks", {}).values():
        if Path(state.get("dirpath") or "").name != folder.name:
            continue  # of another callback, or of one with a folder of its own
        for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
            state[name] = _relocate(state.get(name), folder)
        scores = state.get("best_k_models", {})
        state |= {"dirpath": str(folder), "best_k_models": {_relocate(path, folder): scores[path] for path in scores}}


def _relocate(path: str | None, folder: Path) -> str:
    return str(folder / Path(path).name) if path else ""
