"""Panoptic quality against a literal reading of the definition and against another engine, on random maps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hotcoco.panoptic
import numpy as np
import pytest
from PIL import Image

from lineage.eval.metrics import miou, pq
from tests.eval.panoptic_png import write_png

CATEGORIES = [{"id": n, "name": f"class {n}", "isthing": int(n < 4), "color": [n, n, n]} for n in (1, 2, 3, 7, 9)]
SIZE = (30, 40)
Side = tuple[np.ndarray, list[dict[str, Any]]]


def random_side(rng: np.random.Generator, crowds: bool) -> Side:
    """A map of rectangles over blocks of stuff and void; sometimes several crowds of one class."""
    ids = rng.choice([0, 11, 12], (3, 4)).repeat(10, 0).repeat(10, 1).astype(np.int64)
    segments = [{"id": 11, "category_id": 7, "iscrowd": 0}, {"id": 12, "category_id": 9, "iscrowd": 0}]
    for number in range(300, 300 + int(rng.integers(0, 9))):
        y, x = rng.integers(0, 28, 2)
        h, w = rng.integers(3, 20, 2)
        category = int(rng.integers(1, 4))
        crowd = crowds and rng.random() < 0.3
        ids[y : y + h, x : x + w] = number
        segments.append({"id": number, "category_id": category, "iscrowd": int(crowd)})
    area = {one["id"]: int((ids == one["id"]).sum()) for one in segments}
    return ids, [one | {"area": area[one["id"]], "bbox": [0, 0, 1, 1]} for one in segments if area[one["id"]]]


def near(rng: np.random.Generator, side: Side) -> Side:
    """The same map moved a little, with other ids and some other classes."""
    ids, segments = side
    moved = np.roll(ids, rng.integers(-2, 3, 2), (0, 1)) * 2
    changed = [
        one | {"id": one["id"] * 2, "iscrowd": 0, "category_id": int(rng.choice([one["category_id"]] * 5 + [1, 7]))}
        for one in segments
    ]
    return moved, changed


def literally(truth: Side, found: Side) -> dict[int, list[float]]:
    """category -> sum of IoU, TP, FP, FN, with sets of pixels."""
    pixels = [{s["id"]: set(np.flatnonzero(ids == s["id"]).tolist()) for s in some} for ids, some in (truth, found)]
    void = set(np.flatnonzero(truth[0] == 0).tolist())
    result: dict[int, list[float]] = {one["id"]: [0.0, 0, 0, 0] for one in CATEGORIES}
    matched: set[tuple[int, int]] = set()
    for g in truth[1]:
        for d in found[1]:
            if g["iscrowd"] or g["category_id"] != d["category_id"]:
                continue
            a, b = pixels[0][g["id"]], pixels[1][d["id"]]
            iou = len(a & b) / len((a | b) - (b & void))
            if iou > 0.5:
                result[g["category_id"]][0] += iou
                result[g["category_id"]][1] += 1
                matched |= {(0, g["id"]), (1, d["id"])}
    for d in found[1]:
        crowds = [pixels[0][g["id"]] for g in truth[1] if g["iscrowd"] and g["category_id"] == d["category_id"]][-1:]
        mine = pixels[1][d["id"]]
        if (1, d["id"]) not in matched and len(mine & void.union(*crowds)) / len(mine) <= 0.5:
            result[d["category_id"]][2] += 1
    for g in truth[1]:
        result[g["category_id"]][3] += (0, g["id"]) not in matched and not g["iscrowd"]
    return result


def sides(seed: int) -> tuple[Side, Side]:
    rng = np.random.default_rng(seed)
    truth = random_side(rng, crowds=True)
    return truth, near(rng, truth) if rng.random() < 0.8 else random_side(rng, crowds=False)


@pytest.mark.parametrize("seed", range(60))
def test_counts_equal_the_definition(seed: int) -> None:
    truth, found = sides(seed)
    counts = pq.count(5, truth[0], found[0], truth[1], found[1])
    expected = {number: row for number, row in literally(truth, found).items() if any(row)}
    assert counts.category.tolist() == [*expected]
    np.testing.assert_allclose(counts.numbers.reshape(-1, 4), np.array([*expected.values()]).reshape(-1, 4), atol=1e-12)
    assert set(counts.image.tolist()) <= {5}


@pytest.mark.parametrize("seed", range(5))
def test_all_numbers_equal_another_engine(seed: int, tmp_path: Path) -> None:
    """hotcoco's, which follows panopticapi, from files."""
    parts: list[pq.Counts] = []
    documents: dict[str, list[Any]] = {"truth": [], "found": []}
    for image in range(10 * seed, 10 * seed + 10):
        both = sides(image)
        parts.append(pq.count(image, both[0][0], both[1][0], both[0][1], both[1][1]))
        for name, (ids, segments) in zip(documents, both, strict=True):
            (tmp_path / name).mkdir(exist_ok=True)
            write_png(tmp_path / name / f"{image}.png", ids)
            documents[name].append({"image_id": image, "file_name": f"{image}.png", "segments_info": segments})
    places = range(10 * seed, 10 * seed + 10)
    images = [{"id": image, "height": SIZE[0], "width": SIZE[1]} for image in places]
    for name, notes in documents.items():
        text = {"images": images, "annotations": notes, "categories": CATEGORIES}
        (tmp_path / f"{name}.json").write_text(json.dumps(text))
    folders = {"gt_folder": str(tmp_path / "truth"), "pred_folder": str(tmp_path / "found")}
    files = (str(tmp_path / f"{name}.json") for name in documents)
    engine = hotcoco.panoptic.PanopticEval(*files, **folders)
    engine.evaluate()
    engine.summary_lines()
    means = pq.summarize(pq.concatenate(parts), CATEGORIES).metrics
    theirs = dict(zip(hotcoco.panoptic.METRIC_NAMES, engine.stats, strict=True))
    for group, suffix in (("", ""), ("_things", "_th"), ("_stuff", "_st")):
        for name in ("PQ", "SQ", "RQ"):
            assert means[f"panoptic/{name}{group}"] / 100 == pytest.approx(theirs[name + suffix], abs=1e-12)


