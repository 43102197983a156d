"""An image has one result, bit for bit on a CPU: evaluated or predicted, in any batch, on any number of processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from lineage.config.build import ConfigError
from lineage.config.schema import Data, Schedule
from lineage.data.annotations.image_ids import ImageIds
from lineage.data.datamodule import DetectionData
from lineage.data.shapes.dataset import Shapes
from lineage.eval.predictions.accumulator import DetectionAccumulator
from lineage.eval.predictions.coco_records import to_records
from lineage.models.detectors.tta import TTA
from lineage.report.image_sources import Picture, iter_pictures
from lineage.run.inference.predict import predict_images
from lineage.run.restore import Restored, restore
from tests.train import tiny
from tests.trained import run_folder

SIZES = [(96, 128), (96, 64), (50, 100), (64, 64)]
SEED, COUNT = 1, 6  # images that have all sizes
MODELS = {
    "group norm": ("mask_keypoint_rcnn",),
    "batch norm": ("mask_rcnn", "backbone.norm=bn"),
    "C4": ("mask_rcnn_c4",),
    "one stage": ("retinanet",),
    "views": ("mask_rcnn", "tta=mini_scales"),
    "resized": ("faster_rcnn", "augment=mini_80"),
}
TWO = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")
Records = dict[int, list[dict[str, Any]]]


def scenes() -> Shapes:
    """Return images of each size."""
    dataset = Shapes(seed=SEED, length=COUNT, size=SIZES, kinds=6)
    assert len({*map(tuple, dataset.sizes.tolist())}) == len(SIZES)
    return dataset


def evaluate(restored: Restored, images_per_device: int, processes: int = 1) -> Records:
    """Return the records of all images as an evaluation gets them."""
    dataset = scenes()
    data = DetectionData(
        dataset, dataset, restored.canvas.augment, Schedule(steps=1, images_per_step=1),
        Data(images_per_device=images_per_device, workers=0), 0, size_divisibility=restored.canvas.size_divisibility,
    )  # fmt: skip
    accumulator = DetectionAccumulator(dataset.ids.tolist(), ("box", "mask", "keypoint"))
    at_once = data.count_images_at_once(torch.device("cpu"))
    with torch.inference_mode():
        for rank in range(processes):
            for batch in data.val_loader(rank, processes, at_once):
                accumulator.update(restored.detect(batch.images), batch)
    by_image: Records = {image: [] for image in dataset.ids.tolist()}
    for record in to_records(accumulator.finish()[0], restored.meta.category_ids):
        by_image[record.pop("image_id")].append(record)
    return by_image


def predict(restored: Restored, folder: Path, batch: int) -> Records:
    """Return the records of PNGs of the same images."""
    ids = ImageIds({f"{index + 1}.png": index + 1 for index in range(COUNT)})
    device = torch.device("cpu")
    predictions = predict_images(restored, pictures(folder), ids=ids, batch=batch, score_thresh=0.0, device=device)
    return {image.image_id: image.records for _, image in predictions}


def pictures(folder: Path) -> Iterator[Picture]:
    for picture in iter_pictures([str(folder)], 1):
        assert isinstance(picture, Picture)
        yield picture


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for index, image in enumerate(scenes()[i].image for i in range(COUNT)):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{index + 1}.png")
    return folder


@pytest.mark.parametrize("name", MODELS)
def test_an_image_has_one_result(name: str, folder: Path, tmp_path: Path) -> None:
    restored = restore(str(run_folder(tmp_path / "run", *MODELS[name])), [], tmp_path)
    expected = evaluate(restored, 1)
    assert sum(map(len, expected.values())) > 50
    assert evaluate(restored, 4) == expected
    assert evaluate(restored, 4, processes=4) == expected  # eight batches: two images come twice
    assert predict(restored, folder, 1) == expected
    assert predict(restored, folder, 6) == expected


def test_views_are_those_of_the_run_or_of_the_command(tmp_path: Path) -> None:
    run = str(run_folder(tmp_path / "run", "faster_rcnn", "tta=flip"))
    views = restore(run, [], tmp_path).detect.__self__
    assert isinstance(views, TTA)
    assert views.views == [(1.0, False), (1.0, True)]
    plain = restore(run, ["tta=none"], tmp_path)
    assert plain.detect == plain.model.detect
    other = restore(run, ["tta=mini_scales"], tmp_path).detect.__self__
    assert isinstance(other, TTA)
    assert len(other.views) == 6
    with pytest.raises(ConfigError, match="mini_scales"):
        restore(run, ["tta=mini_scale"], tmp_path)


@pytest.mark.slow
def test_a_run_is_evaluated_alike_with_any_batch_and_two_processes(tmp_path: Path) -> None:
    """The example of issue 12: box AP was 10.84, 10.17 and 9.96 for 1, 2 and 4 images at once."""
    weights = run_folder(tmp_path / "trained", "mask_rcnn")
    test = ("evaluate_only=true", f"weights={weights}", "dataset.size=[[128,128],[64,64]]", "dataset.val.length=21",
            "logger=none", "data.workers=0", "dataset.train.length=1")  # fmt: skip

    def run(name: str, *overrides: str) -> dict[str, Any]:
        tiny.train(tmp_path, *test, *overrides, f"hydra.run.dir={tmp_path / name}")
        return json.loads((tmp_path / name / "entry.json").read_text())

    entries = [run(str(size), "trainer=cpu", f"data.images_per_device={size}") for size in (1, 4)]
    entries.append(run("two", *TWO, "data.images_per_device=2"))
    assert entries[0]["metrics"]["box/AP"] > 0
    assert all(entry["metrics"] == entries[0]["metrics"] for entry in entries)
    assert len({entry["evaluation_digest"] for entry in entries}) == 1
