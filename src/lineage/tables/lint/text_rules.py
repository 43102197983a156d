"""Rules about the contents of a table's file: T1, T6 to T11, T13 to T15, C1, C2."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from lineage.results import diff
from lineage.tables.lint.metric_names import explain_unknown
from lineage.tables.lint.rules import NOTE, WARNING, Finding, Subject
from lineage.tables.statistics import seed_noise
from lineage.tables.suggest import did_you_mean
from lineage.tables.table import COST, COSTS, Effect

ROUNDING = 0.0501  # two numbers of one decimal differ by at most this from their unrounded difference
UP = r"gain|improv|better|beat|lift|rais|outperform|increas|higher|win|help|boost|benefi|exceed|faster|best"
DOWN = r"worse|hurt|drop|lose|lower|decreas|degrad|fall|slower|costs?"
EVEN = r"same|equal|no difference|insensitive|robust|enough|on par|nearly|constant|transfers?|sweet spot|does not"
NOT = r"\b(not|no|without|never|barely|hardly)\b"
ARCHITECTURE = ("model", "backbone", "roi", "neck", "box", "tta")
OF_TASK = {"mask": "mask", "keypoint": "keypoint"}  # metric's task -> the head it needs


def check_factor(subject: Subject) -> Iterator[Finding]:
    """T1: an ablation declares the factor that its rows vary."""
    table = subject.table
    if subject.ablation and not table.factor:
        yield Finding("T1", f"kind {table.kind} needs a factor: the groups or keys that its rows vary")
    if table.kind == "factorial" and len(table.factor) == 1:
        yield Finding("T1", "a factorial table has two factors or more")
    if subject.configs and not subject.errors:
        for key in dict.fromkeys(key for keys in table.factor.values() for key in keys):
            yield from _check_factor_key(subject, key)


def _check_factor_key(subject: Subject, key: str) -> Iterator[Finding]:
    """T1: what rows vary is a config group or a key that one of them has."""
    groups = {group for choices in subject.choices.values() for group in choices}
    if key not in groups and all(diff.at(config, key) == diff.ABSENT for config in subject.configs.values()):
        names = sorted(groups.union(*subject.configs.values()))
        yield Finding("T1", f"factor {key!r} is no config group and no key of its rows. {did_you_mean(key, names)}")


def check_baseline(subject: Subject) -> Iterator[Finding]:
    """T6: an ablation names its baseline, which is ours to run and has a number."""
    table = subject.table
    if table.baseline is None:
        if table.kind in ("one_factor", "ordered", "factorial"):
            yield Finding("T6", "no baseline: name the row that the others are compared with")
        return
    row = table.rows[table.baseline]
    if next(iter(table.metrics)) not in row.published and not table.is_own:
        yield Finding("T6", f"the baseline has no {next(iter(table.metrics))}", row.name, WARNING)
    if row.quoted is not None:
        yield Finding("T6", "the baseline is a quoted row, which nobody runs", row.name)


def check_source(subject: Subject) -> Iterator[Finding]:
    """T7: every number has a confidence; that the table has a source is checked when it is read."""
    table = subject.table
    if table.confidence == "unstated" and not table.is_own:
        yield Finding("T7", "say how sure the numbers are: confidence: read in source | recalled | derived: how")
    for row in table.rows.values():
        confidences = [detail.confidence for detail in row.details.values()] + [row.confidence or table.confidence]
        if row.published and any(word.startswith("recalled") for word in confidences):
            yield Finding("T7", "has numbers that were recalled, not read", row.name, WARNING)


def check_effect_sizes(subject: Subject) -> Iterator[Finding]:
    """T8: a claimed difference is larger than the noise of two single runs."""
    for effect in subject.table.effects:
        size = _size(subject, effect)
        models = {subject.table.rows[row].choices.get("model", "") for row in (effect.better, effect.worse)}
        noise = seed_noise.find_published(subject.table.dataset, effect.metric, models)
        if noise is None:
            continue
        limit = 2 * noise.sd * 2**0.5
        if effect.kind != "equal" and size is not None and abs(size) < limit:
            difference = f"{effect.better} over {effect.worse} is {size:+.1f} {effect.metric}"
            yield Finding("T8", f"{difference}, below {limit:.1f}: {noise.source}")


def check_numbers(subject: Subject) -> Iterator[Finding]:
    """T9: every row that could run has a published number, or is used by one that has."""
    used = {reference.rpartition("/")[2] for row in subject.table.rows.values() for reference in row.uses.values()}
    for row in subject.table.rows.values():
        if row.runs and not row.published and row.name not in used and not subject.table.is_own:
            yield Finding("T9", "has no published number", row.name)


def check_message(subject: Subject) -> Iterator[Finding]:
    """T10: the message is one sentence, of a gain if the claims are gains."""
    text, effects = subject.table.message, subject.table.effects
    if not text.endswith("."):
        yield Finding("T10", f"the message does not end in a period: {text!r}")
    if re.search(r"[.!?;]\s+[A-Z]", re.sub(r"\b(vs|etc|al|Fig|Sec)\.", r"\1", text)):
        yield Finding("T10", f"the message is more than one sentence: {text!r}")
    ordered = [effect for effect in effects if effect.kind != "equal"]
    stated = re.sub(rf"{NOT}[^,;]*", "", text, flags=re.IGNORECASE)  # without negated clauses
    if re.search(rf"\b({UP})", stated, re.IGNORECASE) and effects and not ordered:
        yield Finding("T10", "the message tells of a gain, but every claim is that rows are equal")
    even = re.search(rf"\b({EVEN})", text, re.IGNORECASE) and not re.search(rf"\b({UP}|{DOWN})", stated, re.IGNORECASE)
    if even and effects and len(ordered) == len(effects):
        text = "the message tells of rows that are equal, but every claim is a difference"
        yield Finding("T10", text, None, WARNING)
    yield from _check_direction(subject, stated, ordered)


def _check_direction(subject: Subject, stated: str, ordered: list[Effect]) -> Iterator[Finding]:
    """T10: the direction of the message agrees with the claims, if all of them compare with the baseline."""
    base = subject.table.baseline
    ups = [effect for effect in ordered if effect.worse == base]
    downs = [effect for effect in ordered if effect.better == base]
    up, down = (re.search(rf"\b({words})", stated, re.IGNORECASE) for words in (UP, DOWN))
    if up and not down and downs and not ups and len(downs) == len(ordered):
        text = f"the message says {up[0]!r}, but in every claim the baseline {base} is the better row"
        yield Finding("T10", text, None, NOTE)
    if down and not up and ups and not downs and len(ups) == len(ordered):
        yield Finding("T10", f"the message says {down[0]!r}, but in every claim the baseline {base} is the worse row")


def check_titles(subject: Subject) -> Iterator[Finding]:
    """T11: every column has its own title."""
    titles = list(subject.table.metrics.values())
    for title in dict.fromkeys(title for title in titles if titles.count(title) > 1):
        yield Finding("T11", f"{titles.count(title)} columns are called {title!r}")


def check_costs(subject: Subject) -> Iterator[Finding]:
    """T13: a table about the architecture has a cost column; note costs that are not measured here."""
    table = subject.table
    keys = [key for group in table.factor.values() for key in group]
    touched = [key for key in keys if key.split(".")[0] in ARCHITECTURE]
    if subject.ablation and touched and not table.costs and not table.is_own:
        text = f"{', '.join(touched)} changes the architecture; add cost/parameters_m, cost/image_ms or so"
        yield Finding("T13", text)
    for cost in table.costs:
        if cost not in COSTS and table.is_own:
            yield Finding("T14", f"{cost} is not measured. {did_you_mean(cost, COSTS)}")
        elif cost not in COSTS:
            yield Finding("T13", f"{cost} is not measured here: its column shows the paper's numbers alone", None, NOTE)


def check_metrics(subject: Subject) -> Iterator[Finding]:
    """T14: the evaluator and the heads of a row can produce its metrics."""
    for name, config in subject.configs.items():
        for metric in subject.list_metrics(name):
            if not metric.startswith(COST):
                yield from (Finding("T14", reason, name) for reason in explain_unmeasured(config, metric))


def explain_unmeasured(config: Mapping[str, Any], metric: str) -> Iterator[str]:
    """Yield why a config cannot produce a metric: its evaluator, its heads; nothing if it can."""
    if unknown := explain_unknown(config, metric):
        yield unknown
    head = OF_TASK.get(metric.partition("/")[0])
    if head and not _has_head(config, head):
        heads = diff.at(config, "model.heads")
        has = f"model.heads has {', '.join(heads) or 'none'}" if isinstance(heads, dict) else "this model has none"
        yield f"{metric} needs a {head} head; {has}"


def _has_head(config: Mapping[str, Any], head: str) -> bool:
    """Return whether a model has a head on regions of this name; CenterNet's landmarks are keypoints."""
    heads = diff.at(config, "model.heads")
    if isinstance(heads, dict):
        return head in heads
    is_unknown = diff.at(config, "model") == diff.ABSENT
    return is_unknown or (head == "keypoint" and isinstance(diff.at(config, "model.landmarks"), dict))


