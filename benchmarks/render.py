"""How long a table of 10,000 entries takes to render, with and without the index of the store.

    python benchmarks/render.py      writes benchmarks/results/render.md
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.tables import made  # noqa: E402

from lineage.tables import index, read, store  # noqa: E402
from lineage.tables.entry import dump  # noqa: E402

ENTRIES, NAME = 10_000, "mask_rcnn/table2c"
CONFIG = {f"group_{i}": {f"key_{j}": [i, j, "a value"] for j in range(20)} for i in range(20)}  # 15 kB


def main() -> None:
    rows = list(read.load(ROOT / "experiments", NAME).rows)
    with tempfile.TemporaryDirectory() as folder:
        for i in range(ENTRIES):
            entry = made.entry(rows[i % len(rows)], 27 + i % 7 / 10, i, table=NAME)
            path = Path(folder, store.place(entry), f"{entry.id}.json")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dump(replace(entry, config=CONFIG)))
        first, again = (_seconds(folder) for _ in range(2))
        size = (Path(folder, NAME) / index.NAME).stat().st_size / 1e6
    head = "| store | seconds |\n| --- | ---: |\n"
    text = (
        "# Rendering a table of 10,000 entries\n\n`lineage table NAME`, from start to exit, one process.\n\n"
        f"{head}| no index yet | {first:.2f} |\n| index of {size:.0f} MB | {again:.2f} |\n"
    )
    (ROOT / "benchmarks" / "results" / "render.md").write_text(text)
    print(text)


def _seconds(folder: str) -> float:
    started = time.perf_counter()
    command = [sys.executable, "-m", "lineage.cli", "table", NAME, "--results", folder]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
