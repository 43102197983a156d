"""Checks of the system before a run begins: folders that can be written, enough open files."""

from __future__ import annotations

from pathlib import Path

import torch.multiprocessing
from omegaconf import DictConfig
from pytorch_lightning.utilities import rank_zero_only

from lineage.results.disk import PlaceError, check_writable, raise_open_files_limit
from lineage.run.resume import Attempt

LEAST_FILES = 128  # that torch, the libraries and two workers have open
MANY_FILES = 1024  # workers keep one open per tensor on its way


def check_system(attempt: Attempt) -> None:
    """Raise PlaceError for a folder that takes no files, or for too few open files."""
    check_open_files(attempt.config)
    if getattr(rank_zero_only, "rank", 0) == 0:
        check_writable(Path(attempt.config.paths.results), "paths.results")
        check_writable(attempt.folder, "hydra.run.dir")


def check_open_files(config: DictConfig) -> None:
    """Use what the system allows; if that is little, let workers hand over tensors by name, not by open file."""
    limit = raise_open_files_limit()
    if limit < LEAST_FILES:
        raise PlaceError(f"only {limit} files may be open at a time; a run needs {LEAST_FILES}: ulimit -n {MANY_FILES}")
    if limit < MANY_FILES and config.data.workers:
        torch.multiprocessing.set_sharing_strategy("file_system")
