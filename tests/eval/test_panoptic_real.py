"""COCO's own panoptic sample through loader, evaluator and command, against a count of pixel pairs written for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torchvision.transforms.v2.functional import resize

from lineage.cli import main
from lineage.data.formats import panoptic
from lineage.data.samples.sample import Sample
from lineage.eval.predictions.rle import decode
from lineage.eval.protocols.panoptic import PanopticEvaluator
from lineage.structures import Batch, Detections, Images, Targets
from tests.eval.panoptic_png import write_png

Segments = list[dict[str, Any]]
Side = tuple[np.ndarray, Segments]


@pytest.fixture(scope="module")
def root(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample as COCO lays it out."""
    made, sample = tmp_path_factory.mktemp("panoptic"), real_data / "panoptic_sample"
    content = json.loads((sample / "sample_data/panoptic_examples.json").read_text())
    content["categories"] = json.loads((sample / "panoptic_coco_categories.json").read_text())
    (made / "annotations").mkdir()
    (made / "annotations/panoptic_val2017.json").write_text(json.dumps(content))
    shutil.copytree(sample / "sample_data/panoptic_examples", made / "annotations/panoptic_val2017")
    shutil.copytree(sample / "sample_data/input_images", made / "val2017")
    return made


def truth_of(root: Path) -> tuple[dict[str, Any], list[Side]]:
    document = json.loads((root / "annotations/panoptic_val2017.json").read_text())
    folder = root / "annotations/panoptic_val2017"
    pixels = [np.asarray(Image.open(folder / one["file_name"]).convert("RGB"), int) for one in document["annotations"]]
    ids = [one[..., 0] + one[..., 1] * 256 + one[..., 2] * 65536 for one in pixels]
    return document, [(i, note["segments_info"]) for i, note in zip(ids, document["annotations"], strict=True)]


def by_bincount(truth: list[Side], found: list[Side], categories: Segments) -> dict[str, float]:
    """PQ, SQ, RQ from one bincount of (segment, segment) pairs of an image, class by class, in percent."""
    sums = {one["id"]: np.zeros(4) for one in categories}  # IoU, right, wrong, missed
    for (ids, segments), (guess, guesses) in zip(truth, found, strict=True):
        rows, columns = ({s["id"]: place for place, s in enumerate(side, 1)} for side in (segments, guesses))
        i, j = numbered(ids, rows), numbered(guess, columns)
        wide = len(columns) + 1
        pair = np.bincount((i * wide + j).ravel(), minlength=(len(rows) + 1) * wide).reshape(-1, wide)
        for category, total in sums.items():
            mine = [columns[s["id"]] for s in guesses if s["category_id"] == category]
            objects = [rows[s["id"]] for s in segments if s["category_id"] == category and not s["iscrowd"]]
            crowds = [rows[s["id"]] for s in segments if s["category_id"] == category and s["iscrowd"]]
            hit = set()
            for g in objects:
                over = [pair[g, d] / (pair[g].sum() + pair[1:, d].sum() - pair[g, d]) for d in mine]
                best = int(np.argmax(over)) if over else -1
                if best >= 0 and over[best] > 0.5:
                    total += [over[best], 1, 0, 0]
                    hit.add(mine[best])
                else:
                    total[3] += 1
            total[2] += sum(d not in hit and pair[[0, *crowds], d].sum() <= pair[:, d].sum() / 2 for d in mine)
    present = [t for t in sums.values() if t[1:].any()]
    each = np.array([[t[0] / (t[1] + t[2:].sum() / 2), t[0] / max(t[1], 1), t[1] / (t[1] + t[2:].sum() / 2)]
                     for t in present])  # fmt: skip
    return dict(zip(("panoptic/PQ", "panoptic/SQ", "panoptic/RQ"), (100 * each.mean(0)).tolist(), strict=True))


def numbered(ids: np.ndarray, places: dict[int, int]) -> np.ndarray:
    """The place of each pixel's segment, 0 for none."""
    present, index = np.unique(ids, return_inverse=True)
    return np.array([places.get(one, 0) for one in present.tolist()])[index].reshape(ids.shape)


def perturbed(rng: np.random.Generator, side: Side) -> Side:
    """Without crowds; each segment moved a little, one in five of another class, one in six lost."""
    ids, segments = side
    guess, kept = np.zeros_like(ids), []
    for one in segments:
        if one["iscrowd"] or rng.random() < 1 / 6:
            continue
        shift = tuple(rng.integers(-6, 7, 2))
        guess[np.roll(ids == one["id"], shift, (0, 1))] = one["id"]
        other = segments[rng.integers(len(segments))]["category_id"]
        kept.append(one | {"category_id": other if rng.random() < 0.2 else one["category_id"]})
    drawn = set(np.unique(guess).tolist())
    return guess, [one for one in kept if one["id"] in drawn]


