"""The `lineage` command on a store made by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lineage.cli import main
from lineage.results import store
from tests.tables import made


@pytest.fixture
def results(tmp_path: Path) -> Path:
    name = "mask_rcnn/table2c"
    for seed, value in enumerate((27.0, 26.9, 26.8)):
        digest = made.find_digest(name, "roi_pool")
        choices = {"roi": "pool", "model": "mask_rcnn_c4"}
        store.write(made.entry("roi_pool", value, seed, table=name, choices=choices, cell_digest=digest), tmp_path)
    changed = {"choices": {"roi": "align"}, "diff": "+x\n", "dirty": True}
    digest = made.find_digest(name, "roi_align")
    store.write(made.entry("roi_align", 30.2, 3, table=name, cell_digest=digest, **changed), tmp_path)
    store.write(made.entry(None, 12.0, 2, tier="mini"), tmp_path)
    return tmp_path


def lineage(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    code = main.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out + captured.err


def test_it_starts_without_anything_heavy() -> None:
    """Once the rows that have runs are composed; `lineage run` has done so."""
    heavy = "{'torch', 'hydra', 'rich', 'numpy'}"
    code = f"import sys; from lineage.cli.main import main; main(['table']); print(*{heavy} & set(sys.modules))"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""


def test_table(capsys: pytest.CaptureFixture[str], results: Path) -> None:
    code, text = lineage(capsys, "table", "mask_rcnn/table2c", "--results", results)
    assert code == 0
    (row,) = [line.split() for line in text.splitlines() if line.startswith("RoIPool max") and "reproduced" in line]
    assert {"26.9", "0.10", "3", "+0.0", "reproduced"} <= set(row)
    csv = lineage(capsys, "table", "mask_rcnn/table2c", "--as", "csv", "--results", results)[1]
    assert csv.splitlines()[0].startswith("table,")
    assert "RoIPool max" in lineage(capsys, "table", "--all", "--as", "markdown", "--results", results)[1]


def test_overview(capsys: pytest.CaptureFixture[str], results: Path) -> None:
    text = lineage(capsys, "table", "--results", results)[1]
    assert "1 reproduced" in text
    assert "mask_rcnn     12.0  finished  mini" in text


def test_a_damaged_file_is_named_and_the_table_still_printed(capsys: pytest.CaptureFixture[str], results: Path) -> None:
    damaged = results / "mask_rcnn/table2c/roi_pool/x.json"
    damaged.write_text("{")
    code, text = lineage(capsys, "table", "mask_rcnn/table2c", "--results", results)
    assert code == 0
    assert f"left out: {damaged}: not JSON" in text
    assert lineage(capsys, "store", "verify", "--results", results)[0] == 1


def test_compare(capsys: pytest.CaptureFixture[str], results: Path) -> None:
    first, *_, last = (entry for entry in store.contents(results).entries if entry.row)
    a, b = first.id[-6:], last.id[-6:]
    text = lineage(capsys, "compare", a, b, "--results", results)[1]
    assert "roi: pool -> align" in text
    assert "+3.20" in text


def test_show(capsys: pytest.CaptureFixture[str], results: Path) -> None:
    (name,) = (entry.id for entry in store.contents(results).entries if entry.row == "roi_align")
    text = lineage(capsys, "show", name, "--results", results)[1]
    assert f"lineage show {name} --diff" in text
    assert lineage(capsys, "show", name, "--diff", "--results", results)[1] == "+x\n"
    assert '"_target_"' in lineage(capsys, "show", name, "--config", "--results", results)[1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("tabel",), "Did you mean table?"),
        (("table", "mask_rcnn/table2cc"), "Did you mean mask_rcnn/table2c"),
        (("show", "zzz"), "no entry named 'zzz'"),
    ],
)
def test_mistakes_get_one_message(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str) -> None:
    code, text = lineage(capsys, *arguments)
    assert code != 0
    assert says in text


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert all(name in lineage(capsys, "--help")[1] for name in main.COMMANDS)
    assert sys.modules.get("lineage.cli.main") is main
