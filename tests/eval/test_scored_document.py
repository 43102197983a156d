"""Documents as annotation tools export them score as in pycocotools; what pycocotools refuses is completed."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lineage.eval.document import document_of
from lineage.eval.files.score_file import score_file
from lineage.eval.predictions.coco_records import from_records
from lineage.eval.protocols.coco import CocoScorer
from lineage.eval.protocols.proposals import ProposalScorer
from lineage.eval.protocols.voc import VocScorer
from lineage.eval.scored_document import box_of
from lineage.eval.scores import Scores
from tests.eval.ties import Record, case, official, only

FIELDS = {"box": "bbox", "mask": "segmentation", "keypoint": "keypoints"}
NAMES = {"box": "bbox", "mask": "segm", "keypoint": "keypoints"}
JUNK = [None, 0, 1, -1, 2.5, "", "x", True, [], {}, {"a": [None]}, [1, "b"]]
DECORATION = {  # fields that tools write and no protocol scores
    "images": ["license", "flickr_url", "coco_url", "date_captured", "file_name", "rights_holder", "extra", "meta"],
    "annotations": [
        "attributes",
        "caption",
        "track_id",
        "source",
        "score",
        "ignore",
        "logit",
        "num",
        "poly",
        "rotation",
    ],
    "categories": ["supercategory", "color", "isthing", "skeleton", "keypoint_colors", "metadata"],
}


def scored(path: Path, truth: Record, records: list[Record], **options: Any) -> Scores:
    path.write_text(json.dumps(records))
    return score_file(path, truth, **options)


def decorated(rng: np.random.Generator, truth: Record) -> Record:
    """Fields of any type on every record, some of the official ones in another notation, and lists beside."""
    truth = copy.deepcopy(truth)
    for kind, fields in DECORATION.items():
        for record in truth[kind]:
            record.update({name: JUNK[rng.integers(len(JUNK))] for name in fields if rng.random() < 0.5})
            for name in [*record]:
                record[name] = record.pop(name)  # in another order
    for one in truth["annotations"]:
        one["iscrowd"] = [one["iscrowd"], bool(one["iscrowd"])][rng.integers(2)]
        one["bbox"] = [float(v) if rng.random() < 0.5 else v for v in one["bbox"]]
    truth |= {"info": JUNK[rng.integers(len(JUNK))], "licenses": JUNK[rng.integers(len(JUNK))]}
    rng.shuffle(truth["images"])
    rng.shuffle(truth["categories"])
    return truth


@pytest.mark.parametrize("block", range(30))
def test_three_hundred_random_documents_score_as_pycocotools_scores_them(block: int, tmp_path: Path) -> None:
    compared = 0
    for seed in range(10 * block, 10 * block + 10):
        rng = np.random.default_rng(seed)
        task = [*FIELDS][seed % 3]
        truth, found = case(1000 + seed, points=17 if task == "keypoint" else 0)
        truth = decorated(rng, truth)
        if not truth["annotations"] or not found:
            continue
        records = only(found, FIELDS[task])
        metrics = scored(tmp_path / "results.json", truth, records, tasks=[task]).metrics
        for image in truth["images"]:  # pycocotools needs nothing of an image but its id
            image.setdefault("file_name", "")
        expected = official(truth, records, NAMES[task])
        values = np.array([*metrics.values()]) / 100
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12, equal_nan=True, err_msg=f"case {seed}")
        compared += 1
    assert compared >= 5


CVAT = {
    "licenses": [{"name": "", "id": 0, "url": ""}],
    "info": {"contributor": "", "date_created": "", "description": "", "url": "", "version": "", "year": ""},
    "images": {"license": 0, "flickr_url": "", "coco_url": "", "date_captured": 0},
    "categories": {"supercategory": ""},
    "annotations": {"attributes": {"occluded": False, "rotation": 0.0}},
}
DATUMARO = {
    "licenses": [{"name": "", "id": 0, "url": ""}],
    "images": {"license": 0, "flickr_url": None, "coco_url": None, "date_captured": 0},
    "categories": {"supercategory": 0},
    "annotations": {"attributes": {"is_crowd": False}, "group": 0},
}
SUPERVISELY = {
    "licenses": None,
    "info": {"year": 2024, "version": 1.0, "date_created": None},
    "images": {"license": None, "coco_url": None, "flickr_url": None, "date_captured": None},
    "categories": {"supercategory": None, "color": [1, 2, 3]},
    "annotations": {"caption": None, "score": None},
}


@pytest.mark.parametrize("export", [CVAT, DATUMARO, SUPERVISELY], ids=["cvat", "datumaro", "supervisely"])
@pytest.mark.parametrize("by", ["file", "document"])
def test_exports_of_annotation_tools(export: Record, by: str, tmp_path: Path) -> None:
    truth, found = case(7)
    for kind in ("images", "categories", "annotations"):
        truth[kind] = [record | export[kind] for record in truth[kind]]
    truth |= {key: value for key, value in export.items() if key not in truth}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "results.json").write_text(json.dumps(only(found, "bbox")))
    scores = score_file(tmp_path / "results.json", tmp_path / "truth.json" if by == "file" else truth)
    expected = official(truth, only(found, "bbox"), "bbox")
    np.testing.assert_allclose(np.array([*scores.metrics.values()]) / 100, expected, rtol=0, atol=1e-12, equal_nan=True)
    for scorer in (CocoScorer, VocScorer, ProposalScorer):
        scorer(dataset=document_of(truth))  # type: ignore[operator]


def without(truth: Record, *fields: str, null: bool) -> Record:
    truth = copy.deepcopy(truth)
    for annotation in truth["annotations"]:
        for field in fields:
            annotation.pop(field)
            annotation.update({field: None} if null else {})
    return truth


@pytest.mark.parametrize("null", [False, True])
def test_a_missing_area_is_that_of_the_box(null: bool, tmp_path: Path) -> None:
    """By a file and by a dataset, which completes it so when it reads the file: 10,000 pixels are a large object."""
    truth, found = case(3)
    complete = copy.deepcopy(truth)
    for annotation in complete["annotations"]:
        annotation["area"] = annotation["bbox"][2] * annotation["bbox"][3]
    records = only(found, "bbox")
    expected = scored(tmp_path / "results.json", complete, records).metrics
    (tmp_path / "truth.json").write_text(json.dumps(without(truth, "area", null=null)))
    assert score_file(tmp_path / "results.json", tmp_path / "truth.json").metrics == pytest.approx(
        expected, nan_ok=True
    )
    dataset = document_of(without(truth, "area", null=null))
    assert score_file(tmp_path / "results.json", dataset).metrics == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("null", [False, True])
def test_missing_crowds_and_boxes(null: bool, tmp_path: Path) -> None:
    truth, found = case(3)
    truth["annotations"] = [one | {"iscrowd": 0} for one in truth["annotations"]]
    records = only(found, "segmentation")
    expected = scored(tmp_path / "results.json", truth, records).metrics
    bare = without(truth, "iscrowd", "bbox", null=null)
    assert scored(tmp_path / "results.json", bare, records).metrics == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("shape", [None, [], "absent"])
def test_an_object_without_a_mask_is_ignored_where_masks_are_scored(shape: Any, tmp_path: Path) -> None:
    """The mask of one of two objects is not annotated: detections in its box are neither right nor wrong."""
    square = [[5, 5, 25, 5, 25, 25, 5, 25]]
    note = {"image_id": 1, "category_id": 1, "area": 400, "iscrowd": 0}
    whole = note | {"id": 1, "bbox": [5, 5, 20, 20], "segmentation": square}
    bare = note | {"id": 2, "bbox": [30, 30, 15, 15]} | ({} if shape == "absent" else {"segmentation": shape})
    truth = {"images": [{"id": 1, "height": 50, "width": 50}], "annotations": [whole, bare],
             "categories": [{"id": 1, "name": "a"}]}  # fmt: skip
    record = {"image_id": 1, "category_id": 1}
    records = [record | {"score": 0.9, "bbox": [30, 30, 15, 15], "segmentation": [[30, 30, 45, 30, 45, 45, 30, 45]]},
               record | {"score": 0.5, "bbox": [5, 5, 20, 20], "segmentation": square}]  # fmt: skip
    scores = scored(tmp_path / "results.json", truth, records)
    assert [scores.metrics["box/AP"], scores.metrics["mask/AP"]] == pytest.approx([100, 100])
    assert any("1 of 2 objects have no mask" in note for note in scores.notes)


def test_two_categories_of_one_name_stay_apart(tmp_path: Path) -> None:
    note = {"image_id": 1, "iscrowd": 0, "area": 100}
    truth = {
        "images": [{"id": 1, "height": 50, "width": 50}],
        "annotations": [
            note | {"id": 1, "category_id": 3, "bbox": [0, 0, 10, 10]},
            note | {"id": 2, "category_id": 7, "bbox": [20, 20, 10, 10]},
        ],
        "categories": [{"id": 3, "name": "lamp"}, {"id": 7, "name": "lamp"}, {"id": 9, "name": "table"}],
    }
    record = {"image_id": 1, "category_id": 3, "score": 1, "bbox": [0, 0, 10, 10]}
    for protocol, name in (("coco", "box/AP"), ("voc", "voc/AP")):
        per_class = scored(tmp_path / "results.json", truth, [record], protocol=protocol).per_class
        assert [*per_class] == ["lamp (id 3)", "lamp (id 7)", "table"]
        assert per_class["lamp (id 3)"][name] == pytest.approx(100)
        assert per_class["lamp (id 7)"][name] == 0
        assert math.isnan(per_class["table"][name])


def test_an_object_with_id_0_counts_and_the_deviation_is_named(tmp_path: Path) -> None:
    """pycocotools marks an unmatched detection by 0, so it takes a match with this object for a mistake."""
    annotation = {"id": 0, "image_id": 0, "category_id": 0, "bbox": [5, 5, 20, 20], "area": 400, "iscrowd": 0}
    truth = {"images": [{"id": 0}], "annotations": [annotation], "categories": [{"id": 0, "name": "a"}]}
    records = [{"image_id": 0, "category_id": 0, "score": 1.0, "bbox": [5, 5, 20, 20]}]
    scores = scored(tmp_path / "results.json", truth, records)
    assert scores.metrics["box/AP"] == pytest.approx(100)
    assert official(truth, records, "bbox")[0] == 0
    assert any(note.startswith("deviates: the object with id 0") for note in scores.notes)


def test_polygons_need_the_size_of_their_image(tmp_path: Path) -> None:
    truth, found = case(3)
    truth["annotations"][0]["segmentation"] = [[0, 0, 9, 0, 9, 9]]
    for image in truth["images"]:
        del image["height"]
    with pytest.raises(ValueError, match=r"has no height and width, which the polygons of annotation 1 need"):
        scored(tmp_path / "results.json", truth, only(found, "segmentation"), tasks=["mask"])
    scored(tmp_path / "results.json", truth, only(found, "bbox"), tasks=["box"])


@pytest.mark.parametrize(
    ("annotation", "size", "box"),
    [
        ({"bbox": [1, 2, 3, 4], "segmentation": [[0, 0, 9, 0, 9, 9]]}, (20, 30), [1, 2, 3, 4]),
        ({"segmentation": [[4, 5, 10, 5, 10, 15, 4, 15]]}, (20, 30), [4, 5, 6, 10]),
        ({"segmentation": [[4, 5, 10, 5, 10, 15, 4, 15]]}, None, [0, 0, 0, 0]),  # nothing says how large its canvas is
        ({"keypoints": [3, 4, 2, 9, 1, 1, 50, 60, 0]}, (20, 30), [3, 1, 6, 3]),  # of what is labelled
        ({"bbox": [1, 2, None, 4], "keypoints": [3, 4, 2, 9, 1, 1]}, None, [3, 1, 6, 3]),
        ({}, (20, 30), [0, 0, 0, 0]),
    ],
)
def test_a_box_is_that_of_the_file_else_of_the_mask_else_of_the_keypoints(
    annotation: dict[str, Any], size: tuple[int, int] | None, box: list[float]
) -> None:
    assert box_of(annotation, size) == box


def test_an_image_without_a_size_has_zeros_in_its_place() -> None:
    record = {"image_id": 3, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 0.5}
    images = [{"id": 3}, {"id": 4, "height": None, "width": 5}]
    assert from_records([record], images, np.array([1]), "box").sizes.tolist() == [[0, 0], [0, 5]]
