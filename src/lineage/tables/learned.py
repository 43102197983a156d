"""A check that models have learned: rows that have not are equal, and their equality shows nothing.

`learning:` in experiments/models/<option>.yaml has, for each metric, what random weights reach (`untrained`), what a
short training reaches (`reached`), and the `floor` half way between the two. It is measured on an easy form of the
embedded dataset: three classes of large objects. Below tier `paper` the best row has to reach untrained + 0.4 (floor -
untrained), for mask_rcnn_c4 0.4 * 10.3 = 4.1. The factor is from when rows at tier `mini` had harder images: Table 2c
of Mask R-CNN had mask AP50 8.3 where `reached` is 20.6. With `shapes_coloured` its rows have 33 to 61.
"""

from __future__ import annotations

from collections.abc import Mapping

from lineage.tables.model_facts import Measure
from lineage.tables.statistics.seed_noise import SeedSample
from lineage.tables.tiers import PAPER

SMALL_TIER = 0.4  # of the way from random weights to the floor, at tiers below `paper`
LearningFacts = Mapping[str, Mapping[str, Measure]]  # option of conf/model -> metric -> what it reaches


def choose_measures(facts: LearningFacts, model: str, metric: str) -> dict[str, Measure]:
    """Return the measures of a model that belong to the metric's task; all of them if that task has none.

    A model without facts has none.
    """
    measures = dict(facts.get(model, {}))
    task = metric.partition("/")[0]
    return {name: measure for name, measure in measures.items() if name.startswith(f"{task}/")} or measures


def explain_unlearned(
    rows: Mapping[str, Mapping[str, SeedSample]], measures: Mapping[str, Measure], metric: str, tier: str
) -> str:
    """Return why a claim about rows cannot be judged: one is not above random weights, or all are below the threshold.

    rows: row -> metric -> its sample. A row that is meant to be worse may be below it. Return "" if all is well.
    """
    for name in list(measures) or [metric]:
        means = {row: samples[name].mean for row, samples in rows.items() if name in samples}
        if not means:
            continue
        measure = measures.get(name, Measure(0.0, 0.0, 0.0))
        low = min(means, key=lambda row: means[row])
        if round(means[low], 1) <= measure.untrained:  # facts have one decimal
            return f"{low} has {name} {means[low]:.1f}, random weights have {measure.untrained:.1f}"
        threshold = measure.untrained + SMALL_TIER * (measure.floor - measure.untrained)
        best = max(means.values())
        if tier != PAPER and best < threshold:
            return (
                f"{name} is {best:.1f} at most, below {threshold:.1f}: {SMALL_TIER:.0%} of the way from random weights "
                f"({measure.untrained:.1f}) to the floor of its model ({measure.floor:.1f}), which counts at this tier"
            )
    return ""