def write(folder: Path, document: dict[str, Any], sides: list[Side]) -> Path:
    (folder / "found").mkdir()
    notes = []
    for note, (ids, segments) in zip(document["annotations"], sides, strict=True):
        write_png(folder / "found" / note["file_name"], ids)
        info = [{"id": one["id"], "category_id": one["category_id"]} for one in segments]
        notes.append({"image_id": note["image_id"], "file_name": note["file_name"], "segments_info": info})
    (folder / "found.json").write_text(json.dumps({"annotations": notes}))
    return folder / "found.json"


def scored(results: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    capsys.readouterr()
    assert main.main(["evaluate", str(results), "--dataset", "coco_panoptic", f"dataset.root={root}", "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out)["metrics"])


def test_the_ground_truth_as_prediction_is_perfect(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document, truth = truth_of(root)
    plain = [(ids, [one for one in segments if not one["iscrowd"]]) for ids, segments in truth]
    found = [(np.where(np.isin(ids, [one["id"] for one in some]), ids, 0), some) for ids, some in plain]
    metrics = scored(write(tmp_path, document, found), root, capsys)
    assert {metrics[f"panoptic/{name}"] for name in ("PQ", "SQ", "RQ", "PQ_things", "PQ_stuff")} == {100}


@pytest.mark.parametrize("seed", range(8))
def test_perturbed_segments_score_as_counted(
    seed: int, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document, truth = truth_of(root)
    found = [perturbed(np.random.default_rng([seed, place]), side) for place, side in enumerate(truth)]
    metrics = scored(write(tmp_path, document, found), root, capsys)
    expected = by_bincount(truth, found, document["categories"])
    assert 20 < expected["panoptic/PQ"] < 90
    assert {name: metrics[name] for name in expected} == pytest.approx(expected, abs=1e-10)


def as_model(samples: list[Sample], stuff: int) -> tuple[Detections, Batch]:
    """Samples as a perfect model would say them: masks of 56 x 56 in their boxes, stuff at a quarter of the pixels."""
    slots = max(len(one.labels) for one in samples)
    height, width = (max(one.original_size[side] for one in samples) // 32 * 32 + 32 for side in (0, 1))
    found = Detections(
        boxes=torch.zeros(len(samples), slots, 4), scores=torch.full((len(samples), slots), 0.9),
        labels=torch.zeros(len(samples), slots, dtype=torch.int64),
        valid=torch.zeros(len(samples), slots, dtype=torch.bool),
        proposal_index=torch.zeros(len(samples), slots, dtype=torch.int64),
        probabilities=torch.zeros(len(samples), slots, 2),
        masks=torch.zeros(len(samples), slots, 56, 56),
        semantic=torch.zeros(len(samples), stuff, height // 4, width // 4),
    )  # fmt: skip
    for place, one in enumerate(samples):
        assert one.masks is not None
        assert one.semantic is not None
        assert found.masks is not None
        assert found.semantic is not None
        count = len(one.labels)
        found.boxes[place, :count], found.labels[place, :count] = one.boxes, one.labels
        found.valid[place, :count] = ~one.crowd
        for slot, (mask, box) in enumerate(zip(one.masks.dense(), one.boxes.round().int().tolist(), strict=True)):
            window = mask[None, box[1] : box[3], box[0] : box[2]].float()
            found.masks[place, slot] = resize(window, [56, 56], antialias=True)[0]
        quarter = one.semantic[2::4, 2::4].long()
        classes = F.one_hot(torch.where(quarter == 255, 0, quarter), stuff).permute(2, 0, 1)
        found.semantic[place, :, : quarter.shape[0], : quarter.shape[1]] = 9.0 * classes
    ids, sizes = torch.tensor([one.image_id for one in samples]), torch.tensor([one.original_size for one in samples])
    images = Images(torch.zeros(len(samples), 3, 1, 1, dtype=torch.uint8), sizes.float(), ids)
    none = torch.zeros(len(samples), 0)
    targets = Targets(torch.zeros(len(samples), 0, 4), none.long(), none.bool(), none.bool(), None, None)
    return found, Batch(images, targets, ids, sizes)


def test_the_evaluator_on_samples_of_the_loader(root: Path) -> None:
    """What it merges is nearly the ground truth, and is counted as the pixels of its result records are."""
    data = panoptic.load(root=str(root), annotations="annotations/panoptic_val2017.json", images="val2017")
    evaluator = PanopticEvaluator(dataset=data, stuff_area_limit=64)
    evaluator.update(*as_model([data[0], data[1]], len(data.meta.stuff)))
    metrics = evaluator.compute()
    assert metrics["box/AP"] == pytest.approx(100)
    assert metrics["panoptic/PQ"] > 85
    assert metrics["semantic/mIoU"] > 85
    document, truth = truth_of(root)
    found = []
    for note in document["annotations"]:
        own = [one for one in evaluator.results() if one["image_id"] == note["image_id"]]
        ids = sum(place * decode(one["segmentation"]).astype(int) for place, one in enumerate(own, 1))
        found.append((ids, [{"id": place, "category_id": one["category_id"]} for place, one in enumerate(own, 1)]))
    expected = by_bincount(truth, found, document["categories"])
    assert {name: metrics[name] for name in expected} == pytest.approx(expected, abs=1e-10)
