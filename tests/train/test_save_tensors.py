"""Files of tensors on a full disk: the disk's own error, and no temporary file anywhere."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from lineage.results.atomic import atomic_write
from lineage.results.file_digest import find_damage
from lineage.results.run_folder import list_checkpoints
from lineage.train.checkpoint import Checkpoints
from lineage.train.save_tensors import DirectCheckpointIO, save_tensors
from tests.results.test_disk import small_files
from tests.train import toy

__all__ = ["small_files"]


@pytest.mark.usefixtures("small_files")
def test_the_disk_s_error_is_raised(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too large") as raised:
        save_tensors({"a": torch.zeros(100_000)}, tmp_path / "weights.pt")
    assert raised.value.filename == str(tmp_path / "weights.pt")
    assert list(tmp_path.iterdir()) == []


def test_another_error_of_torch_stays(tmp_path: Path) -> None:
    with pytest.raises(AttributeError, match="pickle"):
        save_tensors({"a": lambda: None}, tmp_path / "weights.pt")


def test_a_checkpoint_needs_no_other_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    monkeypatch.setattr("tempfile.tempdir", None)
    trainer = toy.trainer(3, callbacks=[Checkpoints(tmp_path, every=3)])
    trainer.fit(toy.detection_module(), toy.ToyData())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-0000003.ckpt", "step-0000003.ckpt.sha256"]


def test_the_last_good_checkpoint_stays_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = toy.trainer(9, callbacks=[Checkpoints(tmp_path, every=3)])
    trainer.strategy.checkpoint_io = FullAtSix()
    with pytest.raises(OSError, match="No space left"):
        trainer.fit(toy.detection_module(), toy.ToyData())
    assert list(list_checkpoints(tmp_path)) == [3]
    assert len(list(tmp_path.iterdir())) == 2  # it and its digest


class FullAtSix(DirectCheckpointIO):
    """A disk that is full when the checkpoint of step 6 is half written."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        if checkpoint["global_step"] == 6:
            atomic_write(Path(path), fill_the_disk)
        super().save_checkpoint(checkpoint, path, storage_options)


def fill_the_disk(path: Path) -> None:
    path.write_bytes(bytes(1000))
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_that_is_replaced_gets_its_own_digest(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    save_tensors({"a": torch.zeros(3)}, path)
    save_tensors({"a": torch.ones(3)}, path)
    assert find_damage(path) is None
    with pytest.raises(AttributeError):
        save_tensors({"a": lambda: None}, path)
    assert find_damage(path) is None  # the old file, with its digest
