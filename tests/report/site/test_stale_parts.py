"""Parts of a site whose entries are gone."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

from PIL import Image

from lineage.report.site.build import write_site
from lineage.report.site.parts import KEYS, FolderWriter
from lineage.results import store
from lineage.results.run_folder import RunFolder
from tests.report.site.conftest import SmallSite
from tests.report.site.stores import make_entry, make_site_source, open_shapes, write_run_folder, write_store
from tests.report.site.test_site import read_part


def test_parts_of_entries_that_are_gone_are_removed(small_site: SmallSite, tmp_path: Path) -> None:
    first, *_ = small_site.entries
    source = make_site_source(shutil.copytree(small_site.results, tmp_path / "results"), small_site.runs)
    root = write_site(FolderWriter(tmp_path / "site"), source).parent
    before = {path.relative_to(root) for path in root.rglob("*.js")}
    parts = {path for path in before if first.id in str(path)}
    assert {path.parts[1] for path in parts} == {"run", "curves", "analysis", "detections"}
    next((tmp_path / "results").rglob(f"{first.id}.json")).unlink()
    write_site(FolderWriter(tmp_path / "site"), source)
    assert {path.relative_to(root) for path in root.rglob("*.js")} == before - parts
    for entry in small_site.entries[1:]:
        (tmp_path / "results" / store.place(entry) / f"{entry.id}.json").unlink()
    write_site(FolderWriter(tmp_path / "site"), source)
    assert not list(root.glob("parts/truth/*"))
    assert read_part(root, "index")["runs"] == []


def list_images(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*.jpg"))


def test_images_of_tests_and_runs_that_are_gone_are_removed_and_nothing_else(
    tmp_path: Path,
) -> None:
    """The JPEGs of a test stayed for ever in a site that was written again."""
    entry = make_entry(0, dataset={"val": open_shapes().fingerprint}, folder=str(tmp_path / "runs" / "0"))
    write_run_folder(tmp_path / "runs" / "0", entry)
    source = make_site_source(write_store(tmp_path / "results", [entry]), tmp_path / "runs")
    pictures = RunFolder(tmp_path / "runs" / "0").pictures
    pictures.mkdir()
    for name in ("predictions", "other"):
        Image.new("RGB", (8, 8)).save(pictures / f"{name}.png")
    root = write_site(FolderWriter(tmp_path / "site"), source).parent
    (root / "images" / "own.jpg").write_bytes(b"of a person")
    before = list_images(root)
    assert len(before) == 12 + 2 + 1
    # 1. A picture that was drawn again, and one that is gone.
    Image.new("RGB", (16, 16)).save(pictures / "predictions.png")
    (pictures / "other.png").unlink()
    write_site(FolderWriter(root), source)
    of_run = [name for name in list_images(root) if "/runs/" in name]
    assert len(of_run) == 1
    assert of_run[0] not in before
    # 2. Fewer images of the test, then none.
    write_site(FolderWriter(root), replace(source, of_runs=replace(source.of_runs, num_pictures=5)))
    assert len(list_images(root)) == 5 + 1 + 1
    # 3. All runs are gone. A list of parts that names files elsewhere removes none of them.
    stored = json.loads((root / KEYS).read_text())
    part = next(value for name, value in stored["parts"].items() if name.startswith("truth/"))
    part[2] += ["../results/x.jpg", "images/../../x.jpg"]
    (root / KEYS).write_text(json.dumps(stored))
    foreign = [tmp_path / "results" / "x.jpg", tmp_path / "x.jpg"]
    for path in foreign:
        path.write_bytes(b"")
    (tmp_path / "results" / store.place(entry) / f"{entry.id}.json").unlink()
    write_site(FolderWriter(root), source)
    assert list_images(root) == ["images/own.jpg"]
    assert all(path.is_file() for path in foreign)