def check_composes(subject: Subject) -> Iterator[Finding]:
    """T15: every row composes."""
    for name, error in subject.errors.items():
        yield Finding("T15", error, name)


def check_claims(subject: Subject) -> Iterator[Finding]:
    """C1: the claims hold for the published numbers."""
    for effect in subject.table.effects:
        size = _size(subject, effect)
        if size is None and subject.table.is_own:
            continue
        if size is None:
            reason = f"no published {effect.metric} of both {effect.better} and {effect.worse}"
            yield Finding("C1", f"cannot be checked: {reason}", None, NOTE)
        elif effect.kind == "equal" and abs(size) > effect.tolerance + ROUNDING:
            text = f"{effect.better} = {effect.worse}: published {size:+.1f} {effect.metric}"
            yield Finding("C1", f"{text}, tolerance {effect.tolerance:.1f}")
        elif effect.kind != "equal" and size <= 0:
            yield Finding("C1", f"{effect.better} > {effect.worse}: published {size:+.1f} {effect.metric}")
        elif effect.gain is not None and abs(size - effect.gain) > ROUNDING:
            text = f"{effect.better} > {effect.worse} by {effect.gain:.1f}: published {size:+.1f} {effect.metric}"
            yield Finding("C1", text)


def check_has_claim(subject: Subject) -> Iterator[Finding]:
    """C2: an ablation has a claim."""
    if not subject.table.effects:
        level = "" if subject.ablation and not subject.table.is_own else NOTE
        yield Finding("C2", "no claim says what the table shows", None, level)


def _size(subject: Subject, effect: Effect) -> float | None:
    """Return the published difference, positive if it is an improvement; None without both numbers."""
    rows = [subject.table.rows[name].published.get(effect.metric) for name in (effect.better, effect.worse)]
    if rows[0] is None or rows[1] is None:
        return None
    return (rows[0] - rows[1]) * (-1 if effect.metric in subject.table.lower else 1)
