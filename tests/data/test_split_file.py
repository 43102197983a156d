"""`lineage data split`: by a hash, in groups, with copies of an image on one side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lineage.cli.data.main import main
from tests.data.test_convert import HEIGHT, WIDTH, draw, write


def coco(images: int) -> dict[str, Any]:
    return {
        "images": [
            {"id": i, "file_name": f"p{i // 4}_{i}.png", "height": HEIGHT, "width": WIDTH, "patient": i // 2}
            for i in range(images)
        ],
        "annotations": [{"id": i + 1, "image_id": i, "category_id": 1, "bbox": [0, 0, 5, 5]} for i in range(images)],
        "categories": [{"id": 1, "name": "cat"}],
    }


def names(path: Path) -> set[str]:
    return {image["file_name"] for image in json.loads(path.read_text())["images"]}


@pytest.mark.parametrize(("group", "size"), [("patient", 2), ("^(p[0-9]+)_", 4), (None, 1)])
def test_a_split_keeps_groups_together_and_its_sides_as_images_are_added(
    tmp_path: Path, group: str | None, size: int
) -> None:
    sides = []
    for count in (80, 120):
        out = tmp_path / str(count)
        file = write(out / "all.json", json.dumps(coco(count)))
        options = [] if group is None else ["--group", group]
        assert main(["split", str(file), "--val", "0.3", "--test", "0.2", *options]) == 0
        sides.append({split: names(out / f"{split}.json") for split in ("train", "val", "test")})
        assert sum(len(part) for part in sides[-1].values()) == count == len(set().union(*sides[-1].values()))
        for part in sides[-1].values():
            numbers = {int(name.partition("_")[2][:-4]) // size for name in part}
            assert len(part) == size * len(numbers)  # whole groups
        content = json.loads((out / "val.json").read_text())
        assert {record["image_id"] for record in content["annotations"]} == {image["id"] for image in content["images"]}
    assert all(sides[0][split] <= sides[1][split] for split in sides[0])
    assert 0.1 < len(sides[1]["val"]) / 120 < 0.5


def test_a_split_keeps_copies_of_an_image_together(tmp_path: Path) -> None:
    content = coco(40)
    for image in content["images"]:
        draw(tmp_path / image["file_name"], value=image["id"] // 2)  # two names, one content
    file = write(tmp_path / "all.json", json.dumps(content))
    assert main(["split", str(file), "--val", "0.4"]) == 0
    sides = [
        {int(name.partition("_")[2][:-4]) // 2 for name in names(tmp_path / f"{s}.json")} for s in ("train", "val")
    ]
    assert not sides[0] & sides[1]
    assert len(names(tmp_path / "val.json")) == 2 * len(sides[1])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--val", "1.5"], "below 1 together"),
        (["--val", "0.6", "--test", "0.6"], "below 1 together"),
        (["--group", "("], "is no regular expression"),
        (["--group", "zebra"], "neither a key of image 0"),
    ],
)
def test_a_split_that_cannot_be_made_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    file = write(tmp_path / "all.json", json.dumps(coco(8)))
    assert main(["split", str(file), *options]) == 1
    assert says in capsys.readouterr().err
