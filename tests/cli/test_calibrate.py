"""`lineage calibrate` on files: what it writes and what it refuses."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lineage.calibration.calibration_file import Calibration, read_calibration, write_calibration
from lineage.calibration.platt import Platt
from lineage.calibration.score_map import METHODS, GroupedMap
from lineage.calibration.split import CalibrationError, identify_images
from lineage.cli import evaluate, predict
from lineage.cli.calibrate import main
from lineage.config.build import ConfigError
from lineage.eval.predictions.coco_records import from_records
from tests.weights import published

IMAGES, CLASSES = 40, (3, 7)


def draw_scene() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return objects on a grid, and detections whose scores promise three times too much."""
    chance = np.random.default_rng(0)
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 200, "height": 200} for i in range(1, IMAGES + 1)]
    objects, detections = [], []
    for image in range(1, IMAGES + 1):
        for cell in range(25):
            box = [40.0 * (cell % 5), 40.0 * (cell // 5), 20.0, 20.0 + cell]
            place = {"image_id": image, "category_id": int(chance.choice(CLASSES)), "bbox": box}
            score = float(chance.uniform(0, 1))
            detections.append({**place, "score": score})
            if chance.uniform() < score / 3:
                objects.append({**place, "id": len(objects) + 1, "area": box[2] * box[3], "iscrowd": 0})
    categories = [{"id": number, "name": f"class {number}"} for number in CLASSES]
    return {"images": images, "annotations": objects, "categories": categories}, detections


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    document, detections = draw_scene()
    truth, results = tmp_path / "truth.json", tmp_path / "results.json"
    truth.write_text(json.dumps(document))
    results.write_text(json.dumps(detections))
    return results, truth


def calibrate(files: tuple[Path, Path], *options: str) -> dict[str, Any]:
    folder = files[0].parent / "out"
    assert main([str(files[0]), "--annotations", str(files[1]), "--draws", "5", "--out", str(folder), *options]) == 0
    content: dict[str, Any] = json.loads((folder / "calibration.json").read_text())
    return content


@pytest.mark.parametrize("method", ["temperature", "bts", "platt", "beta", "isotonic", "histogram"])
@pytest.mark.parametrize("by", ["class", "size", "size,class"])
def test_every_map_travels_by_file(files: tuple[Path, Path], method: str, by: str) -> None:
    content = calibrate(files, "--method", method, "--by", by)
    function = read_calibration(files[0].parent / "out")
    document, detections = draw_scene()
    predictions = from_records(detections, document["images"], np.array(CLASSES), "box")
    scores = function(predictions, CLASSES)
    assert scores.shape == (len(detections),)
    assert np.all((scores >= 0) & (scores <= 1))
    assert content["measures"]["after"]["Brier"]["value"] < content["measures"]["before"]["Brier"]["value"]
    assert type(function.map.rest) is METHODS[method].kind


def test_the_file_names_its_split(files: tuple[Path, Path]) -> None:
    content = calibrate(files)
    split = content["split"]
    assert (split["fit_images"], split["test_images"], len(split["digest"])) == (20, 20, 64)
    assert set(content["fit_images"]) < set(identify_images(draw_scene()[0]["images"]))
    assert calibrate(files)["split"] == split
    assert calibrate(files, "--fit", "half:1")["split"]["digest"] != split["digest"]


def test_a_crowd_of_options(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    augmented = files[0].with_name("augmented.json")
    augmented.write_text(files[0].read_text())
    calibrate(files, "--method", "abts", "--augmented", str(augmented), "--compare", "bts,isotonic", "--target", "iou",
              "--bins", "3", "--score", "0.1")  # fmt: skip
    text = capsys.readouterr().out
    assert all(name in text for name in ("raw", "abts", "bts", "isotonic", "LaACE_0", "oLRP"))
    assert (files[0].parent / "out" / "calibration.svg").read_text().count('class="title"') == 4


def test_fit_on_another_file_of_the_same_ground_truth(files: tuple[Path, Path]) -> None:
    _, detections = draw_scene()
    other = files[0].with_name("other.json")
    other.write_text(json.dumps([record for record in detections if record["image_id"] <= 20]))
    with pytest.raises(CalibrationError, match=r"20 images of .* are also those of the fit"):
        calibrate(files, "--fit", str(other))
    files[0].write_text(json.dumps([record for record in detections if record["image_id"] > 20]))
    assert calibrate(files, "--fit", str(other))["split"]["test_images"] == 20


def test_fit_on_another_ground_truth(files: tuple[Path, Path]) -> None:
    with pytest.raises(CalibrationError, match="40 images"):
        calibrate(files, "--fit", str(files[0]), "--fit-annotations", str(files[1]))
    document, _ = draw_scene()
    for image in document["images"]:
        image["file_name"] = f"train/{image['id']}-other.jpg"
    other = files[1].with_name("other.json")
    other.write_text(json.dumps(document))
    assert calibrate(files, "--fit", str(files[0]), "--fit-annotations", str(other))["split"]["fit_images"] == 40


@pytest.mark.parametrize("score", [-0.5, 70.0])
def test_scores_that_are_no_probabilities(files: tuple[Path, Path], score: float) -> None:
    _, detections = draw_scene()
    detections[4]["score"] = score
    files[0].write_text(json.dumps(detections))
    with pytest.raises(CalibrationError, match=r"detection 4 has the score .*sigmoid"):
        calibrate(files)


def test_detections_that_hit_nothing(files: tuple[Path, Path]) -> None:
    document, _ = draw_scene()
    files[1].write_text(json.dumps(document | {"annotations": []}))
    with pytest.raises(CalibrationError, match="a fit needs 20 detections and a hit"):
        calibrate(files)


def test_the_cause_of_too_few_detections_is_named(files: tuple[Path, Path]) -> None:
    _, detections = draw_scene()
    with pytest.raises(CalibrationError, match=r"of score 0\.999 or more, .*Without --score they have 500: choose"):
        calibrate(files, "--score", "0.999")
    files[0].write_text(json.dumps(detections[:15]))  # one half of the images has none
    with pytest.raises(CalibrationError, match="more images, or of a detector that was trained longer"):
        calibrate(files)
    files[0].write_text("[]")
    with pytest.raises(CalibrationError, match=r"holds no detection.* The model is too weak"):
        calibrate(files)


def test_a_map_of_another_detector(files: tuple[Path, Path]) -> None:
    calibrate(files)
    document, detections = draw_scene()
    predictions = from_records(detections, document["images"], np.array(CLASSES), "box")
    with pytest.raises(CalibrationError, match="category ids 8"):
        read_calibration(files[0].parent / "out")(predictions, (3, 8))


@pytest.mark.parametrize("text", ["", "[]", '{"v": 1}', '{"v": 2}', '{"v": 1, "method": "magic"}'])
def test_files_that_are_no_calibration(tmp_path: Path, text: str) -> None:
    (tmp_path / "calibration.json").write_text(text)
    with pytest.raises(CalibrationError, match="lineage calibrate"):
        read_calibration(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [{"slope": -1.0}, {"slope": "1"}, {"slope": [1.0]}, {"intercept": True}, {"intercept": 1e400}, {"intercept": None}],
)
def test_parameters_that_no_fit_has(tmp_path: Path, changes: dict[str, object]) -> None:
    rest = {"slope": 1.0, "intercept": 0.0}
    content = {"v": 1, "method": "platt", "target": "precision", "task": "box", "by": [], "area_edges": [],
               "rest": rest, "functions": {}, "classes": {"1": "cat"}, "fit_images": ["a"]}  # fmt: skip
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(content))
    assert read_calibration(path).classes == {1: "cat"}
    path.write_text(json.dumps(content | {"rest": rest | changes}))
    with pytest.raises(CalibrationError, match="is no calibration"):
        read_calibration(path)


@pytest.mark.parametrize(
    "options",
    [
        ["--method", "abts"],
        ["--augmented", "x.json"],
        ["--by", "colour"],
        ["--bins", "0"],
        ["--draws", "-1"],
        ["--score", "3"],
        ["a=1"],
        ["--no"],
    ],
)
def test_usage_errors(files: tuple[Path, Path], options: list[str]) -> None:
    with pytest.raises(SystemExit):
        calibrate(files, *options)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere: no such file or run folder"):
        main([str(tmp_path / "nowhere")])


def test_evaluate_takes_the_map_and_refuses_the_images_of_its_fit(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """On the other half, AP is the one that the calibration measured; a map for each size reorders, so it differs."""
    content = calibrate(files, "--by", "size", "--method", "isotonic")
    results, truth = files
    document, detections = draw_scene()
    options = ["--annotations", str(truth), "--calibration", str(results.parent / "out"), "--json"]
    with pytest.raises(CalibrationError, match="was fitted on 20 of these 40 images"):
        evaluate.main([str(results), *options])
    names = identify_images(document["images"])
    others = {image["id"] for image, name in zip(document["images"], names, strict=True)
              if name not in content["fit_images"]}  # fmt: skip
    document["images"] = [image for image in document["images"] if image["id"] in others]
    document["annotations"] = [record for record in document["annotations"] if record["image_id"] in others]
    truth.write_text(json.dumps(document))
    results.write_text(json.dumps([record for record in detections if record["image_id"] in others]))
    capsys.readouterr()
    assert evaluate.main([str(results), *options]) == 0
    ap = json.loads(capsys.readouterr().out)["metrics"]["box/AP"]
    measures = content["measures"]
    assert ap == pytest.approx(measures["after"]["AP"]["value"], abs=1e-9)
    assert ap != pytest.approx(measures["before"]["AP"]["value"], abs=1e-9)


def test_predict_writes_calibrated_scores(run: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    meta = json.loads((run / "classes.json").read_text())
    classes = dict(zip(meta["category_ids"], meta["classes"], strict=True))
    write_map(tmp_path, classes)
    command = [str(tmp_path / "photo.png"), "--weights", str(run), "--score", "0", "--no-pictures"]
    predict.main([*command, "--out", str(tmp_path / "raw")])
    predict.main([*command, "--out", str(tmp_path / "mapped"), "--calibration", str(tmp_path)])
    raw, mapped = (
        [record["score"] for record in json.loads((tmp_path / name / "coco_results.json").read_text())]
        for name in ("raw", "mapped")
    )
    assert raw
    assert mapped == pytest.approx(Platt(0.5, -1)(np.array(raw)).tolist())
    first = meta["category_ids"][0]
    write_map(tmp_path, classes | {first: "cow"})
    with pytest.raises(CalibrationError, match=f"category {first} is 'cow', here it is '{classes[first]}'"):
        predict.main([*command, "--out", str(tmp_path / "other"), "--calibration", str(tmp_path)])


def write_map(folder: Path, classes: dict[int, str]) -> None:
    fitted = Calibration("platt", "precision", "box", GroupedMap((), (), {}, Platt(0.5, -1)), classes, frozenset(), "")
    write_calibration(folder / "calibration.json", fitted, {})


def test_evaluate_refuses_the_map_of_other_classes(files: tuple[Path, Path], tmp_path: Path) -> None:
    """Other images, so that only the names differ; letters of another case are the same name."""
    results, truth = files
    categories = json.loads(truth.read_text())["categories"]
    names = {category["id"]: str(category.get("name") or category["id"]) for category in categories}
    options = [str(results), "--annotations", str(truth), "--calibration", str(tmp_path)]
    write_map(tmp_path, {number: name.upper() for number, name in names.items()})
    assert evaluate.main(options) == 0
    write_map(tmp_path, names | {categories[-1]["id"]: "cow"})
    with pytest.raises(CalibrationError, match="belongs to another model, or the classes were renamed"):
        evaluate.main(options)


def test_a_checkpoint_in_the_layout_of_detectron2(tmp_path: Path) -> None:
    """Its detections fit a map, and the map goes with the checkpoint; the checkpoint itself holds no detections."""
    weights, photos = tmp_path / "model_final.pkl", tmp_path / "photos"
    state = {
        name: value.numpy() * (0.01 if name.split(".")[-2] in ("anchor_deltas", "bbox_pred", "cls_score") else 1)
        for name, value in published.filled(published.d2_faster_fpn(50, 5)).items()
    }
    weights.write_bytes(pickle.dumps({"model": state, "__author__": "Detectron2 Model Zoo"}))
    photos.mkdir()
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 255, (96, 128, 3), np.uint8)
        Image.fromarray(pixels).save(photos / f"{number}.png")
    shrink = ["augment.test.sizes=[96]", "augment.collate.buckets=[]"]
    command = [str(photos), *shrink, "--weights", str(weights), "--classes", "a,b,c,d,e", "--score", "0",
               "--no-pictures"]  # fmt: skip
    predict.main([*command, "--out", str(tmp_path / "raw")])
    results, truth = tmp_path / "raw" / "coco_results.json", tmp_path / "raw" / "predictions.json"
    document, detections = json.loads(truth.read_text()), json.loads(results.read_text())
    places = ({name: record[name] for name in ("image_id", "category_id", "bbox")} for record in detections[::3])
    objects = [{**place, "id": number, "area": place["bbox"][2] * place["bbox"][3], "iscrowd": 0}
               for number, place in enumerate(places, 1)]  # fmt: skip
    truth.write_text(json.dumps(document | {"annotations": objects}))
    content = calibrate((results, truth), "--method", "platt")
    assert content["measures"]["after"]["D-ECE"]["value"] < content["measures"]["before"]["D-ECE"]["value"]
    predict.main([*command, "--out", str(tmp_path / "mapped"), "--calibration", str(tmp_path / "raw" / "out")])
    mapped = json.loads((tmp_path / "mapped" / "coco_results.json").read_text())
    expected = Platt(**content["rest"])(np.array([record["score"] for record in detections]))
    assert [record["score"] for record in mapped] == pytest.approx(expected.tolist(), abs=1e-5)
    with pytest.raises(ConfigError, match="is a checkpoint, and a calibration reads detections"):
        calibrate((weights, truth))


def test_panoptic_ground_truth(files: tuple[Path, Path]) -> None:
    document, _ = draw_scene()
    segments = [{"image_id": image["id"], "segments_info": []} for image in document["images"]]
    files[1].write_text(json.dumps(document | {"annotations": segments}))
    with pytest.raises(CalibrationError, match="is panoptic"):
        calibrate(files)
