"""The page of all messages, from made-up verdicts: what is settled, what ran, what did not, and why."""

from __future__ import annotations

from dataclasses import replace

from lineage.tables import verdicts
from lineage.tables.paper.document import Heading, Lines
from lineage.tables.paper.messages import HEAD, Message, render_readme_table, write_messages
from lineage.tables.paper.render import render_markdown
from lineage.tables.paper.status import ClaimStatus, find_status
from lineage.tables.samples import Setting
from lineage.tables.statistics.seed_noise import SeedSample
from lineage.tables.verdicts import Verdict
from tests.tables import made

MINI, PAPER = Setting("mini", (), "e"), Setting("paper", (), "e")
SAMPLE = SeedSample((1.0, 2.0, 3.0), (0, 1, 2))


def make_claim(word: str, difference: float | None = 2.0, margin: float = 0.5, setting: Setting = MINI) -> ClaimStatus:
    verdict = Verdict(word, setting, SAMPLE, SAMPLE, difference, margin, p=0.0123)
    table = made.table()
    return find_status(table, table.effects[0], [verdict])


def test_a_line_has_the_effect_published_and_ours_with_its_uncertainty() -> None:
    line = Message(make_claim("same sign at mini"), "mini", 12.4).format_line()
    assert dict(zip(HEAD, line, strict=True)) == {
        "paper": "A Paper, Table 1", "claim": "new has a higher AP than old by 3", "published": "+3",
        "ours": "+2.0 ± 0.5", "seeds": "3, 3", "p": ".012", "verdict": "same sign", "minutes": "12",
        "command": "`lineage run paper/table new old --tier mini`",
    }  # fmt: skip


def test_nothing_is_said_of_what_did_not_run_at_the_tier() -> None:
    for claim in (make_claim("same sign", setting=PAPER), make_claim(verdicts.MISSING, None, setting=PAPER)):
        message = Message(claim, "mini")
        line = dict(zip(HEAD, message.format_line(), strict=True))
        assert (line["ours"], line["seeds"], line["p"], line["verdict"]) == ("-", "-", "-", "has not run")
        assert not message.is_settled


def test_rows_that_ran_in_two_settings_are_not_called_missing() -> None:
    verdict = Verdict(verdicts.OFF_PROTOCOL, reason="the two rows never ran in the same setting")
    claim = find_status(made.table(), made.table().effects[0], [verdict])
    assert Message(claim, "mini").format_line()[HEAD.index("verdict")] == verdict.reason


def test_an_order_without_a_size_has_the_difference_of_the_published_numbers() -> None:
    table = made.table("order", None)
    claim = find_status(table, table.effects[0], [])
    assert Message(claim, "mini").format_line()[HEAD.index("published")] == "+3.0"


def test_the_page_counts_shown_contradicted_undecided_and_impossible_messages() -> None:
    claims = ["same sign at mini", "opposite sign at mini", verdicts.UNDERPOWERED, verdicts.NOT_LEARNED]
    messages = [Message(make_claim(word), "mini", 30.0) for word in claims]
    messages[0] = replace(messages[0], claim=make_claim("same sign at mini", 9.0))
    messages.append(Message(make_claim(verdicts.MISSING, None, setting=PAPER), "mini", None, "one experiment"))
    page = write_messages(messages, "`results/`", 2.0)
    titles = [part.text for part in page if isinstance(part, Heading)]
    assert [title.rpartition(" ")[2] for title in titles[1:]] == ["(2)", "(2)", "(0)", "(1)"]
    text = render_markdown(page)
    assert "Of 5 relations" in text
    assert "1 is shown at tier mini and 1 contradicted" in text
    assert "all finished runs of this tier took 2.0 hours" in text
    first = next(part for part in page if isinstance(part, Lines))
    assert [row[HEAD.index("ours")] for row in first.body] == ["+9.0 ± 0.5", "+2.0 ± 0.5"]
    assert "one experiment" in text


def test_readme_has_the_strongest_messages_or_says_that_there_are_none() -> None:
    lines = render_readme_table([Message(make_claim("same sign at mini", float(i)), "mini") for i in range(1, 14)])
    assert len(lines.splitlines()) == 2 + 10
    assert "+13.0" in lines.splitlines()[2]
    own = make_claim("same sign at mini", 99.0)
    own = replace(own, table=replace(own.table, source=""))
    assert "+99.0" not in render_readme_table([Message(own, "mini"), Message(make_claim("same sign at mini"), "mini")])
    assert render_readme_table([]) == "No message has been settled by the runs of this store."


def test_a_paper_is_named_without_its_authors_alone() -> None:
    papers = {
        "Accurate, Large Minibatch SGD, Goyal et al. 2017": "Accurate, Large Minibatch SGD",
        "Cascade R-CNN, Cai and Vasconcelos 2018": "Cascade R-CNN",
        "Calibration of detections": "Calibration of detections",
    }
    for paper, short in papers.items():
        claim = make_claim("same sign at mini")
        line = Message(replace(claim, table=replace(claim.table, paper=paper)), "mini").format_line()
        assert line[0] == f"{short}, Table 1"


def test_a_message_that_no_run_can_settle_has_neither_minutes_nor_a_command() -> None:
    claim = make_claim(verdicts.MISSING, None, setting=PAPER)
    assert Message(claim, "mini", 0.0, "one experiment").format_line()[-3:] == ["one experiment", "-", "-"]
