"""Every key of a table's file arrives where it belongs, and what is left out has its default."""

from __future__ import annotations

from pathlib import Path

import yaml

from lineage.tables import read
from lineage.tables.table import Row
from tests.tables.test_read import MINIMAL, tables


def test_a_claim_without_a_metric_is_about_the_first_and_has_the_tolerance_of_the_table(tmp_path: Path) -> None:
    rows = {"a": {"published": {"box/AP": 30.0, "box/AP50": 50.0}}, "b": {}}
    stated = [{"better": "a", "worse": "b"}, {"better": "a", "worse": "b", "metric": "box/AP50", "tolerance": 0.2},
              {"row": "a", "value": 50, "metric": "box/AP50", "quote": "half"}]  # fmt: skip
    change = {"rows": rows, "claims": stated, "metrics": {"box/AP": "AP", "box/AP50": "AP50"}}
    plain, own = tables(tmp_path, t=change, u=change | {"tolerance": 0.3, "seeds": 1000}).values()
    for table, tolerance in ((plain, 0.5), (own, 0.3)):
        effects = [(effect.metric, effect.gain, effect.tolerance) for effect in table.effects]
        assert effects == [("box/AP", None, tolerance), ("box/AP50", None, 0.2)]
        claims = [(claim.metric, claim.value, claim.tolerance, claim.quote) for claim in table.claims]
        assert claims == [("box/AP", 30.0, tolerance, ""), ("box/AP50", 50.0, tolerance, "half")]
    assert (plain.seeds, own.seeds, plain.confidence, plain.tier) == (None, 1000, "unstated", "paper")
    (tmp_path / "a/v.yaml").write_text(yaml.safe_dump(MINIMAL | {"rows": {"r": {}}, "seeds": 0}))
    assert read.load_table(tmp_path, "a/v").seeds is None


def test_every_key_of_a_row_arrives(tmp_path: Path) -> None:
    """A whole row and table against what the file says."""
    row = {"label": "L", "with": {"roi": "pool"}, "set": {"x": 1}, "published": {"box/AP": 1}, "covaries": {"k": "why"},
           "source": "Table 2", "confidence": "recalled", "note": "N", "deviates": {"D": "how"}}  # fmt: skip
    change = {
        "arxiv": "1505.08080", "split": "test-dev", "note": "T", "mixed": "M", "baseline": "r", "covaries": {"c": "w"},
        "confidence": "read in source", "gaps": [{"roi": 1}], "deviates": {"E": "all"}, "at": {"mini": {"z": 2}},
        "base": {"with": {"model": "m"}, "set": {"y": 3}}, "rows": {"r": row, "q": {"quoted": "another"}},
    }  # fmt: skip
    table = tables(tmp_path, t=change)["t"]
    expected = Row(
        "r", "L", {"model": "m", "roi": "pool"}, {"y": 3, "x": 1}, {"box/AP": 1.0}, note="N", covaries={"k": "why"},
        deviates={"E": "all", "D": "how"}, own=("roi", "x"), source="Table 2", confidence="recalled",
        at={"mini": {"z": 2}},
    )  # fmt: skip
    assert table.rows["r"] == expected
    quoted = table.rows["q"]
    assert (quoted.label, quoted.quoted, quoted.runs, quoted.deviates, quoted.at) == ("q", "another", False, {}, {})
    assert (table.arxiv, table.split, table.note, table.mixed, table.baseline, table.covaries, table.gaps) == (
        "1505.08080", "test-dev", "T", "M", "r", {"c": "w"}, [{"roi": "1"}],
    )  # fmt: skip


def test_a_quoted_row_is_no_step_of_a_cumulative_table_and_no_fault_of_it(tmp_path: Path) -> None:
    rows = {"a": {"with": {"roi": "pool"}}, "b": {"quoted": "theirs", "with": {"roi": "align"}}, "c": {}}
    table = tables(tmp_path, t={"kind": "cumulative", "rows": rows, "unsupported": "no data"})["t"]
    assert [row.unsupported for row in table.rows.values()] == ["no data", None, "no data"]
    assert table.rows["c"].choices == {"roi": "pool"}
