"""The stored ground truth scores like the parsed one, and is made again if anything that it comes from has changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lineage.data.formats import coco
from lineage.eval import truth_cache
from lineage.eval.evaluator import DetectionEvaluator, Scorer
from lineage.eval.protocols.coco import CocoScorer
from lineage.eval.protocols.lvis import LvisScorer
from lineage.eval.protocols.proposals import ProposalScorer
from tests.data.folder import annotation, content, write
from tests.eval.scenes import World, batch, guesses, world
from tests.eval.test_lvis import federate

SCORERS: dict[str, Callable[..., Scorer]] = {
    "coco": lambda dataset: CocoScorer(dataset=dataset, tasks=["box", "mask", "boundary"], extras=["lrp", "tide"]),
    "lvis": lambda dataset: LvisScorer(dataset=dataset),
    "proposals": lambda dataset: ProposalScorer(dataset=dataset),
}


class Indexed:
    """A world with the path of an index; its annotations are counted when they are read."""

    def __init__(self, scene: World, folder: Path, content_key: str = "first") -> None:
        self.scene, self.meta, self.reads = scene, scene.meta, 0
        self.index_path, self.content_key = folder / "abc.index", content_key

    def ground_truth(self) -> dict[str, Any]:
        self.reads += 1
        return self.scene.truth


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(truth_cache, "MANY", 1)


@pytest.fixture(scope="module")
def scene() -> World:
    rng = np.random.default_rng(3)
    scene = world(rng, images=8)
    federate(scene.truth, rng)
    for number, record in enumerate(scene.truth["annotations"]):
        if number % 5 == 0:
            del record["segmentation"], record["area"]
        record |= {"ignore": int(number % 7 == 0), "license": None, "segmentation": record.get("segmentation")}
    scene.truth["categories"][0]["name"] = 'a "name"\n          of two lines'  # looks like a line of coordinates
    return scene


@pytest.mark.parametrize("name", SCORERS)
def test_stored_documents_score_as_parsed_ones(name: str, scene: World, tmp_path: Path) -> None:
    dataset = Indexed(scene, tmp_path)
    detections, images = guesses(np.random.default_rng(1), scene), batch(scene)

    def score(dataset: Any) -> tuple[Any, ...]:
        scorer = SCORERS[name](dataset)
        evaluator = DetectionEvaluator(scorer)
        evaluator.update(detections, images)
        metrics = evaluator.compute()
        return metrics, evaluator.per_class(), evaluator.scores.notes, scorer.protocol, [*scorer.images], scorer.tasks

    parsed = score(scene)
    first, second = score(dataset), score(dataset)
    assert dataset.reads == 1
    np.testing.assert_equal(first, parsed)
    np.testing.assert_equal(second, parsed)
    assert any(value > 0 for value in parsed[0].values())


def test_other_contents_settings_code_and_damaged_files_are_read_again(
    scene: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = Indexed(scene, tmp_path)
    CocoScorer(dataset=dataset)
    dataset.content_key = "second"
    CocoScorer(dataset=dataset)
    assert dataset.reads == 2
    assert len([*tmp_path.glob("*.0.json")]) == 1, "files of earlier contents are removed"
    CocoScorer(dataset=dataset, max_detections=7)
    CocoScorer(dataset=dataset, tasks=["box"])
    assert dataset.reads == 4
    monkeypatch.setattr(truth_cache, "hash_sources", lambda: "other code")
    CocoScorer(dataset=dataset)
    assert dataset.reads == 5
    [document] = [file for file in tmp_path.glob("*.0.json") if file.stat().st_mtime_ns == newest(tmp_path)]
    document.write_bytes(document.read_bytes().replace(b"1", b"2"))
    CocoScorer(dataset=dataset)
    assert dataset.reads == 6
    CocoScorer(dataset=dataset)
    assert dataset.reads == 6


def newest(folder: Path) -> int:
    return max(file.stat().st_mtime_ns for file in folder.glob("*.0.json"))


def test_few_objects_are_not_stored(scene: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(truth_cache, "MANY", 10_000)
    CocoScorer(dataset=Indexed(scene, tmp_path))
    assert not [*tmp_path.iterdir()]


def test_a_changed_file_or_selection_is_another_content(tmp_path: Path) -> None:
    def key(told: dict[str, Any], **options: Any) -> tuple[str, str]:
        dataset = coco.load(root=str(write(tmp_path, told)), annotations="train.json", **options)
        return str(dataset.index_path), dataset.content_key

    plain, moved = content(), content()
    moved["annotations"][0]["bbox"][0] += 1e-9  # no column of the index sees it, the scorer does
    assert key(plain) == key(json.loads(json.dumps(plain)))
    assert len({key(plain), key(moved), key(plain, fraction=0.5), key(plain, filter_empty=True)}) == 4
    partial = content() | {"annotations": [annotation(1, 10), annotation(2, 20, segmentation=[])]}
    dataset = coco.load(root=str(write(tmp_path, partial)), annotations="train.json")
    keys = {dataset.resolve_partial_masks(needs_masks).content_key for needs_masks in (True, False)}
    assert len(keys | {dataset.content_key}) == 3
