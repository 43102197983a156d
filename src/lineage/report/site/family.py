"""The family tree of the models, with their published numbers and the best of our own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from lineage.results.entry import Entry
from lineage.tables import model_facts
from lineage.tables.model_facts import ModelFacts
from lineage.tables.tiers import PAPER

HEADLINE = ("box/AP", "mask/AP", "keypoint/AP", "voc/mAP", "voc/mAP07", "panoptic/PQ", "box/AR1000")


def describe_family(experiments: Path, entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return a record per option of conf/model that has facts or runs, oldest first."""
    tree = read_tree()
    facts = {model.option: model for model in model_facts.load(experiments)}
    ours = collect_numbers(entries)
    options = dict.fromkeys([*tree, *facts, *ours])
    return [
        {"option": option, **_describe(facts.get(option)), **tree.get(option, {}), "ours": ours.get(option, [])}
        for option in options
        if option in facts or option in ours
    ]


def read_tree() -> dict[str, dict[str, Any]]:
    """Return option -> year, name, idea and the option it grew from."""
    text = resources.files("lineage.report.site").joinpath("family.yaml").read_text(encoding="utf-8")
    tree: dict[str, dict[str, Any]] = yaml.safe_load(text)
    return tree


def collect_numbers(entries: Iterable[Entry]) -> dict[str, list[dict[str, Any]]]:
    """Return option -> its best finished run of each tier and dataset, by the first metric of HEADLINE that it has."""
    best: dict[tuple[str, str, str, str], Entry] = {}
    for entry in entries:
        metric = next((name for name in HEADLINE if entry.metrics.get(name) is not None), None)
        if entry.status != "finished" or metric is None:
            continue
        key = (entry.choices.get("model", ""), entry.tier, entry.choices.get("dataset", ""), metric)
        if key not in best or _value(entry, metric) > _value(best[key], metric):
            best[key] = entry
    numbers: dict[str, list[dict[str, Any]]] = {}
    for (model, tier, dataset, _), entry in sorted(best.items(), key=lambda item: (item[0][1] != PAPER, item[0])):
        values = {name: entry.metrics[name] for name in HEADLINE if entry.metrics.get(name) is not None}
        numbers.setdefault(model, []).append({"tier": tier, "dataset": dataset, "run": entry.id, "values": values})
    return numbers


def _value(entry: Entry, metric: str) -> float:
    value = entry.metrics[metric]
    return -1.0 if value is None else value


def _describe(facts: ModelFacts | None) -> Mapping[str, Any]:
    if facts is None:
        return {"name": "", "paper": "", "variants": []}
    variants = [
        {"name": one.name, "choices": one.choices, "benchmark": one.benchmark, "parameters": one.parameters,
         "published": one.published}
        for one in facts.variants
    ]  # fmt: skip
    return {"name": facts.variants[0].name if facts.variants else facts.option, "paper": facts.paper,
            "variants": variants}  # fmt: skip
