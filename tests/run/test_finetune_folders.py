"""finetune=FOLDER: the layouts of folders, the files that are read and the folder of their images."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from lineage.cli.data.main import main as data
from lineage.config.build import ConfigError
from lineage.config.compose import compose_config
from lineage.data.export import cityscapes, penn_fudan, voc
from lineage.data.shapes.dataset import Shapes
from lineage.results.overrides import quote
from lineage.run.finetune.layout import read_layout
from lineage.run.resolve import resolve
from tests.data import folder


def write_split(root: Path, file: str, images: str) -> None:
    content = folder.content()
    for record in content["images"]:
        folder.save(root / images / record["file_name"])
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("splits", "keys"),
    [
        ({"train.json": "train", "val.json": "val"}, ("train.json", "train", "val.json", "val")),
        ({"train.json": "images", "val.json": "images"}, ("train.json", "images", "val.json", "images")),
        ({"train/_annotations.coco.json": "train", "valid/_annotations.coco.json": "valid",
          "test/_annotations.coco.json": "test"},
         ("train/_annotations.coco.json", "train", "valid/_annotations.coco.json", "valid")),
        ({"annotations/instances_train2017.json": "train2017", "annotations/instances_val2017.json": "val2017",
          "annotations/person_keypoints_train2017.json": "train2017"},
         ("annotations/instances_train2017.json", "train2017", "annotations/instances_val2017.json", "val2017")),
        ({"train.json": "images/train", "test.json": "images/test"},
         ("train.json", "images/train", "test.json", "images/test")),
        ({"result.json": "images"}, ("result.json", "images", None, None)),
    ],
)  # fmt: skip
def test_the_layouts_of_coco_files(tmp_path: Path, splits: dict[str, str], keys: tuple[str | None, ...]) -> None:
    for file, images in splits.items():
        write_split(tmp_path, file, images)
    layout = read_layout(tmp_path)
    config = compose_config([f"dataset={layout.name}", *layout.overrides])
    assert (config.dataset.train.annotations, config.dataset.train.images) == keys[:2]
    if keys[2] is None:
        assert config.dataset.val.fraction == 0.2
    else:
        assert (config.dataset.val.annotations, config.dataset.val.images) == keys[2:]
        resolve(config)  # both splits open
    if "annotations/person_keypoints_train2017.json" in splits:
        people = read_layout(tmp_path, {"model": "keypoint_rcnn"})
        assert "dataset.train.annotations=annotations/person_keypoints_train2017.json" in people.overrides


@pytest.mark.parametrize(
    ("write", "name"), [(cityscapes.write, "cityscapes"), (penn_fudan.write, "penn_fudan"), (voc.write, "voc12")]
)
def test_other_layouts(tmp_path: Path, write: Callable[..., Path], name: str) -> None:
    for seed, split in enumerate(("train", "val")):
        write(Shapes(seed=seed, length=4, size=[48, 64]), tmp_path, split)
    layout = read_layout(tmp_path)
    assert layout.name == name
    if name == "voc12":
        assert data(["check", str(tmp_path)]) == 0  # a folder in the place of a name
        assert data(["stats", str(tmp_path)]) == 0
        year = next(path for path in tmp_path.rglob("VOC2012") if path.is_dir())
        assert set(read_layout(year).overrides) & {"dataset.train.image_sets=[VOC2012/train]"}


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "holds no annotations in COCO's format"),
        ({"a.json": "coco", "b.json": "coco"}, "which of a.json, b.json is for training"),
        ({"train_a.json": "coco", "train_b.json": "coco"}, "all look like train"),
        ({"classes.txt": "cat", "1.txt": "0 .5 .5 .5 .5"}, "lineage data convert"),
        ({"train.json": "elsewhere"}, "none of its images, such as 1.png, is in"),
    ],
)
def test_a_folder_that_leaves_a_question(tmp_path: Path, files: dict[str, str], says: str) -> None:
    if set(files.values()) != {"elsewhere"}:
        folder.save(tmp_path / "1.png")
    for name, content in files.items():
        is_coco = content in ("coco", "elsewhere")
        (tmp_path / name).write_text(json.dumps(folder.content()) if is_coco else content)
    with pytest.raises(ConfigError, match=says):
        read_layout(tmp_path)


def test_missing_images_leave_the_folder_of_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = folder.content()
    content["images"] = [{**content["images"][0], "id": n, "file_name": f"{n}.png"} for n in range(1, 61)]
    for number in range(2, 61, 2):  # half of them; the first is missing
        folder.save(tmp_path / "images" / f"{number}.png")
    folder.save(tmp_path / "18.png")  # a stray copy
    (tmp_path / "instances.json").write_text(json.dumps(content))
    assert "dataset.train.images=images" in read_layout(tmp_path).overrides
    assert data(["check", str(tmp_path)]) == 1
    assert "image file is missing: " in capsys.readouterr().out


def test_the_summary_names_files_by_their_paths_and_those_that_are_not_read(tmp_path: Path) -> None:
    for name in ("via/annotations.json", "yolo/train.json", "yolo/val.json"):
        write_split(tmp_path, name, name.partition("/")[0])
    assert read_layout(tmp_path).summary == (
        "COCO's format: yolo/train.json to train on, yolo/val.json to evaluate "
        "(not read: via/annotations.json; finetune=FILE reads one)"
    )


@pytest.mark.parametrize("name", ["annotations.json", "labels/val.json"])
@pytest.mark.parametrize("is_file", [False, True])
def test_a_file_that_is_cut_off_is_named_with_line_and_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, is_file: bool
) -> None:
    if name != "annotations.json":
        write_split(tmp_path, "train.json", "images")  # without val.json a share of it would validate
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text('{"images": [{"id": 1,\n "file_name": "1.pn')
    place = tmp_path / name if is_file else tmp_path
    message = f"{tmp_path / name}: is not JSON (Unterminated string starting at: line 2 column 15"
    with pytest.raises(ConfigError, match=re.escape(message)):
        read_layout(place)
    with pytest.raises(ConfigError, match=re.escape(message)):
        data(["check", str(place)])
    capsys.readouterr()


def test_the_summary_names_other_files_that_are_cut_off_and_no_hidden_ones(tmp_path: Path) -> None:
    write_split(tmp_path, "annotations.json", "images")
    (tmp_path / "._annotations.json").write_text("")  # as macOS leaves them
    assert "is not JSON" not in read_layout(tmp_path).summary
    (tmp_path / "notes.json").write_text("")
    assert f"; {tmp_path}/notes.json: is not JSON (Expecting value: line 1 column 1" in read_layout(tmp_path).summary


COCO_SPLITS = {f"annotations/instances_{split}2017.json": f"{split}2017" for split in ("train", "val")}
TRAIN, VAL = COCO_SPLITS


def break_train(root: Path, fault: str) -> None:
    """Write COCO's layout and break or move its file for training."""
    for file, images in COCO_SPLITS.items():
        write_split(root, file, images)
    content = json.loads((root / TRAIN).read_text())
    if fault == "no categories":
        (root / TRAIN).write_text(json.dumps({**content, "categories": None}))
        return
    (root / TRAIN).unlink()
    if fault == "deep":
        write_split(root, "labels/train/my file.json", "train2017")
    elif fault == "no images":
        for picture in (root / "train2017").iterdir():
            picture.unlink()


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("missing", "; the images in train2017 have no file. Name the file to train on beside the folder, "
                    "dataset.train.annotations=FILE;"),
        ("no images", f"{VAL} is for validation or test by the name. Name the file"),
        ("no categories", f"; {TRAIN} is not in COCO's format: it has no list of categories. Name"),
        ("deep", "; labels/train/my file.json lies in deeper folders than are read. Name"),
    ],
)  # fmt: skip
def test_a_file_for_validation_is_trained_on_only_if_it_is_named(tmp_path: Path, fault: str, says: str) -> None:
    break_train(tmp_path, fault)
    with pytest.raises(ConfigError, match=re.escape(says)) as error:
        read_layout(tmp_path)
    message = str(error.value)
    assert "\n" not in message
    (word,) = shlex.split(message.rpartition(": ")[2])
    assert word == f"finetune={tmp_path / VAL}"
    overrides = read_layout(tmp_path / VAL).overrides
    assert f"dataset.train.images={tmp_path / 'val2017'}" in overrides
    assert "dataset.val.fraction=0.2" in overrides


