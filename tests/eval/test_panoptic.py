"""The panoptic evaluator end to end: what it merges, counts and refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import Mock

import numpy as np
import pycocotools.mask
import pytest
import torch

from lineage.data.samples.metadata import DatasetMeta
from lineage.eval.document import CocoDocument
from lineage.eval.evaluator import DetectionEvaluator
from lineage.eval.panoptic_merge import MergeRules, classify, merge
from lineage.eval.predictions import image_coordinates
from lineage.eval.protocols.coco import CocoScorer
from lineage.eval.protocols.panoptic import PanopticEvaluator
from lineage.structures import Batch, Detections, Images, Targets
from tests.eval.panoptic_png import write_png
from tests.eval.scenes import share

SIZE = (96, 128)
THINGS = {1: "person", 3: "car"}
STUFF = (0, 100, 200)  # semantic class -> category id
RULES = MergeRules(score_thresh=0.5, overlap_thresh=0.5, stuff_area_limit=64)


class Scene(NamedTuple):
    """A dataset of two images: a person and a car on grass under the sky."""

    folder: Path
    meta: DatasetMeta = DatasetMeta(("person", "car"), (1, 3), stuff_ids=STUFF[1:])

    def panoptic_truth(self) -> dict[str, Any]:
        categories = [{"id": n, "name": name, "isthing": 1} for n, name in THINGS.items()]
        categories += [{"id": n, "name": f"stuff {n}", "isthing": 0} for n in STUFF[1:]]
        notes = []
        for image in (4, 7):
            write_png(self.folder / f"{image}.png", ids(image))
            present = {11: 1, 12: 3, 13: 100, 14: 200}
            info = [{"id": number, "category_id": category, "iscrowd": 0} for number, category in present.items()]
            notes.append({"image_id": image, "file_name": f"{image}.png", "segments_info": info})
        images = [{"id": image, "height": SIZE[0], "width": SIZE[1]} for image in (4, 7)]
        return {"images": images, "annotations": notes, "categories": categories, "folder": str(self.folder)}

    def ground_truth(self) -> dict[str, Any]:
        document, notes = self.panoptic_truth(), []
        for image in (4, 7):
            for number, category in ((11, 1), (12, 3)):
                mask = ids(image) == number
                y, x = np.nonzero(mask)
                box = [int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1]
                note = {"id": len(notes) + 1, "image_id": image, "category_id": category, "iscrowd": 0}
                notes.append(note | {"bbox": box, "area": int(mask.sum()), "segmentation": rle(mask)})
        things = [{"id": number, "name": name} for number, name in THINGS.items()]
        return document | {"annotations": notes, "categories": things, "panoptic": document}


def ids(image: int) -> np.ndarray:
    found = np.full(SIZE, 13)
    found[SIZE[0] // 2 :] = 14
    found[20:60, 10 * image - 30 : 10 * image] = 11
    found[50:90, 80:120] = 12
    return found


def rle(mask: np.ndarray) -> dict[str, Any]:
    found = pycocotools.mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": found["size"], "counts": found["counts"].decode()}


def perfect(scale: int = 1) -> tuple[Detections, Batch]:
    """The ground truth as a model would say it, on a canvas `scale` times the files, padded on the right."""
    height, width = SIZE[0] * scale, SIZE[1] * scale
    semantic = torch.full((2, 3, height // 4, width // 4 + 8), -5.0)
    boxes = torch.zeros(2, 3, 4)
    for slot, image in enumerate((4, 7)):
        whole = torch.from_numpy(ids(image))
        classes = torch.where(whole < 13, 0, whole - 12)
        small = torch.nn.functional.interpolate(classes[None, None].float(), (height // 4, width // 4), mode="nearest")
        semantic[slot, :, :, : width // 4].scatter_(0, small[0].long(), 5.0)
        for place, number in enumerate((11, 12)):
            y, x = (whole == number).nonzero().T
            boxes[slot, place] = torch.tensor([x.min(), y.min(), x.max() + 1, y.max() + 1]) * scale
    boxes[:, 2] = boxes[:, 0]
    found = Detections(
        boxes=boxes, scores=torch.tensor([[0.9, 0.8, 0.4]] * 2), labels=torch.tensor([[0, 1, 1]] * 2),
        valid=torch.ones(2, 3, dtype=torch.bool), proposal_index=torch.zeros(2, 3, dtype=torch.int64),
        probabilities=torch.zeros(2, 3, 3), masks=torch.ones(2, 3, 28, 28), semantic=semantic,
    )  # fmt: skip
    sizes = torch.tensor([SIZE] * 2)
    images = Images(torch.zeros(2, 3, 1, 1, dtype=torch.uint8), sizes.float() * scale, torch.tensor([4, 7]))
    none = torch.zeros(2, 0)
    targets = Targets(torch.zeros(2, 0, 4), none.long(), none.bool(), none.bool(), None, None)
    return found, Batch(images, targets, torch.tensor([4, 7]), sizes)


@pytest.mark.parametrize("scale", [1, 2])
def test_the_ground_truth_is_nearly_perfect(scale: int, tmp_path: Path) -> None:
    """Only nearly: masks round the corners of a box, and stuff is predicted at a quarter of the resolution."""
    evaluator = PanopticEvaluator(dataset=Scene(tmp_path), stuff_area_limit=64)
    evaluator.update(*perfect(scale))
    metrics = evaluator.compute()
    assert metrics["panoptic/RQ"] == 100
    assert metrics["panoptic/PQ"] > 95
    assert metrics["semantic/mIoU"] > 90
    assert metrics["box/AP"] == pytest.approx(100)
    assert set(evaluator.per_class()) == {"person", "car", "stuff 100", "stuff 200", "things"}
    records = evaluator.results()
    assert [one["category_id"] for one in records] == [1, 3, 100, 200] * 2
    assert records[0]["score"] == pytest.approx(0.9)
    assert records[2]["score"] == 1


def test_masks_are_pasted_once_and_instances_score_as_by_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, paste = Scene(tmp_path), Mock(wraps=image_coordinates.paste)
    monkeypatch.setattr(image_coordinates, "paste", paste)
    evaluator = PanopticEvaluator(dataset=scene, stuff_area_limit=64)
    evaluator.update(*perfect())
    assert paste.call_count == 1
    instances = DetectionEvaluator(CocoScorer(dataset=CocoDocument(scene.ground_truth(), scene.meta)))
    instances.update(*perfect())
    expected, metrics = instances.compute(), evaluator.compute()
    np.testing.assert_equal({name: metrics[name] for name in expected}, expected)
    for column, alone in zip(evaluator.instances.predictions, instances.predictions, strict=True):
        np.testing.assert_array_equal(column, alone)


def test_repeats_count_once_and_rounds_are_apart(tmp_path: Path) -> None:
    evaluator = PanopticEvaluator(dataset=Scene(tmp_path), stuff_area_limit=64)
    evaluator.update(*perfect())
    once = evaluator.compute()
    evaluator.update(*perfect())
    evaluator.update(*perfect())
    assert evaluator.compute() == pytest.approx(once, nan_ok=True)


def test_missing_images_and_heads_are_errors(tmp_path: Path) -> None:
    evaluator = PanopticEvaluator(dataset=Scene(tmp_path), stuff_area_limit=64)
    found, batch = perfect()
    evaluator.update(*share([0], found, batch))
    with pytest.raises(ValueError, match="1 of 2 images were never evaluated: 7"):
        evaluator.compute()
    with pytest.raises(ValueError, match="model=panoptic_fpn"):
        evaluator.update(found._replace(semantic=None), batch)


def test_instances_take_what_is_free_in_the_order_of_their_scores() -> None:
    semantic = np.zeros((20, 20), np.int64)
    left, most, right = (np.zeros((20, 20), bool) for _ in range(3))
    left[:, :10], most[:, :16], right[:, 8:] = True, True, True
    masks = [rle(mask) for mask in (right, most, left)]
    merged = merge(masks, np.array([0.7, 0.6, 0.9]), np.array([3, 1, 1]), semantic, STUFF, RULES)
    assert merged.category.tolist() == [1, 3], "of the third, 16 of 16 columns are taken"
    assert (merged.ids[:, :10] == 1).all()
    assert (merged.ids[:, 10:] == 2).all()
    assert merge(masks, np.array([0.4, 0.4, 0.4]), np.array([3, 1, 1]), semantic, STUFF, RULES).category.size == 0


def test_little_stuff_and_the_class_of_things_stay_unlabelled() -> None:
    semantic = np.zeros((20, 20), np.int64)
    semantic[:5], semantic[5:7] = 1, 2
    semantic[10:] = len(STUFF)  # a class that the dataset has no category of
    merged = merge([], np.zeros(0), np.zeros(0, int), semantic, STUFF, RULES)
    assert merged.category.tolist() == [100]
    assert (merged.ids[:5] == 1).all()
    assert not merged.ids[5:].any()


def test_padding_of_the_canvas_does_not_reach_the_file() -> None:
    logits = torch.zeros(2, 8, 8)
    logits[1, :, 4:] = 9.0  # only beyond the content
    assert not classify(logits, (32, 14), (50, 30)).any()
    assert classify(logits, (32, 32), (50, 30)).any()
