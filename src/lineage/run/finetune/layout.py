"""The layout of a folder of annotated images: COCO's format, VOC's, Cityscapes' or Penn-Fudan's.

Files and folders are splits by their names: train, val or valid, test.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from xml.etree import ElementTree as xml

from lineage.config.build import ConfigError
from lineage.data.annotations.image_folder import ImageFolder
from lineage.data.convert.detect import find_layout
from lineage.data.convert.json_files import format_unparsed
from lineage.data.convert.split_names import SPLITS, find_split
from lineage.results.overrides import quote
from lineage.run.finetune.coco_files import (
    KINDS,
    TRAIN_FILE,
    CocoFile,
    describe_file,
    describe_other,
    describe_typed,
    find_coco_files,
    refuse_unparsed_splits,
    refuse_without_train,
    replace_splits,
    split_of,
)
from lineage.run.finetune.named_layouts import refuse_named_layout

VOC_PLACES = ("", "VOC20*/", "VOCdevkit/VOC20*/", "data/VOCdevkit/VOC20*/")  # of ImageSets/Main
VOC_SETS = ("train", "val", "trainval", "test")
FEW = 3  # unread files that a summary names
SMALL, SMALL_SHARE, SHARE = 200, 0.2, 0.1  # images, and the share for validation below and above that number
FRACTION = "dataset.val.fraction="


@dataclass(frozen=True, slots=True)
class Layout:
    """A dataset option with the keys that make it read a folder."""

    name: str  # as in dataset=NAME
    overrides: tuple[str, ...]
    summary: str  # of the files, for people


def read_layout(folder: Path, typed: Mapping[str, str] = MappingProxyType({})) -> Layout:
    """Return the layout of a folder, or of one COCO-format file. Raises ConfigError with the remedy.

    typed: overrides; a typed dataset.train.images needs no search, typed annotations count instead of a split's files
        in the folder, a typed model with keypoints calls for COCO's files of them
    """
    if folder.is_file():
        return read_coco([describe_file(folder, folder.parent)], folder.parent, typed)
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder. finetune=FOLDER names the folder of your images and annotations")
    if (folder / "gtFine").is_dir() and (folder / "leftImg8bit").is_dir():
        return Layout("cityscapes", (f"dataset.root={quote(folder)}",), "Cityscapes' layout")
    if any((folder / name / "PedMasks").is_dir() for name in ("", "PennFudanPed", "data/PennFudanPed")):
        return Layout("penn_fudan", (f"dataset.root={quote(folder)}",), "Penn-Fudan's layout")
    if TRAIN_FILE not in typed:
        refuse_named_layout(folder)  # before its files, of DeepFashion2 one of each image, are read
    kinds = KINDS[::-1] if "keypoint" in typed.get("model", "") else KINDS
    files, unparsed = find_coco_files(folder, kinds)
    named = describe_typed(folder, typed)
    refuse_unparsed_splits([file for file in unparsed if split_of(file.path, folder) not in named], folder)
    if files := replace_splits(files, named):
        refuse_without_train(files, folder)
        coco = read_coco(files, folder, typed)
        return replace(coco, summary=f"{coco.summary}; {format_unparsed(unparsed)}") if unparsed else coco
    if years := [path.parents[1] for place in VOC_PLACES for path in sorted(folder.glob(f"{place}ImageSets/Main"))]:
        return read_voc(years)
    if layout := find_layout(folder):
        raise ConfigError(
            f"{folder} is in the layout of {layout}. Convert it, which writes JSON files beside your images:\n"
            f"    lineage data convert {shlex.quote(str(folder))}"
        )
    if unparsed:
        raise ConfigError(f"{format_unparsed(unparsed)}.\nNo other file in {folder} holds annotations")
    raise ConfigError(
        f"{folder}: holds no annotations in COCO's format (a JSON file with images, annotations and categories"
        f"{describe_other(folder)}), nor in the layouts of VOC (ImageSets/Main), Cityscapes (gtFine), YOLO, VIA or "
        "labelme"
    )


def read_coco(files: Sequence[CocoFile], folder: Path, typed: Mapping[str, str] = MappingProxyType({})) -> Layout:
    """Return the layout of one file, or of a file for each split."""

    def name(file: CocoFile) -> str:
        return str(file.path.relative_to(folder) if file.path.is_relative_to(folder) else file.path)

    train = choose(files, "train", folder) if len(files) > 1 else files[0]
    val = next((file for split in ("val", "test") if len(files) > 1 and (file := choose(files, split, folder))), None)
    if train is None:
        raise ConfigError(
            f"{folder}: which of {', '.join(map(name, files))} is for training? "
            "Name it (finetune=FILE), or call it train.json"
        )
    overrides = [f"dataset.root={quote(folder)}", *split_overrides("train", train, folder, typed)]
    unread = format_unread([name(file) for file in files if file not in (train, val)])
    if val is not None and val != train:
        summary = f"COCO's format: {name(train)} to train on, {name(val)} to evaluate{unread}"
        return Layout("coco", (*overrides, *split_overrides("val", val, folder, typed)), summary)
    share = SMALL_SHARE if train.images < SMALL else SHARE
    summary = f"COCO's format: {name(train)}; no file for validation, so {describe_share(share)}"
    return Layout("coco", (*overrides, f"{FRACTION}{share}"), summary)


def describe_share(share: float) -> str:
    return f"about {share:.0%} of its images are held out"


def format_unread(names: Sequence[str]) -> str:
    """Return the end of a summary that names COCO-format files of the folder that no split reads."""
    if not names:
        return ""
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    return f" (not read: {', '.join(names[:FEW])}{more}; finetune=FILE reads one)"


def choose(files: Iterable[CocoFile], split: str, folder: Path) -> CocoFile | None:
    """Return the only file of a split, or None. Raises ConfigError if there are several."""
    candidates = [file for file in files if file.split == split]
    if len(candidates) > 1:
        names = ", ".join(str(file.path.relative_to(folder)) for file in candidates)
        raise ConfigError(
            f"{folder}: {names} all look like {split}. Say which: "
            f"dataset.{split if split != 'test' else 'val'}.annotations=FILE beside the folder"
        )
    return candidates[0] if candidates else None


def split_overrides(split: str, file: CocoFile, root: Path, typed: Mapping[str, str]) -> list[str]:
    """Return the keys of a split: its annotation file, and the folder that holds its first image unless typed."""
    places = {"annotations": file.path}
    if f"dataset.{split}.images" not in typed:
        places["images"] = find_images(file, root, split)
    return [
        f"dataset.{split}.{key}={quote(path.relative_to(root) if path.is_relative_to(root) else path)}"
        for key, path in places.items()
    ]


def find_images(file: CocoFile, root: Path, split: str) -> Path:
    """Return the usual folder that holds most of the examples, the first of equals; else the only one that has any.

    Raises ConfigError if no folder, or several unusual ones, hold examples.
    """
    stem = re.sub("^(instances|person_keypoints)_", "", file.path.stem)
    names = [stem, *(name for name, meaning in SPLITS.items() if meaning == file.split)]
    is_apart = file.path.parent.name == "annotations"  # as COCO's, beside the folders of images
    parents = [file.path.parent, root, *([file.path.parent.parent] if is_apart else [])]
    usual = [parent / part for parent in parents for part in ("", *names, *(f"images/{n}" for n in names), "images")]
    others = [path for path in sorted(root.glob("*/")) if not path.name.startswith(".")]
    named = [path for path in others if file.split and find_split((path.name,)) == file.split]
    for is_exact in (True, False):
        counts = count_examples(file, [*usual, *named], is_exact=is_exact)
        if best := max(counts.values()):
            return next(folder for folder, count in counts.items() if count == best)
    others = [path for path in others if find_split((path.name,)) is None]
    filled = [path for path, count in count_examples(file, others, is_exact=True).items() if count]
    if len(filled) == 1:
        return filled[0]
    looked = ", ".join(str(folder) for folder in dict.fromkeys([*usual, *others]) if folder.is_dir())
    where = f"is in {looked}" if not filled else f"is in a usual folder, but in {' and '.join(map(str, filled))}"
    raise ConfigError(
        f"{file.path}: none of its images, such as {file.examples[0]}, {where}. Name the folder: "
        f"dataset.{split}.images=FOLDER"
    )


def count_examples(file: CocoFile, folders: Sequence[Path], *, is_exact: bool) -> dict[Path, int]:
    """Return folder -> how many of the examples it holds, by their very names or by names that are cured."""
    counts: dict[Path, int] = {}
    for folder in dict.fromkeys(folders):
        listing = ImageFolder(folder)
        counts[folder] = sum(
            listing.has(image) if is_exact else listing.find(image) is not None for image in file.examples
        )
    return counts


def read_voc(years: Sequence[Path]) -> Layout:
    """Return the layout of folders that are made as VOC2007 is, with the classes that their XML files name."""
    sets = {name: [f"{year.name}/{name}" for year in years if is_set(year, name)] for name in VOC_SETS}
    has_both = bool(sets["train"] and sets["val"])
    train = sets["train"] if has_both else sets["trainval"] or sets["train"]
    val = sets["val"] if train == sets["train"] and sets["val"] else sets["test"]  # trainval has the images of val
    if not train:
        raise ConfigError(
            f"{years[0] / 'ImageSets/Main'}: holds no train.txt and no trainval.txt, either of which names the images "
            "to train on, one a line"
        )
    names = sorted({name for year in years for name in read_class_names(year)})
    root = years[0].parent
    overrides = [f"dataset.root={quote(root)}", f"dataset.train.image_sets=[{','.join(train)}]"]
    overrides += [f"dataset.val.image_sets=[{','.join(val)}]" if val else f"{FRACTION}{SMALL_SHARE}"]
    overrides += [f"dataset.names=[{','.join(map(quote, names))}]"]
    summary = f"VOC's layout: {' and '.join(train)}, {len(names)} classes of its XML files"
    without_val = "" if val else f"; no set for validation, so {describe_share(SMALL_SHARE)}"
    return Layout("voc12", tuple(overrides), f"{summary}{without_val}")


def is_set(year: Path, name: str) -> bool:
    return (year / "ImageSets/Main" / f"{name}.txt").is_file()


def read_class_names(year: Path) -> set[str]:
    """Return the names of classes in the XML files of a year; files that cannot be read are left to `data check`."""
    names: set[str] = set()
    for file in sorted((year / "Annotations").glob("*.xml")):
        try:
            names |= {(element.text or "").strip() for element in xml.parse(file).iterfind("object/name")}
        except (OSError, xml.ParseError):
            continue
    return names - {""}
