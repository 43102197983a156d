"""A run that continues from a checkpoint ends with the weights of the one that never stopped."""

from pathlib import Path

import pytest
import torch

from lineage.results.run_folder import list_checkpoints
from lineage.train.checkpoint import Checkpoints
from tests.train import toy


def train(folder: Path, steps: int, resume: bool = False, **options: object) -> dict[str, torch.Tensor]:
    start, path = next(reversed(list_checkpoints(folder).items())) if resume else (0, None)
    trainer = toy.trainer(steps, callbacks=[Checkpoints(folder, every=3)], **options)
    accumulated = trainer.accumulate_grad_batches
    module = toy.detection_module(images=2 * accumulated)
    trainer.fit(module, toy.ToyData(start=start * accumulated), ckpt_path=path, weights_only=True)
    return module.model.state_dict()


@pytest.mark.parametrize("options", [{}, {"accumulate_grad_batches": 2}, {"val_check_interval": 3}], ids=str)
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


def test_the_newest_two_are_kept_and_none_is_partial(tmp_path: Path) -> None:
    train(tmp_path, 10)
    assert list(list_checkpoints(tmp_path)) == [9, 10]
    assert len(list(tmp_path.iterdir())) == 2
