"""The family tree of the models is read from their facts, one file per model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lineage.config.compose import compose_config
from lineage.config.digests import to_plain
from lineage.report.site.family import collect_numbers, describe_family, reads_truth
from lineage.tables import model_facts
from lineage.tables.table import TableError
from tests.report.site.stores import EXPERIMENTS, make_entry


def test_each_shipped_model_grew_from_another_or_begins_a_family() -> None:
    tree = {model["option"]: model for model in describe_family(EXPERIMENTS, [])}
    assert set(tree) == set(model_facts.find_files(EXPERIMENTS))
    for option, model in tree.items():
        place = f"experiments/models/{option}.yaml needs family: {{year, name, from, idea}}"
        assert model["year"], place
        assert model["idea"], place
        assert model["from"] in {"", *tree}, f"{option} grew from {model['from']!r}, which has no facts"
        assert tree.get(model["from"], model)["year"] <= model["year"], f"{option} is older than its parent"


def test_a_model_of_ones_own_needs_its_facts_alone(tmp_path: Path) -> None:
    """A file in the project's own folder is enough; a model without facts is listed once it has a run."""
    folder = tmp_path / "experiments" / "models"
    folder.mkdir(parents=True)
    family = "family: {year: 2026, name: Own R-CNN, from: mask_rcnn, idea: a head of its own}"
    folder.joinpath("own_rcnn.yaml").write_text(f"paper: arXiv:2601.00001\n{family}\nvariants: []\n")
    runs = [
        make_entry(number, 20.0 + number, choices={"model": model}) for number, model in enumerate(("new", "own_rcnn"))
    ]
    *_, own, new = describe_family(tmp_path / "experiments", runs)
    assert (own["option"], own["year"], own["from"], own["idea"]) == (
        "own_rcnn",
        2026,
        "mask_rcnn",
        "a head of its own",
    )
    assert own["ours"][0]["values"]["box/AP"] == 21.0
    assert (new["option"], new["year"], new["ours"][0]["run"]) == ("new", None, runs[0].id)
    folder.joinpath("own_rcnn.yaml").write_text("paper: arXiv:2601.00001\nfamily: {idea: x}\nvariants: []\n")
    with pytest.raises(TableError, match="family"):
        describe_family(tmp_path / "experiments", [])


def make_plain_config(*overrides: str) -> dict[str, Any]:
    """Return the plain config of a run."""
    return to_plain(compose_config(list(overrides)))


@pytest.mark.parametrize("overrides", [
    *([["model=centernet", f"tta={file.stem}"] for file in sorted((EXPERIMENTS.parent / "conf/tta").glob("oracle_*"))]),
    ["model=keypoint_rcnn", "dataset=shapes_garments", "edit=true_boxes", "proposals=truth"],
])  # fmt: skip
def test_runs_that_read_the_truth_in_their_test_are_not_the_best_of_a_model(overrides: list[str]) -> None:
    oracle, detected = make_entry(1, 100.0, config=make_plain_config(*overrides)), make_entry(2, 30.0)
    assert collect_numbers([oracle, detected])["mask_rcnn"][0]["run"] == detected.id
    assert collect_numbers([oracle]) == {}


def test_regions_of_a_known_recall_are_no_truth() -> None:
    assert not reads_truth(make_plain_config("model=fast_rcnn", "proposals=jittered"))


@pytest.mark.parametrize("typed", ["dataset.val.length=4", "+dataset.val.limit=4", "dataset/evaluator=lvis"])
def test_a_changed_test_counts_only_where_there_is_no_other(typed: str) -> None:
    easy, usual = make_entry(1, 90.0, deviations=[typed]), make_entry(2, 30.0, deviations=["roi=pool"])
    assert collect_numbers([easy, usual])["mask_rcnn"][0]["run"] == usual.id
    assert collect_numbers([easy])["mask_rcnn"][0]["run"] == easy.id
