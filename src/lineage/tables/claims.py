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


def read(
    table: Node, rows: dict[str, Row], metrics: Sequence[str], tolerance: float
) -> tuple[dict[tuple[str, str], Claim], list[Effect]]:
    """The numbers and the relations between rows."""
    values: dict[tuple[str, str], Claim] = {}
    effects: list[Effect] = []
    for node in table.items("claims"):
        node.check(KEYS)
        forms = [form for form in FORMS if form in node.record]
        if len(forms) != 1:
            forms_are = "better: ROW and worse: ROW; order: [ROWS]; equal: [ROWS]; row: ROW and value: NUMBER"
            raise node.error(forms[1] if forms else "better", f"a claim has exactly one of these forms: {forms_are}")
        metric = node.one_of("metric", metrics) if "metric" in node.record else metrics[0]
        if forms[0] == "row":
            value = _value(node, rows, metric, tolerance)
            values[value.row, value.metric] = value
        else:
            effects += _effects(node, forms[0], rows, metric, tolerance)
    return values, effects


def _value(node: Node, rows: dict[str, Row], metric: str, tolerance: float) -> Claim:
    row = rows[node.one_of("row", rows)]
    stated, printed = node.number("value"), row.published.get(metric)
    if stated != printed:
        raise node.error("value", f"{stated} is claimed, but the row {row.name} has published {metric}: {printed}")
    detail = row.details.get(metric, Detail())
    return Claim(row.name, metric, stated, node.number("tolerance", tolerance), detail, node.text("quote"))


def _effects(node: Node, form: str, rows: dict[str, Row], metric: str, tolerance: float) -> list[Effect]:
    pairs = _pairs(node, form, rows)
    if "gain" in node.record and form != "better":
        raise node.error("gain", "only a claim of better: and worse: has one")
    gain = node.number("gain") if "gain" in node.record else None
    kind = "equal" if form == "equal" else "order" if gain is None else "gain"
    told = (node.number("tolerance", tolerance), node.text("quote"), node.text("source"))
    return [Effect(kind, better, worse, metric, gain, *told) for better, worse in pairs]


def _pairs(node: Node, form: str, rows: dict[str, Row]) -> list[tuple[str, str]]:
    """(better, worse): an order is what its neighbours are; the first of equal rows stands for all."""
    if form == "better":
        return [(node.one_of("better", rows), node.one_of("worse", rows))]
    named = node.texts(form, rows)
    if len(set(named)) != len(named) or len(named) < 2:
        raise node.error(form, "expected two rows or more, each once")
    return list(pairwise(named)) if form == "order" else [(named[0], other) for other in named[1:]]
