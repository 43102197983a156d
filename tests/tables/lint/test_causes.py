"""The linter follows interpolations, not values that happen to be equal."""

from __future__ import annotations

from typing import Any

import pytest

from lineage.results import diff
from lineage.tables.lint.causes import RowConfig, find_causes, find_differences, list_references


def pair(
    written: dict[str, Any], a: dict[str, Any], b: dict[str, Any], own: dict[str, Any] | None = None
) -> tuple[RowConfig, RowConfig]:
    """Two rows of one page; `own` is what the second says in place of an interpolation."""
    return RowConfig(a, a | written), RowConfig(b, b | written | (own or {}))


def keys(differences: list[diff.Difference]) -> list[str]:
    return [difference.key for difference in differences]


def test_a_second_key_of_the_factors_own_values_is_a_second_difference() -> None:
    a, b = ({"proposals": {"pre_nms_top_n": {"test": n}, "post_nms_top_n": {"test": n}}} for n in (1000, 300))
    assert keys(find_differences(*pair({}, a, b), ["proposals.pre_nms_top_n"])) == ["proposals.post_nms_top_n.test"]


@pytest.mark.parametrize("value", [("imagenet", "none"), (1, 2)])
def test_a_scalar_factor_covers_its_copies(value: tuple[Any, Any]) -> None:
    a, b = ({"backbone": {"deform_version": one}, "model": {"deform_version": one}} for one in value)
    written = {"model": {"deform_version": "${backbone.deform_version}"}}
    assert keys(find_differences(*pair(written, a, b), ["backbone.deform_version"])) == []
    assert keys(find_differences(*pair(written, a, b), [])) == ["backbone.deform_version"]


def test_a_value_in_place_of_an_interpolation_is_a_difference() -> None:
    a, b = {"x": 1, "y": 1}, {"x": 2, "y": 2}
    assert keys(find_differences(*pair({"y": "${x}"}, a, b, own={"y": 2}), ["x"])) == ["y"]


def test_the_test_of_a_row_is_followed_to_what_it_is_computed_from() -> None:
    a, b = ({"model": {"size": size}, "dataset": {"val": {"length": 2 * size}}} for size in (1, 2))
    written = {"dataset": {"val": {"length": "${eval:'2 * ${model.size}'}"}}}
    assert keys(find_causes(*pair(written, a, b), "dataset.val", [])) == ["model.size"]
    assert keys(find_causes(*pair(written, a, b), "dataset.val", ["model"])) == []


def test_relative_interpolations() -> None:
    assert list_references("${.x} ${..y} ${oc.env:HOME} ${a.b}", "m.box.z") == ["m.box.x", "m.y", "a.b"]
    assert list_references([{"p": "${.x}"}, {"q": ["${..y}"]}], "m.box.z") == ["m.box.x", "m.y"]


def test_entries_show_two_keys_of_one_leaf() -> None:
    """Entries have no interpolations: their names decide whether equal numbers are copies."""
    a, b = (
        {"model": {"pre_nms_top_n": {"test": n}, "post_nms_top_n": {"test": n}, "roi": {"size": n}}, "roi": {"size": n}}
        for n in (7, 14)
    )
    assert keys(diff.experiments(a, b)) == ["model.pre_nms_top_n.test", "model.post_nms_top_n.test", "model.roi.size"]
