"""First opening of a dataset: CPU seconds to read, check and index 300,000 objects, against pycocotools and hotcoco.

Synthetic annotations with the statistics of COCO train2017, polygons included. Every figure is the median of five fresh
processes, after their imports; all methods take turns, and other work shares the machine.

- first opening: an empty cache. The file is parsed, every record is checked, names and sizes of 5000 image files are
  compared, masks are packed, the index is written. pycocotools parses and groups, hotcoco parses; neither checks.
- later opening: from the index.
- first scorer: what evaluation reads, handed to the engine; the file is parsed again, what is scored of it is stored.
- later scorer: at every other start, read by the engine from what is stored.

Writes benchmarks/results/dataset_first_opening.md. Run: python benchmarks/dataset_first_opening.py   (4 minutes)
"""

from __future__ import annotations

import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import hotcoco
from dataset_open import DATASETS, invent
from pycocotools.coco import COCO

from lineage.data.annotations.indexed_dataset import IndexedDataset
from lineage.data.formats.coco import load
from lineage.eval.evaluator import make_evaluator
from lineage.eval.protocols.coco import CocoScorer

RESULTS = Path(__file__).parent / "results/dataset_first_opening.md"
IMAGES, OBJECTS = 41_000, 300_000
REPEATS = 5


def open_dataset(file: Path) -> IndexedDataset:
    return load(root=str(file.parent), annotations=file.name, images="train")


def time_opening(file: Path) -> float:
    return time_cpu(lambda: open_dataset(file))


def time_scorer(file: Path) -> float:
    dataset = open_dataset(file)
    return time_cpu(lambda: make_evaluator(CocoScorer, dataset))


def time_pycocotools(file: Path) -> float:
    with redirect_stdout(io.StringIO()):
        return time_cpu(lambda: COCO(str(file)))


def time_hotcoco(file: Path) -> float:
    return time_cpu(lambda: hotcoco.COCO(str(file)))


def time_cpu(work: Callable[[], object]) -> float:
    start = time.process_time()
    result = work()
    seconds = time.process_time() - start
    del result
    return seconds


METHODS: dict[str, Callable[[Path], float]] = {
    "lineage, first opening": time_opening,
    "lineage, later opening": time_opening,
    "lineage, first scorer": time_scorer,
    "lineage, later scorer": time_scorer,
    "pycocotools COCO()": time_pycocotools,
    "hotcoco COCO()": time_hotcoco,
}


def measure(method: str, file: Path, cache: Path, repeat: int) -> float:
    """Return the seconds of a fresh process; each first time has a cache of its own."""
    folder = cache / f"{method} {repeat}" if "first" in method else cache / "0"
    command = [sys.executable, __file__, method, str(file)]
    environment = {**os.environ, "LINEAGE_CACHE": str(folder)}
    process = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return float(process.stdout)


def main() -> None:
    if len(sys.argv) == 3:
        print(METHODS[sys.argv[1]](Path(sys.argv[2])))
        return
    with tempfile.TemporaryDirectory() as folder:
        file = invent(DATASETS["COCO train2017"]._replace(images=IMAGES, objects=OBJECTS), Path(folder))
        time.sleep(3)  # a file that changed a moment ago is not trusted by its time
        rounds = [
            {method: measure(method, file, Path(folder, "cache"), repeat) for method in METHODS}
            for repeat in range(REPEATS)
        ]
        seconds = {method: statistics.median(one[method] for one in rounds) for method in METHODS}
        title = f"{IMAGES:,} images, {OBJECTS:,} objects, JSON {file.stat().st_size / 1e6:,.0f} MB"
    reference = seconds["pycocotools COCO()"]
    lines = [f"| {title} | CPU s | of pycocotools |", "|---|---|---|"]
    lines += [f"| {method} | {value:.3g} | {value / reference:.2g} |" for method, value in seconds.items()]
    text = f"{__doc__.strip()}\n\n" + "\n".join(lines) + "\n"
    print(text)
    RESULTS.write_text(text)


if __name__ == "__main__":
    main()
