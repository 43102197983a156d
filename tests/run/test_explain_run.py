"""The detections that a report explains: the surest right and the surest wrong ones of a run's own test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lineage.config.build import ConfigError
from lineage.data.shapes.dataset import Shapes
from lineage.explain.explained_image import ExplainedImage
from lineage.report.site.run_details import stamp_folder, write_run_pictures
from lineage.results.run_folder import RunFolder
from lineage.run.inference.explain_run import choose_detections, read_picture, save_explanations

IMAGES = Shapes(seed=2, length=4, size=64, kinds=6, crowds=0.0)


def write_results(folder: Path) -> None:
    """Detect every object of image i with the score .9 - i / 10, and in images 2 and 3 a corner with a higher one."""
    records: list[dict[str, Any]] = []
    for record in IMAGES.ground_truth()["annotations"]:
        x, y, width, height = record["bbox"]
        records.append({"image_id": record["image_id"], "category_id": record["category_id"],
                        "bbox": [x, y, width, height], "score": 0.9 - record["image_id"] / 10})  # fmt: skip
    for image, score in ((2, 0.95), (3, 0.99)):
        records.append({"image_id": image, "category_id": 1, "bbox": [0.0, 0.0, 2.0, 2.0], "score": score})
    RunFolder(folder).results.write_text(json.dumps(records))


def test_the_surest_detections_are_chosen_each_of_another_image(tmp_path: Path) -> None:
    write_results(tmp_path)
    chosen = choose_detections(tmp_path, IMAGES, 4)
    assert [(one.image_id, one.number, one.is_right) for one in chosen] == [
        (1, 1, True), (2, 2, True), (3, 1, False),
    ]  # fmt: skip  # the wrong one of image 2 has its right one beside it


def test_a_run_without_results_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no results\.json yet"):
        choose_detections(tmp_path, IMAGES, 4)


def test_pixels_are_those_of_the_image() -> None:
    pixels = read_picture(IMAGES, 3, "").pixels
    assert pixels.shape == (64, 64, 3)
    assert np.array_equal(pixels, IMAGES[2].image.permute(1, 2, 0).numpy())


class Addresses:
    """Writer of a site that keeps nothing."""

    def add_image(self, name: str, read: Any) -> str:
        assert read()
        return name


def test_the_page_of_a_run_shows_its_diagram_and_explanations(tmp_path: Path) -> None:
    files = RunFolder(tmp_path)
    writer: Any = Addresses()
    before = stamp_folder(files)
    assert write_run_pictures(writer, "id", files) == []
    image = ExplainedImage(
        "image 3, right", read_picture(IMAGES, 3, "").pixels, [], "class", "the proposal is a constant", ""
    )
    save_explanations(tmp_path, [image, image])
    files.calibration_diagram.write_text("<svg/>")
    (diagram, explanations) = write_run_pictures(writer, "id", files)
    assert diagram == ["calibration", "data:image/svg+xml;base64,PHN2Zy8+"]
    assert explanations[0] == "explanations"
    assert stamp_folder(files) != before
