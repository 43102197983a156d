"""The site at the end of a run: what is new is added, and no error of it reaches the run."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from lineage.report.from_folder import report_run
from lineage.run.inference.site_source import update_site
from tests.report.site.stores import EXPERIMENTS, make_entry, open_shapes, write_run_folder, write_store
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
    report = report_run(runs / "1", EXPERIMENTS, page).read_text()
    assert f'href="../site/index.html#/run/{entries[1].id}"' in report


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
