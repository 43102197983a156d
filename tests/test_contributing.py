"""The files in CONTRIBUTING.md and docs/examples.md add each kind of thing: no existing line changes, tests pass."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PAGES = ("CONTRIBUTING.md", "docs/examples.md")
BLOCK = re.compile(r"^```\w+\n(# \w+/.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"^# ((?:src|conf|experiments|tests)/\S+)\n", re.MULTILINE)  # a block may hold several
KINDS = (  # a folder for each kind of thing that the pages add
    "conf/model", "src/lineage/models/roi_heads", "conf/neck", "conf/classification", "conf/sampling", "conf/augment",
    "conf/evaluator", "conf/dataset", "src/lineage/data/formats", "experiments/me", "tests/models",
)  # fmt: skip
GENERAL = (  # tests that look at every file or option by themselves
    "tests/test_budgets.py", "tests/test_layers.py", "tests/test_words.py", "tests/test_map.py",
    "tests/tables/test_models.py", "tests/tables/test_papers.py", "tests/config/test_reference.py",
    "tests/config/test_allowed_targets.py", "tests/config/test_key_roles.py", "tests/results/test_renames.py",
)  # fmt: skip
BY_OPTION = ("tests/models/test_no_objects.py", "tests/export/test_export.py", "tests/data", "tests/cli/test_data.py")
ALL = ("model=faster_rcnn_overlap", "loss_weights={roi_overlap:0.5}", "+neck@model.neck=hrfpn", "classification=poly",
       "sampling=fewest_first", "augment=mini_cutout", "evaluator=overlap")  # fmt: skip
TINY = ("tier=smoke", "schedule.steps=2", "schedule.milestones=[]", "data.workers=0", "trainer=cpu")


def read_files() -> dict[str, str]:
    """Return path -> text of every file that the pages show; the line that names the path is no part of it."""
    files: dict[str, str] = {}
    for page in PAGES:
        for block in BLOCK.findall((ROOT / page).read_text(encoding="utf-8")):
            _, *pieces = FILE.split(block)
            files |= {path: text.rstrip() + "\n" for path, text in zip(pieces[::2], pieces[1::2], strict=True)}
    return files


FILES = read_files()


@pytest.mark.parametrize("path", FILES)
def test_a_file_of_the_pages_is_new_and_parses(path: str) -> None:
    assert not (ROOT / path).exists()
    ast.parse(FILES[path]) if path.endswith(".py") else yaml.safe_load(FILES[path])


def test_every_kind_of_thing_has_a_file() -> None:
    assert [kind for kind in KINDS if not any(path.startswith(f"{kind}/") for path in FILES)] == []


def test_the_tests_that_run_beside_the_new_files_exist() -> None:
    assert [name for name in (*GENERAL, *BY_OPTION) if not (ROOT / name).exists()] == []


def test_every_file_that_a_page_links_to_exists() -> None:
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        links = re.findall(r"\]\(([\w./]+)\)", text)
        assert links
        assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository of the tracked files and, not committed, those of the pages."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    folder = tmp_path_factory.mktemp("checkout")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-q", "-m", "As it was")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def run(checkout: Path, *command: str) -> str:
    """Output of `python command` in the checkout; an exit code other than 0 fails the test."""
    folders = {"LINEAGE_CACHE": "cache", "CELLS": "cells", "BOX_LIST": "boxes"}
    places = {name: str(checkout / ".git" / folder) for name, folder in folders.items()}
    places |= {"PYTHONPATH": str(checkout / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *command], cwd=checkout, env=os.environ | places, capture_output=True, text=True
    )
    assert not done.returncode, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def train(checkout: Path, *overrides: str) -> dict[str, float]:
    """Return the metrics of two steps; the run and its entry lie where git does not look."""
    out = checkout / ".git/out" / str(len([*(checkout / ".git").glob("out/*")]))
    run(checkout, "train.py", *overrides, *TINY, f"paths.results={out}/results", f"paths.runs={out}/runs")
    (entry,) = (out / "results").rglob("*.json")
    return json.loads(entry.read_text())["metrics"]


def lineage(checkout: Path, *arguments: str) -> str:
    code = "import sys; from lineage.cli.main import main; sys.exit(main(sys.argv[1:]))"
    return run(checkout, "-c", code, *arguments)


@pytest.mark.slow
def test_new_things_train_together(checkout: Path) -> None:
    assert {"box/AP", "box/overlap_error"} <= train(checkout, *ALL).keys()
    (results,) = (checkout / ".git/out/0").rglob("results.json")
    assert all(0 <= record["overlap"] <= 1 for record in json.loads(results.read_text()))


@pytest.mark.slow
def test_new_datasets_train(checkout: Path) -> None:
    cells, boxes = checkout / ".git/cells", checkout / ".git/boxes"
    lineage(checkout, "data", "make", "shapes", str(cells), "--size", "64x64", "--images", "4", "--val", "2")
    boxes.mkdir()
    for split in ("train", "val"):
        (cells / f"annotations/instances_{split}2017.json").rename(cells / f"{split}.json")
        (cells / f"{split}2017").rename(cells / split)
        lines = ["image,class,x1,y1,x2,y2"]
        for image in sorted((cells / split).iterdir()):
            shutil.copy(image, boxes / f"{split}-{image.name}")
            lines.append(f"{split}-{image.name},nucleus,2,3,22,33")
        (boxes / f"{split}.csv").write_text("\n".join(lines) + "\n")
    assert lineage(checkout, "data", "check", "cells").count("no defects") == 2
    assert "box/AP" in train(checkout, "model=faster_rcnn", "dataset=cells")
    assert "box/AP" in train(checkout, "model=faster_rcnn", "dataset=box_list")


@pytest.mark.slow
def test_a_new_table_is_sound_and_its_rows_run(checkout: Path) -> None:
    assert "0 errors" in lineage(checkout, "lint", "me/overlap")
    assert "box/AP75" in train(checkout, "experiment=smoke/me/overlap/with")


@pytest.mark.slow
def test_all_tests_pass_beside_the_new_files_and_no_line_has_changed(checkout: Path) -> None:
    own = [name for name in FILES if name.startswith("tests/")]
    pytest_ = ("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider")
    run(checkout, *pytest_, *own, *GENERAL)
    run(checkout, *pytest_, *BY_OPTION, "-k", "overlap or cutout or cells or box_list or of_a_dataset")
    run(
        checkout,
        *pytest_,
        "tests/train/test_learning.py",
        "-k",
        "held_to_a_floor or half_way or (new_model and overlap)",
    )
    assert git(checkout, "diff", "--stat") == ""
    run(checkout, "-m", "ruff", "check", "-q", "src", "tests")
    run(checkout, "-m", "ruff", "format", "-q", "--check", "src", "tests")
    run(checkout, "-m", "mypy", "src/lineage", "train.py", "--cache-dir", str(checkout / ".git/mypy"))
