"""Images that break while a training reads them: every way to break, alone and through a loader with workers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from lineage.config.schema import Data, Schedule
from lineage.data.collate import collate
from lineage.data.datamodule import DetectionData
from lineage.data.formats import coco
from lineage.data.samples.image import ImageError, read
from lineage.data.transforms.augment import Augment
from lineage.data.transforms.context import Transform
from lineage.data.transforms.copy_paste import CopyPaste
from tests.data import folder


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def swapped(path: Path) -> None:
    folder.save(path, height=24, width=36)


BROKEN = [(truncated, "cannot be decoded"), (emptied, "cannot be decoded|is not an image"), (swapped, "24 x 36"),
          (Path.unlink, "no such image")]  # fmt: skip


def module(root: Path, on_unreadable: str, workers: int = 0, train: Transform | None = None) -> DetectionData:
    """Four JPEGs, all seen in four steps; the second one is broken after the dataset was opened."""
    told = folder.content(4)
    for image in told["images"]:
        image["file_name"] = image["file_name"].replace("png", "jpg")
    folder.write(root, told)
    dataset = coco.load(root=str(root), annotations="train.json", images="images")
    same = torch.nn.Identity()
    augment = Augment(train=train or same, test=same, collate=partial(collate, size_divisibility=32))
    settings = Data(images_per_device=1, workers=workers, on_unreadable=on_unreadable)
    return DetectionData(dataset, dataset, augment, Schedule(steps=4, images_per_step=1), settings, seed=0)


@pytest.mark.parametrize(("spoil", "said", "workers"), [(*BROKEN[0], 1), *((*one, 0) for one in BROKEN)])
def test_it_stops_training_with_its_path(
    tmp_path: Path, spoil: Callable[[Path], None], said: str, workers: int
) -> None:
    data = module(tmp_path, "raise", workers)
    spoil(data.train.path(1))
    with pytest.raises(ImageError, match=said) as found:
        list(data.train_loader())
    assert str(data.train.path(1)) in str(found.value)
    assert "data.on_unreadable=skip" in str(found.value)


@pytest.mark.parametrize("spoil", [truncated, emptied, Path.unlink])
def test_it_stops_an_evaluation_with_advice_that_works(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    """No image takes the place of another in a test, whatever data.on_unreadable says."""
    data = module(tmp_path, "skip")
    assert data.val is not None
    path = data.train.path(1)
    spoil(path)
    with pytest.raises(ImageError) as raised:
        list(data.val_loader())
    keys = "dataset.train.on_defect=drop dataset.val.on_defect=drop"  # both splits read one file here
    assert f"move the file away and add {keys}" in str(raised.value)
    assert "on_unreadable" not in str(raised.value)
    path.unlink(missing_ok=True)
    dropped = coco.load(root=str(tmp_path), annotations="train.json", images="images", on_defect="drop")
    assert len(dropped) == 3


@pytest.mark.parametrize(("spoil", "said"), BROKEN)
def test_it_is_reported_and_replaced_where_that_is_asked_for(
    tmp_path: Path, spoil: Callable[[Path], None], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = module(tmp_path, "skip")
    spoil(data.train.path(1))
    with caplog.at_level(logging.WARNING):
        ids = [int(batch.ids[0]) for batch in data.train_loader()]
    assert len(ids) == 4
    assert {10, 30, 40} == set(ids)
    assert str(data.train.path(1)) in caplog.text
    assert "skipped because of data.on_unreadable=skip" in caplog.text


def test_a_broken_partner_of_an_augmentation_is_treated_alike(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    paste = CopyPaste(transform=torch.nn.Identity(), p=1.0)
    data = module(tmp_path, "skip", train=paste)
    emptied(data.train.path(1))
    with caplog.at_level(logging.WARNING):
        ids = {int(batch.ids[0]) for batch in data.train_loader()}
    assert ids <= {10, 30, 40}
    assert str(data.train.path(1)) in caplog.text
    strict = module(tmp_path / "strict", "raise", train=paste)
    for index in (1, 2, 3):
        emptied(strict.train.path(index))
    with pytest.raises(ImageError, match=r"images/[234]\.jpg"):
        strict.train_loader().dataset[0, 0]  # the first image is whole, its partner is not


@pytest.mark.parametrize(
    ("mode", "options"),
    [("RGB", {"subsampling": kind}) for kind in (0, 1, 2)]
    + [("RGB", {"progressive": True}), ("RGB", {"quality": 5}), ("RGB", {"keep_rgb": True}), ("L", {}), ("CMYK", {})],
)
def test_a_jpeg_has_the_pixels_that_pillow_gives(tmp_path: Path, mode: str, options: dict[str, object]) -> None:
    random = np.random.default_rng(0)
    small = random.integers(0, 256, (12, 9, len(Pillow.new(mode, (1, 1)).getbands())), np.uint8)
    large = Pillow.fromarray(small.squeeze(), mode).resize((95, 123), Pillow.Resampling.BICUBIC)
    large.save(tmp_path / "x.jpg", **options)
    found = read(tmp_path / "x.jpg", (123, 95))
    assert np.array_equal(found.permute(1, 2, 0).numpy(), np.array(Pillow.open(tmp_path / "x.jpg").convert("RGB")))
