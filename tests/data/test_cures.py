"""Files of other people's tools: what leaves no doubt is cured, counted and reported once, with an example.

The oracle of each cure is the same dataset without the fault: both have one fingerprint, so all columns are equal.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as xml

import pytest

from lineage.cli.data.main import main
from lineage.data.annotations.indexed_dataset import IndexedDataset
from lineage.data.annotations.validate import DatasetError
from lineage.data.export import voc as export
from lineage.data.formats import voc
from lineage.data.formats.coco import load
from lineage.data.shapes.dataset import Shapes
from tests.data import folder
from tests.data.folder import Content


def as_text(content: Content) -> None:
    for records in (content["images"], content["annotations"], content["categories"]):
        for record in records:
            record.update({key: str(record[key]) for key in record if key == "id" or key.endswith("_id")})


def as_floats(content: Content) -> None:
    for record in content["annotations"]:
        record.update(id=float(record["id"]), image_id=float(record["image_id"]), iscrowd=0.0)
    for record in content["images"]:
        record.update(height=float(record["height"]), width=str(record["width"]))


def without_ids(content: Content) -> None:
    for record in content["annotations"]:
        del record["id"]


def without_sizes(content: Content) -> None:
    for record, size in zip(content["images"], ({}, {"width": 0, "height": 20}, {"width": None}), strict=True):
        record.pop("height"), record.pop("width")
        record.update(size)


def rename(change: Callable[[str], str]) -> Callable[[Content], None]:
    def spoil(content: Content) -> None:
        for record in content["images"]:
            record["file_name"] = change(record["file_name"].rpartition("/")[2])

    return spoil


CURES = {
    "text": (as_text, "whole number written as text", 3 + 3 * 3 + 2),
    "floats": (as_floats, "whole number written as text", 3 * 3 + 3 * 2),
    "no ids": (without_ids, "annotation without an id", 3),
    "no sizes": (without_sizes, "image without height and width", 3),
    "back slashes": (rename(lambda name: f"a b\\{name}"), "back slashes in a file name", 3),
    "windows": (rename(lambda name: f"C:\\Users\\me\\a b\\{name}"), "folders of another place", 3),
    "absolute": (rename(lambda name: f"/disk/cells/a b/{name}"), "folders of another place", 3),
    "case": (rename(lambda name: f"a b/{name.replace('png', 'PNG')}"), "file name in other letters", 3),
    "ending": (rename(lambda name: f"a b/{name.removesuffix('.png')}"), "without the ending", 3),
    "other ending": (rename(lambda name: f"a b/{name.replace('png', 'jpg')}"), "without the ending", 3),
    "blanks": (rename(lambda name: f" a b/{name} "), "blanks around a file name", 3),
    "percent": (rename(lambda name: f"a%20b/{name}"), "notation of web addresses", 3),
}


@pytest.mark.parametrize("name", CURES)
def test_a_cured_dataset_is_the_dataset_without_the_fault(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Images lie in a folder with a blank in its name."""
    spoil, kind, count = CURES[name]
    content = folder.content()
    rename(lambda name: f"a b/{name}")(content)
    expected = load(root=str(folder.write(tmp_path, content)), annotations="train.json")
    assert not expected.cures
    broken = copy.deepcopy(content)
    spoil(broken)
    (tmp_path / "broken.json").write_text(json.dumps(broken))
    dataset = load(root=str(tmp_path), annotations="broken.json")
    assert dataset.fingerprint == expected.fingerprint
    assert [len(dataset[i].labels) for i in range(3)] == [1, 1, 1]
    assert dataset.ground_truth()["images"] == expected.ground_truth()["images"]
    assert dataset.ground_truth()["annotations"] == expected.ground_truth()["annotations"]
    assert re.search(rf"broken\.json: cured while reading.*\n  .*{kind}.*: {count}, such as ", caplog.text)


