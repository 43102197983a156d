"""A run that continues from a checkpoint ends with the weights of the one that never stopped."""

from pathlib import Path

import pytest
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging

from lineage.results.run_folder import list_checkpoints
from lineage.train.checkpoint import Checkpoints, DifferentSteps
from lineage.train.evaluate_first import EvaluateFirst
from lineage.train.loggers import CsvLogger, RunName
from tests.train import toy


def train(
    folder: Path, steps: int, resume: bool = False, ema: float | None = None, **options: object
) -> dict[str, torch.Tensor]:
    start, path = next(reversed(list_checkpoints(folder).items())) if resume else (0, None)
    averaging = [] if ema is None else [EMAWeightAveraging(decay=ema, update_starting_at_step=0)]
    trainer = toy.trainer(steps, callbacks=[*averaging, Checkpoints(folder, every=3)], **options)
    accumulated = trainer.accumulate_grad_batches
    module = toy.detection_module(images=2 * accumulated)
    trainer.fit(module, toy.ToyData(start=start * accumulated), ckpt_path=path, weights_only=True)
    return module.model.state_dict()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"accumulate_grad_batches": 2},
        {"val_check_interval": 3},
        {"ema": 0.8},
        {"ema": 0.8, "val_check_interval": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("stop", [7, 9])
def test_resuming_is_bitwise_the_same(tmp_path: Path, stop: int, options: dict[str, object]) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = train(tmp_path / "a", 11, **options)
    train(tmp_path / "b", stop, **options)
    if stop == 7:
        list_checkpoints(tmp_path / "b")[7].unlink()  # kill -9: the newest is older than the last step
    continued = train(tmp_path / "b", 11, resume=True, **options)
    assert all(torch.equal(whole[name], continued[name]) for name in whole)


def test_processes_that_resume_at_different_steps_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = toy.trainer(3, callbacks=[Checkpoints(tmp_path, every=3)])
    monkeypatch.setattr(trainer.strategy, "broadcast", lambda value, src=0: 6 if isinstance(value, int) else value)
    with pytest.raises(DifferentSteps, match="process 0 resumes at step 0, process 0 at step 6: not all machines see"):
        trainer.fit(toy.detection_module(images=2), toy.ToyData())


def test_other_hardware_takes_the_remaining_steps(tmp_path: Path) -> None:
    """A GPU of half the memory has two micro batches a step: steps, evaluations and data go on as they were."""
    trainer = toy.trainer(7, callbacks=[Checkpoints(tmp_path, every=3)], val_check_interval=2)
    trainer.fit(toy.detection_module(images=4), toy.ToyData(size=4))
    step, path = next(reversed(list_checkpoints(tmp_path).items()))
    smaller = toy.trainer(11, accumulate_grad_batches=2, val_check_interval=4)
    smaller.callbacks.append(Checkpoints(tmp_path, every=3))
    module, evaluated, batches = toy.detection_module(images=4), [], []
    module.on_validation_epoch_end = lambda: evaluated.append(module.global_step)  # type: ignore[method-assign]
    module.on_train_batch_start = lambda batch, index: batches.append((index, batch.ids.tolist()))  # type: ignore
    smaller.fit(module, toy.ToyData(start=14), ckpt_path=path, weights_only=True)
    assert (step, smaller.global_step, evaluated) == (7, 11, [8, 10])
    assert batches == [(index, [2 * index, 2 * index + 1]) for index in range(14, 22)]


@pytest.mark.parametrize("is_logged", [False, True])
def test_a_run_killed_in_an_evaluation_evaluates_first(tmp_path: Path, is_logged: bool) -> None:
    trainer = toy.trainer(7, callbacks=[Checkpoints(tmp_path, every=100)], val_check_interval=3)
    trainer.fit(toy.detection_module(), toy.ToyData())
    assert list(list_checkpoints(tmp_path)) == [6, 7]  # saved before the evaluation
    metrics = CsvLogger(folder=tmp_path, name=RunName("id", "scratch", "x", 0), start=6)
    metrics.log_metrics({"loss": 1.0}, 6)
    if is_logged:
        metrics.log_metrics({"box/AP": 1.0}, 6)
    resumed = toy.trainer(11, callbacks=[EvaluateFirst(metrics.path, 6)], val_check_interval=3)
    module, evaluated = toy.detection_module(), []
    module.on_validation_epoch_end = lambda: evaluated.append(module.global_step)  # type: ignore[method-assign]
    resumed.fit(module, toy.ToyData(start=6), ckpt_path=list_checkpoints(tmp_path)[6], weights_only=True)
    assert evaluated == ([] if is_logged else [6]) + [9]
    assert resumed.global_step == 11


def test_the_newest_two_are_kept_and_none_is_partial(tmp_path: Path) -> None:
    train(tmp_path, 10)
    assert list(list_checkpoints(tmp_path)) == [9, 10]
    names = [name for step in (9, 10) for name in (f"step-{step:07d}.ckpt", f"step-{step:07d}.ckpt.sha256")]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_averaged_weights_follow_their_closed_form(tmp_path: Path) -> None:
    """w_ema = d w_ema + (1 - d) w after each step, from the weights after the first step on."""
    name, decay, steps = "head.weight", 0.8, 5
    weights = []
    for step in range(1, steps + 1):
        (folder := tmp_path / f"{step}").mkdir()
        weights.append(train(folder, step)[name])
    expected = weights[0]
    for weight in weights[1:]:
        expected = decay * expected + (1 - decay) * weight
    torch.testing.assert_close(train(tmp_path, steps, ema=decay)[name], expected)


def test_a_decay_of_zero_is_the_last_weights(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    plain, averaged = train(tmp_path / "plain", 5), train(tmp_path, 5, ema=0.0)
    assert all(torch.equal(plain[name], averaged[name]) for name in plain)
