"""Bad result files get one message that names the file and what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lineage.eval.files.score_file import score_file
from tests.eval.scenes import World, world

RIGHT = {"score": 0.5, "bbox": [0, 0, 4, 4]}


@pytest.fixture
def scene() -> World:
    return world(np.random.default_rng(1))


def write(folder: Path, content: Any) -> Path:
    path = folder / "results.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_broken_json(scene: World, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"results\.json is not valid JSON.*line 1"):
        score_file(write(tmp_path, '[{"image_id": 1,'), scene.truth)


def test_not_a_list(scene: World, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a whole dataset, not results"):
        score_file(write(tmp_path, {"annotations": []}), scene.truth)


def test_missing_fields(scene: World, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="record 0 has no image_id, category_id"):
        score_file(write(tmp_path, [RIGHT]), scene.truth)


def test_unknown_ids(scene: World, tmp_path: Path) -> None:
    record = RIGHT | {"image_id": 31415, "category_id": scene.meta.category_ids[0]}
    with pytest.raises(ValueError, match="image_ids are not among the ground truth's images: 31415"):
        score_file(write(tmp_path, [record]), scene.truth)
    record = RIGHT | {"image_id": scene.truth["images"][0]["id"], "category_id": 271}
    with pytest.raises(ValueError, match="category_ids are not among the ground truth's categories: 271"):
        score_file(write(tmp_path, [record]), scene.truth)


def test_a_task_without_its_field(scene: World, tmp_path: Path) -> None:
    record = RIGHT | {"image_id": scene.truth["images"][0]["id"], "category_id": scene.meta.category_ids[0]}
    with pytest.raises(ValueError, match="need segmentation"):
        score_file(write(tmp_path, [record]), scene.truth, tasks=["mask"])
