from __future__ import annotations

from lineage.tables import diff
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
