from __future__ import annotations

from lineage.results import diff
from tests.tables import made


def test_configs_differ_in_the_shortest_form() -> None:
    a = {
        "seed": 0,
        "roi": {"_target_": "m.Pool", "size": 7},
        "lr": 0.1,
        "heads": {"mask": {"_target_": "m.Mask", "x": 1}},
    }
    b = {"seed": 1, "roi": {"_target_": "m.Align", "size": 7}, "lr": 0.1, "heads": {}}
    found = [str(difference) for difference in diff.configs(a, b, ignore=("seed",))]
    assert found == ["roi._target_: m.Pool -> m.Align", "heads.mask: m.Mask -> (absent)"]


def test_copies_of_a_named_choice_are_not_told_again() -> None:
    pool, align = {"_target_": "m.Pool"}, {"_target_": "m.Align", "sampling": 2}
    a, b = ({"roi": roi, "model": {"box": {"roi": roi, "size": 7}}} for roi in (pool, align))
    assert diff.configs(a, b, ignore=("roi",)) == []


def test_metrics_are_compared_bit_by_bit() -> None:
    a, b = made.entry(value=0.3), made.entry(value=0.1 + 0.2)
    assert [found.key for found in diff.metrics(a, b)] == ["mask/AP"]
    assert diff.metrics(a, made.entry(value=0.3)) == []
    assert [found.b for found in diff.metrics(a, made.entry(value=None))] == [diff.ABSENT]


def test_provenance_names_what_else_could_be_the_reason() -> None:
    a, b = made.entry(packages={"torch": "2.11"}), made.entry(packages={"torch": "2.12"}, dirty=True)
    assert [str(found) for found in diff.provenance(a, b)] == ["dirty: False -> True", "packages.torch: 2.11 -> 2.12"]


def test_what_could_explain_a_difference_the_likeliest_first() -> None:
    roi = {"_target_": "x.Pool"}
    a = made.entry(value=27.0, packages={"torch": "2.11"}, config={"roi": roi, "model": {"roi": roi}, "seed": 0})
    other = {"_target_": "x.Align"}
    b = made.entry(seed=1, packages={"torch": "2.12"}, config={"roi": other, "model": {"roi": other}, "seed": 1})
    reasons = diff.explain(a, b)
    assert [reason.what for reason in reasons] == ["config", "seed", "packages"]
    assert [str(found) for found in reasons[0].found] == ["roi._target_: x.Pool -> x.Align"]  # the copy is not told
    assert diff.explain(a, a) == []
    data = made.entry(evaluation="f", dataset={"val": "1"})
    assert diff.explain(made.entry(), data)[0].what == "data"


def test_a_node_at_a_key() -> None:
    config = {"model": {"box": {"nms": 0.5}}}
    assert diff.at(config, "model.box.nms") == 0.5
    assert diff.at(config, "model.mask.nms") == diff.ABSENT
