"""The site in W&B: the pages as an artifact, tables as tables, pictures with boxes, AP by class.

What is uploaded are the parts of the site, so W&B shows the same numbers. Without a server the run is offline, and
`wandb sync` uploads it later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lineage.report.site.parts import INDEX, read_part

CONFIDENT = 0.3  # score from which a detection is uploaded
FIRST_IMAGES = 16  # of each run
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
        for name, images in list_pictures(folder, index):
            run.log(
                {name: [wandb.Image(str(folder / path), boxes=boxes, caption=text) for path, boxes, text in images]}
            )
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


Picture = tuple[str, dict[str, Any], str]  # path below the site, boxes as wandb.Image takes them, caption


def list_pictures(folder: Path, index: Mapping[str, Any]) -> Iterator[tuple[str, list[Picture]]]:
    """Yield the first images of the newest runs, with the objects and the detections."""
    with_pictures = [run for run in index["runs"] if run.get("test")]
    for run in with_pictures[-MOST_RUNS:]:
        meta = read_part(folder, f"pictures/{run['test']}")
        if meta["positions"]:
            names = dict(enumerate(meta["classes"]))
            truth, detections = (
                read_part(folder, f"{name}/0") for name in (f"truth/{run['test']}", f"detections/{run['id']}")
            )
            images = list(zip(truth, detections, meta["names"], strict=False))[:FIRST_IMAGES]
            yield f"pictures/{run['id']}", [_describe_picture(*image, names) for image in images]


def _describe_picture(
    image: Mapping[str, Any], detections: Sequence[Sequence[Any]], text: str, names: dict[int, str]
) -> Picture:
    shown_boxes = [_box(one[0], one[2:6], names, one[1]) for one in detections if one[1] >= CONFIDENT]
    true_boxes = [_box(one[0], one[1:5], names) for one in image["objects"]]
    labels: dict[int, str] = dict(names)
    boxes: dict[str, Any] = {
        "ground_truth": {"box_data": true_boxes, "class_labels": labels},
        "predictions": {"box_data": shown_boxes, "class_labels": labels},
    }
    return image["src"], boxes, text


def _box(label: int, box: Sequence[float], names: Mapping[int, str], score: float | None = None) -> dict[str, Any]:
    x, y, width, height = box
    position = {"minX": x, "minY": y, "maxX": x + width, "maxY": y + height}
    caption = names[label] if score is None else f"{names[label]} {score:.2f}"
    return {"position": position, "domain": "pixel", "class_id": label, "box_caption": caption} | (
        {} if score is None else {"scores": {"score": score}}
    )


def _text(value: Any) -> str:
    """Return a cell of a column that mixes numbers and words: a column of W&B has one type."""
    return "" if value is None else str(value)
