"""`lineage evaluate` on the embedded dataset in each layout, and what it says about bad files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lineage.cli import main as cli
from lineage.config import compose
from lineage.config.build import build
from lineage.data.shapes.dataset import CLASSES
from lineage.eval.files.score_file import score_file
from lineage.eval.metrics import pq
from lineage.results import paths
from tests.eval.panoptic_png import write_png
from tests.eval.test_pq import CATEGORIES, sides


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """COCO's and LVIS's layouts of six small images."""
    made = tmp_path_factory.mktemp("layouts")
    for layout in ("coco", "lvis"):
        make(made / layout, layout)
    return made


def make(folder: Path, layout: str) -> None:
    assert cli.main(["data", "make", "shapes", str(folder), "--as", layout, "--images", "1", "--val", "6"]) == 0


def truth(folder: Path, layout: str) -> Path:
    name = {"coco": "instances_val2017.json", "lvis": "lvis_v1_val.json"}[layout]
    return next(path for path in (folder / layout).rglob("*.json") if path.name == name)


def perfect(path: Path, target: Path) -> Path:
    notes = json.loads(path.read_text())["annotations"]
    keep = ("image_id", "category_id", "bbox", "segmentation")
    records = [{key: one[key] for key in keep} | {"score": 0.9} for one in notes if not one.get("iscrowd")]
    target.write_text(json.dumps(records))
    return target


def told(capsys: pytest.CaptureFixture[str], *argv: object) -> dict[str, Any]:
    capsys.readouterr()
    assert cli.main(["evaluate", *map(str, argv), "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize("layout", ["coco", "lvis"])
def test_the_ground_truth_itself_is_perfect(
    layout: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = perfect(truth(folder, layout), tmp_path / "results.json")
    by_file = told(capsys, results, "--annotations", truth(folder, layout))
    by_dataset = told(capsys, results, "--dataset", layout, f"dataset.root={folder / layout}")
    assert by_file["metrics"]["box/AP"] == by_file["metrics"]["mask/AP"] == pytest.approx(100)
    assert by_dataset == by_file
    assert ("box/APr" in by_file["metrics"]) == (layout == "lvis")


def test_protocols_tasks_and_extras(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = perfect(truth(folder, "coco"), tmp_path / "results.json")
    of_file = (results, "--annotations", truth(folder, "coco"))
    assert told(capsys, *of_file, "--protocol", "voc")["metrics"] == pytest.approx({"voc/mAP": 100, "voc/mAP07": 100})
    assert told(capsys, *of_file, "--protocol", "cityscapes")["metrics"]["mask/AP50"] == pytest.approx(100)
    only = told(capsys, *of_file, "--tasks", "boundary", "--extras", "lrp,tide")["metrics"]
    assert only["boundary/AP"] == pytest.approx(100)
    explained = told(capsys, *of_file, "--tasks", "box", "--extras", "lrp,tide")["metrics"]
    assert explained["box/oLRP"] == pytest.approx(0, abs=1e-9)
    assert explained["box/dAP_missed"] == pytest.approx(0)


def test_a_table_for_people(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = perfect(truth(folder, "coco"), tmp_path / "results.json")
    capsys.readouterr()
    assert cli.main(["evaluate", str(results), "--annotations", str(truth(folder, "coco")), "--per-class"]) == 0
    shown = capsys.readouterr().out
    assert "100.00" in shown
    assert all(one["name"] in shown for one in json.loads(truth(folder, "coco").read_text())["categories"])


def test_results_without_a_detection_are_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scores of 0 alone would look like a bad detector."""
    results = tmp_path / "results.json"
    results.write_text("[]")
    assert cli.main(["evaluate", str(results), "--annotations", str(truth(folder, "coco"))]) == 0
    assert f"{results} holds no detections: nothing was found." in capsys.readouterr().out