@pytest.mark.parametrize("file", ["valid/_annotations.coco.json", "test.json"])
def test_the_only_file_of_other_layouts_is_not_trained_on_either(tmp_path: Path, file: str) -> None:
    write_split(tmp_path, file, "valid")
    with pytest.raises(ConfigError, match=re.escape(f"{file} is for validation or test by the name")):
        read_layout(tmp_path)
    with pytest.raises(ConfigError, match="is for validation or test by the name"):
        data(["check", str(tmp_path)])


@pytest.mark.parametrize("is_cut_off", [False, True])
def test_a_typed_file_to_train_on_counts_with_its_own_images(tmp_path: Path, is_cut_off: bool) -> None:
    root = tmp_path / "my cells"
    break_train(root, "missing")
    if is_cut_off:
        (root / TRAIN).write_text("{")
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text(json.dumps(folder.content()))
    layout = read_layout(root, {"dataset.train.annotations": quote(elsewhere)})
    config = compose_config([f"dataset={layout.name}", *layout.overrides])
    assert (config.dataset.train.annotations, config.dataset.train.images) == (str(elsewhere), "train2017")
    assert (config.dataset.val.annotations, config.dataset.val.images) == (VAL, "val2017")
    own = read_layout(root, {"dataset.train.annotations": VAL}).overrides if not is_cut_off else ()
    assert not own or {f"dataset.train.annotations={VAL}", "dataset.val.fraction=0.2"} <= {*own}
    with pytest.raises(ConfigError, match=r"lost.json: cannot be read \(No such file"):
        read_layout(root, {"dataset.train.annotations": "lost.json"})


