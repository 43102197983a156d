"""The commands that `lineage data check` and `lineage data split` end with: as they stand, they train."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from PIL import Image

from lineage.cli.main import main
from lineage.config.compose import compose_config
from lineage.data.annotations.validate import DatasetError
from lineage.data.export import coco
from lineage.data.shapes.dataset import Shapes
from lineage.run.finetune import expand
from lineage.run.finetune.expand import expand_command
from lineage.run.splits import build_train, build_val
from tests.data.folder import age


@pytest.fixture(autouse=True)
def without_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expand, "find_weights", lambda name: None)


def write(root: Path) -> Path:
    for seed, split in enumerate(("train", "val")):
        coco.write(Shapes(seed=seed, length=6, size=64), root, split, "png")
    age(root)
    return root


def damage(folder: Path) -> Path:
    """Change a byte of the pixels of the first image: header and end stay, so only decoding tells."""
    file = sorted(folder.iterdir())[0]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.write_bytes(content)
    return file


def read_next(printed: str) -> tuple[list[str], str]:
    """Return the words of the training that was printed last, and its comment."""
    command, _, comment = printed.splitlines()[-1].partition("    # ")
    words = shlex.split(command.removeprefix("next"))
    assert words[:2] == ["python", "train.py"]
    return words[2:], comment


def test_the_command_has_what_was_typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write(tmp_path / "my cells")
    (root / "train2017").rename(tmp_path / "Fotos für A")
    typed = [f"dataset.train.images='{tmp_path}/Fotos für A'", "dataset.train.filter_empty=false"]
    assert main(["data", "check", str(root), *typed, "--pixel-range", "0", "255", "--max-megapixels", "9"]) == 0
    words, comment = read_next(capsys.readouterr().out)
    assert words == [f"finetune={root}", *typed, "dataset.pixel_range=[0,255]", "dataset.max_megapixels=9"]
    assert comment == ""
    config = compose_config(expand_command(words))
    assert len(build_train(config)) == 6

    file, images = root / "annotations/instances_train2017.json", tmp_path / "Fotos für A"
    named = ["--annotations", str(file), "--images", str(images), "--max-megapixels", "9"]
    assert main(["data", "check", *named, "dataset.train.filter_empty=false"]) == 0
    words, _ = read_next(capsys.readouterr().out)
    assert words[:3] == [f"finetune={file}", "dataset.train.filter_empty=false", "dataset.max_megapixels=9"]
    assert compose_config(expand_command(words)).dataset.train.images == str(images)
    with pytest.raises(SystemExit):
        main(["data", "check", "coco", *named])
    assert f"name coco or --annotations {file}, not both" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("split", "keys", "before"),
    [
        ("train", ["data.on_unreadable=skip"], "without the defects"),
        ("val", ["dataset.val.on_defect=drop"],
         "without the defects, once image files that cannot be decoded are moved away"),
    ],
)  # fmt: skip
def test_damage_that_only_decoding_finds_has_a_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], split: str, keys: list[str], before: str
) -> None:
    root = write(tmp_path)
    file = damage(root / f"{split}2017")
    assert main(["data", "check", str(root)]) == 1
    words, comment = read_next(capsys.readouterr().out)
    assert (words, comment) == ([f"finetune={root}", *keys], before)
    if split == "val":
        file.rename(tmp_path / file.name)
        with pytest.raises(DatasetError):
            build_val(compose_config(expand_command(words[:1])))
        val = build_val(compose_config(expand_command(words)))
        assert val is not None
        assert len(val) == 5


def test_both_sides_of_a_share_have_a_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write(tmp_path)
    file = root / "annotations/instances_train2017.json"
    for picture in (root / "train2017").iterdir():
        whole = picture.read_bytes()
        damaged = bytearray(whole)
        damaged[len(damaged) // 2] ^= 255
        picture.write_bytes(damaged)
        assert main(["data", "check", str(file)]) == 1
        words, comment = read_next(capsys.readouterr().out)
        val = build_val(compose_config(expand_command(words)))
        assert val is not None
        is_val = picture.name in {val.path(position).name for position in range(len(val))}  # type: ignore[attr-defined]
        drops = ["dataset.train.on_defect=drop", "dataset.val.on_defect=drop"]
        assert words[1:] == (drops if is_val else ["data.on_unreadable=skip"])
        assert ("moved away" in comment) == is_val
        picture.write_bytes(whole)


def test_a_file_by_itself_has_a_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write(tmp_path)
    damage(root / "train2017")
    file = root / "annotations/instances_train2017.json"
    assert main(["data", "check", "--annotations", str(file), "--images", str(root / "train2017")]) == 1
    words, comment = read_next(capsys.readouterr().out)
    assert words[-2:] == ["dataset.train.on_defect=drop", "dataset.val.on_defect=drop"]
    assert comment.endswith("once image files that cannot be decoded are moved away")
    sorted((root / "train2017").iterdir())[0].write_text("no image")  # seen before training, so left out as it lies
    assert main(["data", "check", "--annotations", str(file), "--images", str(root / "train2017")]) == 1
    assert read_next(capsys.readouterr().out)[1] == "without the defects"


def test_an_image_of_one_colour_stops_no_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write(tmp_path)
    Image.new("RGB", (64, 64)).save(sorted((root / "train2017").iterdir())[0])
    assert main(["data", "check", str(root)]) == 1
    assert read_next(capsys.readouterr().out) == ([f"finetune={root}"], "")


@pytest.mark.parametrize("is_apart", [False, True])
def test_a_split_file_ends_with_commands_that_read_its_parts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], is_apart: bool
) -> None:
    root = tmp_path / "my cells"
    coco.write(Shapes(seed=1, length=12, size=64), root, "train", "png")
    (root / "annotations/instances_train2017.json").rename(root / "all.json")
    (root / "train2017").rename(root / "images")
    out = ["--out", str(tmp_path / "parts")] if is_apart else []
    assert main(["data", "split", str(root / "all.json"), "--images", str(root / "images"), *out]) == 0
    *_, check, train = capsys.readouterr().out.splitlines()
    assert check.startswith("next     lineage data check ")
    assert main(shlex.split(check)[2:]) == 0
    words = shlex.split(train)
    assert words[2] == f"finetune={tmp_path / 'parts' if is_apart else root}"
    config = compose_config(expand_command(words[2:]))
    assert (config.dataset.train.annotations, config.dataset.val.annotations) == ("train.json", "val.json")
    val = build_val(config)
    assert val is not None
    assert len(build_train(config)) + len(val) == 12


@pytest.mark.parametrize("has_defect", [False, True])
def test_crowds_alone_are_nothing_to_train_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], has_defect: bool
) -> None:
    root = write(tmp_path)
    file = root / "annotations/instances_train2017.json"
    content = json.loads(file.read_text())
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 1
    if has_defect:
        content["images"][0]["file_name"] = "lost.png"
    file.write_text(json.dumps(content))
    assert main(["data", "check", str(root)]) == 1
    output = capsys.readouterr()
    assert "next" not in output.out
    assert output.err.rstrip().endswith("; an image needs an object that is no crowd.")


@pytest.mark.parametrize("layout", ["lvis", "panoptic", "deepfashion2"])
def test_the_commands_of_a_named_layout_work(layout: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A drawn folder whose layout has a name is refused by its path, and sound by the command that is printed."""
    root = tmp_path / "my drawn"
    assert main(["data", "make", "shapes", str(root), "--as", layout, "--images", "4", "--val", "2"]) == 0
    age(root)
    capsys.readouterr()
    assert main(["data", "check", str(root)]) == 1
    check, train = capsys.readouterr().err.splitlines()[-2:]
    assert main(shlex.split(check)[1:]) == 0
    assert "no defects" in capsys.readouterr().out
    config = compose_config([text for text in shlex.split(train) if "=" in text and not text.startswith("finetune")])
    assert len(build_train(config)) > 0
