"""The page of a paper: each claim with its answer, in all formats, and the lines of README."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lineage.cli.main import main
from lineage.cli.tables.paper import BEGIN, END, render_readme_lines
from lineage.launch.current_rows import make_finder
from lineage.launch.deviations import read_deviations
from lineage.tables import verdicts
from lineage.tables.format.load import TableLoader
from lineage.tables.paper.document import Bullets, Heading, Item, Lines, Paragraph, write_document
from lineage.tables.paper.page import PaperPage, TablePage, build_page, build_table, list_papers
from lineage.tables.paper.render import render_html, render_markdown, render_terminal
from lineage.tables.paper.status import ClaimStatus, Status, find_status
from lineage.tables.samples import Setting
from lineage.tables.verdicts import Verdict
from tests.tables import made
from tests.tracked import list_tracked_tables

ROOT = Path(__file__).parents[2]
EXPERIMENTS = ROOT / "experiments"
LOADER = TableLoader(EXPERIMENTS, ROOT / "results", make_finder(ROOT, EXPERIMENTS))
PAPER, MINI = Setting("paper", (), "e"), Setting("mini", (), "e")
CHANGED = Setting("mini", ("roi=pool",), "e")


@pytest.mark.parametrize(
    ("judged", "status"),
    [
        ([Verdict(verdicts.REPRODUCED, PAPER)], Status.SHOWN_AT_PAPER),
        ([Verdict("same sign at mini", MINI)], Status.SHOWN_SMALL),
        ([Verdict("no difference seen at mini", MINI)], Status.SHOWN_SMALL),
        ([Verdict("opposite sign at mini", MINI)], Status.CONTRADICTED),
        ([Verdict("same sign at mini", MINI), Verdict(verdicts.CONTRADICTED, PAPER)], Status.CONTRADICTED),
        ([Verdict("opposite sign at mini", MINI), Verdict(verdicts.REPRODUCED, PAPER)], Status.SHOWN_AT_PAPER),
        ([Verdict("same sign at mini", CHANGED)], Status.OPEN),
        ([Verdict(verdicts.UNDERPOWERED, MINI)], Status.OPEN),
        ([Verdict(verdicts.NOT_LEARNED, MINI)], Status.OPEN),
        ([Verdict(verdicts.MISSING)], Status.OPEN),
    ],
)
def test_the_answer_to_a_claim(judged: list[Verdict], status: Status) -> None:
    table = made.table()
    assert find_status(table, table.effects[0], judged).status == status


def claim(
    word: str = "same sign at mini", difference: float = 2.0, margin: float = 0.5, kind: str = "gain"
) -> ClaimStatus:
    table = made.table(kind)
    return find_status(table, table.effects[0], [Verdict(word, MINI, difference=difference, margin=margin)])


def test_a_claim_is_a_sentence() -> None:
    assert claim().sentence == "new has a higher AP than old by 3"
    assert claim(kind="equal").sentence == "new and old have the same AP"
    lower = replace(made.table(), lower=frozenset({"mask/AP"}))
    assert find_status(lower, lower.effects[0], []).sentence == "new has a lower AP than old by 3"
    size = "the sign is shown, the size of 3 is not judged below tier paper"
    assert claim().answer == f"same sign at tier mini: +2.00 ± 0.50; {size}"
    order = made.table("order", None)
    shown = find_status(order, order.effects[0], [Verdict("same sign at mini", MINI, difference=2.0, margin=0.5)])
    assert shown.answer == "same sign at tier mini: +2.00 ± 0.50"
    assert claim("no difference seen at mini", kind="equal").answer == "no difference seen at tier mini: +2.00 ± 0.50"
    assert claim().source == f"{made.table().label}, mask/AP"
    assert find_status(lower, lower.effects[0], [Verdict(verdicts.MISSING)]).answer == "it has not run"


def page(*claims: ClaimStatus, deviations: tuple[str, ...] = ()) -> PaperPage:
    tables = [TablePage(made.table(), claims, {"missing": 2}, 0)]
    return PaperPage("paper", "A <b>Paper</b> | 2017", "1703.06870", tables, [""] * len(claims), deviations)


def test_lessons_are_ordered_by_effect_over_uncertainty() -> None:
    weak, strong, opened = (
        claim(difference=1.0),
        claim(difference=-4.0, word="opposite sign at mini"),
        claim("underpowered"),
    )
    assert page(weak, opened, strong).list_lessons() == [strong, weak]


def test_every_format_has_every_sentence_and_escapes_it() -> None:
    document = write_document(page(claim(), deviations=("rpn: <script>alert(1)</script>",)))
    assert next(element.text for element in document if isinstance(element, Heading)) == "A <b>Paper</b> | 2017"
    assert {type(element) for element in document} == {Heading, Paragraph, Bullets, Lines}
    for render in (render_terminal, render_markdown, render_html):
        text = " ".join(render(document).split())
        assert "new has a higher AP than old by 3" in text
        assert "Its 2 published numbers, which only tier paper can confirm: 2 missing." in text
    html = render_html(document)
    assert "<script>alert(1)" not in html
    assert "&lt;b&gt;Paper" in html
    assert "http" not in html.replace("arXiv", "")
    assert "<b>Paper" not in render_markdown(document)
    assert_balanced(html)


def assert_balanced(html: str) -> None:
    class Parser(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.opened: list[str] = []

        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in ("meta", "input", "option"):
                self.opened.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.opened.pop() == tag

    parser = Parser()
    parser.feed(html)


def test_shipped_runs_answer_claims_of_mask_rcnn(capsys: pytest.CaptureFixture[str]) -> None:
    built = build_page(LOADER, "mask_rcnn")
    table = next(one for one in built.tables if one.table.name == "mask_rcnn/table2c")
    assert table.runs >= 15
    assert {one.sentence: one.status for one in table.claims}[
        "RoIAlign ave has a higher AP than RoIPool max by 3.4"
    ] == Status.SHOWN_SMALL
    assert main(["paper", "mask_rcn"]) == 1
    assert "Did you mean mask_rcnn" in capsys.readouterr().err


def test_numbers_of_rows_that_cannot_run_are_not_called_missing(tmp_path: Path) -> None:
    loader = TableLoader(EXPERIMENTS, tmp_path, make_finder(ROOT, EXPERIMENTS))  # as if none of its rows had run
    table = build_table(loader, "dcn/mmdetection")
    assert table.numbers == {verdicts.MISSING: 3, "unsupported": 3}


def test_papers_are_ordered_by_year() -> None:
    papers = list_papers(EXPERIMENTS)
    order = [papers.index(name) for name in ("rcnn", "fast_rcnn", "fpn", "cascade_rcnn")]
    assert order == sorted(order)


def test_readme_has_a_line_per_paper() -> None:
    """If this fails after new runs or tables: `lineage paper --readme` writes the lines."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    written = text.partition(BEGIN)[2].partition(END)[0].strip()
    papers = {name.partition("/")[0] for name in list_tracked_tables()}
    assert written == render_readme_lines(LOADER, [paper for paper in list_papers(EXPERIMENTS) if paper in papers])


def test_deviations_are_read_with_the_lines_that_continue_them(tmp_path: Path) -> None:
    path = tmp_path / "rpn.py"
    path.write_text("# deviates: one thing, because\n# of that\ny = 2  # deviates: another one\n# not of it\n")
    assert read_deviations(path) == ["rpn: one thing, because of that", "rpn: another one"]


def test_an_item_without_an_answer_has_no_badge() -> None:
    assert "badge" not in render_html([Bullets([Item("a sentence")])]).partition("<main>")[2]
