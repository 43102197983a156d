"""Every bad input of a dataset: one message that names the file, the id and the fix, before anything is trained."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from lineage.cli.data.main import main
from lineage.data.annotations.validate import DatasetError, is_within, parse_json
from lineage.data.formats.coco import load as coco
from tests.data import folder
from tests.data.folder import Content


def message(root: Path, **options: object) -> str:
    with pytest.raises(DatasetError) as caught:
        coco(root=str(root), annotations="train.json", **options)  # type: ignore[arg-type]
    return str(caught.value)


def change(place: int, **fields: object) -> Callable[[Content], None]:
    return lambda told: told["annotations"][place].update(fields)


def name_keypoints(names: list[str], values: list[int], **others: list[str]) -> Callable[[Content], None]:
    """Name the keypoints of cats, and of other categories, and give the second object these."""

    def spoil(content: Content) -> None:
        for category in content["categories"]:
            category["keypoints"] = {"cat": names, **others}.get(category["name"], [])
        content["annotations"][1]["keypoints"] = values

    return spoil


def test_the_quick_reader_of_json_reads_what_pythons_own_reads() -> None:
    chance = random.Random(0)
    numbers = [struct.unpack("d", chance.getrandbits(64).to_bytes(8, "little"))[0] for _ in range(5000)]
    texts = [json.dumps(numbers), json.dumps([chance.random() * 700 for _ in range(5000)])]
    texts += ["[" + ",".join(f"{chance.random() * 700:.{digits}f}" for digits in range(1, 40)) + "]"]
    texts += [f"[{chance.getrandbits(bits)},-{chance.getrandbits(bits)}]" for bits in (8, 53, 63, 64, 70, 2000)]
    texts += ['{"a": 1, "a": 2}', '"\\ud800"', '"\\ud83d\\ude00"', "NaN", "-Infinity", "1e400", "[-0, -0.0]"]
    for text in texts:
        assert repr(parse_json(text.encode())) == repr(json.loads(text))
    for encoding in ("utf-8-sig", "utf-16", "utf-32"):
        assert parse_json('["ä"]'.encode(encoding)) == ["ä"]
    for text in ("[1,]", "nan", "01", '"a\tb"', "1" * 5000, "[1] 2", ""):
        with pytest.raises(ValueError, match=r"."):
            parse_json(text.encode())
    with pytest.raises(RecursionError):
        parse_json(b"[" * 100_000)


def test_no_annotation_file(tmp_path: Path) -> None:
    told = message(tmp_path / "nowhere")
    assert "nowhere/train.json: no such annotation file" in told
    assert "dataset.train.annotations" in told


def test_no_image_folder(tmp_path: Path) -> None:
    root = folder.write(tmp_path, folder.content())
    (root / "images").rename(root / "pictures")
    told = message(root)
    assert "images: no such folder of images" in told
    assert "dataset.train.images" in told
    assert "1.png" in told


@pytest.mark.parametrize(("text", "part"), [
    ('{"images": [\n  {"id": 1,', "line 2 column"), ("", "line 1 column 1"), ("[]", "holds a list"),
    ('{"images": [{"id": 1}], "annotations": [{}]}', "no list `categories`"),
    ('{"images": [{"id": 1}], "annotations": [], "categories": [{"id": 1}]}', "`annotations` is empty"),
    ('{"images": [], "annotations": [{"id": 1}], "categories": [{"id": 1}]}', "`images` is empty"),
    ('{"images": [{}], "annotations": [{}], "categories": [{"id": 1}, {"id": 1}]}', "category ids are [1, 1]"),
    ('{"images": [{}], "annotations": [{}], "categories": [{"id": 1, "keypoints": 5}]}', "category 1 has keypoints 5"),
    ("3", "holds 3;"),
])  # fmt: skip
def test_broken_json(tmp_path: Path, text: str, part: str) -> None:
    told = message(folder.write(tmp_path, text))
    assert "train.json: " in told
    assert part in told


@pytest.mark.parametrize("name", ["../train.json", "/etc/hostname", "a/../../train.json"])
def test_a_file_name_out_of_the_folder(tmp_path: Path, name: str) -> None:
    content = folder.content()
    root = folder.write(tmp_path, content)
    content["images"][0]["file_name"] = name
    (root / "train.json").write_text(json.dumps(content))
    told = message(root)
    assert "file name leads out of the folder of images: 1." in told
    assert f"({name})" in told


def test_file_names_within_the_folder(tmp_path: Path) -> None:
    assert is_within(tmp_path, "a..b.png")
    assert is_within(tmp_path, "a/../b.png")
    assert is_within(tmp_path, str(tmp_path / "b.png"))
    assert not is_within(tmp_path, f"{tmp_path}x/b.png")


def test_a_missing_image(tmp_path: Path) -> None:
    root = folder.write(tmp_path, folder.content())
    (root / "images/2.png").unlink()
    told = message(root)
    assert "image 20 (2.png)" in told
    assert "put the file there" in told


@pytest.mark.parametrize("name", ["2.png", "2.jpg", "2.bmp"])
def test_a_truncated_image(tmp_path: Path, name: str) -> None:
    described = folder.content()
    described["images"][1]["file_name"] = name
    root = folder.write(tmp_path, described)
    file = root / "images" / name
    file.write_bytes(file.read_bytes()[:-60])
    told = message(root)
    assert f"image 20 ({name})" in told
    assert "cannot be decoded" in told
    assert "fetch it again" in told


def test_a_file_that_is_no_image(tmp_path: Path) -> None:
    root = folder.write(tmp_path, folder.content())
    (root / "images/3.png").write_text("not found")
    assert "3.png: is not an image" in message(root)


def test_a_file_name_that_is_no_text(tmp_path: Path) -> None:
    described = folder.content()
    described["images"][1]["file_name"] = 5
    assert "image record is incomplete: 1" in message(folder.write(tmp_path, described))


def test_an_image_of_another_size(tmp_path: Path) -> None:
    root = folder.write(tmp_path, folder.content())
    folder.save(root / "images/3.png", height=25)
    told = message(root)
    assert "3.png: is 25 x 30 pixels (height x width), its annotations say 20 x 30" in told
    assert "correct `height` and `width`" in told


@pytest.mark.parametrize(("spoil", "parts"), [
    (change(1, category_id=7), ["category id unknown", "category_id 7, known are 4, 9", "add the category"]),
    (change(1, image_id=77), ["unknown image", "annotation 2 of image 77", "add the image"]),
    (change(1, bbox=[5, 5, 0, 4]), ["zero or negative size", "bbox [5, 5, 0, 4]", "correct the bbox"]),
    (change(1, bbox=[5, 5, 4, -1]), ["zero or negative size", "bbox [5, 5, 4, -1]"]),
    (change(1, bbox=[40, 5, 4, 4]), ["box outside its image", "in an image of 30 x 20 (width x height)"]),
    (change(1, bbox=[5, 5, 40, 4]), ["more than 2 px outside", "not two corners"]),
    (change(1, bbox=[5, 5, 4]), ["annotation is incomplete", "not four numbers"]),
    (change(1, bbox=None), ["annotation is incomplete", "bbox None"]),
    (change(1, bbox=[5, 5, float("nan"), 4]), ["not four numbers"]),
    (change(1, segmentation=[[1, 1, 5, 5]]), ["fewer than 3 points", "polygon [1, 1, 5, 5]"]),
    (change(1, segmentation=[[1, 1, 5, 5, 9, 9, 3]]), ["fewer than 3 points"]),
    (change(1, segmentation=[[1, 1, 5, 5, 9, None]]), ["a coordinate is not a number"]),
    (change(1, segmentation=[1, 1, 5, 5, 9, 9]), ["no notation of COCO", "[1, 1, 5, 5, 9, 9]"]),
    (change(1, segmentation=5), ["no notation of COCO", "segmentation 5"]),
    (change(1, segmentation={"counts": "abc"}), ["no notation of COCO"]),
    (change(1, segmentation={"size": None, "counts": [600]}), ["no notation of COCO"]),
    (change(1, segmentation={"size": [20, 30], "counts": None}), ["run-length mask", "counts None are neither text"]),
    (change(1, category_id=10**30), ["annotation is incomplete", "category_id 1000000"]),
    (change(1, iscrowd=1, segmentation=[["a"] * 6]), ["a coordinate is not a number"]),
    (change(1, iscrowd="no"), ["annotation is incomplete", "iscrowd 'no'"]),
    (change(1, area="large"), ["annotation is incomplete", "area 'large'"]),
    (change(1, keypoints=5), ["wrong number of keypoints", "5 is not a list"]),
    (change(1, segmentation={"size": [30, 20], "counts": [600]}), ["run-length mask", "(30, 20)"]),
    (change(1, segmentation={"size": [20, 30], "counts": [99]}), ["covers 99 pixels of a canvas of 600"]),
    (name_keypoints(["a", "b"], [1, 2, 2]), ["wrong number of keypoints", "3 numbers for 2 keypoints"]),
    (name_keypoints(["a"], [1, 2, 2, 3, 4, 2], dog=["a", "b"]), ["labels more than the 1 keypoints of its category"]),
    (lambda told: told["annotations"].append(folder.annotation(2, 20)), ["annotation id used twice", "id 2"]),
    (lambda told: told["images"].append({**told["images"][1]}), ["image id used twice", "image 20 (2.png)"]),
    (lambda told: told["images"][1].update(id="b2"), ["image record is incomplete", "(2.png)", "id 'b2'"]),
])  # fmt: skip
def test_a_broken_record(tmp_path: Path, spoil: Callable[[Content], None], parts: list[str]) -> None:
    described = folder.content()
    spoil(described)
    told = message(folder.write(tmp_path, described))
    assert "annotation 2 of image" in told or "(2.png)" in told
    for part in ["train.json: ", "Fix: ", "lineage data check", "dataset.train.on_defect=drop", *parts]:
        assert part in told


def test_all_kinds_in_one_message_with_the_first_few_of_each(tmp_path: Path) -> None:
    described = folder.content(12)
    for one in described["annotations"][:9]:
        one["bbox"] = [5, 5, 0, 4]
    described["annotations"][10]["category_id"] = 7
    root = folder.write(tmp_path, described)
    (root / "images/12.png").unlink()
    told = message(root)
    assert "11 defects" in told
    assert "zero or negative size: 9" in told
    assert told.count("bbox [5, 5, 0, 4]") == 5
    assert "and 4 more" in told
    assert "image 120 (12.png)" in told


@pytest.mark.parametrize("box", [[-1.5, 2, 10, 8], [2, 2, 29, 8], [2, 2, 10, 19.2]])
def test_a_box_slightly_outside_is_nothing_to_stop_for(tmp_path: Path, box: list[float]) -> None:
    described = folder.content()
    change(1, bbox=box)(described)
    assert len(coco(root=str(folder.write(tmp_path, described)), annotations="train.json")) == 3


def test_drop_leaves_out_what_is_broken_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    described = folder.content(5)
    change(0, bbox=[5, 5, 0, 4])(described)
    change(1, bbox=[5, 5, 40, 4])(described)
    root = folder.write(tmp_path, described)
    (root / "images/5.png").unlink()
    data = coco(root=str(root), annotations="train.json", on_defect="drop")
    assert data.ids.tolist() == [10, 20, 30, 40]
    assert [len(data[i].labels) for i in range(4)] == [0, 1, 1, 1]
    assert [one["id"] for one in data.ground_truth()["annotations"]] == [2, 3, 4]
    for part in ("3 defects", "annotation 1 of image 10", "image 50 (5.png)", "left out"):
        assert part in caplog.text


def test_one_box_without_area_in_ten_thousand_is_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """COCO train2017 has two, and nobody should have to learn that first."""
    described = folder.content(1)
    described["annotations"] = [folder.annotation(i + 1, 10) for i in range(10_000)]
    change(70, bbox=[5, 5, 0, 4])(described)
    data = coco(root=str(folder.write(tmp_path, described)), annotations="train.json")
    assert len(data[0].labels) == 9_999
    assert "annotation 71 of image 10" in caplog.text


def test_nothing_usable_at_all(tmp_path: Path) -> None:
    described = folder.content(1)
    change(0, iscrowd=1)(described)
    assert "no image is left" in message(folder.write(tmp_path, described), filter_empty=True)


def test_an_unknown_choice(tmp_path: Path) -> None:
    assert "use raise or drop" in message(folder.write(tmp_path, folder.content()), on_defect="ignore")


def test_the_command_decodes_every_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = folder.write(tmp_path, folder.content(8))
    arguments = ["check", "--images", str(root / "images"), "--annotations", str(root / "train.json")]
    assert main(arguments) == 0
    assert "no defects. 8 images, 8 annotations, 2 categories" in capsys.readouterr().out
    damaged = bytearray((root / "images/3.png").read_bytes())
    damaged[60] ^= 255  # the header and the end stay intact
    (root / "images/3.png").write_bytes(damaged)
    (root / "images/7.png").unlink()
    assert main(arguments) == 1
    told = capsys.readouterr().out
    assert "image 30 (3.png)" in told
    assert "image 70 (7.png)" in told


def test_the_command_on_a_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--annotations", str(tmp_path / "none.json")]) == 1
    assert "none.json: no such annotation file" in capsys.readouterr().out


def test_the_command_in_the_wrong_folder_says_it_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = folder.write(tmp_path, folder.content(8))
    assert main(["check", "--annotations", str(root / "train.json")]) == 1
    told = capsys.readouterr().out
    assert "holds none of the images, such as 1.png. Name their folder after --images." in told
    assert len(told.splitlines()) == 1


def test_real_annotations_have_no_defects(coco_mini: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["check", "--images", str(coco_mini / "val2017"), "--annotations"]
    for kind in ("instances", "person_keypoints"):
        assert main([*arguments, str(coco_mini / f"annotations/{kind}_val2017.json")]) == 0
