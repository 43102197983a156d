from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from lineage.results import cache, integrity, store
from lineage.results import entry as entries
from lineage.results.entry import FORMER_FIELDS, Entry, EntryError, deviations, digest, dump, parse
from tests.tables import made


def test_an_entry_survives_the_file() -> None:
    before = made.entry(metrics={"mask/AP": 0.1 + 0.2, "box/AP": 1e-300}, config={"a": [1, {"b": None}]})
    assert parse(dump(before)) == before


def test_odd_numbers_never_lose_a_result() -> None:
    odd = made.entry(metrics={"a": float("nan"), "b": np.float32(0.5), "c": np.int64(3)}, config={"path": made.START})
    record = json.loads(dump(odd))
    assert record["metrics"] == {"a": None, "b": 0.5, "c": 3}
    assert record["config"]["path"].startswith("2026")


def test_deviations_are_what_changes_the_row() -> None:
    place = [
        "experiment=mini/a/b/c",
        "+experiment/a/b=c",
        "seed=3",
        "trainer.devices=8",
        "paths.runs=x",
        "hydra/launcher=x",
    ]
    change = ["schedule=smoke", "+model.heads.mask.size=28", "~model.heads.mask", "roi@x=pool"]
    assert deviations(place + change) == sorted(change)


def test_a_key_that_only_begins_like_a_volatile_one_counts() -> None:
    assert deviations(["dataset=coco", "seeds=1"]) == ["dataset=coco", "seeds=1"]


def test_options_of_the_trainer_are_no_deviations_but_its_keys_may_be() -> None:
    assert deviations(["trainer=cpu", "trainer.devices=2", "trainer.precision=bf16-mixed"]) == [
        "trainer.precision=bf16-mixed"
    ]


def test_digest_ignores_the_order_of_keys_only() -> None:
    config = {"seed": 0, "model": {"a": 1, "b": 2}}
    assert digest(config) == digest({"model": {"b": 2, "a": 1}, "seed": 0}) != digest({**config, "seed": 1})
    assert len(digest(config)) == 64


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ("[]", "version"),
        ("{}", "version"),
        ('{"v": 99}', "update lineage"),
        ('{"v": 1, "status": "done"}', "finished, failed, stopped"),
        ('{"v": 1, "status": "failed"}', "missing"),
    ],
)
def test_what_is_no_entry_says_why(text: str, says: str) -> None:
    with pytest.raises(EntryError, match=says):
        parse(text)


def test_ids_of_equal_runs_differ() -> None:
    assert len({entries.new_id(made.START, "a" * 64) for _ in range(100)}) == 100


def test_an_unknown_field_is_named() -> None:
    record = json.loads(dump(replace(made.entry()))) | {"metric": 1}
    with pytest.raises(EntryError, match="'metric'"):
        parse(json.dumps(record))


def test_entries_with_former_field_names_are_read(tmp_path: Path) -> None:
    entry = made.entry(training_digest="t", cell_digest="c", macs=4e9, initial_weights_sha256="i")
    record = json.loads(dump(entry)) | {"v": 3}
    del record["content_sha256"]  # it is younger
    for former, today in FORMER_FIELDS.items():
        record[former] = record.pop(today)
    path = tmp_path / store.place(entry) / f"{entry.id}.json"
    path.parent.mkdir(parents=True)
    in_order = {**record, "config": record.pop("config")}  # the config stands last
    path.write_text(text := json.dumps(in_order, indent=1) + "\n")
    assert store.read(path) == replace(entry, v=3)
    (cached,) = cache.contents(tmp_path).entries
    assert [getattr(cached, name) for name in cache.FIELDS] == [getattr(entry, name) for name in cache.FIELDS]
    assert integrity.verify(tmp_path) == (1, [])
    assert path.read_text() == text


def test_every_former_name_stands_for_a_field() -> None:
    names = {field.name for field in fields(Entry)}
    assert set(FORMER_FIELDS.values()) <= names
    assert not set(FORMER_FIELDS) & names
