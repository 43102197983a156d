"""Opening a dataset: seconds, and the memory that each process pays, against pycocotools and a serialised list.

Synthetic annotations with the statistics of COCO train2017 and LVIS v1 train, polygons included. Every figure comes
from a fresh process, after its imports. `serialised list` is what detectron2 does at every start: parse the file and
pickle the records of each image into one array. Private memory is Private_Dirty of /proc/self/smaps_rollup (pages of a
mapped file are all processes' in common, and the system's to drop) beyond what the process had before, 0.1 MB at least,
as less cannot be told: of the process that opened the dataset, which is what a rank or a spawned worker pays, and of a
worker forked from it that has read every record. Ours is opened from its index; making that, once per file, is the last
column.
Writes benchmarks/results/dataset_open.md. Run: python benchmarks/dataset_open.py   (some minutes, 6 GB of memory)
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from pycocotools.coco import COCO

from lineage.data.coco import load

ROOT = Path(__file__).parents[1]
SIZE = (480, 640)
REPEATS = 5
VARIETY = 20_000


class Statistics(NamedTuple):
    images: int
    objects: int
    classes: int
    points: float  # of an object's outline, on average
    second: float  # share of objects that have a second polygon


DATASETS = {
    "COCO train2017": Statistics(118_287, 860_001, 80, 22.0, 0.09),
    "LVIS v1 train": Statistics(100_170, 1_270_141, 1203, 31.0, 0.05),
}


class Figure(NamedTuple):
    """What one process saw."""

    seconds: float
    private: float  # MB, of the process that opened it
    worker: float  # MB, of a forked worker that read all of it
    objects: int


def invent(about: Statistics, folder: Path) -> Path:
    """A COCO-format file and an image for each record. Outlines repeat after VARIETY objects: nothing here notices."""
    random = np.random.default_rng(0)
    names = [f"{number:012d}.jpg" for number in range(1, about.images + 1)]
    (folder / "train").mkdir(parents=True)
    Image.new("RGB", SIZE[::-1]).save(folder / "one.jpg")
    for name in names:
        os.symlink(folder / "one.jpg", folder / "train" / name)
    images = [{"id": i + 1, "file_name": name, "height": SIZE[0], "width": SIZE[1]} for i, name in enumerate(names)]
    owners = random.integers(1, about.images + 1, about.objects)
    classes = random.integers(1, about.classes + 1, about.objects)
    variety = [json.dumps(annotation(random, about))[1:] for _ in range(VARIETY)]
    with (folder / "train.json").open("w") as file:
        file.write(f'{{"images": {json.dumps(images)}, "annotations": [')
        for number in range(about.objects):
            own = f'{{"id": {number + 1}, "image_id": {owners[number]}, "category_id": {classes[number]}, '
            file.write((", " if number else "") + own + variety[number % VARIETY])
        categories = [{"id": i + 1, "name": f"class {i + 1}"} for i in range(about.classes)]
        file.write(f'], "categories": {json.dumps(categories)}}}')
    return folder / "train.json"


def annotation(random: Any, about: Statistics) -> dict[str, Any]:
    radius = float(np.exp(random.normal(3.4, 0.9)).clip(3, 220))
    x, y = random.uniform(radius / 2, SIZE[1] - radius / 2), random.uniform(radius / 2, SIZE[0] - radius / 2)
    shapes = [outline(random, about.points, x, y, radius) for _ in range(1 + (random.random() < about.second))]
    points = np.concatenate(shapes).reshape(-1, 2)
    (left, top), (right, below) = points.min(0).tolist(), points.max(0).tolist()
    return {
        "iscrowd": 0, "area": round(radius * radius, 2),
        "bbox": [left, top, round(right - left + 0.01, 2), round(below - top + 0.01, 2)],
        "segmentation": [shape.tolist() for shape in shapes],
    }  # fmt: skip


def outline(random: Any, points: float, x: float, y: float, radius: float) -> Any:
    count = max(4, int(random.exponential(points - 6)) + 6)
    angle = np.sort(random.random(count)) * 2 * np.pi
    reach = radius * random.uniform(0.6, 1, count)
    across, down = (x + np.cos(angle) * reach).clip(0, SIZE[1] - 1), (y + np.sin(angle) * reach).clip(0, SIZE[0] - 1)
    return np.stack([across, down], 1).round(2).ravel()


def ours(file: Path) -> tuple[Any, Callable[[Any], int]]:
    data = load(root=str(file.parent), annotations=file.name, images="train")

    def read(data: Any) -> int:
        columns, count = data.columns, 0
        for i in range(len(data)):
            rows = range(columns.first[i], columns.first[i + 1])
            boxes, labels = columns.boxes[rows.start : rows.stop].copy(), columns.labels[rows.start : rows.stop].copy()
            count += len([columns.masks(row) for row in rows]) if len(boxes) == len(labels) else 0
        return count

    return data, read


def pycocotools(file: Path) -> tuple[Any, Callable[[Any], int]]:
    with redirect_stdout(io.StringIO()):
        data = COCO(str(file))

    def read(data: Any) -> int:
        return sum(len(one["segmentation"]) > 0 for i in data.getImgIds() for one in data.loadAnns(data.getAnnIds(i)))

    return data, read


def serialised(file: Path) -> tuple[Any, Callable[[Any], int]]:
    """As detectron2 keeps a dataset: one array of pickles and where each ends."""
    with redirect_stdout(io.StringIO()):
        api = COCO(str(file))
    lists = [{**api.imgs[i], "annotations": api.imgToAnns[i]} for i in sorted(api.imgs)]
    pickles = [np.frombuffer(pickle.dumps(one, protocol=-1), np.uint8) for one in lists]
    ends = np.cumsum([len(one) for one in pickles])
    data = (np.concatenate(pickles), ends)

    def read(data: Any) -> int:
        flat, ends = data
        spans = zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)
        return sum(len(pickle.loads(memoryview(flat)[start:end])["annotations"]) for start, end in spans)

    return data, read


METHODS = {"lineage": ours, "pycocotools COCO()": pycocotools, "serialised list": serialised}


def private() -> float:
    """MB that only this process holds and that are no pages of a file."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty")) / 1024


