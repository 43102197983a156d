"""Choice of the weights that a run evaluates last and keeps: of the last step, averaged, or of the best evaluation."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint, WeightAveraging

from lineage.train.detection_module import DetectionModule

STEP = re.compile(r"\d+")  # in the name of the file of the best weights
SAME_IMAGES = "on the images that it is scored on, so the score is optimistic"


def restore_best(trainer: Trainer, module: DetectionModule) -> bool:
    """Load the weights of the best evaluation, if a ModelCheckpoint keeps them; return whether it does."""
    best = find_best(trainer)
    if best is None:
        return False
    checkpoint = torch.load(best.best_model_path, map_location="cpu", weights_only=True)
    trainer.strategy.load_model_state_dict(checkpoint)
    return True


def find_best(trainer: Trainer) -> ModelCheckpoint | None:
    """Return the callback that has kept the weights of an evaluation by their metric, or None."""
    callbacks = (callback for callback in list_callbacks(trainer) if isinstance(callback, ModelCheckpoint))
    return next((callback for callback in callbacks if callback.monitor and callback.best_model_path), None)


def step_of_best(best: ModelCheckpoint) -> int:
    """Return the step of the weights that a callback has kept, from the name of their file."""
    return int(STEP.findall(Path(best.best_model_path).name)[0])


def watches_metrics(trainer: Trainer) -> bool:
    """Return whether a callback of a run waits for the metrics of its evaluations."""
    return any(getattr(callback, "monitor", None) for callback in list_callbacks(trainer))


def list_callbacks(trainer: Trainer) -> list[Callback]:
    return list(vars(trainer)["callbacks"])


def describe_weights(trainer: Trainer) -> str:
    """Return where the evaluated weights come from, e.g. "average by EMAWeightAveraging at step 600"."""
    callbacks = list_callbacks(trainer)
    averaging = next((callback for callback in callbacks if isinstance(callback, WeightAveraging)), None)
    average = f"average by {type(averaging).__name__} " if averaging else ""
    stopping = next((callback for callback in callbacks if isinstance(callback, EarlyStopping)), None)
    is_stopped = stopping is not None and trainer.global_step < trainer.max_steps
    if best := find_best(trainer):
        assert best.best_model_score is not None
        end = f"; stopped at step {trainer.global_step} by {stopping.monitor}" if stopping and is_stopped else ""
        score = f"best {best.monitor}, {float(best.best_model_score):.2f}"
        return f"{average}at step {step_of_best(best)} of {trainer.max_steps}: {score}, chosen {SAME_IMAGES}{end}"
    text = f"{average}at step {trainer.global_step}"
    if stopping and is_stopped:
        text += f" of {trainer.max_steps}: stopped by {stopping.monitor} {SAME_IMAGES}"
    return text
