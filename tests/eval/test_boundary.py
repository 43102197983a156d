"""Boundaries in crop space against the full canvas, and Boundary AP against pycocotools with exchanged overlaps."""

from __future__ import annotations

import cv2
import hotcoco
import numpy as np
import pycocotools.mask
import pytest
from pycocotools.cocoeval import COCOeval

from lineage.eval.evaluator import DetectionEvaluator
from lineage.eval.metrics.boundary import boundaries, boundary_width
from lineage.eval.metrics.own_matching import score_boundary
from lineage.eval.predictions.rle import encode_masks
from lineage.eval.protocols.coco import CocoScorer
from tests.eval.scenes import batch, guesses, world
from tests.eval.ties import case, official, only

LIMITS = (1, 10, 100)


def ring(mask: np.ndarray) -> np.ndarray:
    """The paper's definition on the whole canvas: a mask without its d-fold erosion, zero around the image."""
    eroded = cv2.erode(np.pad(mask, 1), np.ones((3, 3), np.uint8), iterations=boundary_width(mask.shape))
    return mask - eroded[1:-1, 1:-1]


class Official(COCOeval):
    def computeIoU(self, image: int, category: int):  # type: ignore[no-untyped-def]
        whole = super().computeIoU(image, category)
        found, truth = self._dts[image, category], self._gts[image, category]
        order = np.argsort([-one["score"] for one in found], kind="mergesort")[: self.params.maxDets[-1]]
        sides = [[found[i] for i in order], truth]
        if not len(whole):
            return whole
        rings = [
            [pycocotools.mask.encode(np.asfortranarray(ring(pycocotools.mask.decode(o["segmentation"])))) for o in side]
            for side in sides
        ]
        crowd = np.array([bool(one["iscrowd"]) for one in truth])
        edges = pycocotools.mask.iou(*rings, crowd.astype(int).tolist())
        return np.where(crowd, whole, np.minimum(whole, edges))  # as boundary-iou-api: crowds by the mask alone


@pytest.mark.parametrize("size", [(40, 60), (97, 31), (200, 300)])
def test_crops_equal_the_canvas(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    masks = []
    for density in (0, 0.02, 0.3, 1):
        low, high = (rng.integers(0, np.array(size) // 2), rng.integers(np.array(size) // 2, np.array(size) + 1))
        mask = np.zeros(size, np.uint8)
        mask[low[0] : high[0], low[1] : high[1]] = rng.random(high - low) >= 1 - density if density < 1 else 1
        masks.append(cv2.dilate(mask, np.ones((5, 5), np.uint8)))
    rles = [pycocotools.mask.encode(np.asfortranarray(mask)) for mask in masks]
    found = [pycocotools.mask.decode(rle) for rle in boundaries(rles)]
    for mask, edge in zip(masks, found, strict=True):
        np.testing.assert_array_equal(edge, ring(mask))
    assert boundaries([]) == []


def test_two_percent_of_the_diagonal() -> None:
    assert boundary_width((480, 640)) == 16
    assert boundary_width((8, 8)) == 1


@pytest.mark.parametrize("seed", range(25))
def test_equal_to_pycocotools_with_boundary_overlaps(seed: int) -> None:
    truth, found = case(seed)
    if not truth["annotations"] or not found:
        pytest.skip("an empty case")
    records = only(found, "segmentation")
    loaded = hotcoco.COCO(truth)
    metrics = score_boundary(loaded, loaded.load_res(records), LIMITS).metrics
    assert [*metrics][:2] == ["boundary/AP", "boundary/AP50"]
    expected = official(truth, records, "segm", Official)
    np.testing.assert_allclose(np.array([*metrics.values()]) / 100, expected, rtol=0, atol=1e-12, equal_nan=True)


def test_a_crowd_is_matched_by_its_mask_alone() -> None:
    """boundary-iou-api, computeBoundaryIoU: a detection inside a crowd is ignored, however far from its boundary."""
    y, x = np.mgrid[:300, :300]
    shapes = {
        "crowd": (x < 200) & (y < 200),
        "object": (x > 220) & (y > 220),
        "inside": (abs(x - 100) < 30) & (abs(y - 100) < 30),
    }
    rles = {name: encode_masks([shape])[0] for name, shape in shapes.items()}
    note = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1]}
    truth = hotcoco.COCO({
        "images": [{"id": 1, "height": 300, "width": 300}], "categories": [{"id": 1, "name": "a"}],
        "annotations": [
            note | {"id": 1, "area": 40000, "iscrowd": 1, "segmentation": rles["crowd"]},
            note | {"id": 2, "area": int(shapes["object"].sum()), "iscrowd": 0, "segmentation": rles["object"]},
        ],
    })  # fmt: skip
    record = {"image_id": 1, "category_id": 1}
    found = truth.load_res(
        [
            record | {"score": 0.9, "segmentation": rles["inside"]},
            record | {"score": 0.5, "segmentation": rles["object"]},
        ]
    )
    assert score_boundary(truth, found, LIMITS).metrics["boundary/AP"] == pytest.approx(100)


def test_a_ring_passes_for_a_disc_neither_by_its_mask_nor_by_its_boundary() -> None:
    y, x = np.mgrid[:100, :100] - 50
    disc = (x**2 + y**2 <= 40**2).astype(np.uint8)
    rles = [pycocotools.mask.encode(np.asfortranarray(mask)) for mask in (disc, ring(disc))]
    rles = [{"size": rle["size"], "counts": rle["counts"].decode()} for rle in rles]
    note = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 80, 80], "area": int(disc.sum()), "iscrowd": 0}
    truth = hotcoco.COCO({
        "images": [{"id": 1, "height": 100, "width": 100}], "categories": [{"id": 1, "name": "disc"}],
        "annotations": [note | {"segmentation": rles[0]}],
    })  # fmt: skip
    for rle, expected in zip(rles, (100, 0), strict=True):
        found = truth.load_res([{"image_id": 1, "category_id": 1, "score": 1.0, "segmentation": rle}])
        assert score_boundary(truth, found, LIMITS).metrics["boundary/AP"] == pytest.approx(expected)


def test_the_evaluator_scores_boundaries_on_request() -> None:
    scene = world(np.random.default_rng(1))
    evaluator = DetectionEvaluator(CocoScorer(dataset=scene, tasks=["mask", "boundary"]))
    evaluator.update(guesses(np.random.default_rng(0), scene), batch(scene))
    metrics = evaluator.compute()
    assert 0 <= metrics["boundary/AP"] <= metrics["mask/AP"] + 1e-9
    assert "boundary/AP" in evaluator.per_class()[scene.meta.classes[0]]
    assert evaluator.protocol["tasks"]["boundary"]["boundary"] == 0.02
