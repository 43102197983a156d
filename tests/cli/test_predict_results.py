"""`lineage predict --annotations`: a COCO result file with the image ids of an annotation file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lineage.cli.main import main
from lineage.data.shapes.dataset import Shapes

CLASSES = "c1,c2,c3,c4,c5,c6"
CATEGORIES = [{"id": number, "name": f"c{number}"} for number in range(1, 7)]
BOX = {"id": 1, "image_id": 3, "category_id": 1, "bbox": [2, 2, 40, 40], "area": 1600, "iscrowd": 0}
SIZES = {"a.png": (96, 128), "b.jpg": (96, 128), "deep/a.png": (64, 160)}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for seed, (name, size) in enumerate(SIZES.items()):
        pixels = Shapes(seed=seed, length=1, size=[size])[0].image.permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(folder / name)
    return folder


def write_truth(folder: Path, ids: dict[str, Any], categories: list[dict[str, Any]] = CATEGORIES) -> Path:
    """Write an annotation file whose images have these names and ids."""
    sizes = {name: SIZES.get(name, (64, 64)) for name in ids}
    images = [
        {"id": number, "file_name": name, "height": sizes[name][0], "width": sizes[name][1]}
        for name, number in ids.items()
    ]
    path = folder / "truth.json"
    box = BOX | {"image_id": next(iter(ids.values()))}
    path.write_text(json.dumps({"images": images, "annotations": [box], "categories": categories}))
    return path


def predict(run: Path, sources: list[Path], truth: Path, out: Path) -> int:
    arguments = [*map(str, sources), f"--weights={run}", f"--classes={CLASSES}", f"--out={out}", "--score=0.02"]
    return main(["predict", *arguments, "--no-pictures", f"--annotations={truth}"])


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_pycocotools_and_evaluate_score_the_result_file_alike(
    run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With ids that are other than those that predict would number."""
    ids, out = {"a.png": 3, "b.jpg": 2, "deep/a.png": 60}, tmp_path / "out"
    truth = write_truth(tmp_path, ids)
    assert predict(run, [photos], truth, out) == 0
    assert {image["file_name"]: image["id"] for image in read(out / "predictions.json")["images"]} == ids
    # The truth is the best box of each image, a pixel taller.
    content, results = read(truth), read(out / "coco_results.json")
    best = {record["image_id"]: record for record in sorted(results, key=lambda record: record["score"])}.values()
    boxes = [(record, [*record["bbox"][:3], record["bbox"][3] + 1]) for record in best]
    content["annotations"] = [
        BOX | {"id": number} | {key: record[key] for key in ("image_id", "category_id")}
        | {"bbox": box, "area": box[2] * box[3]} for number, (record, box) in enumerate(boxes, 1)
    ]  # fmt: skip
    truth.write_text(json.dumps(content))
    # pycocotools
    annotated = COCO(str(truth))
    loaded = annotated.loadRes(str(out / "coco_results.json"))
    assert {record["image_id"] for record in loaded.anns.values()} == {*ids.values()}
    reference = COCOeval(annotated, loaded, "bbox")
    reference.evaluate()
    reference.accumulate()
    reference.summarize()
    capsys.readouterr()
    # ours
    assert main(["evaluate", str(out / "coco_results.json"), "--annotations", str(truth), "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    assert reference.stats[0] > 0.3
    assert metrics["box/AP"] == pytest.approx(100 * reference.stats[0])


def test_pictures_without_an_annotated_image_get_ids_of_their_own(
    run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They were numbered 1 and 2, which are the ids of other images."""
    truth, out = write_truth(tmp_path, {"b.jpg": 3, "z.png": 2, "y.png": 1}), tmp_path / "out"
    assert predict(run, [photos], truth, out) == 0
    images = {image["file_name"]: image["id"] for image in read(out / "predictions.json")["images"]}
    assert images == {"a.png": 4, "b.jpg": 3, "deep/a.png": 5}
    assert {record["image_id"] for record in read(out / "coco_results.json")} == {3}
    assert len(COCO(str(truth)).loadRes(str(out / "coco_results.json")).anns) > 0
    assert f"pictures that are not in {truth}: 2, such as a.png." in capsys.readouterr().out


def test_frames_and_numbered_files_share_no_id(run: Path, tmp_path: Path) -> None:
    import cv2

    video = cv2.VideoWriter(str(tmp_path / "9.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 64))
    for _ in range(2):
        video.write(np.zeros((64, 64, 3), np.uint8))
    video.release()
    Image.new("RGB", (64, 64)).save(tmp_path / "2.png")
    out = tmp_path / "out"
    sources = [str(tmp_path / "9.avi"), str(tmp_path / "2.png")]
    assert main(["predict", *sources, f"--weights={run}", f"--out={out}", "--no-pictures"]) == 0
    assert [image["id"] for image in read(out / "predictions.json")["images"]] == [10, 11, 2]


@pytest.mark.parametrize(
    ("sources", "ids", "expected"),
    [
        (["deep/a.png"], {"a.png": 70, "deep/a.png": 60}, {"a.png": 60}),  # the longer name fits
        (["deep/a.png"], {"a.png": 70}, {"a.png": 70}),
        (["a.png"], {"train\\a.png": 7, "b.png": 8}, {"a.png": 7}),  # by its name in another folder
        (["b.jpg"], {"b.jpg": "17"}, {"b.jpg": 17}),  # cured, as datasets are
    ],
)
def test_a_file_is_the_image_with_the_longest_common_end(
    sources: list[str], ids: dict[str, Any], expected: dict[str, int], run: Path, photos: Path, tmp_path: Path
) -> None:
    truth, out = write_truth(tmp_path, ids), tmp_path / "out"
    content = read(truth)
    for image in content["images"]:
        del image["height"], image["width"]  # they are not checked here
    truth.write_text(json.dumps(content))
    assert predict(run, [photos / source for source in sources], truth, out) == 0
    assert {image["file_name"]: image["id"] for image in read(out / "predictions.json")["images"]} == expected


def test_the_annotated_size_determines_the_orientation(run: Path, photos: Path, tmp_path: Path) -> None:
    """Boxes are of the stored pixels if the annotated size is theirs, as in training."""
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    with Image.open(photos / "b.jpg") as image:
        image.save(photos / "b.jpg", exif=exif)
    truth, out = write_truth(tmp_path, {"b.jpg": 1}), tmp_path / "out"
    assert predict(run, [photos / "b.jpg"], truth, out) == 0
    image = read(out / "predictions.json")["images"][0]
    assert (image["height"], image["width"]) == SIZES["b.jpg"]
    assert read(out / "coco_results.json")[0]["segmentation"]["size"] == [*SIZES["b.jpg"]]


@pytest.mark.parametrize(
    ("ids", "first_category", "message"),
    [
        ({"x.png": 1}, 1, "has none of the pictures; its images have names such as x.png, the pictures a.png"),
        ({"train/a.png": 1, "b.jpg": 2}, 1, "both are train/a.png"),
        ({"a.png": 1}, 0, "the category c1 has the id 0 there, 1 in this model's results"),
        ({"a.png": 1, "./a.png": 2}, 1, "ids that are whole numbers, one for each name"),
        ({"a.png": "first"}, 1, "has the id 'first'"),
    ],
)
def test_annotations_that_do_not_fit_are_refused(
    ids: dict[str, Any], first_category: int, message: str,
    run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    categories = [category | {"id": category["id"] - 1 + first_category} for category in CATEGORIES]
    assert predict(run, [photos], write_truth(tmp_path, ids, categories), tmp_path / "out") == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
