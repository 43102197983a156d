"""Contents of a site for trackers: tables, and images with the objects and the detections of the newest runs.

All of it is read from the parts of the site, so a tracker shows the strings and numbers of the pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lineage.report.site.parts import read_part
from lineage.report.site.pictures import read_scale

CONFIDENT = 0.3  # score from which a detection is uploaded
FIRST_IMAGES = 16  # of each run
MOST_RUNS = 8  # whose pictures are uploaded, the newest


class Table(NamedTuple):
    """A table of a site: cells are texts, numbers or None."""

    group: str  # such as tables/mask_rcnn/table2c
    title: str
    columns: list[str]
    rows: list[list[Any]]

    @property
    def name(self) -> str:
        return f"{self.group}/{self.title}" if self.group else self.title


class Shape(NamedTuple):
    """One object or detection, in the pixels of its JPEG."""

    label: int  # of the site
    box: tuple[float, float, float, float]  # x, y, width, height
    polygons: list[list[float]]  # even-odd, x, y, x, y, ... of each; [] without a mask
    text: str  # of its tag


class ShownImage(NamedTuple):
    """An image of a test with its objects, and with the detections of one run."""

    path: Path  # of its JPEG
    size: tuple[int, int]  # height and width of the JPEG
    truth: list[Shape]
    predictions: list[Shape]
    name: str


class RunPictures(NamedTuple):
    """The first images of a test under one run."""

    run: str
    classes: list[str]
    images: list[ShownImage]


def list_tables(folder: Path, index: Mapping[str, Any]) -> Iterator[Table]:
    """Yield all runs, each section of each table that has runs, and AP by class of each run."""
    fields, columns = ("id", "name", "tier", "status", "seed"), ("choices", "keys", "metrics", "costs")
    head = [*fields, *(name for column in columns for name in index[column])]
    rows = [
        [*(run[name] for name in fields), *map(_text, [*run["choices"], *run["keys"]]), *run["metrics"], *run["costs"]]
        for run in index["runs"]
    ]
    yield Table("", "runs", head, rows)
    for summary in index["tables"]:
        if summary["runs"]:
            yield from _list_sections(summary["name"], read_part(folder, f"table/{summary['name']}"))
    for run in index["runs"]:
        per_class = read_part(folder, f"run/{run['id']}")["per_class"]
        metrics = list(dict.fromkeys(name for values in per_class.values() for name in values))
        if per_class:
            rows = [[label, *(values.get(name) for name in metrics)] for label, values in per_class.items()]
            yield Table("classes", run["id"], ["class", *metrics], rows)


def _list_sections(name: str, table: Mapping[str, Any]) -> Iterator[Table]:
    sections = [section for block in table["blocks"] for section in block["sections"]]
    for number, section in enumerate(sections):
        body = [[cell[0] for cell in line] for line in section["body"]]
        yield Table(f"tables/{name}", f"{number} {section['title']}", list(section["head"]), body)


def list_pictures(folder: Path, index: Mapping[str, Any]) -> Iterator[RunPictures]:
    """Yield the first images of the newest runs, with the objects and the detections from CONFIDENT on."""
    with_pictures = [run for run in index["runs"] if run.get("test")]
    for run in with_pictures[-MOST_RUNS:]:
        meta = read_part(folder, f"pictures/{run['test']}")
        if meta["positions"]:
            truth, detections = (
                read_part(folder, f"{name}/0") for name in (f"truth/{run['test']}", f"detections/{run['id']}")
            )
            images = [
                _read_image(folder, *image, meta["classes"])
                for image in list(zip(truth, detections, meta["names"], strict=False))[:FIRST_IMAGES]
            ]
            yield RunPictures(run["id"], meta["classes"], images)


def _read_image(
    folder: Path, image: Mapping[str, Any], detections: Sequence[Any], name: str, classes: Sequence[str]
) -> ShownImage:
    path = folder / image["src"]
    scale = read_scale(path, image["w"])  # a JPEG is smaller than a large image
    size = (max(1, round(image["h"] * scale)), max(1, round(image["w"] * scale)))
    truth = [_scale_shape(shape[0], shape[1:5], shape[6], classes[shape[0]], scale) for shape in image["objects"]]
    predictions = [
        _scale_shape(shape[0], shape[2:6], shape[7], f"{classes[shape[0]]} {shape[1]:.2f}", scale)
        for shape in detections
        if shape[1] >= CONFIDENT
    ]
    return ShownImage(path, size, truth, predictions, name)


def _scale_shape(
    label: int, box: Sequence[float], polygons: Sequence[Sequence[float]] | None, text: str, scale: float
) -> Shape:
    x, y, width, height = (value * scale for value in box)
    scaled = [[value * scale for value in polygon] for polygon in polygons or []]
    return Shape(label, (x, y, width, height), scaled, text)


def _text(value: Any) -> str:
    """Return a cell of a column that mixes numbers and words: a column of a tracker has one type."""
    return "" if value is None else str(value)