def test_the_same_map_is_perfect_and_ids_survive_a_png(tmp_path: Path) -> None:
    ids, segments = random_side(np.random.default_rng(0), crowds=False)
    ids = np.where(ids > 0, ids * 50001, 0)
    segments = [one | {"id": one["id"] * 50001} for one in segments]
    write_png(tmp_path / "ids.png", ids)
    np.testing.assert_array_equal(pq.read_ids(np.asarray(Image.open(tmp_path / "ids.png"))), ids)
    means, each, _ = pq.summarize(pq.count(1, ids, ids, segments, segments), CATEGORIES)
    assert means["panoptic/PQ"] == means["panoptic/PQ_things"] == means["panoptic/SQ_stuff"] == 100
    assert each["class 7"]["panoptic/PQ"] == 100


def test_a_real_sample_of_coco(real_data: Path) -> None:
    folder = real_data / "panoptic_sample" / "sample_data"
    document = json.loads((folder / "panoptic_examples.json").read_text())
    parts = []
    for note in document["annotations"]:
        ids = pq.read_ids(np.asarray(Image.open(folder / "panoptic_examples" / note["file_name"]).convert("RGB")))
        assert {one["id"]: one["area"] for one in note["segments_info"]} == {
            one: int((ids == one).sum()) for one in np.unique(ids).tolist() if one
        }
        plain = [one for one in note["segments_info"] if not one["iscrowd"]]
        found = np.where(np.isin(ids, [one["id"] for one in plain]), ids, 0)
        parts.append(pq.count(note["image_id"], ids, found, note["segments_info"], plain))
    assert pq.summarize(pq.concatenate(parts), document["categories"]).metrics["panoptic/PQ"] == 100


def test_of_two_crowds_of_a_class_the_last_one_listed_counts() -> None:
    """As in panopticapi, which keeps one crowd per class: a prediction on the first one is wrong."""
    ids = np.array([[1] * 6, [2] * 6])
    crowds = [{"id": number, "category_id": 1, "iscrowd": 1} for number in (1, 2)]
    for row, wrong in ((0, 1), (1, 0)):
        found = np.where(np.arange(2)[:, None] == row, 9, 0).repeat(6, 1)
        counts = pq.count(1, ids, found, crowds, [{"id": 9, "category_id": 1}])
        assert counts.numbers.sum(0).tolist() == [0, 0, wrong, 0]


def test_a_class_of_one_pixel_counts_in_miou_and_an_absent_one_does_not() -> None:
    """Three classes: things right, sky one pixel and wrong, sea not in the ground truth but predicted."""
    truth = np.zeros((4, 4), np.int64)
    truth[0, 0] = 1
    found = np.zeros((4, 4), np.int64)
    found[3, 3] = 2
    metrics, each, _ = miou.summarize(miou.count(1, truth, found, 3), ["things", "sky", "sea"])
    assert each["sky"]["semantic/IoU"] == 0
    assert np.isnan(each["sea"]["semantic/IoU"])
    assert metrics["semantic/mIoU"] == pytest.approx((100 * 14 / 16 + 0) / 2)


def test_the_area_of_an_annotation_counts_as_in_panopticapi() -> None:
    """It is read from the list of segments, not counted in the picture."""
    ids = np.ones((4, 4), np.int64)
    segment = {"id": 1, "category_id": 1, "iscrowd": 0}
    counts = pq.count(1, ids, ids, [segment | {"area": 24}], [segment])
    assert counts.numbers[0].tolist() == [pytest.approx(16 / 24), 1, 0, 0]


def test_contradictions_are_named() -> None:
    ids = np.array([[1, 2]])
    one = [{"id": 1, "category_id": 1}]
    with pytest.raises(pq.SegmentError, match=r"Image 3: the ground truth's .*\[2\] are drawn but not listed"):
        pq.count(3, ids, ids, one, one)
    with pytest.raises(pq.SegmentError, match="a prediction of"):
        pq.count(3, ids, ids.T, one, one)


@pytest.mark.parametrize("seed", range(5))
def test_miou_equals_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    stuff, ids = (0, 7, 9), random_side(rng, crowds=True)
    wanted = miou.semantic_map(*ids, stuff)
    found = np.where(rng.random(SIZE) < 0.7, wanted % 3, rng.integers(0, 3, SIZE))
    pixels = miou.count(1, wanted, found, 3)
    twice = miou.concatenate([pixels, pixels], 3)
    metrics, each, _ = miou.summarize(twice, ["things", "sky", "sea"])
    expected = []
    for place, name in enumerate(("things", "sky", "sea")):
        a, b = wanted == place, (found == place) & (wanted != miou.UNLABELLED)
        if a.any():
            expected.append(100 * (a & b).sum() / (a | b).sum())
            assert each[name]["semantic/IoU"] == pytest.approx(expected[-1])
    assert metrics["semantic/mIoU"] == pytest.approx(np.mean(expected))
