"""The overview tells of every table what the table itself tells."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

from lineage.results import store
from lineage.results.entry import Entry
from lineage.tables import read
from lineage.tables.current import CurrentCell
from lineage.tables.format import overview
from lineage.tables.format.load import TableLoader
from lineage.tables.format.view import Block, CellText, TableView, build_view
from lineage.tables.table import Detail, Effect, Row, Table
from tests.tables import made

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
ROWS = ("a", "b", "c", "d")


def table() -> Table:
    """Four rows, of which the last is somebody else's, two metrics and claims of each kind."""
    rows = {name: Row(name, name, {}, {}, {"mask/AP": 27.0 + i, "box/AP": 30.0}) for i, name in enumerate(ROWS)}
    rows["a"] = replace(rows["a"], details={"mask/AP": Detail(sd=0.6, runs=5)})
    rows["d"] = replace(rows["d"], quoted="another system")
    effects = [
        Effect("gain", "b", "a", "mask/AP", 1.0, 0.5),
        Effect("order", "c", "b", "mask/AP", None, 0.5),
        Effect("equal", "a", "c", "box/AP", None, 0.5),
        Effect("equal", "a", "b", "box/AP", None, 0.5),
    ]
    metrics = {"mask/AP": "AP", "box/AP": "box AP"}
    return replace(made.table(), rows=rows, effects=effects, metrics=metrics, baseline="a")


def runs(chance: random.Random) -> list[Entry]:
    """Some of them failed, deviate, were measured on something else or are of another tier."""
    found = []
    for row in ROWS[:3]:
        for seed in range(chance.choice((0, 1, 3, 4))):
            values = {"mask/AP": chance.gauss(28, 0.7), "box/AP": chance.gauss(30, 0.3)}
            found.append(made.entry(
                row, 0.0, seed, metrics=values, tier=chance.choice(("paper", "paper", "mini")),
                status=chance.choice(("finished", "finished", "finished", "failed", "stopped")),
                deviations=chance.choice(([], [], ["schedule=smoke"])), evaluation_digest=chance.choice("eef"),
                cell_digest=chance.choice((row, row, "same")),
            ))  # fmt: skip
    return found


def told(shown: TableView) -> list[tuple[Counter[str], Counter[str]]]:
    """Of each setting the words of the printed claims and of the printed cells."""
    *blocks, claims = shown.blocks
    found = []
    for block in blocks:
        cells = (text for section in block.sections for line in section.body for text in line if text.verdict)
        numbers = Counter(text.text for text in cells if text.text not in ("-", "quoted"))
        said = Counter(line[5].text for line in claims.sections[0].body if judged_in(line, blocks) == block.title)
        found.append((said, numbers))
    return found


def judged_in(line: tuple[CellText, ...], blocks: list[Block]) -> str:
    """The title of the block; a claim without one counts in the first."""
    if line[2].text == "-":
        return blocks[0].title
    beside = [part for part in line[-1].text.split("; ") if part.startswith(("schedule", "(test"))]
    return " ".join(["Tier", line[2].text, *beside])


def test_overview_and_table_agree_on_every_verdict() -> None:
    chance, one = random.Random(0), table()
    seen: Counter[str] = Counter()
    for _ in range(200):
        held = runs(chance)
        listed = [(counted(line[4]), counted(line[5])) for line in overview.build_lines(one, held)]
        assert listed == told(build_view(one, held))
        seen += sum((claims + numbers for claims, numbers in listed), Counter())
    words = {"contradicted", "underpowered", "off protocol", "missing", "failed", "same run", "reproduced"}
    assert words <= set(seen)


def test_an_empty_store_says_what_to_do(tmp_path: Path) -> None:
    text = overview.render_overview(loader(tmp_path / "results"), everything=False)
    assert "has no run of any table" in text
    assert "lineage run TABLE --tier mini --plan" in text


def test_a_table_with_runs_is_one_line(tmp_path: Path) -> None:
    for seed in range(3):
        store.write(made.entry("roi_align", 30.0, seed, table="mask_rcnn/table2c", cell_digest="r"), tmp_path)
    lines = overview.render_overview(loader(tmp_path), everything=False).splitlines()
    assert lines[1].split()[:6] == ["mask_rcnn/table2c", "paper", "1", "of", "5", "3"]
    assert f"Tables without a run: {len(read.list_tables(EXPERIMENTS)) - 1};" in lines[2]


def loader(results: Path) -> TableLoader:
    """Every entry is of the row as it is now."""
    return TableLoader(EXPERIMENTS, results, lambda _, rows: {row: CurrentCell("r", {}) for row in rows})


def counted(text: str) -> Counter[str]:
    pairs = [part.split(" ", 1) for part in text.split(", ")] if text != "-" else []
    return Counter({word: int(n) for n, word in pairs})
