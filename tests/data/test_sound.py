"""The quick test of an annotation passes none that the checks by name find fault with."""

from __future__ import annotations

import copy
import json
import math
import random
from typing import Any

import pytest

from lineage.data.annotations import defects
from lineage.data.annotations.defects import find_defects
from lineage.data.annotations.polygon_table import Polygons
from lineage.data.formats.coco_json import parse_coco
from tests.data.folder import SQUARE, annotation, content

VALUES = (None, True, False, 0, 1, -1, 2, 4, 10, 2.0, "1", [], {}, [[]], math.nan, math.inf, 2**63, -(2**63), 10**400)
BOXES = ([2, 2, 10, 8], [0, 0, 30, 20], [-2, -2, 34, 24], [-2.01, 0, 5, 5], [0, 0, 32.1, 5], [0, 0, 5, 22.1],
         [30, 0, 1, 1], [0, 20, 1, 1], [-3, 0, 3, 3], [2, 2, 0, 8], [2, 2, 5, -1], [2, 2, 10],
         [2, 2, math.nan, 8], [2, "2", 10, 8], [True, 2, 10, 8], [2, 2, math.inf, 8], (2, 2, 10, 8),
         {"x": 1})  # fmt: skip
MASKS = (SQUARE, [SQUARE[0][:4]], [SQUARE[0][:7]], [[*SQUARE[0][:7], math.nan]], [[*SQUARE[0][:7], "1"]],
         [SQUARE[0], []], SQUARE[0], [], None, {"size": [20, 30], "counts": [600]},
         {"size": [20, 30], "counts": [5]},
         {"counts": "a"}, [tuple(SQUARE[0])], [{"x": 1}], "text", 7)  # fmt: skip
KEYPOINTS = ([], [1, 1, 2] * 2, [1, 1, 2] * 3, [1, 1, 2], [1, 1], [1, 1, math.nan] * 2, ["1", 1, 2] * 2, 5, None,
             [1, 1, 3] * 2, [1, 1, -1] * 2, [1, 1, 2, 32, 22, 1], [1, 1, 2, 32.1, 1, 1], [1, 1, 2, 1, 23, 2],
             [-3, 1, 2, 1, 1, 2], [-3, 1, 0, 1, 1, 2], [1, 1, 0.5] * 2)  # fmt: skip
FIELDS = {
    "id": VALUES, "image_id": (*VALUES, 20), "category_id": (*VALUES, 9), "area": VALUES, "iscrowd": VALUES,
    "bbox": (*VALUES, *BOXES), "segmentation": (*VALUES, *MASKS), "keypoints": (*VALUES, *KEYPOINTS),
}  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_the_quick_test_hides_no_defect(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    documents = [spoil(rng) for _ in range(700)]
    quick = [repr(list(find_defects(document))) for document in documents]
    monkeypatch.setattr(defects, "find_sound", lambda annotations, *args: [False] * len(annotations))
    assert quick == [repr(list(find_defects(document))) for document in documents]
    assert 200 < sum(text != "[]" for text in quick) < 690


@pytest.mark.parametrize("seed", range(3))
def test_polygons_in_one_piece_have_the_defects_of_lists(seed: int) -> None:
    """A document is spoilt in few places, so that most are read as COCO and some as any JSON."""
    rng = random.Random(seed)
    texts = [json.dumps(spoil(rng)) for _ in range(700)]
    documents = [parse_coco(text.encode()) for text in texts]
    assert [repr(list(find_defects(one))) for one in documents] == [
        repr(list(find_defects(json.loads(text)))) for text in texts
    ]
    pieces = [isinstance(one["annotations"][0].get("segmentation"), Polygons) for one in documents]
    assert 100 < sum(pieces) < 600


def test_documents_keep_what_is_no_list_of_polygons() -> None:
    masks = [SQUARE, [SQUARE[0], [1, 2, 3.5, 4, 5, 6]], [[1, 2, 3, 4]], [[1, 2, 3, 4, 5, 6, 7]], [], None,
             {"size": [20, 30], "counts": [0, 600]}, {"size": [20, 30], "counts": "0"}, "text"]  # fmt: skip
    document = {**content(), "annotations": [annotation(i, 10, segmentation=mask) for i, mask in enumerate(masks)]}
    parsed = [one["segmentation"] for one in parse_coco(json.dumps(document).encode())["annotations"]]
    assert [isinstance(mask, Polygons) for mask in parsed] == [True, True] + [False] * 7
    assert [mask.to_lists() if isinstance(mask, Polygons) else mask for mask in parsed] == masks
    assert parse_coco(b'{"images": [1e400]}') == {"images": [math.inf]}


def spoil(rng: random.Random) -> dict[str, Any]:
    """Return a document of which up to three fields have values of other kinds, or none."""
    document = content()
    document["categories"][1]["keypoints"] = ["nose", "tail"]
    document["categories"][0]["keypoints"] = rng.choice(([], ["nose"], ["nose", "tail", "ear"]))
    document["annotations"].append(annotation(4, 30, segmentation=copy.deepcopy(rng.choice(MASKS))))
    if rng.random() < 0.1:
        del document["images"][0]["height"]
    for _ in range(rng.randrange(4)):
        record, field = rng.choice(document["annotations"]), rng.choice([*FIELDS])
        if rng.random() < 0.1:
            record.pop(field, None)
        else:
            record[field] = rng.choice(FIELDS[field])
    return document


def test_sound_records_are_not_checked_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> None:
        raise AssertionError(args)

    monkeypatch.setattr(defects, "_check_annotation", fail)
    document = content()
    document["annotations"][0] |= {"area": 7.5, "iscrowd": None, "keypoints": [1, 2, 2]}
    document["categories"][1]["keypoints"] = ["nose"]
    assert not list(find_defects(document))