@pytest.mark.parametrize("name", CURES)
def test_the_check_says_what_is_cured(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    spoil, kind, count = CURES[name]
    content = folder.content()
    rename(lambda name: f"a b/{name}")(content)
    folder.write(tmp_path, content)
    spoil(content)
    (tmp_path / "broken.json").write_text(json.dumps(content))
    check = ["check", "--annotations", str(tmp_path / "broken.json"), "--images", str(tmp_path / "images")]
    assert main(check) == 0
    report = capsys.readouterr().out
    assert re.search(rf"{kind}.*: {count}, such as ", report)
    assert "no defects" in report


def test_what_leaves_a_doubt_is_refused(tmp_path: Path) -> None:
    """Two records whose names could mean one file, and two files that one name could mean."""
    content = folder.content()
    folder.write(tmp_path, content)
    rename(lambda name: f"{name[0]}/1.png")(content)
    (tmp_path / "broken.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError, match="image file is missing: 3"):
        load(root=str(tmp_path), annotations="broken.json")
    content = folder.content()
    folder.save(tmp_path / "images/2.jpg")
    content["images"][1]["file_name"] = "2.bmp"
    (tmp_path / "broken.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError, match="image file is missing: 1"):
        load(root=str(tmp_path), annotations="broken.json")


def test_a_cured_name_follows_the_files(tmp_path: Path) -> None:
    """An index of cured names is built again when the files of the folder change."""
    content = folder.content()
    folder.write(tmp_path, content)
    rename(str.upper)(content)
    (tmp_path / "broken.json").write_text(json.dumps(content))
    assert load(root=str(tmp_path), annotations="broken.json").path(1).name == "2.png"
    (tmp_path / "images/2.png").rename(tmp_path / "images/2.PNG")
    assert load(root=str(tmp_path), annotations="broken.json").path(1).name == "2.PNG"
    # a copy of the images with other names
    (tmp_path / "images").rename(tmp_path / "others")
    for file in list((tmp_path / "others").iterdir()):
        file.rename(file.with_suffix(".Png"))
    assert load(root=str(tmp_path), annotations="broken.json", images="others").path(1).name == "2.Png"


def test_a_moved_dataset_keeps_its_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINEAGE_CACHE", str(tmp_path / "cache"))  # other tests have indexed the same annotations
    root = folder.write(tmp_path / "a", folder.content())
    first = load(root=str(root), annotations="train.json")
    root.rename(tmp_path / "b")
    monkeypatch.setattr("lineage.data.annotations.validate._read_json", None)  # nothing is read again
    assert load(root=str(tmp_path / "b"), annotations="train.json").fingerprint == first.fingerprint


@pytest.fixture
def devkit(tmp_path: Path) -> Path:
    """Three images in VOC's layout, one with a blank in its name."""
    export.write(Shapes(seed=0, length=3, size=[(40, 60)]), tmp_path, "train", suffix="jpg")
    year = next(path.parent for path in tmp_path.rglob("Annotations"))
    sets = year / "ImageSets/Main/train.txt"
    stems = sets.read_text().split()
    for name, suffix in (("Annotations", "xml"), ("JPEGImages", "jpg")):
        (year / name / f"{stems[1]}.{suffix}").rename(year / name / f"my photo 1.{suffix}")
    edit(year / "Annotations/my photo 1.xml", "my photo 1.jpg")
    sets.write_text(f"{stems[0]}\nmy photo 1\n{stems[2]}\n")
    return year


def edit(file: Path, name: str | None, *, size: bool = True) -> None:
    root = xml.parse(file).getroot()
    element = root.find("filename")
    assert element is not None
    element.text = name
    if not size:
        root.remove(root.find("size"))  # type: ignore[arg-type]
    xml.ElementTree(root).write(file)


def open_voc(year: Path) -> IndexedDataset:
    return voc.load(
        root=str(year.parent), image_sets=[f"{year.name}/train"], classes=Shapes(seed=0, length=1).meta.classes
    )


def test_voc_goes_by_the_names_of_the_image_set(devkit: Path, caplog: pytest.LogCaptureFixture) -> None:
    expected = open_voc(devkit)
    assert "my photo 1.jpg" in expected.path(1).name
    assert not expected.cures
    files = sorted((devkit / "Annotations").iterdir())
    for file, name in zip(files, (None, files[1].stem, "IMG_2041.jpg"), strict=True):
        edit(file, name, size=name != files[1].stem)
    # lists of a class have a flag behind each name, and some tools write endings
    sets = devkit / "ImageSets/Main/train.txt"
    sets.write_text("".join(f"{line}  1\n" for line in sets.read_text().splitlines()))
    dataset = open_voc(devkit)
    assert dataset.fingerprint == expected.fingerprint
    assert "goes by the name in the image set: 2, such as" in caplog.text
    assert f"{files[1].stem!r} -> {f'{files[1].stem}.jpg'!r}" in caplog.text
    assert "image without height and width, read from its file: 1, such as " in caplog.text
    sets.write_text("".join(f"{line.removesuffix('  1')}.jpg\n" for line in sets.read_text().splitlines()))
    assert open_voc(devkit).fingerprint == expected.fingerprint


def test_voc_finds_images_of_any_ending(devkit: Path) -> None:
    for file in sorted((devkit / "JPEGImages").iterdir()):
        file.rename(file.with_suffix(".JPG"))
    dataset = open_voc(devkit)
    assert [dataset[i].original_size for i in range(3)] == [(40, 60)] * 3
    assert all(dataset.path(i).suffix == ".JPG" for i in range(3))
