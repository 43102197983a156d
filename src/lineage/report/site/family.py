"""The family tree of the models, with their published numbers and the best of our own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lineage.report.site.headline import choose_headline
from lineage.report.site.records import name_dataset
from lineage.results.entry import Entry
from lineage.results.key_roles import within
from lineage.results.overrides import Override
from lineage.tables import model_facts
from lineage.tables.model_facts import Family, ModelFacts
from lineage.tables.tiers import PAPER

LAST = 9999  # year of a model without one
TRUE_MAPS = "lineage.models.detectors.true_maps.TrueMaps"  # of CenterNet and DeepMark
OF_TEST = ("dataset.val", "dataset.evaluator", "evaluator")


def describe_family(experiments: Path, entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return a record per option of conf/model that has facts or runs, oldest first."""
    facts = {model.option: model for model in model_facts.load(experiments)}
    ours = collect_numbers(entries)
    records = [
        {"option": option, **_describe(facts.get(option)), "ours": ours.get(option, [])}
        for option in dict.fromkeys([*facts, *ours])
    ]
    return sorted(records, key=lambda record: record["year"] or LAST)


def collect_numbers(entries: Iterable[Entry]) -> dict[str, list[dict[str, Any]]]:
    """Return option -> its best finished run of each tier and dataset, by its first main metric.

    Runs that read the truth in their test are left out: their number is not the model's. A test that was changed by
    keys, such as one of four images, counts only where there is no other.
    """
    best: dict[tuple[str, str, str, str], tuple[tuple[bool, float], Entry]] = {}
    for entry in entries:
        metric = next(iter(choose_headline(entry.metrics)), None)
        if entry.status != "finished" or metric is None or reads_truth(entry.config):
            continue
        key = (entry.choices.get("model", ""), entry.tier, name_dataset(entry), metric)
        rank = (not has_other_test(entry), _value(entry, metric))
        if key not in best or rank > best[key][0]:
            best[key] = rank, entry
    numbers: dict[str, list[dict[str, Any]]] = {}
    for (model, tier, dataset, _), (_, entry) in sorted(best.items(), key=lambda item: (item[0][1] != PAPER, item[0])):
        names = sorted(choose_headline(entry.metrics), key=lambda name: not name.startswith("box/"))  # as published
        values = {name: entry.metrics[name] for name in names}
        numbers.setdefault(model, []).append({"tier": tier, "dataset": dataset, "run": entry.id, "values": values})
    return numbers


def reads_truth(config: Mapping[str, Any]) -> bool:
    """Return whether a test reads what it should predict: true maps (tta=oracle_*), or boxes of the annotations.

    Proposals that are objects moved about are a source of regions; unmoved (proposals=truth), they are the truth.
    """
    tta, proposals = config.get("tta") or {}, config.get("proposals") or {}
    return tta.get("_target_") == TRUE_MAPS or proposals.get("shift") == 0


def has_other_test(entry: Entry) -> bool:
    """Return whether keys that were typed change the images of a test, or how they are scored."""
    return any(within(Override.parse(text).key, OF_TEST) for text in entry.deviations)


def _value(entry: Entry, metric: str) -> float:
    value = entry.metrics[metric]
    return -1.0 if value is None else value


def _describe(facts: ModelFacts | None) -> Mapping[str, Any]:
    """Return what the facts of a model say; a model without a place in the family tree stands apart, without year."""
    if facts is None:
        return {"name": "", "paper": "", "variants": [], "year": None, "idea": "", "from": ""}
    variants = [
        {"name": variant.name, "choices": variant.choices, "benchmark": variant.benchmark,
         "parameters": variant.parameters, "published": variant.published}
        for variant in facts.variants
    ]  # fmt: skip
    family = facts.family or Family(0, facts.variants[0].name if facts.variants else facts.option, "", "")
    return {"name": family.name, "paper": facts.paper, "variants": variants, "year": family.year or None,
            "idea": family.idea, "from": family.parent}  # fmt: skip
