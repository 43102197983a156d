"""The site in a real browser: what a reader does, with keys and mouse, without an error and without a request."""

from __future__ import annotations

import json

import pytest

from tests.report.site.browser import Page
from tests.report.site.conftest import SmallSite

NAMES = "td.name a"


@pytest.fixture(params=["folder", "file"])
def opened(request: pytest.FixtureRequest, page: Page, small_site: SmallSite) -> Page:
    path = getattr(small_site, request.param)
    page.open(path)
    page.run("localStorage.clear()")
    page.open(path)
    return page


def test_open_filter_pick_and_compare(opened: Page) -> None:
    assert len(opened.texts(NAMES)) == 6
    # 1. A filter by an option and a metric.
    opened.write("input[type=search]", "roi=pool AP>23")
    assert opened.texts(NAMES) == ["mask_rcnn roi=pool", "mask_rcnn roi=pool"]
    opened.write("input[type=search]", "nonsense=1")
    assert "no run has a value called nonsense" in opened.texts("[role=alert]")[0]
    opened.write("input[type=search]", "status=finished roi!=none seed<2")
    assert len(opened.texts(NAMES)) == 4
    # 2. Groups of seeds: mean and standard deviation.
    opened.click(".seg button", "Seeds together")
    cells = opened.texts("tbody tr:first-child td")
    assert "26.8 ± 1.06" in " ".join(cells)
    # 3. Pick both and compare.
    opened.click("tbody tr:nth-child(1) input[type=checkbox]")
    opened.click("tbody tr:nth-child(2) input[type=checkbox]")
    opened.click(".tray button.main", "Compare 2")
    opened.wait("document.querySelectorAll('section').length > 6")
    differences = opened.run("document.querySelector('table[aria-label^=differences] tbody').textContent")
    assert "without ±: the noise between seeds is unknown" in opened.run("document.querySelector('main').textContent")
    assert "roi" in differences
    assert "pool" in differences
    opened.wait("document.querySelectorAll('.uplot').length >= 4")  # parts of a folder arrive after the page
    opened.wait("document.querySelectorAll('.matrix').length === 2")
    # 4. The address alone is enough, for another reader.
    address, head = opened.run("location.href"), opened.texts(".itemhead")
    opened.run("localStorage.clear()")
    opened.open(address)
    assert opened.texts(".itemhead") == head
    assert "(2 seeds)" in head[0]


def test_seeds_of_one_experiment_have_no_interval(page: Page, small_site: SmallSite) -> None:
    page.open(small_site.folder, f"#/compare?runs={small_site.entries[0].id},{small_site.entries[1].id}")
    assert "these are seeds of one experiment" in page.run("document.querySelector('main').textContent")


def test_a_click_leads_to_provenance(opened: Page, small_site: SmallSite) -> None:
    opened.click(NAMES, "roi=pool")
    opened.wait("document.querySelector('.headline')")
    text = opened.run("document.querySelector('main').textContent")
    assert "lineage rerun" in text
    assert str(small_site.results) in text  # the path of the entry
    assert "roi=pool" in text
    opened.wait("document.querySelectorAll('.uplot').length >= 3")


def test_smoothing_and_axes(opened: Page, small_site: SmallSite) -> None:
    opened.go(f"#/run/{small_site.entries[0].id}")
    opened.wait("document.querySelector('.uplot canvas')")
    before = opened.run("document.querySelector('.uplot canvas').toDataURL().length")
    slider = "document.querySelector('input[type=range]')"
    opened.run(f"{slider}.value = 0; {slider}.dispatchEvent(new Event('input'))")
    assert opened.texts("output")[0] == "0.00"
    assert before > 0
    opened.click(".seg button", "images")
    assert "images" in opened.run("localStorage.getItem(Object.keys(localStorage)[0])")


