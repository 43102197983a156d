from __future__ import annotations

import copy
import itertools
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools import mask as rle
from torch.nn.functional import interpolate
from torchvision import tv_tensors as tv
from torchvision.transforms import v2

from lineage.data.samples.mask_crops import MaskCrops


def blobs(n: int, height: int, width: int, seed: int) -> torch.Tensor:
    """Random rectangles full of holes; the last mask is empty and the first touches every border."""
    generator = torch.Generator().manual_seed(seed)
    masks = torch.zeros(n, height, width, dtype=torch.uint8)
    for mask in masks[:-1]:
        y0, y1 = sorted(torch.randint(0, height + 1, (2,), generator=generator).tolist())
        x0, x1 = sorted(torch.randint(0, width + 1, (2,), generator=generator).tolist())
        mask[y0:y1, x0:x1] = torch.rand(y1 - y0, x1 - x0, generator=generator) < 0.7
    masks[0] = 1
    return masks


def column_major(mask: torch.Tensor) -> np.ndarray:
    return np.asfortranarray(mask.numpy())


@pytest.mark.parametrize("seed", range(5))
def test_masks_come_back_and_windows_are_tight(seed: int) -> None:
    masks = blobs(6, 37, 53, seed)
    crops = MaskCrops.from_masks(masks)
    assert len(crops) == 6
    assert crops.dense().equal(masks)
    for bits, (_, _, width, height) in crops.pieces()[:-1]:
        assert width == height == 0 or all(edge.any() for edge in (bits[0], bits[-1], bits[:, 0], bits[:, -1]))


@pytest.mark.parametrize("seed", range(20))
def test_run_lengths_decode_as_pycocotools_does(seed: int) -> None:
    masks = blobs(5, 41, 29, seed)
    compressed = [rle.encode(column_major(mask)) for mask in masks]
    text = [one | {"counts": one["counts"].decode()} for one in compressed]
    assert MaskCrops.from_rle(compressed, (41, 29)).dense().equal(masks)
    assert MaskCrops.from_rle(text, (41, 29)).dense().equal(masks)


@pytest.mark.parametrize("seed", range(5))
def test_uncompressed_run_lengths(seed: int) -> None:
    mask = blobs(2, 17, 23, seed)[0] if seed else torch.zeros(17, 23, dtype=torch.uint8)
    mask[3:9, 4:20] = 0
    flat = mask.T.reshape(-1)
    edges = [0, *((flat[1:] != flat[:-1]).nonzero()[:, 0] + 1).tolist(), len(flat)]
    counts = ([0] if flat[0] else []) + [end - start for start, end in itertools.pairwise(edges)]
    assert MaskCrops.from_rle([{"size": [17, 23], "counts": counts}], (17, 23)).dense()[0].equal(mask)


def from_polygons(objects: list[list[list[float]]], size: tuple[int, int]) -> MaskCrops:
    """Rasterise objects; each is a list of polygons (x0, y0, x1, y1, ...) whose union it covers."""
    return MaskCrops.from_rle([rle.merge(rle.frPyObjects(polygons, *size)) for polygons in objects], size)


def decoded(polygons: list[list[float]], size: tuple[int, int]) -> torch.Tensor:
    return torch.from_numpy(rle.decode(rle.merge(rle.frPyObjects(polygons, *size))))


@pytest.mark.parametrize("seed", range(4))
def test_random_polygons_equal_pycocotools(seed: int) -> None:
    """Also with corners outside the image, on its borders and on fifths of pixels, where rounding is decided."""
    generator = np.random.default_rng(seed)
    for _ in range(100):
        size = (int(generator.integers(5, 60)), int(generator.integers(5, 60)))
        corners = generator.uniform(-4, 64, (int(generator.integers(1, 4)), 2 * int(generator.integers(3, 9))))
        polygons = [np.round(row, int(generator.integers(0, 3))).tolist() for row in corners]
        assert from_polygons([polygons], size).dense()[0].equal(decoded(polygons, size))


def test_real_annotations_equal_pycocotools(coco_mini: Path) -> None:
    content = json.loads((coco_mini / "annotations/instances_train2017.json").read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    for annotation in content["annotations"]:
        size, shape = sizes[annotation["image_id"]], annotation["segmentation"]
        if isinstance(shape, dict):
            expected = rle.decode(rle.frPyObjects(shape, *size))
            assert MaskCrops.from_rle([shape], size).dense()[0].equal(torch.from_numpy(expected))
        else:
            assert from_polygons([shape], size).dense()[0].equal(decoded(shape, size))


@pytest.mark.parametrize("size", [[40, 60], [17], [80], [37], [111, 20], [7, 211]])
def test_resize_equals_nearest_exact_of_the_whole_mask(size: list[int]) -> None:
    for seed in range(5):
        masks = blobs(5, 37, 53, seed)
        resized = v2.functional.resize(MaskCrops.from_masks(masks), size)
        assert isinstance(resized, MaskCrops)
        expected = interpolate(masks[None].float(), size=resized.canvas_size, mode="nearest-exact")[0].byte()
        assert resized.dense().equal(expected)
        assert resized.canvas_size == tuple(v2.functional.resize(tv.Mask(masks), size).shape[-2:])


def test_flip_crop_and_pad_equal_the_same_on_whole_masks() -> None:
    for seed in range(5):
        masks = blobs(5, 37, 53, seed)
        crops = MaskCrops.from_masks(masks)
        assert v2.functional.horizontal_flip(crops).dense().equal(masks.flip(2))
        assert v2.functional.crop(crops, 5, 9, 20, 30).dense().equal(masks[:, 5:25, 9:39])
        assert v2.functional.crop(crops, -3, 40, 20, 30).dense().equal(v2.functional.crop(masks, -3, 40, 20, 30))
        assert v2.functional.pad(crops, [1, 2, 3, 4]).dense().equal(v2.functional.pad(masks, [1, 2, 3, 4]))


def test_moves_with_image_and_boxes_in_one_compose() -> None:
    masks = blobs(4, 40, 40, 0)
    boxes = tv.BoundingBoxes(torch.tensor([[2.0, 4.0, 20.0, 30.0]]), format="XYXY", canvas_size=(40, 40))
    compose = v2.Compose([v2.Resize([80, 80]), v2.RandomHorizontalFlip(p=1.0), v2.RandomCrop(60)])
    image, moved, crops = compose(tv.Image(masks[:3] * 255), boxes, MaskCrops.from_masks(masks))
    assert image.shape[-2:] == moved.canvas_size == crops.canvas_size == (60, 60)


def test_select_by_index_and_by_bool() -> None:
    masks = blobs(5, 20, 30, 1)
    crops = MaskCrops.from_masks(masks)
    assert crops.select(torch.tensor([3, 0])).dense().equal(masks[[3, 0]])
    assert crops.select(torch.tensor([True, False, True, False, False])).dense().equal(masks[[0, 2]])
    assert len(crops.select(torch.zeros(5, dtype=torch.bool))) == 0


def test_survives_copies_and_pickles() -> None:
    crops = MaskCrops.from_masks(blobs(3, 20, 30, 2))
    for twin in (crops.clone(), copy.deepcopy(crops), pickle.loads(pickle.dumps(crops)), crops.to("cpu")):
        assert isinstance(twin, MaskCrops)
        assert twin.dense().equal(crops.dense())


def test_no_masks_at_all() -> None:
    crops = v2.functional.resize(from_polygons([], (20, 30)), [40, 60])
    assert crops.dense().shape == (0, 40, 60)
