"""The site at the end of a run: what is new is added, and no error of it reaches the run."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from lineage.run.inference.site_source import find_small_tests, link_reports, report_run, update_site
from tests.report.site.stores import EXPERIMENTS, make_entry, open_shapes, read_file_part, write_run_folder, write_store
from tests.report.site.test_site import read_part


@pytest.fixture(autouse=True)
def _switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LINEAGE_SITE", raising=False)


def test_the_detections_of_the_new_run_alone_are_matched(tmp_path: Path) -> None:
    fingerprint, runs = {"val": open_shapes().fingerprint}, tmp_path / "runs"
    entries = [make_entry(number, dataset=fingerprint, folder=str(runs / str(number))) for number in range(2)]
    for number, entry in enumerate(entries):
        write_run_folder(runs / str(number), entry)
    page = update_site(write_store(tmp_path / "results", entries), runs, [entries[1].id])
    assert page == runs / "site" / "index.html"
    old, new = read_part(page.parent, "index")["runs"]
    assert "not matched yet" in old["missing"]
    assert new["analysis"] == ["box", "mask"]
    assert old["curves"] == new["curves"] == 1
    report = read_file_part(report_run(runs / "1", page, EXPERIMENTS, analysed=[]), "index")
    assert report["report"] == {"run": entries[1].id, "site": "../site/index.html"}
    assert report["runs"][0]["analysis"] == ["box", "mask"], "taken over from the site"


def test_reports_that_were_written_before_the_first_site_lead_to_it_at_the_end_of_a_command(tmp_path: Path) -> None:
    """Jobs of `lineage run` leave the site to their runner, so in a new folder their reports had no link."""
    fingerprint, runs = {"val": open_shapes().fingerprint}, tmp_path / "runs"
    entries = [make_entry(number, dataset=fingerprint, folder=str(runs / str(number))) for number in range(3)]
    for number, entry in enumerate(entries[:2]):
        write_run_folder(runs / str(number), entry)
        report = report_run(runs / str(number), None, EXPERIMENTS)
        assert read_file_part(report, "index")["report"]["site"] == ""
    page = update_site(write_store(tmp_path / "results", entries), runs, [entry.id for entry in entries])
    assert page is not None
    link_reports(entries, runs, page)  # the third run has no folder here
    for number in range(2):
        index = read_file_part(runs / str(number) / "report.html", "index")
        assert index["report"]["site"] == "../site/index.html"
        assert index["runs"][0]["analysis"] == ["box", "mask"]
    written = (runs / "0" / "report.html").stat().st_mtime_ns
    link_reports(entries, runs, page)
    assert (runs / "0" / "report.html").stat().st_mtime_ns == written, "it leads there already"


def test_an_error_is_logged_and_not_raised(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "runs").write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        assert update_site(tmp_path / "results", tmp_path / "runs") is None
    assert "the site was not written" in caplog.text


def test_it_can_be_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINEAGE_SITE", "no")
    assert update_site(write_store(tmp_path / "results", [make_entry()]), tmp_path / "runs") is None
    assert not (tmp_path / "runs").exists()


def test_the_runs_of_a_command_are_matched_if_their_detections_are_here_and_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`lineage run` left all detections unmatched until `lineage site`."""
    entries = [make_entry(number, folder=str(tmp_path / str(number))) for number in range(3)]
    for entry in entries[:2]:
        write_run_folder(Path(entry.folder or ""), entry)
    assert find_small_tests(entries, tmp_path) == [entry.id for entry in entries[:2]]
    monkeypatch.setattr("lineage.run.inference.site_source.SMALL_TEST", 10)
    assert find_small_tests(entries, tmp_path) == []
