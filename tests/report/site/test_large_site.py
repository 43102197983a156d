"""A site of 1,000 runs with curves, and one of many pictures: it opens in 3 s, filters in 0.1 s and loads little."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineage.report.site.build import write_site
from lineage.report.site.parts import FolderWriter
from lineage.results import store
from lineage.results.entry import dump
from lineage.results.run_folder import RunFolder
from tests.report.site.browser import Page
from tests.report.site.stores import (
    make_config,
    make_entry,
    make_site_source,
    open_shapes,
    write_curves,
    write_run_folder,
)

RUNS, IMAGES = 1000, 5000


@pytest.fixture(scope="module")
def large_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """250 settings of 4 seeds each, with curves."""
    root = tmp_path_factory.mktemp("large")
    for number in range(RUNS):
        setting, lr = number // 4, 0.01 * (1 + number // 4 % 25)
        roi = "pool" if setting % 2 else "align"
        entry = make_entry(
            number, 20 + setting % 17 + number % 4 / 3, seed=number % 4, config_digest=f"{setting:064x}",
            cell_digest=f"{setting:064x}", deviations=[f"optimizer.lr={lr:.2f}", f"roi={roi}"],
            choices={"model": "mask_rcnn", "roi": roi, "dataset": "shapes"}, folder=str(root / "runs" / str(number)),
            config=make_config(**{"optimizer.lr": lr, "optimizer.weight_decay": 0.0001 * (1 + setting // 25)}),
        )  # fmt: skip
        path = root / "results" / store.place(entry) / f"{entry.id}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dump(entry))
        files = RunFolder(root / "runs" / str(number))
        files.path.mkdir(parents=True)
        files.entry.write_text(f'{{"id": "{entry.id}"}}')
        write_curves(files.metrics, entry, 60)
    return write_site(FolderWriter(root / "site"), make_site_source(root / "results", root / "runs"))


@pytest.mark.slow
def test_one_thousand_runs_open_in_3_s_and_filter_in_100_ms(page: Page, large_site: Path) -> None:
    page.open(large_site)
    opened = page.run("performance.now() - performance.getEntriesByType('navigation')[0].startTime")
    first_paint = page.run("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0")
    assert max(opened, first_paint) < 3000
    assert "1000 runs" in page.texts(".head p")[0]
    times = []
    for text in ("lr>0.1", "roi=pool seed<2 AP>25", "mask", "optimizer.lr=0.05 roi!=pool", ""):
        field = f"document.querySelector('input[type=search]').value = '{text}'"
        times.append(
            page.run(
                f"{field}; (() => {{ const start = performance.now(); "
                "document.querySelector('input[type=search]').dispatchEvent(new Event('input')); "
                "document.querySelector('main').offsetHeight; return performance.now() - start; })()"
            )
        )
    print(f"opened in {opened:.0f} ms, filters took {[round(time) for time in times]} ms")
    assert sorted(times)[len(times) // 2] < 100
    assert len([url for url in page.requests if "/parts/" in url]) == 1  # the index
    page.click(".seg button", "Seeds together")
    assert "250 groups" in page.texts(".head p")[0]
    page.go("#/sweep")
    assert page.run("document.querySelectorAll('.strand').length") == RUNS


@pytest.mark.slow
def test_five_thousand_pictures_are_loaded_one_by_one(page: Page, tmp_path: Path) -> None:
    entry = make_entry(
        0,
        dataset={"val": open_shapes(IMAGES).fingerprint},
        config=make_config(IMAGES),
        folder=str(tmp_path / "runs" / "a"),
    )
    write_run_folder(tmp_path / "runs" / "a", entry, length=IMAGES)
    source = make_site_source(tmp_path / "results", tmp_path / "runs", num_pictures=IMAGES)
    store.write(entry, tmp_path / "results")
    page.open(write_site(FolderWriter(tmp_path / "site"), source))
    page.go(f"#/pictures?runs={entry.id}")
    page.wait("document.querySelector('svg.picture image')")
    images = [url for url in page.requests if url.endswith(".jpg")]
    parts = [url for url in page.requests if "/truth/" in url or "/detections/" in url]
    assert len(set(images)) == 1
    assert len(parts) == 2
    assert page.run("document.querySelectorAll('.imagelist button').length") < 200
