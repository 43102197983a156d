"""Files of the site: numbers of the text commands, parts that are built once, views that survive missing files."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from lineage.report.site import build
from lineage.report.site.build import SiteSource, write_site
from lineage.report.site.page import SCRIPTS, STYLES, read_assets
from lineage.report.site.parts import FileWriter, FolderWriter, dump, file_name
from lineage.report.site.records import MOST_COMPARED
from lineage.results.run_folder import RunFolder
from lineage.tables.format.free_runs import read_value
from lineage.tables.format.terminal import render_terminal
from lineage.tables.format.view import build_view
from lineage.tables.statistics.pooled_noise import TableNoise, estimate_noise, pool_sd
from lineage.tables.statistics.seed_noise import SeedSample
from lineage.tables.statistics.significance import compare
from tests.report.site.conftest import SmallSite
from tests.report.site.stores import (
    HOSTILE,
    make_config,
    make_entry,
    make_site_source,
    open_shapes,
    write_run_folder,
    write_store,
)


def read_part(site: Path, name: str) -> Any:
    """Return the data of a part of a site in a folder."""
    text = (site / "parts" / f"{file_name(name)}.js").read_text(encoding="utf-8")
    match = re.fullmatch(r'lineageSite\.part\("[^"]*",(.*)\);\n', text, re.DOTALL)
    assert match
    return json.loads(match[1])


def write_index(folder: Path, source: SiteSource) -> Any:
    """Write a site and return its index."""
    return read_part(write_site(FolderWriter(folder), source).parent, "index")


def test_numbers_and_columns_are_those_of_the_entries(small_site: SmallSite) -> None:
    index = read_part(small_site.folder.parent, "index")
    assert index["v"] == build.VERSION
    for entry, run in zip(small_site.entries, index["runs"], strict=True):
        assert run["id"] == entry.id
        for name, value in zip(index["metrics"], run["metrics"], strict=True):
            assert value == entry.metrics.get(name)
        for name, value in zip(index["keys"], run["keys"], strict=True):
            assert value in (read_value(entry, name), entry.config["roi"]["_target_"], f"{HOSTILE[:79]}…")
    assert index["choices"] == ["roi"]
    assert index["keys"] == ["optimizer.lr"]  # keys of the group roi differ because its option does
    assert index["swept"][0] in ("optimizer.lr", "roi")
    groups = [run["group"] for run in index["runs"]]
    assert groups[0] == groups[1] != groups[2] == groups[3]


def test_curves_have_the_axes_of_their_run(small_site: SmallSite) -> None:
    curves = read_part(small_site.folder.parent, f"curves/{small_site.entries[0].id}")
    steps, losses = curves["lines"]["loss"]
    assert len(curves["steps"][steps]) == len(losses) == 20
    assert curves["images_per_step"] == 4
    assert curves["step_hours"] == pytest.approx(0.3 / 3600)
    assert curves["steps"][curves["lines"]["box/AP"][0]] == [100, 200, 300, 400]


def test_detections_have_the_kinds_of_their_errors(small_site: SmallSite) -> None:
    root = small_site.folder.parent
    index = read_part(root, "index")
    name = index["runs"][0]["test"]
    truth, detections = read_part(root, f"truth/{name}/0"), read_part(root, f"detections/{small_site.entries[0].id}/0")
    assert len(truth) == len(detections) == 12
    assert {row[6] for image in detections for row in image} & {1, 2, 5}  # some are wrong
    assert 0 in {row[6] for image in detections for row in image}
    assert all((root / image["src"]).is_file() for image in truth)
    assert read_part(root, f"pictures/{name}")["skeleton"] == [], "no object here has a keypoint"
    polygons = truth[0]["objects"][0][6]
    assert polygons
    assert len(polygons[0]) % 2 == 0


def test_a_table_has_the_strings_of_the_command_and_the_runs_behind_them(tmp_path: Path) -> None:
    rows = [("roi_pool", 1.7), ("roi_align", 3.6)]
    entries = [make_entry(3 * i + seed, ap + seed / 10, table="mask_rcnn/table2c", row=row, seed=seed)
               for i, (row, ap) in enumerate(rows) for seed in range(3)]  # fmt: skip
    source = make_site_source(write_store(tmp_path / "results", entries), tmp_path / "runs")
    site = write_site(FolderWriter(tmp_path / "site"), source).parent
    filled = source.tables.loader.load("mask_rcnn/table2c")
    printed = render_terminal(build_view(filled.table, filled.entries, filled.background), colour=False)
    table = read_part(site, "table/mask_rcnn/table2c")
    section = next(one for block in table["blocks"] for one in block["sections"] if one["kind"] == "metric")
    texts = {row: [cell[0] for cell in line] for row, line in zip(table["rows"], section["body"], strict=True)}
    runs = dict(zip(table["rows"], section["runs"], strict=True))
    assert runs["roi_align"] == [entry.id for entry in entries[3:]]
    assert texts["roi_align"][:4] == ["RoIAlign ave", "1.2", "0.10", "3"]  # mask AP: 3.6 - 2.5, and 0.1 more a seed
    line = next(one for one in printed.splitlines() if "RoIAlign ave" in one)
    assert line.replace("(best)", "").split() == " ".join(texts["roi_align"]).split()
    claims = next(one for block in table["blocks"] for one in block["sections"] if one["kind"] == "claims")
    assert claims["runs"][0] == [entry.id for entry in [*entries[3:], *entries[:3]]]
    summary = next(one for one in read_part(site, "index")["tables"] if one["name"] == "mask_rcnn/table2c")
    assert summary["runs"] == 6


def test_intervals_are_those_of_the_statistics_of_tables(tmp_path: Path) -> None:
    """The page multiplies t, sd and sqrt(1/n + 1/m): the same as `Comparison.margin` at 95 %."""
    values = [30, 31, 32.5, 25, 26, 25.2]
    entries = [
        make_entry(i, ap, seed=i % 3, cell_digest=f"{i // 3:064x}", training_digest=f"{i // 3:064x}")
        for i, ap in enumerate(values)
    ]
    source = make_site_source(write_store(tmp_path / "results", entries), tmp_path / "runs")
    index = write_index(tmp_path / "site", source)
    noise = index["noise"][0]["box/AP"]["mask_rcnn"]
    a, b = SeedSample((30, 31, 32.5), (0, 1, 2), "a"), SeedSample((25, 26, 25.2), (0, 1, 2), "b")
    exact = compare(a, b, TableNoise(estimate_noise({"a": a, "b": b}, None).single))
    assert exact is not None
    sd = max(noise["sd"], pool_sd(a, b))
    assert noise["t"][0] * sd * (1 / 3 + 1 / 3) ** 0.5 == pytest.approx(exact.margin(), rel=1e-9)
    assert noise["df"] == 4
    assert noise["t"][:3] == pytest.approx([2.776, 3.495, 3.961], abs=1e-3)  # at .05, .05 / 2 and .05 / 3
    assert len(noise["t"]) == MOST_COMPARED


def test_what_has_not_changed_is_not_built_again(small_site: SmallSite, tmp_path: Path) -> None:
    source = make_site_source(small_site.results, small_site.runs)
    write_site(FolderWriter(tmp_path / "site"), source)
    listed: list[str] = []
    again = make_site_source(small_site.results, small_site.runs)
    write_site(FolderWriter(tmp_path / "site"), replace(again, of_runs=replace(again.of_runs, log=listed.append)))
    assert listed == []
    # a run that was evaluated once more is
    results = RunFolder(small_site.runs / "run-0").results
    text = results.read_text()
    results.write_text(text + " ")
    write_site(FolderWriter(tmp_path / "site"), replace(again, of_runs=replace(again.of_runs, log=listed.append)))
    results.write_text(text)
    assert listed == [f"errors and pictures of {small_site.entries[0].id}"]


def test_a_store_without_run_folders(tmp_path: Path) -> None:
    entries = [make_entry(number, 30 + number) for number in range(3)]
    source = make_site_source(write_store(tmp_path / "results", entries), tmp_path / "runs")
    index = write_index(tmp_path / "site", source)
    assert [run["curves"] for run in index["runs"]] == [0, 0, 0]
    assert not any("analysis" in run for run in index["runs"])
    assert len(index["tables"]) > 50
    assert len(index["family"]) > 30


def test_an_empty_store(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    index = read_part(
        write_site(FolderWriter(tmp_path / "site"), make_site_source(tmp_path / "results", tmp_path / "runs")).parent,
        "index",
    )
    assert index["runs"] == []


@pytest.mark.parametrize(
    ("damage", "reason"),
    [("dataset", "cannot be read here: no such"), ("fingerprint", "the dataset has changed since this run was tested")],
)
def test_a_dataset_that_is_not_here_costs_errors_and_pictures_alone(tmp_path: Path, damage: str, reason: str) -> None:
    fingerprint = {"val": open_shapes().fingerprint if damage == "dataset" else "0" * 64}
    entry = make_entry(0, dataset=fingerprint, folder=str(tmp_path / "runs" / "a"))
    write_run_folder(tmp_path / "runs" / "a", entry)
    source = make_site_source(write_store(tmp_path / "results", [entry]), tmp_path / "runs")
    if damage == "dataset":

        def fail(entry: Any) -> Any:
            raise FileNotFoundError("no such folder of images")

        source = replace(source, of_runs=replace(source.of_runs, open_test=fail))
    index = write_index(tmp_path / "site", source)
    assert reason in index["runs"][0]["missing"]
    assert index["runs"][0]["curves"] == 1


def test_a_broken_results_file_is_reported_and_the_site_is_written(tmp_path: Path) -> None:
    entry = make_entry(0, dataset={"val": open_shapes().fingerprint}, folder=str(tmp_path / "runs" / "a"))
    write_run_folder(tmp_path / "runs" / "a", entry)
    RunFolder(tmp_path / "runs" / "a").results.write_text('[{"image_id": 1')
    RunFolder(tmp_path / "runs" / "a").metrics.write_text("step,loss\n1,nan\nx,2\n3,\n")
    source = make_site_source(write_store(tmp_path / "results", [entry]), tmp_path / "runs")
    index = write_index(tmp_path / "site", source)
    assert "cannot be read" in index["runs"][0]["missing"]
    assert ["error", "loss is not finite at step 1"] in index["runs"][0]["alerts"]


def test_moved_run_folders_are_found_by_the_id_of_their_entry(tmp_path: Path) -> None:
    entry = make_entry(0, folder="/elsewhere/run")
    write_run_folder(tmp_path / "runs" / "deep" / "er", entry)
    source = make_site_source(write_store(tmp_path / "results", [entry]), tmp_path / "runs")
    index = write_index(tmp_path / "site", source)
    assert index["runs"][0]["curves"] == 1


def test_texts_of_entries_are_never_markup(small_site: SmallSite) -> None:
    for page in (small_site.folder, small_site.file):
        text = page.read_text(encoding="utf-8")
        assert HOSTILE not in text
        assert text.count("</script>") == text.count("<script")
    assert "\\u003cscript" in (small_site.folder.parent / "parts" / "index.js").read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', small_site.file.read_text())
    assert policy
    assert "unsafe" not in policy[1]
    assert "http" not in policy[1]


def test_names_of_parts_cannot_leave_the_site() -> None:
    assert file_name("run/../../x") == "run/_/_/x"
    assert file_name("table/a b/ü") == "table/a_b/_"


def test_json_may_stand_in_a_script() -> None:
    assert dump({"a": float("nan"), "b": "</script>\u2028"}) == '{"a":null,"b":"\\u003c/script>\\u2028"}'


def test_the_bundle_is_small_and_locked() -> None:
    assert len((read_assets(STYLES) + read_assets(SCRIPTS)).encode()) <= 400_000
    vendor = resources.files("lineage.report.site").joinpath("assets", "vendor")
    lock = json.loads(vendor.joinpath("lock.json").read_text())
    for package in lock.values():
        for name, digest in package["files"].items():
            assert hashlib.sha256(vendor.joinpath(name).read_bytes()).hexdigest() == digest, name
    locked = {name for package in lock.values() for name in package["files"]} | {"lock.json"}
    assert {item.name for item in vendor.iterdir()} == locked


def test_our_script_builds_no_markup() -> None:
    ours = read_assets(tuple(name for name in SCRIPTS if not name.startswith("vendor")))
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "fetch(",
        "XMLHttp",
    ):
        assert word not in ours, word


def test_the_record_of_a_run_is_small(tmp_path: Path) -> None:
    """Every page reads the index first."""
    entries = [
        make_entry(
            number,
            20 + number % 13,
            config=make_config(**{"optimizer.lr": 0.01 + number % 9 / 100}),
            config_digest=f"{number % 9:064x}",
            cell_digest=f"{number // 3:064x}",
        )
        for number in range(60)
    ]
    source = make_site_source(write_store(tmp_path / "results", entries), tmp_path / "runs")
    site = write_site(FolderWriter(tmp_path / "site"), source).parent
    records = read_part(site, "index")["runs"]
    assert len(dump(records)) / len(records) < 1000  # bytes


def test_a_file_holds_everything(small_site: SmallSite) -> None:
    text = small_site.file.read_text()
    names = set(re.findall(r'data-part="([^"]*)"', text))
    assert {"index", f"curves/{small_site.entries[0].id}", "table/mask_rcnn/table2c", "paper/mask_rcnn"} <= names
    assert "data:image/jpeg;base64," in text
    assert FileWriter(Path("x.html")).has("index", "") is False