def test_text_files_of_the_voc_kit(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(truth(folder, "coco").read_text())
    name = {one["id"]: one["name"] for one in document["categories"]}
    stem = {one["id"]: Path(one["file_name"]).stem for one in document["images"]}
    lines: dict[str, list[str]] = {}
    for one in (note for note in document["annotations"] if not note.get("iscrowd")):
        x, y, w, h = one["bbox"]
        line = f"{stem[one['image_id']]} 0.5 {x + 1} {y + 1} {x + w} {y + h}"
        lines.setdefault(name[one["category_id"]], []).append(line)
    for one, rows in lines.items():
        (tmp_path / f"comp4_det_test_{one}.txt").write_text("\n".join(rows) + "\n")
    options = ("--annotations", truth(folder, "coco"), "--protocol", "voc")
    assert told(capsys, tmp_path, *options)["metrics"]["voc/mAP07"] == pytest.approx(100)
    one = next(tmp_path.glob("*.txt"))
    one.write_text("nowhere 0.5 1 1 2 2\n")
    fails(capsys, f"{one.name}, line 1: the ground truth has no image nowhere", tmp_path, *options)
    one.write_text("a b c\n")
    fails(capsys, "is not `name score x1 y1 x2 y2`", tmp_path, *options)
    one.rename(tmp_path / "comp4_det_test_dragon.txt")
    fails(capsys, "ends in no class of the dataset", tmp_path, *options)


def test_a_folder_of_predictions_is_answered_with_its_file(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = perfect(truth(folder, "coco"), tmp_path / "coco_results.json")
    assert cli.main(["evaluate", str(tmp_path), "--annotations", str(truth(folder, "coco"))]) == 1
    assert capsys.readouterr().err.rstrip().endswith(f"Results in COCO's format have a file: {results}")


def test_panoptic_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    documents: dict[str, list[Any]] = {"truth": [], "found": []}
    for image in range(4):
        for name, (ids, segments) in zip(documents, sides(image), strict=True):
            (tmp_path / name).mkdir(exist_ok=True)
            write_png(tmp_path / name / f"{image}.png", ids)
            documents[name].append({"image_id": image, "file_name": f"{image}.png", "segments_info": segments})
    images = [{"id": image, "height": 30, "width": 40} for image in range(4)]
    for name, notes in documents.items():
        text = {"images": images, "annotations": notes, "categories": CATEGORIES}
        (tmp_path / f"{name}.json").write_text(json.dumps(text))
    argv = (tmp_path / "found.json", "--annotations", tmp_path / "truth.json")
    parts = [pq.count(i, *(side[0] for side in sides(i)), *(side[1] for side in sides(i))) for i in range(4)]
    expected = pq.summarize(pq.concatenate(parts), CATEGORIES).metrics
    assert told(capsys, *argv)["metrics"] == pytest.approx(expected)
    first, *others = documents["found"]
    for change, message in (
        ([first, first, *others], "image 0 has two predictions"),
        ([first | {"image_id": 77}, first, *others], "1 images are not in the ground truth: [77]"),
        ([{"image_id": 0}, *others], "annotation 0 needs an image_id, the file_name of its PNG, and segments_info"),
        ([first | {"segments_info": [{"id": "1"}]}, *others], "each with a whole number as id and as category_id"),
        (None, "a panoptic result is a JSON object whose annotations have segments_info"),
    ):
        (tmp_path / "found.json").write_text(json.dumps({"annotations": change}))
        fails(capsys, message, *argv)
    (tmp_path / "found.json").write_text(json.dumps({"annotations": documents["found"]}))
    (tmp_path / "found" / "2.png").unlink()
    fails(capsys, "named as their JSON file", *argv)
    (tmp_path / "found.json").write_text(json.dumps({"annotations": documents["found"][:2]}))
    fails(capsys, "2 of 4 images have no prediction: [2, 3]", *argv)


def fails(capsys: pytest.CaptureFixture[str], message: str, *argv: object) -> None:
    capsys.readouterr()
    assert cli.main(["evaluate", *map(str, argv)]) == 1
    said = capsys.readouterr()
    assert message in said.err, said.err
    assert said.out == ""


def test_bad_results_are_named(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = truth(folder, "coco")
    good = json.loads(perfect(file, tmp_path / "good.json").read_text())
    of = ("--annotations", file)
    bad = tmp_path / "bad.json"
    for change, message in (
        ({"score": None}, "record 1 has the score None, not a number"),
        ({"bbox": [1, 2, 3]}, "record 1 has the bbox [1, 2, 3], not four numbers"),
        ({"bbox": [1, 2, float("nan"), 3]}, "not four numbers"),
        ({"image_id": 31415}, "1 image_ids are not among the ground truth's images: 31415. 1 of 2 records have them"),
        ({"category_id": 31415}, "1 category_ids are not among"),
        ({"segmentation": {"size": [7, 9], "counts": "0"}}, "record 1 has a mask of 7 x 9 (height x width)"),
        ({"segmentation": {"counts": "0"}}, "it is no RLE"),
        ({"segmentation": [[1, 1, 9, 9]]}, "record 1 has a polygon that is not at least three points"),
        ({"segmentation": good[1]["segmentation"] | {"size": None}}, "record 1 has an RLE of size None"),
        ({"segmentation": good[1]["segmentation"] | {"counts": None}}, "record 1 has an RLE of counts None"),
        ({"segmentation": good[1]["segmentation"] | {"counts": [7]}}, "record 1 has an RLE that covers 7 of 76800 "),
        ({"segmentation": good[1]["segmentation"] | {"counts": "~~"}}, "record 1 has an RLE that covers 0 of 76800"),
        ({"image_id": "one"}, "record 1 has the image_id 'one', not a whole number"),
        ({"category_id": [1]}, "record 1 has the category_id [1], not a whole number"),
        ({"bbox": [1, 1, -3, 4]}, "record 1 has the bbox [1, 1, -3, 4], not four numbers"),
        ({"score": "0.5"}, "record 1 has the score '0.5', not a number"),
    ):
        bad.write_text(json.dumps([good[0], good[1] | change]))
        fails(capsys, message, bad, *of)
    bad.write_text(file.read_text())
    fails(capsys, "is a whole dataset, not results", bad, *of)
    fails(capsys, "no such file", tmp_path / "absent.json", *of)
    good_file = tmp_path / "good.json"
    fails(capsys, "holds a list, perhaps of results; annotations are expected", good_file, "--annotations", good_file)
    fails(capsys, "Did you mean coco", good_file, "--dataset", "cocoo")


def test_boxes_in_another_notation_are_recognised(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, bad = truth(folder, "coco"), tmp_path / "bad.json"
    good = json.loads(perfect(file, tmp_path / "good.json").read_text())
    for change, message in (
        (
            lambda x, y, w, h: [x, y, x + w, y + h],
            "all would fit as corners x1, y1, x2, y2. COCO's boxes are x, y, width",
        ),
        (lambda x, y, w, h: [x / 320, y / 240, w / 320, h / 240], "as if they were relative to the image"),
    ):
        bad.write_text(json.dumps([one | {"bbox": change(*one["bbox"])} for one in good]))
        fails(capsys, message, bad, "--annotations", file)


def test_bad_ground_truths_are_named(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = perfect(truth(folder, "coco"), tmp_path / "results.json")
    bad = tmp_path / "truth.json"
    told = json.loads(truth(folder, "coco").read_text())
    first, *others = told["annotations"]
    for change, message in (
        ({"annotations": None}, "has no list `annotations`"),
        ({"annotations": [first, first]}, f"annotations 1 has the id {first['id']}, as one before it"),
        ({"annotations": [first | {"id": "a"}]}, "annotations 0 has the id 'a', not a whole number"),
        ({"annotations": [first | {"image_id": 77}, *others]}, "has the unknown image_id 77"),
        ({"annotations": [first | {"bbox": [1, 2, None, 3]}, *others]}, "has the bbox [1, 2, None, 3], not four"),
        ({"annotations": [{key: first[key] for key in ("id", "image_id", "category_id")}]}, "the ground truth none"),
    ):
        bad.write_text(json.dumps(told | change))
        fails(capsys, message, results, "--annotations", bad)


def test_unknown_options_end_with_a_usage(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for argv in (["r.json"], ["r.json", "--dataset", "coco", "--perclass"], ["r.json", "--annotations", "a", "b=c"]):
        with pytest.raises(SystemExit):
            cli.main(["evaluate", *argv])
        assert "usage: lineage evaluate RESULTS" in capsys.readouterr().err


@pytest.mark.parametrize("layout", ["coco", "lvis", "cityscapes", "voc"])
def test_the_evaluator_of_each_layout_finds_its_own_ground_truth_perfect(layout: str, tmp_path: Path) -> None:
    """From the files through the loader of conf/dataset and the protocol of the evaluator it names."""
    make(tmp_path / "d", layout)
    root = next((tmp_path / "d").rglob("VOC2012")).parent if layout == "voc" else tmp_path / "d"
    config = compose.compose_config(options(layout, root), paths.shipping_root())
    dataset = build(config.dataset.val)
    scorer = build(config.dataset.evaluator)(dataset=dataset)
    truth = dataset.ground_truth()
    keep = [one for one in truth["annotations"] if not one.get("iscrowd")]
    fields = [name for name in ("image_id", "category_id", "bbox", "segmentation") if name in keep[0]]
    found = tmp_path / "results.json"
    found.write_text(json.dumps([{name: one[name] for name in fields} | {"score": 0.5} for one in keep]))
    metrics = score_file(found, truth, protocol=scorer.protocol["name"]).metrics
    main = {"coco": "box/AP", "lvis": "mask/AP", "cityscapes": "mask/AP", "voc": "voc/mAP"}[layout]
    assert metrics[main] == pytest.approx(100)


def options(layout: str, root: Path) -> list[str]:
    numbered = ", ".join(f"{name}: {label}" for label, name in enumerate(CLASSES, 24))
    classes = {"cityscapes": f"{{{numbered}}}", "voc": f"[{', '.join(CLASSES)}]"}
    extra = [f"+dataset.val.classes={classes[layout]}"] if layout in classes else []
    return [f"dataset={'voc12' if layout == 'voc' else layout}", f"dataset.root={root}", *extra]
