"""`lineage data check | stats | show` by the dataset's name."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import get_object
from PIL import Image

import lineage.config.schema  # noqa: F401  (registers the schema)
from lineage.cli.data.make import LAYOUTS
from lineage.cli.data.stats import HEADINGS
from lineage.cli.main import main
from lineage.config.build import build
from lineage.data import stats, stats_plot
from lineage.data.export import coco, penn_fudan
from lineage.data.shapes.dataset import Shapes
from tests.data.folder import age

CONF = Path(__file__).parents[2] / "conf"
NAMES = sorted(one.stem for one in (CONF / "dataset").glob("*.yaml"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("penn")
    for seed, split in enumerate(("train", "val"), 1):
        penn_fudan.write(Shapes(seed=seed, length=4, size=[96, 96]), folder, split)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_every_dataset_composes_and_names_real_things(name: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        node = compose("train", [f"dataset={name}"]).dataset
    for one in (node.train, node.val, node.evaluator):
        assert callable(get_object(one._target_))
    assert node.name == name


def test_check_by_name(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["data", "check", "penn_fudan", "--root", str(root), "dataset.held_out=4"]
    assert main(arguments) == 0
    assert capsys.readouterr().out.count("no defects") == 2
    file = root / "PennFudanPed" / "PNGImages" / "PennPed00002.png"
    whole = file.read_bytes()
    damaged = bytearray(whole)
    damaged[80] ^= 255  # header and end stay intact: only decoding tells
    file.write_bytes(damaged)
    try:
        assert main([*arguments, "--split", "val"]) == 1
        assert "image 2 (PennPed00002.png)" in capsys.readouterr().out
    finally:
        file.write_bytes(whole)


def test_stats(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["data", "stats", "penn_fudan", "--root", str(root), "dataset.held_out=4"]
    assert main([*arguments, "--plot", str(tmp_path / "out.png")]) == 0
    told = capsys.readouterr().out
    assert "penn_fudan train: 4 images (0 without an object) of 96 x 96 (height x width), " in told
    assert "person" in told
    for split in ("train", "val"):
        with Image.open(tmp_path / f"out_{split}.png") as image:
            assert len(image.convert("L").getcolors() or []) > 5


def test_stats_of_a_class_without_objects(capsys: pytest.CaptureFixture[str]) -> None:
    """It has no side: 0 px would be a size."""
    assert main(["data", "stats", "shapes", "dataset.train.length=1", "dataset.classes=6", "--split", "train"]) == 0
    told = capsys.readouterr().out
    assert "shapes train: 1 image (" in told
    rows = [line.split() for line in told.splitlines() if line.endswith((" px", " -"))]
    assert {row[-1] for row in rows if row[2] == "0"} == {"-"}


@pytest.mark.parametrize("width", [80, 64])
def test_statistics_on_a_narrow_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Headings were cut short, as "objec...", beside names of 16 characters."""
    monkeypatch.setenv("COLUMNS", str(width))
    assert main(["data", "stats", "shapes_garments", "--split", "val"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert lines[0].split() == ["class", *HEADINGS]
    assert "…" not in "".join(lines)
    assert max(map(len, lines)) <= width
    names = " ".join(" ".join(word for word in line[:17].split() if word.isalpha()) for line in lines)
    assert "long sleeve top" in names
    assert "vest dress" in names


def test_the_sets_of_data_distillation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["dataset.unlabelled.length=4", "--split"]
    assert main(["data", "stats", "shapes_figures_unlabelled", *small, "unlabelled"]) == 0
    assert "unlabelled: 4 images" in capsys.readouterr().out
    assert main(["data", "stats", "shapes", "--split", "unlabelled"]) == 1
    assert "dataset=shapes has no images unlabelled; coco_person_unlabelled does" in capsys.readouterr().err
    figures = Shapes(seed=3, length=4, only=["figure"])
    (tmp_path / "labels.json").write_text(json.dumps(figures.ground_truth()))
    labels = [f"dataset.labels={tmp_path / 'labels.json'}", *small, "distilled"]
    assert main(["data", "show", "shapes_figures_distilled", *labels, "--out", str(tmp_path / "a.png")]) == 0
    assert (tmp_path / "a.png").is_file()


def test_the_numbers_of_stats(tmp_path: Path) -> None:
    drawn = Shapes(seed=3, length=6, crowds=0.6, size=[96, 128])
    found = stats.count_objects(drawn)
    truth = drawn.ground_truth()["annotations"]
    assert found.images == 6
    assert sum(one.objects for one in found.classes) == sum(not one["iscrowd"] for one in truth)
    assert sum(one.crowds for one in found.classes) == sum(one["iscrowd"] for one in truth)
    assert found.per_image.sum() == len(found.sides)
    assert all(one.small + one.medium + one.large == one.objects for one in found.classes)
    small = sum(one["area"] < 32**2 and not one["iscrowd"] for one in truth)
    assert sum(one.small for one in found.classes) == small
    empty = Shapes(seed=1, length=1, objects=0.0, size=64)
    stats_plot.plot(stats.count_objects(empty), tmp_path / "empty.png", "nothing")


@pytest.mark.parametrize("name", ["shapes", "penn_fudan"])
def test_show(name: str, root: Path, tmp_path: Path) -> None:
    out = tmp_path / "samples.png"
    own = ["--root", str(root), "dataset.held_out=4"] if name == "penn_fudan" else []
    assert main(["data", "show", name, *own, "tier=mini", "--out", str(out), "--count", "4"]) == 0
    with Image.open(out) as image:
        assert image.width > 1000
        first = image.tobytes()
    assert main(["data", "show", name, *own, "tier=mini", "--out", str(out), "--count", "4"]) == 0
    with Image.open(out) as image:
        assert image.tobytes() == first


@pytest.mark.parametrize("name", [*(f"shapes --as {layout}" for layout in LAYOUTS), "shapes_garments"])
def test_what_make_tells_to_type_next_works(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset, *layout = name.split()
    folder = tmp_path / "zwölf Bilder"  # which Hydra and the shell read only in quotes
    made = ["data", "make", dataset, str(folder), *layout, "--images", "3", "--val", "2", "--size", "96x64"]
    assert main(made) == 0
    told = dict(line.split(":  ", 1) for line in capsys.readouterr().out.splitlines()[-2:])
    assert main(shlex.split(told["check"])[1:]) == 0
    assert capsys.readouterr().out.count("no defects") == 2
    _, script, *overrides = shlex.split(told["train"])
    assert script == "train.py"
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", overrides)
    assert len(build(config.dataset.val)) == 2


@pytest.mark.parametrize(
    ("has_gpu", "typed", "tier"),
    [(False, [], "mini"), (True, [], "paper"), (False, ["tier=smoke"], "smoke"), (True, ["tier=mini"], "mini")],
)
def test_check_of_landmarks_ends_with_a_training_of_deepmark(
    has_gpu: bool, typed: list[str], tier: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """finetune=true would choose Keypoint R-CNN, with a heat map for each of 294 landmarks.

    On a CPU the command chose the paper's size, which ends where the weights of ResNet-50 cannot be fetched.
    """
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    assert main(["data", "make", "shapes_garments", str(tmp_path), "--images", "3", "--val", "2"]) == 0
    assert main(["data", "check", "deepfashion2", "--root", str(tmp_path), *typed]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("next     python train.py model=deepmark ")
    assert f" dataset=deepfashion2 dataset.root={tmp_path}" in last
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", shlex.split(last)[3:])
    assert (config.tier, config.dataset.name) == (tier, "deepfashion2")
    assert (config.backbone.get("weights") is None) == (tier != "paper")


@pytest.mark.parametrize("command", ["check", "stats", "show"])
@pytest.mark.parametrize("split", ["", "train"])
def test_a_folder_of_deepfashion2_is_refused_with_its_command(
    command: str, split: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("image", "annos"):
        (tmp_path / "train" / name).mkdir(parents=True)
    assert main(["data", command, str(tmp_path / split)]) == 1
    message = capsys.readouterr().err
    assert "is in the layout of DeepFashion2" in message
    assert f"\n    lineage data check deepfashion2 --root {tmp_path}\n" in message


def test_garments_are_written_with_their_landmarks_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "make", "shapes_garments", str(tmp_path / "made"), "--as", "voc"]) == 2
    assert "shapes_garments is written --as deepfashion2" in capsys.readouterr().err
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(("layout", "option"), [("deepfashion2", "--lossless"), ("voc", "--polygons")])
def test_an_option_without_effect_is_refused(
    layout: str, option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "make", "shapes", str(tmp_path / "made"), "--as", layout, option]) == 2
    assert capsys.readouterr().err.startswith(f"{option}: ")
    assert not (tmp_path / "made").exists()


def test_check_of_a_file_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = coco.write(Shapes(seed=1, length=2, size=64), tmp_path, "val")
    assert main(["data", "check", "--annotations", str(file), "--images", str(tmp_path / "val2017")]) == 0
    assert "no defects" in capsys.readouterr().out


def test_check_lists_a_few_defects_of_a_kind_unless_all_are_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file of 2,850 objects was answered with 1,566 lines."""
    coco.write(Shapes(seed=1, length=2, size=[64, 64]), tmp_path, "train", "png")
    (file,) = tmp_path.rglob("*.json")
    content = json.loads(file.read_text())
    content["annotations"] = [content["annotations"][0] | {"id": number, "bbox": [1, 1, 0, 0]} for number in range(9)]
    file.write_text(json.dumps(content))
    folder = next(path for path in tmp_path.rglob("*.png")).parent
    arguments = ["data", "check", "--annotations", str(file), "--images", str(folder)]
    for option, listed in ([], 5), (["--all"], 9):
        assert main([*arguments, *option]) == 1
        printed = capsys.readouterr().out
        assert printed.count("    annotation ") == listed
        assert ("... and 4 more" in printed) == ("add --all" in printed) == (not option)


def test_check_ends_with_the_command_that_trains_without_the_defects(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ended with none, while the training that was refused said which keys leave the defects out."""
    for split in ("train", "val"):
        coco.write(Shapes(seed=1 + (split == "val"), length=4, size=[64, 64]), tmp_path, split)
    train, val = (next(tmp_path.rglob(f"*{split}2017.json")) for split in ("train", "val"))
    break_record(train, "annotations", category_id=99)
    next_line = f"next     python train.py finetune={tmp_path} dataset.train.on_defect=drop"
    assert main(["data", "check", str(tmp_path)]) == 1
    told = capsys.readouterr().out.splitlines()[-1]
    assert told == f"{next_line}    # without the defects"
    assert main(["data", "check", str(tmp_path), "dataset.train.on_defect=drop"]) == 1
    assert main(["data", "check", "coco", "--root", str(tmp_path), "--split", "train"]) == 1
    assert "dataset=coco dataset.root=" in capsys.readouterr().out.splitlines()[-1]

    break_record(val, "annotations", category_id=99)
    assert main(["data", "check", str(tmp_path)]) == 1
    both = f"{next_line} dataset.val.on_defect=drop"
    assert capsys.readouterr().out.splitlines()[-1].startswith(both)

    assert main(["data", "check", "--annotations", str(train), "--images", str(tmp_path / "train2017")]) == 1
    alone = f"next     python train.py finetune={train} dataset.train.images={tmp_path / 'train2017'} dataset.train.on_"
    assert capsys.readouterr().out.splitlines()[-1].startswith(alone)

    break_record(val, "categories", name="another")  # leaving out is no remedy for that
    assert main(["data", "check", str(tmp_path)]) == 1
    assert not capsys.readouterr().out.splitlines()[-1].startswith("next")


@pytest.mark.parametrize("splits", [["val"], ["train", "val"]])
def test_check_ends_with_the_keys_of_each_split_whose_images_were_damaged_later(
    splits: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "val"):
        coco.write(Shapes(seed=1 + (split == "val"), length=4, size=[64, 64]), tmp_path, split)
    age(tmp_path)
    assert main(["data", "check", str(tmp_path)]) == 0
    for split in splits:
        next((tmp_path / f"{split}2017").iterdir()).write_text("no image")
    assert main(["data", "check", str(tmp_path)]) == 1
    keys = " ".join(f"dataset.{split}.on_defect=drop" for split in splits)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"next     python train.py finetune={tmp_path} {keys}    # without the defects"


def break_record(file: Path, kind: str, **values: Any) -> None:
    """Change the first record of a kind in a COCO-format file."""
    content = json.loads(file.read_text())
    content[kind][0] |= values
    file.write_text(json.dumps(content))


def test_typos_and_missing_roots_are_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "show", "coc"]) == 1
    assert "Did you mean coco" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["data", "stats"])
    assert "name a folder of images with annotations, or a dataset, as in dataset=NAME" in capsys.readouterr().err
    assert main(["data", "shwo", "coco"]) == 2
    assert "show" in capsys.readouterr().err
    assert main(["data", "check", "voc07", "--root", str(tmp_path)]) == 1
    assert "lineage data prepare voc07" in capsys.readouterr().err
    assert main(["data"]) == 0
    assert "prepare" in capsys.readouterr().out
    assert main(["data", "check", "shapes"]) == 0
    assert "nothing on disk" in capsys.readouterr().out