def test_a_large_file_is_read_whatever_its_name(tmp_path: Path) -> None:
    write_split(tmp_path, "train.json", "images")
    write_split(tmp_path, "val.json", "images")
    with (tmp_path / "train.json").open("a") as file:
        file.write(" " * (65 << 20))  # it was taken for no annotations from 64 MB on
    assert "dataset.train.annotations=train.json" in read_layout(tmp_path).overrides


def test_images_of_val_do_not_validate_a_training_on_trainval(tmp_path: Path) -> None:
    for seed, split in enumerate(("train", "val")):
        voc.write(Shapes(seed=seed, length=4, size=[48, 64]), tmp_path, split)
    sets = next(tmp_path.rglob("ImageSets/Main"))
    names = "".join((sets / f"{split}.txt").read_text() for split in ("train", "val"))
    (sets / "trainval.txt").write_text(names)
    assert "dataset.val.image_sets=[VOC2012/val]" in read_layout(tmp_path).overrides
    (sets / "train.txt").unlink()
    overrides = read_layout(tmp_path).overrides
    assert {"dataset.train.image_sets=[VOC2012/trainval]", "dataset.val.fraction=0.2"} <= {*overrides}


def test_the_only_folder_that_holds_the_images_is_read_whatever_its_name(tmp_path: Path) -> None:
    write_split(tmp_path, "Etiketten.json", "Fotos für A")
    (tmp_path / "val").mkdir()
    folder.save(tmp_path / "val" / "1.png")  # another image of that name
    assert "dataset.train.images='Fotos für A'" in read_layout(tmp_path).overrides
    folder.save(tmp_path / "small" / "1.png")
    with pytest.raises(
        ConfigError, match=r"is in a usual folder, but in .*/Fotos für A and .*/small\. Name the folder"
    ):
        read_layout(tmp_path)
    write_split(tmp_path, "Etiketten.json", "images")
    assert "dataset.train.images=images" in read_layout(tmp_path).overrides


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"[]", "; all.json has no list of images, annotations, categories)"),
     (b'{"images": {}, "annotations": [], "categories": []}', "; all.json has no list of images)"),
     ('{"images": [], "name": "Köln"}'.encode("latin-1"), "all.json: is not text in UTF-8 (byte 25); save it in")],
)  # fmt: skip
def test_the_message_says_why_a_json_file_is_not_read(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "all.json").write_bytes(content)
    with pytest.raises(ConfigError, match=re.escape(says)):
        read_layout(tmp_path)
