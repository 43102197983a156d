"""Cityscapes' AP against the official script on generated streets, and on scenes in COCO's form."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask
import pytest
from cityscapesscripts.evaluation import evalInstanceLevelSemanticLabeling as official
from cityscapesscripts.evaluation.instances2dict import instances2dict
from cityscapesscripts.helpers.labels import labels
from PIL import Image

from lineage.data.formats.cityscapes import OTHERS, THINGS
from lineage.eval.evaluator import DetectionEvaluator
from lineage.eval.protocols.cityscapes import (
    LABELS,
    MIN_PIXELS,
    THRESHOLDS,
    VOID,
    CityscapesScorer,
    average,
    objects_from_ids,
    overlaps_by_class,
)
from tests.eval.scenes import batch, guesses, world

SIZE = (60, 90)
NAMES = {number: name for number, name in enumerate(LABELS, 1)}
BARE = [0, 1, 4, 7, 11, 23, 29]  # void, stuff, and a caravan group


def test_the_lists_and_limits_are_those_of_the_official_scripts() -> None:
    assert {label.name: label.id for label in labels if label.hasInstances and not label.ignoreInEval} == LABELS
    assert tuple(label.id for label in labels if label.ignoreInEval and label.id >= 0) == VOID
    assert THRESHOLDS.tolist() == official.args.overlaps.tolist()
    assert official.args.minRegionSizes[0] == MIN_PIXELS


def street(rng: np.random.Generator) -> np.ndarray:
    """Instance ids: stuff and void, then objects over each other, some tiny, some groups, some of void classes."""
    ids = rng.choice(BARE, (6, 9)).repeat(10, 0).repeat(10, 1).astype(np.int32)
    for number in range(int(rng.integers(0, 14))):
        label = int(rng.choice([24, 26, 26, 33, 29]))
        y, x = rng.integers(0, 50, 2)
        h, w = rng.choice([6, 12, 20, 30], 2)
        ids[y : y + h, x : x + w] = label if rng.random() < 0.2 else label * 1000 + number
    return ids


def predictions(rng: np.random.Generator, ids: np.ndarray) -> list[tuple[np.ndarray, int, float]]:
    """(mask, label, score): objects shifted a little, and anything; a few empty."""
    found = []
    for one in [*np.unique(ids), *np.unique(ids)]:
        mask = np.roll(ids == one, rng.integers(-2, 3, 2), (0, 1))
        label = int(one) // 1000 if one >= 1000 else int(rng.choice([24, 26, 33]))
        found.append((mask & (rng.random() < 0.95), label, float(np.round(rng.random(), 1))))
    return found


def written(folder: Path, place: int, ids: np.ndarray, found: list[tuple[np.ndarray, int, float]]) -> tuple[str, str]:
    truth = folder / f"city_{place:06d}_000000_gtFine_instanceIds.png"
    Image.fromarray(ids.astype(np.uint16)).save(truth)
    lines = []
    for number, (mask, label, confidence) in enumerate(found):
        name = f"{place}_{number}.png"
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / name)
        lines.append(f"{name} {label} {confidence}\n")
    listing = folder / f"city_{place:06d}_000000.txt"
    listing.write_text("".join(lines))
    return str(listing), str(truth)


def by_script(folder: Path, listed: list[tuple[str, str]]) -> np.ndarray:
    """[classes, thresholds]"""
    args = official.args
    args.quiet, args.predictionPath = True, str(folder)
    official.setInstanceLabels(args)
    lists = [*zip(*listed, strict=True)]
    matches = official.matchGtWithPreds([*lists[0]], [*lists[1]], instances2dict([*lists[1]]), args)
    return official.evaluateMatches(matches, args)[0]


@pytest.mark.parametrize("seed", range(25))
def test_equal_to_the_official_script(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "in1d", np.isin, raising=False)  # the script's name for it is gone from NumPy 2.4
    rng = np.random.default_rng(seed)
    label_of = {number: LABELS[name] for number, name in NAMES.items()}
    number_of = {label: number for number, label in label_of.items()}
    classes: dict[str, list[Any]] = {name: [] for name in NAMES.values()}
    listed = []
    for place in range(4):
        ids = street(rng)
        found = predictions(rng, ids)
        listed.append(written(tmp_path, place, ids, found))
        known = [one for one in found if one[1] in number_of]
        masks = [pycocotools.mask.encode(np.asfortranarray(mask.astype(np.uint8))) for mask, _, _ in known]
        each = overlaps_by_class(
            masks,
            np.array([confidence for *_, confidence in known]),
            np.array([number_of[label] for _, label, _ in known], int),
            objects_from_ids(ids, label_of),
            [*NAMES],
        )
        for number, one in each.items():
            classes[NAMES[number]].append(one)
    table = by_script(tmp_path, listed)
    ours = average(classes)
    expected = {"mask/AP": np.nanmean(table), "mask/AP50": np.nanmean(table[:, 0])}
    assert {name: value / 100 for name, value in ours.metrics.items()} == pytest.approx(expected, abs=1e-12)
    for row, name in zip(table, official.args.instLabels, strict=True):
        values = ours.per_class[name]
        np.testing.assert_allclose(values["mask/AP"] / 100, row.mean(), rtol=0, atol=1e-12, equal_nan=True)


def test_the_evaluator_reads_instance_images_or_annotations(tmp_path: Path) -> None:
    """Masks that do not overlap say the same in both forms; only the images know what is void."""
    scene = world(np.random.default_rng(2), images=4)
    for image in scene.truth["images"]:
        ids = np.zeros((image["height"], image["width"]), np.int32)
        for note in (note for note in scene.truth["annotations"] if note["image_id"] == image["id"]):
            mask = pycocotools.mask.decode(note["segmentation"]).astype(bool) & (ids == 0)
            rle = pycocotools.mask.encode(np.asfortranarray(mask.astype(np.uint8)))
            note["segmentation"] = {"size": rle["size"], "counts": rle["counts"].decode()}
            ids[mask] = note["category_id"] * (1 if note["iscrowd"] else 1000) + note["id"] * (not note["iscrowd"])
        ids[ids == 0] = 11  # a building is not void
        Image.fromarray(ids.astype(np.uint16)).save(tmp_path / f"{image['id']}.png")
    notes = evaluated(scene)
    for image in scene.truth["images"]:
        image["instance_ids"] = str(tmp_path / f"{image['id']}.png")
    images = evaluated(scene)
    assert images[0] == pytest.approx(notes[0], nan_ok=True)
    assert 0 < images[0]["mask/AP50"] < 100
    assert (notes[1]["tasks"]["mask"]["void"], images[1]["tasks"]["mask"]["void"]) == (False, True)


def evaluated(scene: Any) -> tuple[dict[str, float], dict[str, Any]]:
    evaluator = DetectionEvaluator(CityscapesScorer(dataset=scene))
    evaluator.update(guesses(np.random.default_rng(0), scene), batch(scene))
    return evaluator.compute(), evaluator.protocol


def test_a_model_without_masks_is_told_what_to_do() -> None:
    scene = world(np.random.default_rng(2))
    found = guesses(np.random.default_rng(0), scene)._replace(masks=None)
    with pytest.raises(ValueError, match="model=mask_rcnn"):
        DetectionEvaluator(CityscapesScorer(dataset=scene)).update(found, batch(scene))


def test_without_objects_there_is_nothing_to_average() -> None:
    assert math.isnan(average({"car": []}).metrics["mask/AP"])


def test_labels_of_cityscapes_have_their_official_ids() -> None:
    assert {label.name: label.id for label in labels} == OTHERS | THINGS
    assert THINGS.keys() == {label.name for label in labels if label.hasInstances and not label.ignoreInEval}
