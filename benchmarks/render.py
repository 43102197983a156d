"""How long a table of 10,000 and of 100,000 entries takes to render, with and without the index of the store.

python benchmarks/render.py      writes benchmarks/results/render.md
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.tables import made  # noqa: E402

from lineage.launch.current_rows import make_finder  # noqa: E402
from lineage.results import cache, store  # noqa: E402
from lineage.results.entry import dump  # noqa: E402
from lineage.tables import read  # noqa: E402
from lineage.tables.current import RowAtTier  # noqa: E402

SIZES, NAME = (10_000, 100_000), "mask_rcnn/table2c"
TASKS, NAMES = ("box", "mask"), ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
LIKE_A_RUN = {  # as large as what a run writes: 3 kB, and 15 kB of config
    "config": {f"group_{i}": {f"key_{j}": [i, j, "a value"] for j in range(20)} for i in range(20)},
    "choices": {f"group_{i}": "an_option" for i in range(20)},
    "packages": {f"package-{i}": "1.2.3+cu130" for i in range(10)},
    "hardware": {"device": "NVIDIA H100 80GB HBM3", "cpu": "AMD EPYC 9654 96-Core Processor", "cores": 192},
    "dataset": {"train": "a" * 64, "val": "b" * 64},
    **dict.fromkeys(("training_digest", "initial_weights_sha256", "trained_weights_sha256"), "c" * 64),
    **{"steps": 90_000, "step_seconds": 0.4, "image_ms": 62.5, "peak_memory": 7 << 30, "parameters": 44_000_000},
}


def main() -> None:
    """Write the page. Of 100,000 entries no more is written than what a table reads: the config is empty."""
    lines = []
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            _write_store(Path(folder), size)
            first, again = (_seconds(folder) for _ in range(2))
            megabytes = (Path(folder, NAME) / cache.NAME).stat().st_size / 1e6
            lines += [
                (f"{size:,} entries, no index yet", first),
                (f"{size:,} entries, index of {megabytes:.0f} MB", again),
            ]
    lines.append(("empty", _seconds(str(Path(folder, "nothing")))))
    head = "| store | seconds | of these computing |\n| --- | ---: | ---: |\n"
    body = "".join(f"| {name} | {wall:.2f} | {cpu:.2f} |\n" for name, (wall, cpu) in lines)
    text = (
        "# Rendering a table of many entries\n\n`lineage table NAME`, from start to exit, one process: rows from the "
        "cache of composed rows, entries of\nearlier configs left out, claims judged. The second column is without "
        f"what the others on the machine take.\n\n{head}{body}"
    )
    (ROOT / "benchmarks" / "results" / "render.md").write_text(text)
    print(text)


def _write_store(root: Path, size: int) -> None:
    """Write entries of the rows as they are now, a tenth of them of an earlier config."""
    table = read.load_table(ROOT / "experiments", NAME)
    cells = make_finder(ROOT, ROOT / "experiments")(table, [RowAtTier(row, "paper") for row in table.rows])
    rows = list(table.rows)
    for i in range(size):
        row = rows[i % len(rows)]
        metrics = {f"{task}/{name}": 27.123456789 + i % 7 / 10 for task in TASKS for name in NAMES}
        digest = "c" * 64 if i // len(rows) % 10 == 0 else cells[RowAtTier(row, "paper")].cell_digest
        small = {"config": {}} if size > SIZES[0] else {}
        entry = made.entry(row, 0, i, table=NAME, **(LIKE_A_RUN | {"cell_digest": digest, "metrics": metrics} | small))
        path = root / store.place(entry) / f"{entry.id}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dump(entry))


def _seconds(folder: str) -> tuple[float, float]:
    """From start to exit, and what the processor spent on it."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "lineage.cli.main", "table", NAME, "--results", folder]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - started, used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
