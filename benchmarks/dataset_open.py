"""Opening a dataset: seconds, and the memory that each process pays, against pycocotools and a serialised list.

Synthetic annotations with the statistics of COCO train2017 and LVIS v1 train, polygons included. Every figure comes
from a fresh process, after its imports. `serialised list` is what detectron2 does at every start: parse the file and
pickle the records of each image into one array. Ours is opened from its index; making that, once per file, is the last
column. Memory is Private_Dirty of /proc/self/smaps_rollup: pages that no other process shares and no file holds.

- one process: what the process that opened the dataset holds more than before, after the heap gave back what it could.
  A rank pays it, and so does a worker that is spawned, for it opens the dataset itself.
- forked worker: what a worker forked from that process holds of its own once it has read every record, beyond a control
  that was forked alike and read the same few images over and over, as many times. Any forked Python process that runs
  for a while makes about a megabyte its own, of pages that hold reference counts and gaps of the heap; that is not the
  dataset's. Two arrays differ little here: an array that is read stays shared.
- 8 ranks, 4 workers each: both of these summed up over the processes, and of ours the whole index file once, though it
  is page cache that all share and the system may drop.

Less than 0.1 MB cannot be told and counts as 0.1.
Writes benchmarks/results/dataset_open.md. Run: python benchmarks/dataset_open.py   (some minutes, 9 GB of memory)
"""

from __future__ import annotations

import argparse
import ctypes
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
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from pycocotools.coco import COCO

from lineage.data.formats.coco import load

ROOT = Path(__file__).parents[1]
SIZE = (480, 640)
REPEATS = 5
VARIETY = 20_000
FEW = 1000  # images that the control reads over and over
LEAST = 0.1  # MB
RANKS, WORKERS = 8, 4


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
    worker: float  # MB, of a forked worker that read all of it, beyond its control
    control: float  # MB, of that one
    objects: int

    def forked(self) -> float:
        return RANKS * (self.private + WORKERS * self.worker)

    def spawned(self) -> float:
        return RANKS * (1 + WORKERS) * self.private


Read = Callable[[Iterable[int]], int]  # the images at these positions; how many objects they have


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


def ours(file: Path) -> tuple[int, Read]:
    data = load(root=str(file.parent), annotations=file.name, images="train")
    columns = data.columns

    def read(positions: Iterable[int]) -> int:
        count = 0
        for i in positions:
            rows = columns.rows(i)
            boxes, labels = columns.boxes[rows.start : rows.stop].copy(), columns.labels[rows.start : rows.stop].copy()
            count += len([columns.masks(row) for row in rows]) if len(boxes) == len(labels) else 0
        return count

    return len(data), read


def pycocotools(file: Path) -> tuple[int, Read]:
    with redirect_stdout(io.StringIO()):
        data = COCO(str(file))
    ids = sorted(data.imgs)

    def read(positions: Iterable[int]) -> int:
        found = (data.loadAnns(data.getAnnIds(ids[i])) for i in positions)
        return sum(len(one["segmentation"]) > 0 for annotations in found for one in annotations)

    return len(ids), read


def serialised(file: Path) -> tuple[int, Read]:
    """As detectron2 keeps a dataset: one array of pickles and where each ends."""
    with redirect_stdout(io.StringIO()):
        api = COCO(str(file))
    lists = [{**api.imgs[i], "annotations": api.imgToAnns[i]} for i in sorted(api.imgs)]
    pickles = [np.frombuffer(pickle.dumps(one, protocol=-1), np.uint8) for one in lists]
    ends = np.cumsum([len(one) for one in pickles])
    flat = np.concatenate(pickles)

    def read(positions: Iterable[int]) -> int:
        count = 0
        for i in positions:
            start, end = 0 if i == 0 else ends[i - 1].item(), ends[i].item()
            count += len(pickle.loads(memoryview(flat[start:end]))["annotations"])
        return count

    return len(ends), read


METHODS = {"lineage": ours, "pycocotools COCO()": pycocotools, "serialised list": serialised}


def private() -> float:
    """MB that only this process holds and that are no pages of a file."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty")) * 1024 / 1e6


def measure(method: str, file: Path) -> Figure:
    """In this process, which must be fresh."""
    gc.collect()
    before, start = private(), time.perf_counter()
    images, read = METHODS[method](file)
    seconds = time.perf_counter() - start
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    held = private() - before
    _, control = forked(lambda: read(i % FEW for i in range(images)))
    count, worker = forked(lambda: read(iter(range(images))))
    return Figure(seconds, max(held, LEAST), max(worker - control, LEAST), control, count)


def forked(work: Callable[[], int]) -> tuple[int, float]:
    """What a child process found, and the MB that it made its own meanwhile."""
    told, tell = os.pipe()
    if not (child := os.fork()):
        begun = private()
        count = work()
        os.write(tell, json.dumps([count, private() - begun]).encode())
        os._exit(0)
    count, own = json.loads(os.read(told, 1000))
    os.waitpid(child, 0)
    return count, own


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
    index = sum(one.stat().st_size for one in (folder / "cache").rglob("*.index")) / 1e6
    told = [[name, method, *cells(one, mine, index)] for method, one in found.items()]
    told[0][0] += f" ({about.images:,} images, {about.objects:,} objects, "
    told[0][0] += f"JSON {file.stat().st_size / 1e6:,.0f} MB, index {index:,.0f} MB)"
    told[0][-1] = f"{first.seconds:,.0f} s"
    return told


def cells(one: Figure, mine: Figure, index: float) -> list[str]:
    """Each figure, and how many times ours it is. Our index is in memory once for all processes."""
    shared = index if one is mine else 0.0
    open_, private, worker, forked, spawned = (
        f"{value:,.1f} {unit}" + ("" if one is mine else f", **{value / ours:,.0f} x**")
        for value, ours, unit in (
            (1000 * one.seconds, 1000 * mine.seconds, "ms"),
            (one.private, mine.private, "MB"),
            (one.worker, mine.worker, "MB"),
            (one.forked() + shared, mine.forked() + index, "MB"),
            (one.spawned() + shared, mine.spawned() + index, "MB"),
        )
    )
    return [open_, private, worker, f"{one.control:,.1f} MB", forked, spawned, ""]


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
    head = ["annotations", "", "open", "one process", "forked worker", "its control"]
    head += [f"{RANKS} ranks, {WORKERS} {how} workers each" for how in ("forked", "spawned")] + ["made once in"]
    lines = ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *table]]
    text = f"{__doc__.strip()}\n\n" + "\n".join(lines) + f"\n\nOurs is the median of {REPEATS} processes.\n"
    print(text)
    if chosen.share == 1:
        (ROOT / "benchmarks/results/dataset_open.md").write_text(text)


if __name__ == "__main__":
    main()
