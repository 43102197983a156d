"""Files of tensors, written beside their target alone, neither in $TMPDIR nor as a copy in memory."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any, cast

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from lineage.results.atomic import atomic_path
from lineage.results.file_digest import digest_path, remove, write_digest


def save_tensors(value: Any, path: Path) -> None:
    """Write a file of torch.save whole or not at all, with its digest. Raises OSError if the disk takes no more."""
    with atomic_path(path, durable=True) as temporary:
        write_tensors(value, temporary)
        digest_path(path).unlink(missing_ok=True)  # of the file that is replaced now
    write_digest(path)


def write_tensors(value: Any, path: Path) -> None:
    """Call torch.save; raise the disk's own error, in place of torch's about a position in the file."""
    with path.open("wb") as file:
        writer = _Writer(file)
        try:
            torch.save(value, cast(IO[bytes], writer))
        except RuntimeError:
            if writer.error is None:
                raise
            raise OSError(writer.error.errno, writer.error.strerror, str(path)) from writer.error


class DirectCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoints, each with its digest, streamed: its own way leads through memory and $TMPDIR."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        save_tensors(checkpoint, Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        remove(Path(path))


class _Writer:
    """File that keeps the error of a failed write."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self.file.flush()
