"""The site in W&B: the pages as an artifact, tables as tables, pictures with boxes and masks.

Without a server the run is offline, and `wandb sync` uploads it later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lineage.report.site.parts import INDEX, read_part
from lineage.report.site.polygons import IdShape, paint_ids
from lineage.report.site.upload.contents import RunPictures, Shape, ShownImage, list_pictures, list_tables

MOST_IDS = 126  # of classes in a mask, which W&B keeps as signed bytes


def upload_site(folder: Path, project: str) -> str:
    """Upload the site of a folder into a W&B project; return the address of its run, or the folder if it is offline."""
    import wandb

    index = read_part(folder, INDEX)
    with wandb.init(project=project, job_type="site", name=f"site of {index['store']}", dir=str(folder.parent)) as run:
        artifact = wandb.Artifact("lineage-site", type="site")
        artifact.add_dir(str(folder))
        run.log_artifact(artifact)
        for table in list_tables(folder, index):
            run.log({table.name: wandb.Table(columns=list[str | int](table.columns), data=table.rows)})
        for pictures in list_pictures(folder, index):
            images = [
                wandb.Image(str(image.path), boxes=image.boxes, masks=image.masks or None, caption=image.caption)
                for image in describe_pictures(pictures)
            ]
            run.log({f"pictures/{pictures.run}": images})
        return str(run.url or run.dir)


class Picture(NamedTuple):
    """One image with the arguments of wandb.Image."""

    path: Path
    boxes: dict[str, Any]
    masks: dict[str, Any]  # {} if no object has one
    caption: str


Numbers = Mapping[int, int]  # label of the site -> class id of W&B


def describe_pictures(pictures: RunPictures) -> list[Picture]:
    """Return the images of a run, with boxes and id maps of the objects and of the detections."""
    shapes = [shape for image in pictures.images for shape in (*image.truth, *image.predictions)]
    numbers = number_classes((shape.label for shape in shapes), len(pictures.classes))
    return [_describe_picture(image, numbers, pictures.classes) for image in pictures.images]


def number_classes(labels: Iterable[int], count: int) -> Numbers:
    """Return the class ids of labels: 1, 2, ...; if a mask of W&B has no room for all, of those that occur."""
    numbered: Iterable[int] = range(count) if count <= MOST_IDS else sorted(set(labels))[:MOST_IDS]
    return {label: number for number, label in enumerate(numbered, 1)}


def _describe_picture(image: ShownImage, numbers: Numbers, names: Sequence[str]) -> Picture:
    labels = {0: "background"} | {number: names[label] for label, number in numbers.items()}
    boxes, masks, notes = {}, {}, []
    for name, shapes in (("ground_truth", image.truth), ("predictions", image.predictions)):
        numbered = [shape for shape in shapes if shape.label in numbers]
        data = [_box(numbers[shape.label], shape) for shape in numbered]
        boxes[name] = {"box_data": data, "class_labels": labels}
        drawn = [
            IdShape(numbers[shape.label], shape.box[2] * shape.box[3], shape.polygons)
            for shape in numbered
            if shape.polygons
        ]
        if drawn:
            ids, overlapping = paint_ids(drawn, image.size)
            masks[name] = {"mask_data": ids, "class_labels": labels}
            notes += (
                [f"{overlapping} masks of {name.replace('_', ' ')} overlap, the smaller on top"] if overlapping else []
            )
    return Picture(image.path, boxes, masks, "; ".join([image.name, *notes]))


def _box(number: int, shape: Shape) -> dict[str, Any]:
    x, y, width, height = shape.box
    position = {"minX": x, "minY": y, "maxX": x + width, "maxY": y + height}
    return {"position": position, "domain": "pixel", "class_id": number, "box_caption": shape.text}
