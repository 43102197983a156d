"""The script beside an exported file detects what `lineage predict` does, and imports nothing of this package."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as rle
from torchvision.transforms.v2 import functional

from lineage.cli.main import main
from lineage.data.shapes.dataset import Shapes
from lineage.data.transforms.resize import fit_shortest_edge
from lineage.eval.predictions.paste import paste
from lineage.models.export import standalone
from tests.trained import run_folder

SIZES = {"landscape": (150, 230), "portrait": (230, 140)}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
def test_the_script_detects_what_predict_does(suffix: str, tmp_path: Path) -> None:
    run, file = run_folder(tmp_path / "run", "mask_rcnn"), tmp_path / f"model{suffix}"
    assert main(["export", str(run), str(file), "--size", "any"]) == 0
    pictures = []
    for index, (name, size) in enumerate(SIZES.items()):
        pictures.append(tmp_path / f"{name}.png")
        Image.fromarray(Shapes(seed=index, length=1, size=[size])[0].image.permute(1, 2, 0).numpy()).save(pictures[-1])
    results, predictions = tmp_path / "results.json", tmp_path / "out"
    command = [sys.executable, f"{file}.py", *map(str, pictures), "--out", str(results), "--score", "0.1"]
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)
    arguments = [*map(str, pictures), f"--weights={run}", f"--out={predictions}", "--no-pictures", "--score=0.1"]
    assert main(["predict", *arguments]) == 0
    expected = json.loads((predictions / "predictions.json").read_text())
    expected = expected if isinstance(expected, list) else expected["annotations"]
    for image in (1, 2):
        compare(
            *([row for row in rows if row["image_id"] == image] for rows in (json.loads(results.read_text()), expected))
        )


def compare(actual: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert len(actual) == len(expected) > 3
    for ours, theirs in zip(actual, expected, strict=True):
        assert ours["category_id"] == theirs["category_id"]
        assert ours["score"] == pytest.approx(theirs["score"], abs=1e-4)
        assert ours["bbox"] == pytest.approx(theirs["bbox"], abs=2e-2)
        masks = [rle.decode(record["segmentation"]) for record in (ours, theirs)]
        assert (masks[0] != masks[1]).sum() <= 0.02 * masks[1].sum() + 2


def test_the_script_imports_nothing_of_this_package() -> None:
    text = Path(standalone.__file__).read_text()
    assert "import lineage" not in text
    assert "from lineage" not in text


def test_masks_are_pasted_and_encoded_as_in_results() -> None:
    generator = torch.Generator().manual_seed(0)
    size, count = (90, 130), 12
    probabilities = torch.rand(count, 28, 28, generator=generator).numpy()
    corners = torch.rand(count, 2, 2, generator=generator).sort(1).values * torch.tensor([130.0, 90.0])
    boxes = corners.flatten(1).numpy()
    boxes[3, 2] = boxes[3, 0]  # without area
    expected = paste(probabilities, boxes, np.array([size] * count))
    ends = np.cumsum(expected.lengths)
    for index in range(count):
        text = expected.text[ends[index] - expected.lengths[index] : ends[index]].tobytes().decode()
        mask = standalone.paste(probabilities[index], boxes[index].astype(np.float64), size)
        assert standalone.encode(mask) == text


@pytest.mark.parametrize("size", [(5, 7), (1, 1), (60, 40)])
def test_runs_are_encoded_as_in_pycocotools(size: tuple[int, int]) -> None:
    for seed in range(20):
        mask = np.random.default_rng(seed).random(size) > seed / 19
        expected = rle.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
        assert standalone.encode(mask) == expected


@pytest.mark.parametrize("size", [(120, 200), (211, 97)])
def test_pictures_are_resized_as_in_evaluation(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    target = standalone.compute_size(size, {"sizes": [80], "max_size": 120})
    assert target == fit_shortest_edge(size, 80, 120)
    ours = np.array(Image.fromarray(pixels).resize(target[::-1], Image.Resampling.BILINEAR)).astype(int)
    theirs = functional.resize(torch.from_numpy(pixels).permute(2, 0, 1), list(target), antialias=True)
    assert abs(ours - theirs.permute(1, 2, 0).numpy().astype(int)).max() <= 1


def test_a_picture_that_does_not_fit_names_the_remedy() -> None:
    fixed = {"fixed_size": True, "inputs": [{"shape": [1, 3, 96, 128]}]}
    assert standalone.choose_canvas((90, 128), fixed) == (96, 128)
    with pytest.raises(standalone.UnfitPictureError, match="--size any"):
        standalone.choose_canvas((128, 90), fixed)
    free = {"fixed_size": False, "size_divisibility": 32, "smallest_size": 96}
    assert standalone.choose_canvas((130, 40), free) == (160, 96)


def test_sizes_and_canvases_by_hand() -> None:
    rule = {"sizes": [800], "max_size": 1333}
    assert standalone.compute_size((480, 640), None) == (480, 640)
    assert standalone.compute_size((480, 640), rule) == (800, 1067)  # 1066.67
    assert standalone.compute_size((500, 2000), rule) == (333, 1333)
    assert standalone.compute_size((1, 4000), rule) == (1, 1333)  # no side is nothing
    assert standalone.compute_size((4000, 1), rule) == (1333, 1)
    free = {"fixed_size": False, "size_divisibility": 32, "smallest_size": 64}
    assert [standalone.choose_canvas(size, free) for size in ((33, 96), (97, 1))] == [(64, 96), (128, 64)]
    fixed = {"fixed_size": True, "inputs": [{"shape": [1, 3, 96, 128]}]}
    assert standalone.choose_canvas((96, 128), fixed) == standalone.choose_canvas((1, 2), fixed) == (96, 128)


def test_pictures_have_the_numbers_of_their_names_if_all_differ() -> None:
    def number(*names: str) -> list[int]:
        return standalone.number_pictures([Path(name) for name in names])

    assert number("a/000000000139.jpg", "7.png") == [139, 7]
    assert number("a/7.jpg", "b/7.png") == number("7.jpg", "cat.jpg") == [1, 2]


def test_records_are_in_pixels_of_the_file_best_first() -> None:
    """The input is half as high and a third as wide as the file; the middle slot is empty."""
    outputs = {
        "valid": np.array([[True, False, True]]),
        "labels": np.array([[1, 0, 0]]),
        "scores": np.array([[0.25, 0.9, 0.5]]),
        "boxes": np.array([[[1.0, 2, 11, 12], [0, 0, 1, 1], [50, -3, 66, 50]]]),
        "keypoints": np.array([[[[10.5, 20.0, 0.25]]] * 3]),
    }
    first, second = standalone.to_records(outputs, (2.0, 3.0), (80, 180), [5, 9])
    assert (first["category_id"], first["score"], first["bbox"]) == (5, 0.5, [150, 0, 30, 80])
    assert (second["category_id"], second["score"], second["bbox"]) == (9, 0.25, [3, 4, 30, 20])
    assert second["keypoints"] == [31, 39.5, 0.25]
    for label in (-1, 2):
        with pytest.raises(standalone.UnfitPictureError, match="ids of 2 classes"):
            standalone.to_records(outputs | {"labels": np.array([[1, 0, label]])}, (2.0, 3.0), (80, 180), [5, 9])


def test_objects_from_the_score_on_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [{"score": score} for score in (0.75, 0.5, 0.25)]
    monkeypatch.setattr(standalone, "read_description", lambda model: {})
    monkeypatch.setattr(standalone, "load_model", lambda model, description: None)
    monkeypatch.setattr(standalone, "detect", lambda run, pixels, description: records)
    pictures = [tmp_path / "7.png", tmp_path / "9.png"]
    for picture in pictures:
        Image.new("RGB", (4, 4)).save(picture)
    out = tmp_path / "detections.json"
    assert standalone.main([*map(str, pictures), "--out", str(out)]) == 0
    expected = [{"image_id": number, "score": score} for number in (7, 9) for score in (0.75, 0.5)]
    assert json.loads(out.read_text()) == expected


def test_a_picture_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    Image.new("RGB", (64, 64), "red").save(path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(standalone.UnfitPictureError, match=f"{path}: no picture that can be read"):
        standalone.read_picture(path)


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_a_picture_of_more_than_8_bits_is_refused_as_predict_does(tmp_path: Path, kind: type) -> None:
    path = tmp_path / "deep.tif"
    Image.fromarray(np.arange(600).reshape(20, 30).astype(kind)).save(path)
    with pytest.raises(standalone.UnfitPictureError, match=f"{path}: has more than 8 bits a channel"):
        standalone.read_picture(path)


def test_a_colour_png_of_16_bits_is_refused(tmp_path: Path) -> None:
    """Pillow cuts it to 8 bits without a word."""
    path = tmp_path / "deep.png"
    cv2.imwrite(str(path), np.full((20, 30, 3), 4095, np.uint16))
    with pytest.raises(standalone.UnfitPictureError, match="has more than 8 bits"):
        standalone.read_picture(path)
