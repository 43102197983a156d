"""A small store with run folders, its site in a folder and in a file, and one browser for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from lineage.report.site.build import write_site
from lineage.report.site.parts import FileWriter, FolderWriter
from lineage.results.entry import Entry
from tests.report.site.browser import Page, open_browser
from tests.report.site.stores import (
    HOSTILE,
    make_config,
    make_entry,
    make_site_source,
    open_shapes,
    write_run_folder,
    write_store,
)


class SmallSite(NamedTuple):
    results: Path
    runs: Path
    entries: list[Entry]
    folder: Path  # index.html of the site as a folder
    file: Path


@pytest.fixture(scope="session")
def small_site(tmp_path_factory: pytest.TempPathFactory) -> SmallSite:
    """Two groups of two seeds with folders, a run with hostile texts without one, and a failed run."""
    root = tmp_path_factory.mktemp("site")
    fingerprint = {"train": "t" * 64, "val": open_shapes().fingerprint}
    entries = []
    for number, (roi, seed, ap) in enumerate(
        [("align", 0, 31.0), ("align", 1, 32.0), ("pool", 0, 26.0), ("pool", 1, 27.5)]
    ):
        entries.append(
            make_entry(
                number,
                ap,
                seed=seed,
                deviations=[] if roi == "align" else ["roi=pool"],
                choices={"model": "mask_rcnn", "roi": roi, "dataset": "shapes", "tier": "mini"},
                cell_digest=roi * 10,
                config_digest=roi * 10,
                config=make_config(**{"roi": {"_target_": f"lineage.ops.{roi}"}}),
                dataset=fingerprint,
                folder=str(root / "runs" / f"run-{number}"),
                parents=[] if number else ["20261101T000000Z-00000000-aaaaaa"],
            )
        )
    entries[3] = entries[3].__class__(**{**vars(entries[3]), "parents": [entries[0].id]})
    hostile = make_entry(
        10, 20.0, deviations=[f"optimizer.lr={HOSTILE}"], note=HOSTILE, host=HOSTILE, dashboard="javascript:alert(1)",
        cell_digest="h" * 64, config_digest="h" * 64, config=make_config(**{"optimizer.lr": HOSTILE}),
    )  # fmt: skip
    failed = make_entry(
        11, status="failed", metrics={}, error="FloatingPointError: the loss is not finite", cell_digest="f" * 64,
        config_digest="f" * 64, config=make_config(**{"optimizer.lr": 30.0}), deviations=["optimizer.lr=30"],
    )  # fmt: skip
    for number, entry in enumerate(entries):
        write_run_folder(root / "runs" / f"run-{number}", entry, skill=(entry.metrics["box/AP"] or 0) / 40)
    entries += [hostile, failed]
    source = make_site_source(write_store(root / "results", entries), root / "runs")
    folder = write_site(FolderWriter(root / "site"), source)
    return SmallSite(source.results, source.runs, entries, folder, write_site(FileWriter(root / "site.html"), source))


@pytest.fixture(scope="session")
def browser() -> Iterator[Page]:
    with open_browser() as page:
        yield page


@pytest.fixture
def page(browser: Page) -> Iterator[Page]:
    """A page that has to end without an error on its console and without a request for anything but files."""
    browser.errors.clear()
    browser.requests.clear()
    browser.resize(1440, 900)
    yield browser
    assert not browser.errors
    assert not browser.foreign_requests