def test_hostile_texts_are_text(opened: Page, small_site: SmallSite) -> None:
    opened.go(f"#/run/{small_site.entries[4].id}")
    opened.wait("document.querySelector('.headline')")
    text = opened.run("document.querySelector('main').textContent")
    assert '<img src=x onerror="document.title=1">' in text
    assert opened.run("document.querySelectorAll('main img, main script').length") == 0
    assert opened.run("[...document.querySelectorAll('a')].filter((one) => /^javascript/i.test(one.href)).length") == 0
    assert opened.run("document.title") not in ("owned", "1")


def test_keyboard(opened: Page) -> None:
    opened.press("/")
    assert opened.run("document.activeElement.type") == "search"
    opened.press("Escape")
    opened.press("g", "t")
    opened.wait("location.hash === '#/tables'")
    opened.press("?")
    opened.wait("document.querySelector('dialog[open]')")
    opened.press("Escape")
    opened.wait("!document.querySelector('dialog')")


def test_sort_columns_hide_and_remember(opened: Page) -> None:
    opened.click("th button", "box AP")
    assert opened.texts("th[aria-sort]") == ["box AP"]
    assert opened.texts(NAMES)[0] == "mask_rcnn"
    opened.click("tbody tr:first-child td.hide button")
    assert len(opened.texts(NAMES)) == 5
    opened.open(opened.run("location.href"))
    assert len(opened.texts(NAMES)) == 5
    opened.click("button", "show 1 hidden")
    assert len(opened.texts(NAMES)) == 6


@pytest.mark.parametrize("form", ["TSV", "Markdown", "LaTeX"])
def test_copy(opened: Page, form: str) -> None:
    opened.write("input[type=search]", "status=finished roi=pool")
    opened.click("summary", "Copy")
    opened.click("button.item", form)
    text = opened.run("lineageSite.copied")
    lines = text.splitlines()
    if form == "TSV":
        assert lines[0].split("\t")[:2] == ["run", "lr"]
        assert len(lines) == 3
    assert "26.0" in text
    if form == "LaTeX":
        assert "mask\\_rcnn" in text


def test_every_view_has_a_heading_and_names_its_controls(opened: Page, small_site: SmallSite) -> None:
    for view in ("runs", "compare", "pictures", "tables", "sweep", "lineage", f"run/{small_site.entries[0].id}"):
        opened.go(f"#/{view}")
        assert opened.run("document.querySelectorAll('h1, .empty h2').length") >= 1, view
        nameless = opened.run(
            "[...document.querySelectorAll('button, input, select, a')].filter((one) => !(one.textContent.trim() ||"
            " one.getAttribute('aria-label') || one.closest('label'))).map((one) => one.outerHTML)"
        )
        assert nameless == [], view
        assert opened.run("document.documentElement.scrollWidth <= innerWidth"), f"{view} is wider than the window"


@pytest.mark.parametrize("width", [900, 390])
def test_no_view_is_wider_than_a_small_window(page: Page, small_site: SmallSite, width: int) -> None:
    page.resize(width, 800, dark=True)
    picked = f"{small_site.entries[0].id},{small_site.entries[2].id}"
    views = (
        f"compare?runs={picked}",
        f"pictures?runs={picked}",
        "tables",
        "sweep",
        "lineage",
        f"run/{small_site.entries[0].id}",
    )
    page.open(small_site.folder)
    for view in views:
        page.go(f"#/{view}")
        assert page.run("document.documentElement.scrollWidth") <= width, view


def test_numbers_are_those_of_python(page: Page, small_site: SmallSite) -> None:
    """Ties, negative zeros and missing values are printed as Python prints them."""
    page.open(small_site.folder)
    values = [2.25, 2.35, 0.05, 0.15, 0.25, 37.85, -0.04, 12.345, 99.95, 1e-9]
    ours = page.run(f"{json.dumps(values)}.map((one) => lineageSite.fixed(one, 1))")
    assert ours == [f"{round(value, 1) + 0.0:.1f}" for value in values]


