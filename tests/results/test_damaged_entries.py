"""Damaged and hostile entries: each is refused with the field that is wrong, and the others are read all the same."""

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest

from lineage.cli.main import main
from lineage.results import cache, integrity, paths, store
from lineage.results.entry import Entry, EntryError, parse
from lineage.results.store import StoreError

SAMPLE = min((paths.ROOT / "results/mask_rcnn/table2c/roi_pool").glob("*.json"))
NAME = SAMPLE.stem
RECORD: dict[str, Any] = json.loads(SAMPLE.read_text(encoding="utf-8"))
NESTED = "[" * 100_000


def change(**values: Any) -> str:
    return json.dumps(RECORD | values)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (change(seed=0).replace('"seed": 0', f'"seed": {"9" * 5000}'), "not JSON: Exceeds the limit"),
        (change(seed=10**30), "seed: an integer of more than 63 bits is not an integer"),
        (change(seed=-1), "seed: -1 is negative"),
        (change(seed=True), "seed: True is not an integer"),
        (change(deviations=[{}]), "deviations: a dict is not text"),
        (change(tier=5), "tier: 5 is not text"),
        (change(metrics={"box/AP": "high"}), "metrics: 'box/AP': 'high' is not a number or null"),
        (change(metrics=[]), "metrics: a list is not a mapping"),
        (change(metrics={"box/AP": 1.5}).replace("1.5", "NaN"), "not JSON: NaN is no number of JSON"),
        (change(metrics={"box/AP": 1.5}).replace("1.5", "1e999"), "metrics: 'box/AP': inf is not a number or null"),
        (change(choices={"model": ["x"]}), "choices: 'model': a list is not text"),
        (change(row="\ud800"), r"row: '\ud800' is not text or null"),
        (change(started="yesterday"), "started: Invalid isoformat string: 'yesterday'"),
        (change(config=1).replace('"config": 1', f'"config": {NESTED}'), "not JSON: maximum recursion depth exceeded"),
        (change(table="../../.."), "table: '../../..' is no name of folders below the store"),
        (change(table="/etc"), "table: '/etc' is no name of folders below the store"),
        (change(row=".."), "row: '..' is no name of folders below the store"),
        (change(table=None, row=None, choices={"model": "../x"}), "choices.model: '../x' is no name of folders"),
        (change(id="../x"), "id: '../x' is no name of a file"),
        ("[]", "not an entry"),
        ("", "not JSON"),
    ],
)  # fmt: skip
def test_a_damaged_entry_is_refused_with_its_field(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(EntryError) as raised:
        parse(text)
    assert str(raised.value).startswith(reason)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    good = tmp_path / "b" / SAMPLE.name
    good.write_bytes(SAMPLE.read_bytes())
    (tmp_path / "a" / "bad.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    for contents in (store.contents(tmp_path), cache.contents(tmp_path)):
        assert [entry.id for entry in contents.entries] == [NAME]
        assert [damage.path.name for damage in contents.damaged] == ["bad.json"]
    assert any(damage.path.name == "bad.json" for damage in integrity.verify(tmp_path)[1])


def test_merging_writes_nowhere_but_in_the_store(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "in" / "target"
    source.mkdir()
    for number, values in enumerate([{"table": "../.."}, {"row": ".."}, {"table": str(tmp_path / "out")}]):
        (source / f"{number}.json").write_text(change(**values, id=str(number)))
    merged = integrity.merge(source, target)
    assert (merged.copied, len(merged.refused)) == (0, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_an_entry_of_ours_cannot_leave_the_store_either(tmp_path: Path) -> None:
    entry = Entry(**{**vars(store.read(SAMPLE)), "table": "../x"})
    with pytest.raises(StoreError, match="no name of folders below the store"):
        store.write(entry, tmp_path / "results")
    assert not list(tmp_path.iterdir())


VALUES = [
    None,
    True,
    -1,
    10**20,
    1e308,
    "",
    "x" * 1000,
    "../..",
    "\x1b[31m",
    "\ud800",
    [],
    [None],
    {},
    {"a": {"b": []}},
]


def mutate(record: dict[str, Any], seed: int) -> str:
    """Replace or remove a value anywhere in a record, or flip bytes of its text."""
    chance = random.Random(seed)
    if seed % 4 == 0:
        text = bytearray(json.dumps(record, indent=1).encode())
        for _ in range(3):
            text[chance.randrange(len(text))] = chance.randrange(32, 127)
        return text.decode()
    node, changed = record, copy.deepcopy(record)
    node = changed
    while True:
        name = chance.choice(list(node))
        if isinstance(node[name], dict) and node[name] and chance.random() < 0.6:
            node = node[name]
            continue
        if chance.random() < 0.1:
            del node[name]
        else:
            node[name] = chance.choice(VALUES)
        return json.dumps(changed, indent=1)


def test_two_hundred_mutated_entries_take_no_command_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results"
    folder = results / RECORD["table"] / RECORD["row"]
    folder.mkdir(parents=True)
    for seed in range(200):
        name = f"{NAME[:-6]}{seed:06d}"
        (folder / f"{name}.json").write_text(mutate(RECORD | {"id": name}, seed))
    contents = store.contents(results)
    assert 20 < len(contents.damaged) < 180
    whole = [str(folder / f"{entry.id}.json") for entry in contents.entries]
    commands = [["store", "verify"], ["table", RECORD["table"]], ["table"]]
    commands += [["show", path] for path in whole] + [["compare", whole[0], path] for path in whole[1::3]]
    for command in commands:
        assert main([*command, "--results", str(results)]) in (0, 1), command
    capsys.readouterr()
