"""Fixtures of the commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trained import run_folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run whose model predicts boxes, masks and keypoints."""
    return run_folder(tmp_path_factory.mktemp("runs") / "mask", "mask_keypoint_rcnn")
