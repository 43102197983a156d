"""The COCO-format files of a folder, and the split that each is of: by its path, or by an override that names it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lineage.config.build import ConfigError
from lineage.data.annotations.image_folder import SUFFIXES
from lineage.data.convert.json_files import Unparsed, format_unparsed, list_json, read_json
from lineage.data.convert.split_names import find_split
from lineage.results.overrides import quote

PARTS = ("images", "annotations", "categories")  # of a COCO-format file
KINDS = ("instances", "person_keypoints")  # of COCO's own files
TRAIN_FILE = "dataset.train.annotations"
HELD_OUT = ("val", "test")  # splits that are not trained on
EXAMPLES = 100  # images of a file, spread over it, that the search for their folder looks for
DEEPEST = 3  # levels of folders in which a lost file is looked for


@dataclass(frozen=True, slots=True)
class CocoFile:
    """An annotation file, the split that its path names, and some of its images, the first among them."""

    path: Path
    split: str | None
    examples: tuple[str, ...]  # names of image files
    images: int


def find_coco_files(folder: Path, kinds: Sequence[str]) -> tuple[list[CocoFile], list[Unparsed]]:
    """Return the COCO-format files in a folder and in the folders in it, and the JSON files that cannot be parsed.

    Of COCO's own files those of the first kind are returned.
    """
    files, unparsed = list[CocoFile](), list[Unparsed]()
    for path in list_json(folder, levels=1):
        content = read_json(path)
        if isinstance(content, Unparsed):
            unparsed.append(content)
        elif not find_absent_parts(content):
            files.append(describe_content(content, path, folder))
    for kind in kinds:  # COCO has a file of each kind for the same images
        if len(preferred := [file for file in files if file.path.name.startswith(f"{kind}_")]) > 0:
            return preferred, unparsed
    return files, unparsed


def find_absent_parts(content: Any) -> list[str]:
    """Return the lists of COCO's format that the content of a JSON file lacks."""
    return [part for part in PARTS if not (isinstance(content, dict) and isinstance(content.get(part), list))]


def describe_other(folder: Path) -> str:
    """Return what the first JSON file of a folder lacks of COCO's format; nothing without such a file."""
    for path in list_json(folder, levels=1):
        content = read_json(path)
        if absent := find_absent_parts(content):
            return f"; {path.relative_to(folder)} has no list of {', '.join(absent)}"
    return ""


def describe_file(path: Path, root: Path) -> CocoFile:
    """Return the description of a file. Raises ConfigError if it cannot be read, or has no images."""
    content = read_json(path)
    if isinstance(content, Unparsed):
        raise ConfigError(str(content))
    return describe_content(content, path, root)


def describe_content(content: Any, path: Path, root: Path) -> CocoFile:
    images = content.get("images") if isinstance(content, dict) else None
    if not (isinstance(images, list) and images and isinstance(images[0], dict)):
        raise ConfigError(f"{path}: is no annotation file in COCO's format with a list of images")
    records = [record for record in images[:: math.ceil(len(images) / EXAMPLES)] if isinstance(record, dict)]
    examples = tuple(str(record.get("file_name")) for record in records)
    return CocoFile(path, split_of(path, root), examples, len(images))


def split_of(path: Path, root: Path) -> str | None:
    """Return the split that a path names, of a path below the root the part below it."""
    return find_split((path.relative_to(root) if path.is_relative_to(root) else path).parts)


def describe_typed(folder: Path, typed: Mapping[str, str]) -> dict[str, CocoFile]:
    """Return split -> the file that a typed dataset.SPLIT.annotations names, inside the folder or by its whole path."""
    keys = {split: f"dataset.{split}.annotations" for split in ("train", "val")}
    paths = {split: folder / Path(typed[key].strip("'\"")).expanduser() for split, key in keys.items() if key in typed}
    return {split: replace(describe_file(path, folder), split=split) for split, path in paths.items()}


def replace_splits(files: Sequence[CocoFile], named: Mapping[str, CocoFile]) -> list[CocoFile]:
    """Return the files with those that were named in place of the files of their splits."""
    paths = {file.path for file in named.values()}
    return [*(file for file in files if file.split not in named and file.path not in paths), *named.values()]


def refuse_unparsed_splits(unparsed: Sequence[Unparsed], folder: Path) -> None:
    """Raise ConfigError for files that are a split by their names: without them other images would be a split."""
    if splits := [file for file in unparsed if split_of(file.path, folder)]:
        raise ConfigError(
            f"{format_unparsed(splits)}.\nIf it holds no annotations, move it away, or name the file: finetune=FILE"
        )


def refuse_without_train(files: Sequence[CocoFile], folder: Path) -> None:
    """Raise ConfigError if all files are for validation or test by their names: those are not trained on unasked."""
    if any(file.split not in HELD_OUT for file in files):
        return
    names = ", ".join(str(file.path.relative_to(folder)) for file in files)
    remains, train = describe_remains(folder)
    again = shlex.quote(f"finetune={quote(files[0].path)}")
    raise ConfigError(
        f"{folder}: no file has annotations to train on: {names} {'is' if len(files) == 1 else 'are'} for validation "
        f"or test by the name{remains}. Name the file to train on beside the folder, {train}; or to train on "
        f"{files[0].path.name}: {again}"
    )


def describe_remains(folder: Path) -> tuple[str, str]:
    """Return what is there of a training split, a JSON file or else images, and the override that names a file."""
    paths = [path for path in list_json(folder, DEEPEST) if split_of(path, folder) == "train"]
    for path in sorted(paths, key=lambda path: not path.name.startswith(KINDS))[:1]:
        name, content = path.relative_to(folder), read_json(path)
        if isinstance(content, Unparsed):
            return f"; {content}", f"{TRAIN_FILE}=FILE"
        if absent := find_absent_parts(content):
            return f"; {name} is not in COCO's format: it has no list of {', '.join(absent)}", f"{TRAIN_FILE}=FILE"
        return f"; {name} lies in deeper folders than are read", shlex.quote(f"{TRAIN_FILE}={quote(name)}")
    places = (path for level in range(DEEPEST) for path in sorted(folder.glob("*/" * level + "*/")))
    for path in places:
        if split_of(path, folder) == "train" and any(file.suffix.lower() in SUFFIXES for file in path.iterdir()):
            return f"; the images in {path.relative_to(folder)} have no file", f"{TRAIN_FILE}=FILE"
    return "", f"{TRAIN_FILE}=FILE"
