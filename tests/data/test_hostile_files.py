"""Files that crash, hang or fill the memory of the libraries that read them: refused with one message."""

from __future__ import annotations

import json
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lineage.data.annotations.validate import DatasetError
from lineage.data.formats import cityscapes, coco, deepfashion2, unlabelled, voc
from lineage.eval.files.check_results import check_results
from lineage.eval.files.json_file import ResultError, read_json
from tests.data import folder

NOT_READABLE = {"deep": "[" * 100_000, "deep object": '{"a":' * 100_000, "digits": f"[{'9' * 5000}]"}


def open_coco(root: Path) -> Any:
    return coco.load(root=str(root), annotations="train.json")


def open_unlabelled(root: Path) -> Any:
    return unlabelled.load(root=str(root), annotations="train.json", images="images")


def open_cityscapes(root: Path) -> Any:
    return cityscapes.load(root=str(root), image_set="train")


def open_deepfashion2(root: Path) -> Any:
    return deepfashion2.load(root=str(root), image_set="train")


@pytest.mark.parametrize("text", NOT_READABLE.values(), ids=NOT_READABLE)
@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("train.json", open_coco),
        ("train.json", open_unlabelled),
        ("gtFine/train/aachen/a_gtFine_polygons.json", open_cityscapes),
        ("train/annos/1.json", open_deepfashion2),
    ],
)
def test_json_that_python_cannot_read(tmp_path: Path, name: str, load: Callable[[Path], Any], text: str) -> None:
    """RecursionError is no ValueError, and too many digits are no JSONDecodeError."""
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(text)
    with pytest.raises(DatasetError, match=Path(name).name):
        load(tmp_path)
    with pytest.raises(ResultError, match="not valid JSON"):
        read_json(tmp_path / name)


def test_polygons_of_large_coordinates(tmp_path: Path) -> None:
    """pycocotools 2.0.11 ends the process with a segmentation fault."""
    content = folder.content()
    content["annotations"][0]["segmentation"] = [[4e12, 2, 12, 2, 12, 10, 2, 10]]
    folder.write(tmp_path, content)
    with pytest.raises(DatasetError, match=r"polygon reaches farther .*\n.*2 to 4e\+12 in an image of 30 x 20"):
        open_coco(tmp_path)
    record = {"image_id": 10, "category_id": 9, "score": 0.5, "segmentation": [[4e12, 2, 12, 2, 12, 10, 2, 10]]}
    with pytest.raises(ResultError, match=r"record 0 has a polygon from 2 to 4e\+12 for image 10"):
        check_results([record], content, Path("results.json"))


def test_run_lengths_beyond_64_bits() -> None:
    mask = {"size": [20, 30], "counts": [10**30]}
    record = {"image_id": 10, "category_id": 9, "score": 0.5, "segmentation": mask}
    with pytest.raises(ResultError, match="it is cut off or damaged"):
        check_results([record], folder.content(), Path("results.json"))


def spoil_box(content: folder.Content) -> None:
    content["annotations"][0]["bbox"] = [1e308, 1e308, 1e308, 1e308]


def spoil_far_box(content: folder.Content) -> None:
    content["annotations"][0]["bbox"] = [2, 2, 1e308, 8]


def spoil_area(content: folder.Content) -> None:
    content["annotations"][0]["area"] = float("inf")


def spoil_size(content: folder.Content) -> None:
    content["images"][0]["height"] = 10**30
    content["images"][0]["file_name"] = "absent.png"


def spoil_category(content: folder.Content) -> None:
    content["annotations"][0] |= {"category_id": [4], "keypoints": [1, 1, 2]}


@pytest.mark.parametrize(
    ("spoil", "part"),
    [
        (spoil_box, "is not four numbers of pixels"),  # its sum is infinite
        (spoil_far_box, "is not four numbers of pixels"),  # infinite in 32 bits
        (spoil_area, "area inf"),
        (spoil_size, "image record is incomplete: 1"),
        (spoil_category, "annotation is incomplete: 1"),
    ],
)
def test_numbers_that_fit_no_column(tmp_path: Path, spoil: Callable[[folder.Content], None], part: str) -> None:
    content = folder.content()
    folder.write(tmp_path, content)
    spoil(content)
    (tmp_path / "train.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=part):
        open_coco(tmp_path)


@pytest.mark.parametrize("name", [5, None, ["1.png"], {"a": 1}, True, "\ud800.png", "a\x00b.png", "", "x" * 5000])
def test_names_of_files_that_are_none(tmp_path: Path, name: Any) -> None:
    content = folder.content()
    folder.write(tmp_path, content)
    content["images"][1]["file_name"] = name
    (tmp_path / "train.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=r"train\.json: 1 defect"):
        open_coco(tmp_path)


def write_bomb(path: Path, side: int) -> None:
    """Write a PNG of one colour, side x side pixels: its bytes are a thousandth of its pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = zlib.compressobj(9)
    data = b"".join(rows.compress(bytes(1 + side // 8)) for _ in range(side)) + rows.flush()
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    """20 kB that would be 1.2 GB of pixels."""
    content = folder.content()
    folder.write(tmp_path, content)
    content["images"][0] |= {"height": 20_000, "width": 20_000}
    (tmp_path / "train.json").write_text(json.dumps(content))
    write_bomb(tmp_path / "images" / "1.png", 20_000)
    assert (tmp_path / "images" / "1.png").stat().st_size < 100_000
    tracemalloc.start()
    with pytest.raises(DatasetError, match=r"1\.png.* 400 megapixels where 179 are allowed"):
        open_coco(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"imgWidth": 10**30}, "imgWidth is 10+, not a number of pixels up to 20000"),
        ({"imgHeight": -1}, "imgHeight is -1"),
        ({"imgHeight": "24"}, "imgHeight is '24'"),
        ({"objects": {}}, "holds no list `objects`"),
        ({"objects": [{"label": ["car"], "polygon": []}]}, r"objects\[0\] has no label"),
        ({"objects": [{"label": "car", "polygon": [[1e300, 0], [1, 1]]}]}, r"objects\[0\] \(car\): polygon is not"),
        ({"objects": [{"label": "car", "polygon": [[0, 0, 0], [1, 1]]}]}, r"objects\[0\] \(car\): polygon is not"),
    ],
)
def test_polygons_of_cityscapes(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    document = {"imgWidth": 30, "imgHeight": 20, "objects": []} | changes
    file = tmp_path / "gtFine/train/aachen/a_gtFine_polygons.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(document))
    with pytest.raises(DatasetError, match=f"a_gtFine_polygons.json: ValueError {reason}"):
        open_cityscapes(tmp_path)


@pytest.mark.parametrize("width", ["1e400", "nan", "wide"])
def test_sizes_of_voc(tmp_path: Path, width: str) -> None:
    devkit = tmp_path / "VOC2007"
    folder.save(devkit / "JPEGImages" / "1.jpg")
    size = f"<size><width>{width}</width><height>20</height></size>"
    for name, text in (("Annotations/1.xml", f"<annotation>{size}</annotation>"), ("ImageSets/Main/train.txt", "1\n")):
        (devkit / name).parent.mkdir(parents=True)
        (devkit / name).write_text(text)
    with pytest.raises(DatasetError, match=r"1\.xml: (cannot convert float|could not convert string)"):
        voc.load(root=str(tmp_path), image_sets=["VOC2007/train"])
