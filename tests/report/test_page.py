"""The page holds everything, asks the network for nothing, and takes whatever a run left behind."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lineage.cli.report import main
from lineage.report.page import write_report

VOID = {"meta", "img", "br", "line", "circle", "polyline", "i"}


class Balanced(HTMLParser):
    """Fails on a tag that is closed in the wrong place."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def an_entry(**changes: Any) -> dict[str, Any]:
    return {
        "id": "20261123T040305Z-a3d31b8b-9f02c1", "table": "mask_rcnn/table2c", "row": "roi_align", "tier": "paper",
        "status": "finished", "error": None, "metrics": {"box/AP": 37.94, "mask/AP": 34.25, "mask/APl": None},
        "deviations": [], "seed": 3, "choices": {"model": "mask_rcnn", "roi": "align"}, "started": "2026-11-23",
        "seconds": 143.2, "steps": 1200, "processes": 1, "images_per_second": 9.8, "peak_memory": 2**30,
        "parameters": 44_000_000, "command": ["train.py", "model=mask_rcnn", "cell.note=<b>two words</b>"],
        "commit": "a176bf4deadbeef", "dirty": True, "packages": {"torch": "2.11"}, "hardware": {"device": "CPU"},
        "config": {"schedule": {"steps": 1200, "milestones": [900]}}, "diff": "+1", "note": "",
    } | changes  # fmt: skip


CURVES = [
    {"step": str(step), "loss": str(9 / step), "roi_cls": str(5 / step), "lr": "0.02", "mask/AP": ""}
    for step in range(1, 2000)
] + [{"step": str(step), "mask/AP": str(step / 100), "loss": ""} for step in (1000, 2000)]


def written(folder: Path, entry: dict[str, Any], **given: Any) -> str:
    options: dict[str, Any] = {"curves": CURVES, "pictures": [], "per_class": {}} | given
    text = write_report(folder, entry, **options).read_text()
    parser = Balanced()
    parser.feed(text)
    assert not parser.open
    return text


def test_one_file_that_needs_no_network(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), (200, 10, 10)).save(tmp_path / "predictions.png")
    text = written(tmp_path, an_entry(), pictures=[tmp_path / "predictions.png"])
    assert "data:image/jpeg;base64," in text
    assert not re.search(r"https?://|<script|<link|url\(|@import", text)


def test_numbers_paper_commands_and_config_are_there(tmp_path: Path) -> None:
    text = written(tmp_path, an_entry(), published={"mask/AP": 33.6})
    assert "<b>34.2</b><span>mask/AP · paper 33.6</span>" in text
    assert "lineage rerun 9f02c1" in text
    assert "schedule.steps=1200" in text
    assert "2 min 23 s" in text
    assert "with local changes" in text


def test_a_small_run_is_not_held_against_the_paper(tmp_path: Path) -> None:
    text = written(tmp_path, an_entry(tier="mini", deviations=["seed=1"]), published={"mask/AP": 33.6})
    assert "· paper 33.6" not in text
    assert "paper, at full size" in text
    assert "Deviations from the row: 1" in text


def test_what_people_typed_is_escaped(tmp_path: Path) -> None:
    text = written(tmp_path, an_entry(error="<img src=x>"), per_class={"<script>": {"mask/AP": 1.0}})
    assert "<img src=x>" not in text
    assert "<script" not in text
    assert "<b>two words" not in text


def test_curves_become_short_lines(tmp_path: Path) -> None:
    text = written(tmp_path, an_entry())
    assert len(re.findall(r"<svg", text)) == 3, "losses, AP, learning rate"
    longest = max(re.findall(r'points="([^"]*)"', text), key=len)
    assert 100 < len(longest.split()) <= 300


def test_classes_are_ranked_and_undefined_ones_last(tmp_path: Path) -> None:
    values = {"rare": {"mask/AP": math.nan}, "weak": {"mask/AP": 3.0}, "strong": {"mask/AP": 60.0}}
    text = written(tmp_path, an_entry(), per_class=values)
    assert text.index("strong") < text.index("weak") < text.index("rare")


@pytest.mark.parametrize("curves", [[], [{"step": "5", "loss": "nan", "lr": "0.1"}], [{"step": "5", "loss": "1"}]])
def test_a_run_that_failed_early_has_a_page_too(curves: list[dict[str, str]], tmp_path: Path) -> None:
    entry = an_entry(status="failed", error="NotFinite: loss", metrics={}, hardware={}, peak_memory=None, commit=None)
    text = written(tmp_path, entry, curves=curves)
    assert "NotFinite: loss" in text
    assert "before its first evaluation" in text


def test_the_command_reads_a_run_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "entry.json").write_text(json.dumps(an_entry()))
    (tmp_path / "metrics.csv").write_text("step,loss\n1,2.0\n2,1.0\n")
    (tmp_path / "per_class.json").write_text('{"disc": {"mask/AP": NaN}}')
    experiments = Path(__file__).parents[2] / "experiments"
    assert main([str(tmp_path), "--experiments", str(experiments)]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "report.html")
    assert "disc" in (tmp_path / "report.html").read_text()


def test_a_folder_that_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 1
    assert "no entry.json" in capsys.readouterr().err
