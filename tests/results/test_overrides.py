"""Overrides are split as Hydra splits them, and put together again."""

from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import OverrideType

from lineage.results import renames, renames_table
from lineage.results.overrides import Override, overrides_today, shorten_key

SIGNS = {OverrideType.CHANGE: "", OverrideType.ADD: "+", OverrideType.FORCE_ADD: "++", OverrideType.DEL: "~"}


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("schedule.steps=3", Override("", "schedule.steps", None, "3")),
        ("+a/b@c.d=x", Override("+", "a/b", "c.d", "x")),
        ("~a@b", Override("~", "a", "b", None)),
        ("~a=3", Override("~", "a", None, "3")),
        ("++x.y=3", Override("++", "x.y", None, "3")),
        ("x={a: 1, b: 'y=z@w'}", Override("", "x", None, "{a: 1, b: 'y=z@w'}")),
        ('paths.runs="a=b"', Override("", "paths.runs", None, '"a=b"')),
        ("a@_global_=x", Override("", "a", "_global_", "x")),
        ("+experiment/mini/a=glob(*)", Override("+", "experiment/mini/a", None, "glob(*)")),
        ("x=", Override("", "x", None, "")),
    ],
)
def test_an_override_in_parts(text: str, parsed: Override) -> None:
    assert Override.parse(text) == parsed
    assert str(parsed) == text
    theirs = OverridesParser.create().parse_override(text)
    assert theirs.type is not None
    assert (parsed.sign, parsed.name, parsed.package) == (SIGNS[theirs.type], theirs.key_or_group, theirs.package)


def test_a_group_has_a_key() -> None:
    assert Override.parse("+hydra/launcher@x=local").key == "hydra.launcher"
    assert Override.parse("seed=0,1").options == ["0", "1"]
    assert Override.parse("~seed").options == []


def test_former_names(monkeypatch: pytest.MonkeyPatch) -> None:
    table = renames_table.read(
        {
            "modules": {"lineage.new": "lineage.old"},
            "targets": {},
            "keys": {"lineage.new.Head": {"nms_thresh": "nms"}, "/": {"cell": "entry"}},
            "options": {"logger": {"csv": "files"}, "a/b": {"two": "one"}},
            "groups": {"logger": "track", "a/b": "c"},
        }
    )
    monkeypatch.setattr(renames, "renames", lambda: table)
    config = {"model": {"_target_": "lineage.new.Head", "nms_thresh": 0.5}}
    pairs = {
        "track=files,none": "logger=csv,none",
        "++model.nms=0.3": "++model.nms_thresh=0.3",
        "entry.note=x=y": "cell.note=x=y",
        "~c@d=one": "~a/b@d=two",
        "model._target_=lineage.old.Head": "model._target_=lineage.new.Head",
        "-m": "-m",
        "seed=0": "seed=0",
    }
    old, new = [*pairs], [*pairs.values()]
    assert overrides_today(old, config) == new
    assert overrides_today(new, config) == new


def test_a_key_is_shortened_to_what_tells_it_from_the_others() -> None:
    names = ["dataset.train.length", "dataset.val.length", "optimizer.lr", "model.lr.lr"]
    assert [shorten_key(name, names) for name in names] == ["train.length", "val.length", "optimizer.lr", "lr.lr"]
    assert shorten_key("optimizer.lr", ["optimizer.lr"]) == "lr"
    assert shorten_key("a.b", ["a.b", "c.a.b"]) == "a.b"  # no end tells it apart
