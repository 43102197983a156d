from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lineage.tables import read, tiers
from lineage.tables.table import Effect, TableError

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
GOOD: dict[str, Any] = yaml.safe_load((EXPERIMENTS / "mask_rcnn/table2c.yaml").read_text())


def test_mask_rcnn_table_2c() -> None:
    table = read.load(EXPERIMENTS, "mask_rcnn/table2c")
    assert next(iter(table.rows.values())).label == "RoIPool max"
    assert table.rows["roi_pool"].choose == {
        "model": "mask_rcnn_c4", "backbone": "resnet50", "dataset": "coco", "schedule": "mask_rcnn", "roi": "pool",
    }  # fmt: skip
    assert len(table.claims) == 15
    assert table.effects[0] == Effect("gain", "roi_align", "roi_pool", "mask/AP", 3.4, 0.5)


def test_effects_agree_with_the_published_numbers() -> None:
    for name in read.names(EXPERIMENTS):
        table = read.load(EXPERIMENTS, name)
        for effect in table.effects:
            rows = (table.rows[effect.better].published, table.rows[effect.worse].published)
            if effect.gain is not None and all(effect.metric in row for row in rows):
                assert rows[0][effect.metric] - rows[1][effect.metric] == pytest.approx(effect.gain, abs=0.051)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mesage": "x"}, "mesage: unknown key. Did you mean message"),
        ({"label": ""}, "label: missing"),
        ({"kind": "one-factor"}, "kind: unknown: 'one-factor'. Did you mean one_factor"),
        ({"metrics": "mask/AP"}, "metrics: expected keys and values"),
        ({"tolerance": "half"}, "tolerance: 'half' is not a number"),
        ({"base": {"wiht": {}}}, "base.wiht: unknown key"),
        ({"rows": {"a": {"sett": {}}}}, "rows.a.sett: unknown key. Did you mean set"),
        ({"rows": {"a": {"published": {"mask/AP": True}}}}, "rows.a.published.mask/AP: True is not a number"),
        (
            {"rows": {"a": {"published": {"mask/APP": 1}}}},
            "rows.a.published.mask/APP: unknown key. Did you mean mask/AP",
        ),
        ({"effects": [{"better": "roi_alig", "worse": "roi_pool", "metric": "mask/AP"}]}, "no row 'roi_alig'"),
        ({"effects": [{"better": "roi_align", "metric": "mask/AP"}]}, "effects"),
        ({"effects": [{"equal": ["roi_pool"], "metric": "mask/AP"}]}, "expected two rows"),
        ({"effects": [{"equal": ["roi_pool", "roi_warp"]}]}, "effects[0].metric: missing"),
        ({"effects": {"a": 1}}, "expected a list"),
    ],
)
def test_a_wrong_file_is_told_where_it_is_wrong(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    with pytest.raises(TableError) as error:
        load(tmp_path, GOOD | change)
    assert str(error.value).startswith(str(tmp_path / "a/b.yaml"))
    assert says in str(error.value)


def test_a_missing_table_is_told_its_neighbours() -> None:
    with pytest.raises(TableError, match="Did you mean mask_rcnn/table2c"):
        read.load(EXPERIMENTS, "mask_rcnn/table2cc")


def test_broken_yaml_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b.yaml").write_text("rows: [")
    with pytest.raises(TableError, match=r"b\.yaml: not YAML"):
        read.load(tmp_path, "a/b")


def test_tiers_translate_what_they_name() -> None:
    choose = read.load(EXPERIMENTS, "mask_rcnn/table2c").rows["roi_pool"].choose
    mini = tiers.translate(choose, tiers.load(EXPERIMENTS)["mini"])
    assert mini == choose | {"backbone": "mini", "dataset": "shapes", "schedule": "mini"}


def load(folder: Path, record: dict[str, Any]) -> None:
    (folder / "a").mkdir()
    (folder / "a/b.yaml").write_text(yaml.safe_dump(record))
    read.load(folder, "a/b")
