"""The claims of a table file: what the paper concludes from its numbers, in a form that can be judged.

    - {better: align, worse: pool, gain: 3.4, quote: "RoIAlign improves AP by about 3 points"}    a gain
    - {better: align, worse: pool, metric: mask/AP75}                                             an order of two
    - {order: [multi_task, stage_wise, cls_only]}                                                 an order, best first
    - {equal: [align, align_max], tolerance: 0.3}                                                 no difference
    - {row: align, value: 30.3, tolerance: 0.3}                                                   a number

Without `metric` the first of the table is meant. Every published number is a claim of the last kind by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from lineage.tables.table import Claim, Detail, Effect, Row
from lineage.tables.yaml_node import Node

KEYS = ("better", "worse", "gain", "order", "equal", "row", "value", "metric", "tolerance", "quote", "source")
FORMS = ("better", "order", "equal", "row")
EXPECTED = "better: ROW and worse: ROW; order: [ROWS]; equal: [ROWS]; row: ROW and value: NUMBER"


def read_claims(
    table: Node, rows: dict[str, Row], metrics: Sequence[str], tolerance: float
) -> tuple[dict[tuple[str, str], Claim], list[Effect]]:
    """Return the claims about numbers, by (row, metric), and those about relations between rows."""
    numbers: dict[tuple[str, str], Claim] = {}
    effects: list[Effect] = []
    for node in table.mappings("claims"):
        node.check_keys(KEYS)
        forms = [form for form in FORMS if form in node.record]
        if len(forms) != 1:
            raise node.error(forms[1] if forms else "better", f"a claim has exactly one of these forms: {EXPECTED}")
        metric = node.one_of("metric", metrics) if "metric" in node.record else metrics[0]
        if forms[0] == "row":
            claim = _read_number(node, rows, metric, tolerance)
            numbers[claim.row, claim.metric] = claim
        else:
            stated = _read_effects(node, forms[0], rows, metric, tolerance)
            _check_new(node, forms[0], stated, effects)
            effects += stated
    return numbers, effects


def _check_new(node: Node, form: str, stated: Sequence[Effect], before: Sequence[Effect]) -> None:
    """Raise TableError if a relation is stated a second time: it would be corrected for as two questions."""
    relations = {(effect.kind, effect.better, effect.worse, effect.metric) for effect in before}
    for effect in stated:
        if (effect.kind, effect.better, effect.worse, effect.metric) in relations:
            raise node.error(form, f"a claim above states {effect.better} and {effect.worse} by {effect.metric}; "
                                   "leave one of the two out")  # fmt: skip


def _read_number(node: Node, rows: dict[str, Row], metric: str, tolerance: float) -> Claim:
    row = rows[node.one_of("row", rows)]
    value, published = node.number("value"), row.published.get(metric)
    if value != published:
        raise node.error("value", f"{value} is claimed, but the row {row.name} has published {metric}: {published}")
    detail = row.details.get(metric, Detail())
    return Claim(row.name, metric, value, node.number("tolerance", tolerance), detail, node.text("quote"))


def _read_effects(node: Node, form: str, rows: dict[str, Row], metric: str, tolerance: float) -> list[Effect]:
    pairs = _read_pairs(node, form, rows)
    if "gain" in node.record and form != "better":
        raise node.error("gain", "only a claim of better: and worse: has one")
    gain = node.number("gain") if "gain" in node.record else None
    kind = "equal" if form == "equal" else "order" if gain is None else "gain"
    shared = (node.number("tolerance", tolerance), node.text("quote"), node.text("source"))
    return [Effect(kind, better, worse, metric, gain, *shared) for better, worse in pairs]


def _read_pairs(node: Node, form: str, rows: dict[str, Row]) -> list[tuple[str, str]]:
    """Return pairs (better, worse): the neighbours of an order; the first of equal rows with each other one."""
    if form == "better":
        better, worse = node.one_of("better", rows), node.one_of("worse", rows)
        if better == worse:
            raise node.error("worse", f"{worse} is the better row, too; a claim compares two rows")
        return [(better, worse)]
    names = node.text_list(form, rows)
    if len(set(names)) != len(names) or len(names) < 2:
        raise node.error(form, "expected two rows or more, each once")
    return list(pairwise(names)) if form == "order" else [(names[0], other) for other in names[1:]]
