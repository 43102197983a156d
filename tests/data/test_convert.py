"""Folders of labelling tools, written by hand, as COCO-format files; the values are computed on paper."""

from __future__ import annotations

import base64
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle

from lineage.cli.data.main import main
from lineage.data.formats.coco import load

WIDTH, HEIGHT = 40, 20
VIA_HEADER = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n"


def draw(path: Path, size: tuple[int, int] = (WIDTH, HEIGHT), value: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((size[1], size[0], 3), value, np.uint8)
    pixels[0, 0] = 0
    Image.fromarray(pixels).save(path)
    return path


def convert(folder: Path, name: str = "annotations", *options: str) -> dict[str, Any]:
    assert main(["convert", str(folder), *options]) == 0
    content = json.loads((folder / f"{name}.json").read_text())
    load(annotations=f"{name}.json", images=".", root=str(folder))  # a run reads it
    return dict(content)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_yolo_boxes_and_polygons(tmp_path: Path) -> None:
    draw(tmp_path / "images/train/a.png")
    draw(tmp_path / "images/train/empty.png")
    draw(tmp_path / "images/val/b.png")
    write(tmp_path / "data.yaml", "names: {0: cat, 1: dog}\ntrain: images/train\n")
    write(tmp_path / "labels/train/a.txt", "1 0.5 0.5 0.25 0.5\n\n0 0 0 0.5 0 0.5 0.5 0 0.5\n")
    write(tmp_path / "labels/val/b.txt", "0 0.1 0.1 0.2 0.2")
    train, val = convert(tmp_path, "train"), convert(tmp_path, "val", "--overwrite")
    assert [image["file_name"] for image in train["images"]] == ["images/train/a.png", "images/train/empty.png"]
    assert train["categories"] == val["categories"] == [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    box, polygon = train["annotations"]
    assert (box["category_id"], box["bbox"], box["area"]) == (2, [15, 5, 10, 10], 100)
    assert "segmentation" not in box
    assert polygon["segmentation"] == [[0, 0, 20, 0, 20, 10, 0, 10]]
    assert (polygon["bbox"], polygon["area"]) == ([0, 0, 20, 10], 200)
    assert val["annotations"][0]["bbox"] == [0, 0, 8, 4]


def test_yolo_keypoints(tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    write(tmp_path / "data.yaml", "names: [man]\nkpt_shape: [2, 3]\n")
    write(tmp_path / "a.txt", "0 0.5 0.5 0.5 0.5 0.25 0.5 2 0 0 0")
    content = convert(tmp_path)
    (annotation,) = content["annotations"]
    assert annotation["keypoints"] == [10, 10, 2, 0, 0, 0]
    assert annotation["num_keypoints"] == 1
    assert content["categories"] == [{"id": 1, "name": "man", "keypoints": ["keypoint1", "keypoint2"]}]


def via_record(name: str, *regions: dict[str, Any]) -> dict[str, Any]:
    return {"filename": name, "size": 1, "regions": list(regions), "file_attributes": {}}


def region(name: str, attributes: dict[str, Any] | None = None, **shape: Any) -> dict[str, Any]:
    return {"shape_attributes": {"name": name, **shape}, "region_attributes": attributes or {}}


def test_via_as_in_the_balloon_set(tmp_path: Path) -> None:
    """Regions are a mapping of numbers, without a class."""
    for split in ("train", "val"):
        draw(tmp_path / split / "a.png")
        polygon = region("polygon", all_points_x=[10, 20, 20, 10], all_points_y=[5, 5, 15, 15])
        records = {"a.png1": {"filename": "a.png", "regions": {"0": polygon}}}
        write(tmp_path / split / "via_region_data.json", json.dumps(records))
    content = convert(tmp_path, "train")
    assert content["categories"] == [{"id": 1, "name": "object"}]
    assert content["images"][0]["file_name"] == "train/a.png"
    assert content["annotations"][0]["segmentation"] == [[10, 5, 20, 5, 20, 15, 10, 15]]
    assert content["annotations"][0]["area"] == 100
    assert (tmp_path / "val.json").is_file()


def test_via_shapes_and_attributes(tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    records = {
        "a": via_record(
            "a.png",
            region("rect", {"class": "cat", "note": "x"}, x=1, y=2, width=3, height=4),
            region("circle", {"class": {"dog": True, "cat": False}}, cx=20, cy=10, r=5),
            region("ellipse", {"class": "dog"}, cx=20, cy=10, rx=10, ry=5, theta=0),
        )
    }
    write(tmp_path / "project.json", json.dumps({"_via_settings": {}, "_via_img_metadata": records}))
    content = convert(tmp_path)
    assert [category["name"] for category in content["categories"]] == ["cat", "dog"]
    rect, circle, ellipse = content["annotations"]
    assert rect["bbox"] == [1, 2, 3, 4]
    assert circle["bbox"] == pytest.approx([15, 5, 10, 10])
    assert circle["area"] == pytest.approx(math.pi * 25, rel=0.05)
    assert ellipse["bbox"] == pytest.approx([10, 5, 20, 10])


def test_via_csv(tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    shape = json.dumps({"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4}).replace('"', '""')
    write(tmp_path / "via.csv", VIA_HEADER + f'a.png,1,"{{}}",1,0,"{shape}","{{""type"": ""cat""}}"\n')
    content = convert(tmp_path)
    assert content["annotations"][0]["bbox"] == [1, 2, 3, 4]
    assert content["categories"][0]["name"] == "cat"


def test_labelme_groups_masks_and_keypoints(tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 6), 255, np.uint8)).save(buffer, "PNG")
    square = [[0, 0], [10, 0], [10, 10], [0, 10]]
    shapes = [
        {"label": "cat", "points": square, "shape_type": "polygon", "group_id": 1},
        {"label": "cat", "points": [[x + 20, y] for x, y in square], "shape_type": "polygon", "group_id": 1},
        {"label": "nose", "points": [[5, 6]], "shape_type": "point", "group_id": 1},
        {"label": "dog", "points": [[30, 15], [25, 5]], "shape_type": "rectangle", "group_id": None},
        {"label": "dog", "points": [[30, 10], [35, 13]], "shape_type": "mask",
         "mask": base64.b64encode(buffer.getvalue()).decode()},
    ]  # fmt: skip
    content = {"version": "5.0", "shapes": shapes, "imagePath": "..\\other\\a.png", "imageData": None}
    write(tmp_path / "a.json", json.dumps(content))
    converted = convert(tmp_path)
    cat, box, mask = converted["annotations"]
    assert (cat["bbox"], cat["area"]) == ([0, 0, 30, 10], 200)
    assert len(cat["segmentation"]) == 2
    assert cat["keypoints"] == [5, 6, 2]
    assert (box["bbox"], "segmentation" in box) == ([25, 5, 5, 10], False)
    assert mask["area"] == 24
    assert rle.decode(mask["segmentation"])[10:14, 30:36].all()
    assert [category.get("keypoints") for category in converted["categories"]] == [["nose"], None]


def test_voc_files_beside_images_with_masks_in_their_folder(tmp_path: Path) -> None:
    draw(tmp_path / "JPEGImages/a.png")
    box = "<xmin>1</xmin><ymin>1</ymin><xmax>10</xmax><ymax>5</ymax>"
    objects = f"<object><name>cat</name><bndbox>{box}</bndbox></object>"
    write(tmp_path / "Annotations/a.xml", f"<annotation><filename>a.png</filename>{objects}</annotation>")
    write(tmp_path / "ImageSets/Main/val.txt", "a\n")
    numbers = np.zeros((HEIGHT, WIDTH), np.uint8)
    numbers[0:5, 0:10] = 1
    (tmp_path / "SegmentationObject").mkdir()
    Image.fromarray(numbers).save(tmp_path / "SegmentationObject/a.png")
    content = convert(tmp_path, "val", "--from", "voc")
    assert content["annotations"][0]["bbox"] == [0, 0, 10, 5]
    assert content["annotations"][0]["area"] == 50
    assert rle.decode(content["annotations"][0]["segmentation"]).tolist() == numbers.tolist()


def test_images_are_copied_with_out(tmp_path: Path) -> None:
    draw(tmp_path / "in/a.png")
    write(tmp_path / "in/classes.txt", "cat\n")
    write(tmp_path / "in/a.txt", "0 0.5 0.5 0.5 0.5\n")
    assert main(["convert", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 0
    load(annotations="annotations.json", images=".", root=str(tmp_path / "out"))
    assert (tmp_path / "out/images/a.png").read_bytes() == (tmp_path / "in/a.png").read_bytes()
    assert not (tmp_path / "in/annotations.json").exists()


@pytest.mark.parametrize(
    ("label", "says"),
    [
        ("0 0.5 0.5 0.5", "has 4 numbers; a box has 5"),
        ("5 0.5 0.5 0.5 0.5", "class 5, but the names are numbered from 0 to 0"),
        ("-1 0.5 0.5 0.5 0.5", "class -1"),
        ("0 0.5 0.5 0.5 x", "holds something that is no number"),
        ("0 0.5 0.5 nan 0.5", "no finite number"),
        ("0 20 10 8 8", "reaches outside its image of 40 x 20"),
        ("0 0.5 0.5 0 0.5", "has no area"),
    ],
)
def test_a_broken_yolo_line_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], label: str, says: str) -> None:
    draw(tmp_path / "a.png")
    write(tmp_path / "classes.txt", "cat\n")
    file = write(tmp_path / "a.txt", f"0 0.5 0.5 0.5 0.5\n{label}\n")
    assert main(["convert", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert f"{file}:2: " in error
    assert says in error
    assert not (tmp_path / "annotations.json").exists()
    assert main(["convert", str(tmp_path), "--skip-broken"]) == 0
    assert len(json.loads((tmp_path / "annotations.json").read_text())["annotations"]) == 1


def test_yolo_labels_without_image_stop_the_conversion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw(tmp_path / "images/train/a.png")
    draw(tmp_path / "images/train/background.png")
    write(tmp_path / "labels/classes.txt", "cat")
    for name in ("a", "gone"):
        write(tmp_path / f"labels/train/{name}.txt", "0 0.5 0.5 0.25 0.5")
    write(tmp_path / "labels/train/blank.txt", "\n")  # loses nothing
    write(tmp_path / "train.txt", "images/train/a.png\nimages/train/gone.png")
    assert main(["convert", str(tmp_path), "--from", "yolo"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("nothing was written: 1 problem.\n")
    assert f"{tmp_path}/labels/train/gone.txt: there is no image of this name" in error
    assert error.endswith(f"lineage data convert {tmp_path} --from yolo --skip-broken\n")
    content = convert(tmp_path, "train", "--skip-broken")
    assert [image["file_name"] for image in content["images"]] == ["images/train/a.png", "images/train/background.png"]


def test_yolo_labels_beside_images_are_told_from_other_texts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw(tmp_path / "a.png")
    write(tmp_path / "classes.txt", "cat")
    write(tmp_path / "a.txt", "0 0.5 0.5 0.25 0.5")
    write(tmp_path / "readme.txt", "Taken in 2019 by us at noon")
    convert(tmp_path)
    write(tmp_path / "gone.txt", "0 0.5 0.5 0.25 0.5")
    assert main(["convert", str(tmp_path), "--overwrite"]) == 1
    assert "gone.txt: there is no image" in capsys.readouterr().err


def test_images_that_no_file_names_are_left_out_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shapes = [{"label": "cat", "points": [[0, 0], [10, 0], [10, 10]]}]
    for name, content in (("a", shapes), ("empty", [])):
        draw(tmp_path / f"{name}.png")
        write(tmp_path / f"{name}.json", json.dumps({"shapes": content, "imagePath": f"{name}.png"}))
    assert "left out" not in convert_and_read_output(tmp_path, capsys)
    draw(tmp_path / "not yet.png")
    content = convert(tmp_path, "annotations", "--overwrite")
    assert [image["file_name"] for image in content["images"]] == ["a.png", "empty.png"]
    assert f"left out: 1 image of which no annotation file says anything, such as {tmp_path / 'not yet.png'}" in (
        capsys.readouterr().out
    )


def convert_and_read_output(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    convert(folder)
    return capsys.readouterr().out


BOMB = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9)
) + "]><annotation>&j;</annotation>"  # fmt: skip


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"a.txt": "0 0.5 0.5 0.5 0.5"}, "no names of classes"),
        ({"a.txt": "", "data.yaml": "names: {1: cat}"}, "count from 0"),
        ({"a.txt": "", "data.yaml": "names: [cat"}, "is no YAML"),
        ({"a.txt": "", "data.yaml": "names: {0: cat, x: dog}"}, "count from 0"),
        ({"a.txt": "", "data.yaml": "names: [&a [x, x], [*a, *a]]"}, "names is a list of names"),
        ({"a.txt": "", "data.yaml": "names: [cat]\nkpt_shape: [1000000000, 3]"}, "kpt_shape is"),
        ({"a.txt": "0 .5 .5 .5 .5 .5 .5 inf", "data.yaml": "names: [cat]\nkpt_shape: [1, 3]"}, "a.txt:1: "),
        ({"a.txt": b"\xff\xfe\x00", "classes.txt": "cat"}, "is no text file"),
        ({"a.xml": "<annotation><filename>../../etc/passwd</filename></annotation>"}, "no object could be read"),
        ({"a.xml": "<annotation><object>"}, "is no XML"),
        ({"a.xml": BOMB}, "is no XML"),
        ({"a.json": '{"shapes": [{"label": "cat", "points": [[1, 2]]}], "imagePath": "a.png"}'}, "has no area"),
        ({"a.json": '{"shapes": [7], "imagePath": "/etc/passwd.png"}'}, "has no label"),
        ({"v.json": '{"b": {"filename": "b.png", "regions": []}}'}, "the image 'b.png' is not in"),
        (
            {"v.json": '{"a": {"filename": "a.png", "regions": [{"shape_attributes": {"name": "point"}}]}}'},
            "has no area",
        ),
        ({}, "looks like none of"),
    ],
)
def test_a_hostile_or_incomplete_folder_ends_in_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], files: dict[str, str | bytes], says: str
) -> None:
    draw(tmp_path / "a.png")
    for name, content in files.items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert main(["convert", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error
