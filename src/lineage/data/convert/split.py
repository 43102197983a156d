"""Division of one COCO-format file into several, by a hash: a file keeps its side as images are added.

Images of one group, such as a patient or a scene, and images with the same content stay together.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lineage.data.annotations.open_dataset import hash_name
from lineage.data.convert.labelled import ConvertError

Record = dict[str, Any]


def split_document(
    content: Mapping[str, Any], shares: Mapping[str, float], group: str | None, folder: Path
) -> dict[str, dict[str, Any]]:
    """Return the document of each split: those of `shares`, and `train` with the rest.

    shares: split -> its share of the groups, between 0 and 1
    group: a regular expression on the file name, whose first parenthesis is the group, or a key of the image records
    folder: of the images; files with one content there are one group
    """
    names = join_equal_files({image["id"]: name_group(image, group) for image in content["images"]}, content, folder)
    sides = {
        image_id: choose_side(hash_name(name.encode(errors="surrogateescape")), shares)
        for image_id, name in names.items()
    }
    documents = {}
    for split in ("train", *shares):
        ids = {image_id for image_id, side in sides.items() if side == split}
        if not ids:
            raise ConvertError(
                f"no image falls into {split}: {len(set(names.values()))} groups are too few for shares of "
                f"{', '.join(f'{share:g}' for share in shares.values())}"
            )
        documents[split] = {
            **content,
            "images": [image for image in content["images"] if image["id"] in ids],
            "annotations": [record for record in content["annotations"] if record["image_id"] in ids],
        }
    return documents


def name_group(image: Record, group: str | None) -> str:
    """Return the group of an image; its name if no groups are wanted. Raises ConvertError without one."""
    name = str(image["file_name"])
    if group is None:
        return name
    if group in image:
        return str(image[group])
    try:
        match = re.search(group, name)
    except re.error as error:
        raise ConvertError(f"--group {group}: is no regular expression ({error})") from error
    if match is None:
        raise ConvertError(f"--group {group}: neither a key of image {image['id']}, nor does it match {name!r}")
    return match[1] if match.re.groups else match[0]


def join_equal_files(groups: Mapping[Any, str], content: Mapping[str, Any], folder: Path) -> dict[Any, str]:
    """Return the group of each image, after groups that share a file's content became the first of them."""
    sizes: dict[int, list[Record]] = defaultdict(list)
    for image in content["images"]:
        path = folder / str(image["file_name"])
        if path.is_file():
            sizes[path.stat().st_size].append(image)
    contents: dict[bytes, list[str]] = defaultdict(list)
    for images in sizes.values():
        for image in images if len(images) > 1 else ():
            digest = hashlib.sha256((folder / image["file_name"]).read_bytes()).digest()
            contents[digest].append(groups[image["id"]])
    leader = {name: name for name in groups.values()}
    for members in contents.values():
        roots = {find_root(leader, name) for name in members}
        leader |= dict.fromkeys(roots, min(roots))
    return {image_id: find_root(leader, name) for image_id, name in groups.items()}


def find_root(leader: Mapping[str, str], name: str) -> str:
    while leader[name] != name:
        name = leader[name]
    return name


def choose_side(number: float, shares: Mapping[str, float]) -> str:
    """Return the split of a number in [0, 1)."""
    below = 0.0
    for split, share in shares.items():
        below += share
        if number < below:
            return split
    return "train"


def check_shares(shares: Sequence[float]) -> None:
    """Raise ConvertError for shares that leave nothing to train on."""
    if not all(0 < share < 1 for share in shares) or sum(shares) >= 1:
        raise ConvertError(f"--val and --test are shares between 0 and 1, below 1 together, not {[*shares]}")
