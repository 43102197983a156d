"""The site in W&B: the pages as an artifact, tables as tables, pictures with boxes and masks, AP by class.

What is uploaded are the parts of the site, so W&B shows the same numbers. Without a server the run is offline, and
`wandb sync` uploads it later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lineage.report.site.parts import INDEX, read_part
from lineage.report.site.pictures import read_scale
from lineage.report.site.polygons import IdShape, paint_ids

CONFIDENT = 0.3  # score from which a detection is uploaded
FIRST_IMAGES = 16  # of each run
MOST_IDS = 126  # of classes in a mask, which W&B keeps as signed bytes
MOST_RUNS = 8  # whose pictures are uploaded, the newest


def upload_site(folder: Path, project: str) -> str:
    """Upload the site of a folder into a W&B project; return the address of its run, or the folder if it is offline."""
    import wandb

    index = read_part(folder, INDEX)
    with wandb.init(project=project, job_type="site", name=f"site of {index['store']}", dir=str(folder.parent)) as run:
        artifact = wandb.Artifact("lineage-site", type="site")
        artifact.add_dir(str(folder))
        run.log_artifact(artifact)
        for name, columns, rows in list_tables(folder, index):
            run.log({name: wandb.Table(columns=list[str | int](columns), data=rows)})
        for name, pictures in list_pictures(folder, index):
            images = [wandb.Image(str(folder / one.path), boxes=one.boxes, masks=one.masks or None, caption=one.caption)
                      for one in pictures]  # fmt: skip
            run.log({name: images})
        return str(run.url or run.dir)


def list_tables(folder: Path, index: Mapping[str, Any]) -> Iterator[tuple[str, list[str], list[list[Any]]]]:
    """Yield (name, columns, rows): all runs, each section of each table that has runs, and AP by class of each run."""
    fields, columns = ("id", "name", "tier", "status", "seed"), ("choices", "keys", "metrics", "costs")
    head = [*fields, *(name for column in columns for name in index[column])]
    rows = [
        [*(run[name] for name in fields), *map(_text, [*run["choices"], *run["keys"]]), *run["metrics"], *run["costs"]]
        for run in index["runs"]
    ]
    yield "runs", head, rows
    for summary in index["tables"]:
        if summary["runs"]:
            sections = [
                one for block in read_part(folder, f"table/{summary['name']}")["blocks"] for one in block["sections"]
            ]
            for number, section in enumerate(sections):
                body = [[cell[0] for cell in line] for line in section["body"]]
                yield f"tables/{summary['name']}/{number} {section['title']}", list(section["head"]), body
    for run in index["runs"]:
        per_class = read_part(folder, f"run/{run['id']}")["per_class"]
        metrics = list(dict.fromkeys(name for values in per_class.values() for name in values))
        if per_class:
            rows = [[label, *(values.get(name) for name in metrics)] for label, values in per_class.items()]
            yield f"classes/{run['id']}", ["class", *metrics], rows


class Picture(NamedTuple):
    """One image with the arguments of wandb.Image."""

    path: str  # below the site
    boxes: dict[str, Any]
    masks: dict[str, Any]  # {} if no object has one
    caption: str


Numbers = Mapping[int, int]  # label of the site -> class id of W&B


def list_pictures(folder: Path, index: Mapping[str, Any]) -> Iterator[tuple[str, list[Picture]]]:
    """Yield the first images of the newest runs, with the objects and the detections."""
    with_pictures = [run for run in index["runs"] if run.get("test")]
    for run in with_pictures[-MOST_RUNS:]:
        meta = read_part(folder, f"pictures/{run['test']}")
        if meta["positions"]:
            truth, predictions = (
                read_part(folder, f"{name}/0") for name in (f"truth/{run['test']}", f"detections/{run['id']}")
            )
            images = [
                (image, [one for one in detections if one[1] >= CONFIDENT], name)
                for image, detections, name in zip(truth, predictions, meta["names"], strict=False)
            ][:FIRST_IMAGES]
            numbers = number_classes(images, len(meta["classes"]))
            yield f"pictures/{run['id']}", [_describe_picture(folder, *one, numbers, meta["classes"]) for one in images]


def number_classes(images: Sequence[tuple[Mapping[str, Any], Sequence[Any], str]], count: int) -> Numbers:
    """Return the class ids of labels: 1, 2, ...; if a mask of W&B has no room for all, of those that occur."""
    labels: Iterable[int] = range(count)
    if count > MOST_IDS:
        marks = (one for image, detections, _ in images for one in (*image["objects"], *detections))
        labels = sorted({one[0] for one in marks})[:MOST_IDS]
    return {label: number for number, label in enumerate(labels, 1)}


def _describe_picture(
    folder: Path, image: Mapping[str, Any], detections: Sequence[Any], text: str, numbers: Numbers, names: Sequence[str]
) -> Picture:
    # 1. Objects and detections as shapes: class id, box, polygons, caption.
    shapes = {
        "ground_truth": [
            (numbers[one[0]], one[1:5], one[6], names[one[0]]) for one in image["objects"] if one[0] in numbers
        ],
        "predictions": [
            (numbers[one[0]], one[2:6], one[7], f"{names[one[0]]} {one[1]:.2f}")
            for one in detections
            if one[0] in numbers
        ],
    }
    # 2. Their boxes and id maps in the pixels of the JPEG, which is smaller than a large image.
    scale = read_scale(folder / image["src"], image["w"])
    labels = {0: "background"} | {number: names[label] for label, number in numbers.items()}
    boxes = {
        name: {"box_data": [_box(one[0], one[1], one[3], scale) for one in listed], "class_labels": labels}
        for name, listed in shapes.items()
    }
    masks, notes = {}, []
    for name, listed in shapes.items():
        drawn = [IdShape(number, box[2] * box[3], polygons) for number, box, polygons, _ in listed if polygons]
        if drawn:
            ids, overlapping = paint_ids(drawn, (image["h"], image["w"]), scale)
            masks[name] = {"mask_data": ids, "class_labels": labels}
            notes += (
                [f"{overlapping} masks of {name.replace('_', ' ')} overlap, the smaller on top"] if overlapping else []
            )
    return Picture(image["src"], boxes, masks, "; ".join([text, *notes]))


def _box(number: int, box: Sequence[float], caption: str, scale: float) -> dict[str, Any]:
    x, y, width, height = (value * scale for value in box)
    position = {"minX": x, "minY": y, "maxX": x + width, "maxY": y + height}
    return {"position": position, "domain": "pixel", "class_id": number, "box_caption": caption}


def _text(value: Any) -> str:
    """Return a cell of a column that mixes numbers and words: a column of W&B has one type."""
    return "" if value is None else str(value)
