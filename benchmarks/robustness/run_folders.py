"""A run folder of somebody else for the fuzz: one of its files is damaged; `site`, `predict` and `resume=` read it."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import yaml
from benchmarks.robustness.fuzz import Refused, Wrong
from benchmarks.robustness.mutations import damage_bytes, damage_document
from benchmarks.robustness.report import ROOT

from lineage.cli.main import main
from lineage.config.resume_overrides import read_start
from lineage.results import store
from lineage.results.entry import Entry, dump
from lineage.results.run_folder import RunFolder
from lineage.run.class_names import read_run_meta
from lineage.run.inference.latency_entry import read_run_entry
from lineage.run.restore import load_run_config

METRICS = "step,epoch,loss,lr,box/AP\n1,0,1.5,0.01,\n2,0,1.25,0.01,\n2,0,,,17.5\n"
FILES = ("config.yaml", "start.json", "classes.json", "metrics.csv", "per_class.json", "entry.json")


class RunFolders:
    """A run with its entry in a store; the first byte of an input is the number of the damaged file."""

    def __init__(self, folder: Path) -> None:
        self.runs, self.results, self.out = folder / "runs", folder / "results", folder / "site"
        sample = sorted(path for path in (ROOT / "results").rglob("*.json") if not path.name.startswith("."))[0]
        self.entry: Entry = store.read(sample)
        self.texts = dict(zip(FILES, (
            yaml.safe_dump(self.entry.config), json.dumps({"overrides": ["seed=3"], "choices": {"model": "x"}}),
            json.dumps({"classes": ["a", "b"], "category_ids": [1, 2], "skeleton": [], "stuff": []}), METRICS,
            json.dumps({"a": {"box/AP": 17.5}, "b": {"box/AP": 3.0}}), dump(self.entry),
        ), strict=True))  # fmt: skip

    def damage(self, chance: random.Random) -> bytes:
        number = chance.randrange(len(FILES))
        data = self.texts[FILES[number]].encode()
        if FILES[number].endswith(".csv"):
            return bytes([number]) + damage_bytes(data, chance)
        if FILES[number].endswith(".yaml"):
            return bytes([number]) + damage_document(data, chance, yaml.safe_load, yaml.safe_dump)
        return bytes([number]) + damage_document(data, chance)

    def read(self, data: bytes) -> None:
        for path in (self.runs, self.results, self.out):
            shutil.rmtree(path, ignore_errors=True)
        files = RunFolder(self.runs / "run")
        files.path.mkdir(parents=True)
        for name, text in self.texts.items():
            (files.path / name).write_text(text)
        (files.path / FILES[data[0]]).write_bytes(data[1:])
        store.write(self.entry, self.results)
        code = main(["site", str(self.results), "--runs", str(self.runs), "--out", str(self.out), "--pictures", "0"])
        if code or not (self.out / "index.html").is_file():
            raise Wrong(f"one damaged run folder, and no site: exit code {code}")
        for path in self.out.rglob("*.js"):
            if "NaN" in path.read_text() and path.parent.name != "assets":
                raise Wrong(f"{path.name} holds NaN, which no browser reads")
        read_start(files)
        load_run_config(files, [])
        meta = read_run_meta(files)
        if meta is None or len(meta.classes) != len(meta.category_ids):
            raise Wrong(f"{meta}")
        if read_run_entry(files) is None:
            raise Refused("no entry")
