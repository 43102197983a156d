"""Charts and tags of the pages in Chromium: letters have their size, nothing is cut off, seeds are taken together."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lineage.explain.explained_image import ExplainedDetection, ExplainedImage, FileMap
from lineage.explain.methods import DEFAULT
from lineage.explain.page import render_page
from lineage.report.site.build import write_site
from lineage.report.site.parts import FolderWriter, read_part
from lineage.report.site.records import name_run
from lineage.results.entry import Entry
from tests.report.site.browser import Page
from tests.report.site.conftest import SmallSite
from tests.report.site.stores import make_config, make_entry, make_site_source, write_store

WIDTHS = """[...document.querySelectorAll('svg.plot')].map((one) =>
  [one.viewBox.baseVal.width, one.getBoundingClientRect().width, one.getAttribute('aria-label')])"""


def list_groups(site: SmallSite) -> str:
    """Return the address of the two groups of two seeds each."""
    ids = [entry.id for entry in site.entries[:4]]
    return f"#/compare?runs={ids[0]}+{ids[1]},{ids[2]}+{ids[3]}"


@pytest.mark.parametrize("width", [1440, 390])
def test_letters_of_charts_have_their_size_at_each_width(page: Page, small_site: SmallSite, width: int) -> None:
    """A chart of 440 or 560 units was shrunk to the card, and its letters to 6 pixels on a phone."""
    page.resize(width, 844)
    for fragment, count in ((list_groups(small_site), 8), ("#/sweep", 2)):
        page.open(small_site.folder, fragment)
        page.wait(f"document.querySelectorAll('svg.plot').length >= {count}")
        page.wait(f"{WIDTHS}.every(([units, pixels]) => Math.abs(units - pixels) < 2)")
        assert page.run("document.documentElement.scrollWidth") <= width


def test_errors_of_a_group_are_means_over_its_seeds(page: Page, small_site: SmallSite) -> None:
    """They were those of the first seed, beneath the name of the group."""
    root = small_site.folder.parent
    parts: list[Any] = [read_part(root, f"analysis/{entry.id}")["tasks"]["mask"] for entry in small_site.entries[:2]]
    details: list[Any] = [read_part(root, f"run/{entry.id}")["per_class"] for entry in small_site.entries[:2]]
    page.open(small_site.folder, list_groups(small_site))
    page.wait("document.querySelectorAll('table.matrix').length === 2")
    titles = page.run(
        "[...document.querySelector('table.matrix').querySelectorAll('tbody td')].map((one) => one.title)"
    )
    first, second = ([value for row in part["confusion"] for value in row] for part in parts)
    means = [(a + b) / 2 for a, b in zip(first, second, strict=True)]
    assert any(mean % 1 for mean in means)
    for title, mean in zip(titles, means, strict=True):
        shown = float(title.partition(": ")[2].partition(" ")[0])
        assert shown == (pytest.approx(mean, abs=0.5) if mean >= 10 else mean), title
    error = sum(part["calibration_error"] for part in parts) / 2
    assert any(f"A, expected error{error:.1f} %" in text for text in page.texts(".legend li"))
    assert all(one == details[0] for one in details), "classes are alike here; their means are those of one"
    assert any("means over the seeds of a group" in text for text in page.texts("section > .sub"))


def test_equal_numbers_of_seeds_have_no_spread(page: Page, small_site: SmallSite) -> None:
    """The rounding of a mean was printed as a spread: 0.860 and 1.2e-16."""
    page.open(small_site.folder, list_groups(small_site))
    rows = page.texts("table[aria-label='metrics of cost'] tbody tr")
    assert any(row.startswith("GFLOPs") for row in rows)
    assert not any("±" in row for row in rows), "seeds of the small site cost the same"


def test_rows_of_one_name_in_two_tables_are_told_apart(page: Page, tmp_path: Path) -> None:
    entries = [
        make_entry(number, table=table, row="c4", seed=0) for number, table in enumerate(["fpn/table1", "fpn/table3"])
    ]
    site = write_site(FolderWriter(tmp_path / "site"), make_site_source(write_store(tmp_path / "r", entries), tmp_path))
    page.open(site, f"#/compare?runs={entries[0].id},{entries[1].id}")
    assert page.texts(".chip a") == ["fpn/table1 c4 seed 0", "fpn/table3 c4 seed 0"]


def test_tags_stay_on_the_image(page: Page, small_site: SmallSite) -> None:
    page.open(small_site.folder, f"#/pictures?runs={small_site.entries[0].id},{small_site.entries[2].id}")
    page.wait("document.querySelectorAll('.tag').length > 3")
    for _ in range(6):
        page.press("ArrowDown")
        page.wait("document.querySelectorAll('.tag').length > 0")
        cut = page.run("""[...document.querySelectorAll('svg.picture')].flatMap((picture) =>
          [...picture.querySelectorAll('.tag rect')].filter((tag) => {
            const {x, width} = tag.getBBox(), all = picture.viewBox.baseVal;
            return x < all.x - 0.01 || x + width > all.x + all.width + 0.01;
          }).map((tag) => tag.parentNode.textContent))""")
        assert cut == []


def test_runs_are_printed_with_the_heads_of_their_columns(page: Page, small_site: SmallSite) -> None:
    """Buttons are not printed, and the heads by which the table sorts are buttons."""
    page.open(small_site.folder)
    page.call("Emulation.setEmulatedMedia", media="print")
    try:
        widths = page.run("[...document.querySelectorAll('th button')].map((one) => one.getBoundingClientRect().width)")
        assert len(widths) > 4
        assert all(width > 5 for width in widths)
        assert page.run("document.querySelector('td.pick').getBoundingClientRect().width") == 0
    finally:
        page.call("Emulation.setEmulatedMedia", media="")


def test_curves_are_printed_within_their_cards(page: Page, small_site: SmallSite) -> None:
    """Canvases keep the width that they had on the screen, of which paper has less."""
    page.open(small_site.folder, f"#/compare?runs={small_site.entries[0].id},{small_site.entries[2].id}")
    page.wait("document.querySelectorAll('.uplot canvas').length > 3")
    page.call("Emulation.setEmulatedMedia", media="print")
    try:
        cut = page.run("""(() => {
          document.querySelector('main').style.width = '720px';
          const right = (one) => one.getBoundingClientRect().right;
          const canvases = [...document.querySelectorAll('.uplot canvas')];
          return canvases.map((one) => right(one) - right(one.closest('figure')));
        })()""")
        assert len(cut) > 3
        assert max(cut) < 0
    finally:
        page.call("Emulation.setEmulatedMedia", media="")


def test_the_axis_of_scores_begins_at_no_detections(page: Page, small_site: SmallSite) -> None:
    """Bars are drawn at log(count + 1), and the line of no detections was labelled 1, that of nine 10."""
    root, entry = small_site.folder.parent, small_site.entries[0]
    page.open(small_site.folder, f"#/run/{entry.id}")
    page.wait("document.querySelector('svg[aria-label=\"scores of detections\"]')")
    ticks = page.run("""[...document.querySelectorAll('svg[aria-label="scores of detections"] text')]
      .filter((one) => one.getAttribute('text-anchor') === 'end' && /^\\d+$/.test(one.textContent))
      .map((one) => [Number(one.textContent), Number(one.getAttribute('y'))])""")
    labels = [label for label, _ in ticks]
    part: Any = read_part(root, f"analysis/{entry.id}")["tasks"]["mask"]
    most = max(count for counts in part["scores"] for count in counts)
    assert labels == [0, 1, 10, 100][: len(labels)]
    assert labels[-1] <= most < 10 * max(1, labels[-1])
    (_, zero), (_, one) = ticks[:2]
    for label, y in ticks:
        assert zero - y == pytest.approx((zero - one) * math.log2(label + 1), abs=0.01)


def make_experiment(number: int, **changes: Any) -> Entry:
    """Return the only run of an experiment of its own."""
    digest = f"{number}" * 64
    return make_entry(number, 20.0 + number, seed=0, cell_digest=digest, training_digest=digest, **changes)


def test_runs_without_a_key_have_a_place_of_their_own(page: Page, tmp_path: Path) -> None:
    """They stood at the least number of the key: all detectors without masks at the 3 classes of those with."""
    heads = [None, None, 3, 3]
    entries = [
        make_experiment(
            number,
            config=make_config(
                **({} if classes is None else {"model.box.classes": classes}), **{"optimizer.lr": 0.01 * (number + 1)}
            ),
        )
        for number, classes in enumerate(heads)
    ]
    site = write_site(FolderWriter(tmp_path / "site"), make_site_source(write_store(tmp_path / "r", entries), tmp_path))
    page.open(site, "#/sweep")
    chart = "svg[aria-label$='over model.box.classes']"
    page.wait(f"document.querySelector({chart!r})")
    labels = page.run(f"[...document.querySelectorAll({chart!r} + ' text.tick')].map((t) => t.firstChild.textContent)")
    assert labels == ["\N{EN DASH}", "3"]
    places = [
        float(x)
        for x in page.run(f"[...document.querySelectorAll({chart!r} + ' circle')].map((p) => p.cx.baseVal.value)")
    ]
    assert len(set(places)) == 2
    ticks = page.run(
        f"[...document.querySelectorAll({chart!r} + ' text.tick')].map((t) => Number(t.getAttribute('x')))"
    )
    assert sorted(places) == pytest.approx([ticks[0], ticks[0], ticks[1], ticks[1]], abs=0.01)


@pytest.mark.parametrize("width", [1440, 1280, 1100, 390])
def test_long_names_of_values_do_not_cover_one_another(page: Page, tmp_path: Path, width: int) -> None:
    models = ["cascade_rcnn_vgg", "faster_rcnn_c4", "faster_rcnn_c5", "faster_rcnn_vgg", "mask_rcnn_c4", "retinanet"]
    models += ["rpn_c4", "rpn_p2"]
    entries = [
        make_experiment(
            number,
            choices={"model": model, "roi": "align", "dataset": "shapes", "tier": "mini"},
        )
        for number, model in enumerate(models)
    ]
    site = write_site(FolderWriter(tmp_path / "site"), make_site_source(write_store(tmp_path / "r", entries), tmp_path))
    page.resize(width, 844)
    page.open(site, "#/sweep")
    page.wait("document.querySelectorAll(\"svg[aria-label$='over model'] text.tick\").length === 8")
    ticks = page.run("""[...document.querySelectorAll("svg[aria-label$='over model'] text.tick")].map((one) => {
      const {width, height} = one.getBBox(), turn = /rotate\\((-?\\d+)/.exec(one.getAttribute('transform') || '');
      return [one.firstChild.textContent, Number(one.getAttribute('x')), width, height, turn ? Number(turn[1]) : 0];
    })""")
    assert [text for text, *_ in ticks] == models, "whole names"
    for (_, x, across, tall, turn), (_, following, *_) in itertools.pairwise(ticks):
        apart = (following - x) * abs(math.sin(math.radians(turn))) if turn else following - x - across
        assert apart > (0.6 * tall if turn else 0), (x, following, turn)
    cut = page.run("""[...document.querySelectorAll('svg.plot text')].filter((one) => {
      const a = one.getBoundingClientRect(), b = one.ownerSVGElement.getBoundingClientRect();
      return a.left < b.left || a.right > b.right || a.bottom > b.bottom + 1;
    }).map((one) => one.textContent)""")
    assert cut == [], "an SVG shows nothing outside"


def test_explanations_of_six_methods_stand_within_the_page(page: Page, tmp_path: Path) -> None:
    """At 1280 pixels two of them were beyond the right edge, behind a bar."""
    maps = {name: FileMap(np.ones((60, 80), np.float32), "layer4 of stride 16", 0.1) for name in DEFAULT}
    detection = ExplainedDetection(1, "disc", 0.9, (1, 1, 8, 8), None, (255, 0, 0), maps)
    image = ExplainedImage("a.jpg", np.zeros((60, 80, 3), np.uint8), [detection], "class", "", "")
    file = tmp_path / "explain.html"
    file.write_text(render_page([image], "runs/a"), encoding="utf-8")
    tops = {}
    for width in (1280, 390):
        page.resize(width, 844)
        page.call("Page.navigate", url=file.as_uri())
        page.wait("document.querySelectorAll('td').length && document.readyState === 'complete'")
        cells = page.run(
            "[...document.querySelectorAll('td')].map((c) => [c.getBoundingClientRect().right, c.offsetTop])"
        )
        assert len(cells) == 1 + len(DEFAULT)
        assert max(right for right, _ in cells) <= width
        tops[width] = {top for _, top in cells}
    assert len(tops[1280]) == 1, "one line, to be compared"


def test_many_options_stand_behind_the_metrics_and_keys_of_one_end_are_told_apart(page: Page, tmp_path: Path) -> None:
    """Five keys are swept, two of which end in length."""
    keys = ["dataset.train.length", "dataset.val.length", "optimizer.lr", "schedule.steps", "model.box.nms_thresh"]
    values = [{key: number + place for place, key in enumerate(keys)} for number in range(3)]
    entries = [
        make_entry(number, config=make_config(**row), deviations=[f"{key}={row[key]}" for key in keys])
        for number, row in enumerate(values)
    ]
    names = [name_run(entry, keys) for entry in entries]
    assert names[0].endswith("train.length=0 val.length=1 lr=2 steps=3 nms_thresh=4")
    page.open(write_site(FolderWriter(tmp_path / "site"), make_site_source(write_store(tmp_path, entries), tmp_path)))
    page.wait("document.querySelector('th button')")
    heads = page.texts("th button")
    first = next(place for place, head in enumerate(heads) if head.endswith(" AP"))
    assert first == 1 + 3  # the name of the run and three keys
    assert {"train.length", "val.length", "lr", "steps", "nms_thresh"} <= {*heads}  # the others stand behind