def measure(method: str, file: Path) -> Figure:
    """In this process, which must be fresh."""
    gc.collect()
    before, start = private(), time.perf_counter()
    data, read = METHODS[method](file)
    seconds = time.perf_counter() - start
    gc.collect()
    held = private() - before
    told, tell = os.pipe()
    if not (child := os.fork()):
        begun = private()
        count = read(data)
        os.write(tell, json.dumps([count, private() - begun]).encode())
        os._exit(0)
    count, worker = json.loads(os.read(told, 1000))
    os.waitpid(child, 0)
    return Figure(seconds, max(held, 0.1), max(worker, 0.1), count)


def fresh(method: str, file: Path, cache: Path) -> Figure:
    command = [sys.executable, __file__, "--measure", method, str(file)]
    environment = {**os.environ, "LINEAGE_CACHE": str(cache)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return Figure(*json.loads(done.stdout.splitlines()[-1]))


def rows(name: str, about: Statistics, folder: Path) -> list[list[str]]:
    file = invent(about, folder)
    time.sleep(3)  # a file that changed a moment ago is not trusted by its time
    first = fresh("lineage", file, folder / "cache")
    several = [fresh("lineage", file, folder / "cache") for _ in range(REPEATS)]
    mine = Figure(*(statistics.median(values) for values in zip(*several, strict=True)))
    found = {"lineage": mine, **{one: fresh(one, file, folder / "cache") for one in METHODS if one != "lineage"}}
    assert {one.objects for one in found.values()} == {about.objects}
    told = []
    for method, one in found.items():
        own = method == "lineage"
        against = "" if own else f"**{one.seconds / mine.seconds:,.0f} x**"
        held = "" if own else f"**{one.private / mine.private:,.0f} x**"
        forked = "" if own else f"**{one.worker / mine.worker:,.1f} x**"
        figures = [f"{one.seconds * 1000:,.1f} ms", against, f"{one.private:,.1f} MB", held, f"{one.worker:,.1f} MB"]
        told.append([name, method, *figures, forked, f"{first.seconds:,.0f} s" if own else ""])
    megabytes = file.stat().st_size / 1e6
    index = sum(one.stat().st_size for one in (folder / "cache").rglob("*.index")) / 1e6
    sizes = f"JSON {megabytes:,.0f} MB, index {index:,.0f} MB"
    told[0][0] += f" ({about.images:,} images, {about.objects:,} objects, {sizes})"
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", nargs=2, metavar=("METHOD", "FILE"))
    parser.add_argument("--share", type=float, default=1.0, help="of the full number of images and objects")
    chosen = parser.parse_args()
    if chosen.measure:
        print(json.dumps(measure(chosen.measure[0], Path(chosen.measure[1]))))
        return
    table = []
    for name, about in DATASETS.items():
        about = about._replace(images=int(about.images * chosen.share), objects=int(about.objects * chosen.share))
        with tempfile.TemporaryDirectory() as folder:
            table += rows(name, about, Path(folder))
    head = ["annotations", "", "open", "of ours", "private memory", "of ours", "forked worker", "of ours"]
    head.append("made once in")
    lines = ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *table]]
    text = f"{__doc__.strip()}\n\n" + "\n".join(lines) + f"\n\nOurs is the median of {REPEATS} processes.\n"
    print(text)
    if chosen.share == 1:
        (ROOT / "benchmarks/results/dataset_open.md").write_text(text)


if __name__ == "__main__":
    main()