def test_pictures(opened: Page, small_site: SmallSite) -> None:
    a, b = small_site.entries[0].id, small_site.entries[2].id
    opened.go(f"#/pictures?runs={a},{b}")
    opened.wait("document.querySelectorAll('svg.picture').length === 3")
    assert opened.texts("figcaption")[0].startswith("ground truth")
    # 1. The largest loss of B against A stands first.
    pairs = [
        [float(value) for value in opened.texts(f".imagelist button:nth-child({n}) small span")] for n in (1, 2, 3)
    ]
    changes = [second - first for first, second in pairs]
    assert changes == sorted(changes)
    # 2. Keys: another image, a higher score, boxes off, zoom.
    name = opened.texts(".stagebar b")[0]
    opened.press("ArrowDown")
    opened.wait(f"document.querySelector('.stagebar b').textContent !== {json.dumps(name)}")
    shown = opened.run("document.querySelectorAll('.mark').length")
    opened.press("ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight")
    opened.wait("document.querySelector('main output').textContent === '0.80'")
    opened.wait(f"document.querySelectorAll('.mark').length < {shown}")
    opened.press("b")
    opened.wait(
        "document.querySelectorAll('.boxmark').length === 0 && document.querySelectorAll('.maskmark').length > 0"
    )
    opened.press("+")
    opened.wait("!document.querySelector('svg.picture').getAttribute('viewBox').endsWith('96 96')")
    # 3. Colours of errors, and a class alone.
    opened.press("b", "e")
    opened.wait("document.querySelectorAll('.missedmark').length > 0")
    classes = "document.querySelector('select[aria-label=class]')"
    opened.run(f"{classes}.value = '1'; {classes}.dispatchEvent(new Event('change'))")
    opened.wait("[...document.querySelectorAll('.mark title')].every((one) => one.textContent.includes('square'))")


def test_tables_lead_to_their_runs_and_to_papers(opened: Page) -> None:
    opened.go("#/tables")
    opened.write("input[type=search]", "alignment")
    opened.click(".tablecard", "Proper alignment")
    opened.wait("document.querySelector('table.kind-claims')")
    assert "RoIAlign ave" in opened.run("document.querySelector('table.kind-metric').textContent")
    opened.click(".eyebrow a", "mask_rcnn")
    opened.wait("document.querySelector('article.paper h1')")
    assert opened.texts("article.paper h1") == ["Mask R-CNN, He et al. 2017"]


def test_lineage_shows_models_and_the_graph_of_entries(opened: Page, small_site: SmallSite) -> None:
    opened.go("#/lineage")
    opened.click(".tree button", "Cascade R-CNN")
    opened.wait("document.querySelector('.modeldetails h2').textContent === 'Cascade R-CNN'")
    assert "40.3" in opened.run("document.querySelector('.modeldetails').textContent")
    opened.go(f"#/lineage/{small_site.entries[3].id}")
    opened.wait("document.querySelector('svg.graph')")
    assert opened.run("document.querySelectorAll('.graphnode').length") == 3  # the run, its parent, and that one's
    assert opened.run("document.querySelectorAll('svg.graph .branch').length") == 2
    opened.click(".graphnode text", "seed 0")
    opened.wait("location.hash.startsWith('#/run/')")


def test_costs_name_no_device_that_was_not_there(opened: Page, small_site: SmallSite) -> None:
    opened.go(f"#/run/{small_site.entries[0].id}")
    opened.wait("document.querySelector('.uplot canvas')")
    for view in ("runs", f"run/{small_site.entries[0].id}"):
        opened.go(f"#/{view}")
        assert "GPU" not in opened.run("document.querySelector('main').textContent")
    opened.go("#/tables/mask_rcnn/nope")
    assert opened.texts(".empty h2") == ["No such table"]


def test_sweep(opened: Page) -> None:
    opened.go("#/sweep")
    opened.wait("document.querySelectorAll('.strand').length === 5")
    assert "roi" in " ".join(opened.texts(".shares span"))
    opened.write("input[type=search]", "roi=align")
    opened.wait("document.querySelectorAll('.strand').length === 3")
