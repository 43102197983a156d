"""What several test folders share: one thread per test process, and real data where the machine has any."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Indexes of the datasets of tests stay out of the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LINEAGE_SITE", "no")  # no site at the end of each run
        patch.setenv("LINEAGE_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder that holds coco_mini, coco_eval_cases, ...: LINEAGE_REAL_DATA, or ../shared/data beside the repo."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("LINEAGE_REAL_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set LINEAGE_REAL_DATA to a folder that holds coco_mini")
    return folder


@pytest.fixture(scope="session")
def coco_mini(real_data: Path) -> Path:
    """159 real COCO images with their annotations, laid out as COCO is."""
    if not (real_data / "coco_mini").is_dir():
        pytest.skip(f"no coco_mini in {real_data}")
    return real_data / "coco_mini"
