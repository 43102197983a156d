"""Rules about what the table says: T1, T6 to T11, T13 to T15, C1, C2. They look at the file and its numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

from lineage.results import diff
from lineage.tables.lint.rules import NOTE, WARNING, Finding, Subject
from lineage.tables.statistics import seed_noise
from lineage.tables.table import COST, COSTS, Effect

ROUNDING = 0.0501  # two numbers of one decimal differ by at most this from their unrounded difference
UP = r"gain|improv|better|beat|lift|rais|outperform|increas|higher|win|help|boost|benefi|exceed|faster|best"
DOWN = r"worse|hurt|drop|lose|lower|decreas|degrad|fall|slower|costs?"
EVEN = r"same|equal|no difference|insensitive|robust|enough|on par|nearly|constant|transfers?|sweet spot|does not"
NOT = r"\b(not|no|without|never|barely|hardly)\b"
ARCHITECTURE = ("model", "backbone", "roi", "neck", "box", "tta")
OF_TASK = {"mask": "mask", "keypoint": "keypoint"}  # metric's task -> the head it needs
METRICS = (  # evaluator's class -> what it can measure
    ("*lvis*", ("box/*", "mask/*", "lvis/*")),
    ("*voc*", ("voc/*", "box/*")),
    ("*cityscapes*", ("box/*", "mask/*")),
    ("*panoptic*", ("panoptic/*", "semantic/*", "box/*", "mask/*")),
    ("*proposal*", ("box/*", "proposals/*")),
    ("*coco*", ("box/*", "mask/*", "keypoint/*", "boundary/*")),
)


def declared(subject: Subject) -> Iterator[Finding]:
    """T1."""
    table = subject.table
    if subject.ablation and not table.factor:
        yield Finding("T1", f"kind {table.kind} needs a factor: the groups or keys that its rows vary")
    if table.kind == "factorial" and len(table.factor) == 1:
        yield Finding("T1", "a factorial table has two factors or more")


def baseline(subject: Subject) -> Iterator[Finding]:
    """T6."""
    table = subject.table
    if table.baseline is None:
        if table.kind in ("one_factor", "ordered", "factorial"):
            yield Finding("T6", "no baseline: name the row that the others are compared with")
        return
    row = table.rows[table.baseline]
    if next(iter(table.metrics)) not in row.published:
        yield Finding("T6", f"the baseline has no {next(iter(table.metrics))}", row.name, WARNING)
    if row.quoted is not None:
        yield Finding("T6", "the baseline is a quoted row, which nobody runs", row.name)


def sourced(subject: Subject) -> Iterator[Finding]:
    """T7. The reader insists on the table's own source."""
    table = subject.table
    if table.confidence == "unstated":
        yield Finding("T7", "say how sure the numbers are: confidence: read in source | recalled | derived: how")
    for row in table.rows.values():
        told = [detail.confidence for detail in row.details.values()] + [row.confidence or table.confidence]
        if row.published and any(word.startswith("recalled") for word in told):
            yield Finding("T7", "has numbers that were recalled, not read", row.name, WARNING)


def distinguishable(subject: Subject) -> Iterator[Finding]:
    """T8: a difference of two single runs has the noise of both."""
    known = seed_noise.find_published(subject.table.dataset)
    if known is None:
        return
    for effect in subject.table.effects:
        size = _size(subject, effect)
        limit = 2 * known.sd * 2**0.5
        if effect.kind != "equal" and size is not None and abs(size) < limit:
            says = f"{effect.better} over {effect.worse} is {size:+.1f} {effect.metric}"
            yield Finding("T8", f"{says}, below {limit:.1f}: {known.source}")


def numbered(subject: Subject) -> Iterator[Finding]:
    """T9."""
    used = {reference.rpartition("/")[2] for row in subject.table.rows.values() for reference in row.uses.values()}
    for row in subject.table.rows.values():
        if row.runs and not row.published and row.name not in used:
            yield Finding("T9", "has no published number", row.name)


def message(subject: Subject) -> Iterator[Finding]:
    """T10."""
    text, effects = subject.table.message, subject.table.effects
    if not text.endswith("."):
        yield Finding("T10", f"the message does not end in a period: {text!r}")
    if re.search(r"[.!?;]\s+[A-Z]", re.sub(r"\b(vs|etc|al|Fig|Sec)\.", r"\1", text)):
        yield Finding("T10", f"the message is more than one sentence: {text!r}")
    ordered = [effect for effect in effects if effect.kind != "equal"]
    said = re.sub(rf"{NOT}[^,;]*", "", text, flags=re.IGNORECASE)  # what is denied is not claimed
    if re.search(rf"\b({UP})", said, re.IGNORECASE) and effects and not ordered:
        yield Finding("T10", "the message tells of a gain, but every claim is that rows are equal")
    even = re.search(rf"\b({EVEN})", text, re.IGNORECASE) and not re.search(rf"\b({UP}|{DOWN})", said, re.IGNORECASE)
    if even and effects and len(ordered) == len(effects):
        says = "the message tells of rows that are equal, but every claim is a difference"
        yield Finding("T10", says, None, WARNING)
    yield from _direction(subject, said, ordered)


def _direction(subject: Subject, said: str, ordered: list[Effect]) -> Iterator[Finding]:
    """What is told of the factor is told against the baseline, where the claims name it."""
    base = subject.table.baseline
    ups = [effect for effect in ordered if effect.worse == base]
    downs = [effect for effect in ordered if effect.better == base]
    up, down = (re.search(rf"\b({words})", said, re.IGNORECASE) for words in (UP, DOWN))
    if up and not down and downs and not ups and len(downs) == len(ordered):
        says = f"the message says {up[0]!r}, but in every claim the baseline {base} is the better row"
        yield Finding("T10", says, None, NOTE)
    if down and not up and ups and not downs and len(ups) == len(ordered):
        yield Finding("T10", f"the message says {down[0]!r}, but in every claim the baseline {base} is the worse row")


def titled(subject: Subject) -> Iterator[Finding]:
    """T11."""
    titles = list(subject.table.metrics.values())
    for title in dict.fromkeys(title for title in titles if titles.count(title) > 1):
        yield Finding("T11", f"{titles.count(title)} columns are called {title!r}")


def priced(subject: Subject) -> Iterator[Finding]:
    """T13; and a cost that nothing measures here."""
    table = subject.table
    keys = [key for group in table.factor.values() for key in group]
    touched = [key for key in keys if key.split(".")[0] in ARCHITECTURE]
    if subject.ablation and touched and not table.costs:
        says = f"{', '.join(touched)} changes the architecture; add cost/parameters_m, cost/image_ms or so"
        yield Finding("T13", says)
    for cost in table.costs:
        if cost not in COSTS:
            yield Finding("T13", f"{cost} is not measured here: its column shows the paper's numbers alone", None, NOTE)


def measurable(subject: Subject) -> Iterator[Finding]:
    """T14."""
    for name, config in subject.configs.items():
        target = str(diff.at(config, "evaluator._target_"))
        target = str(diff.at(config, "dataset.evaluator._target_")) if target == diff.ABSENT else target
        known = next((names for pattern, names in METRICS if fnmatchcase(target.lower(), pattern)), None)
        for metric in subject.table.rows[name].published:
            if metric.startswith(COST):
                continue
            if known is not None and not any(fnmatchcase(metric, pattern) for pattern in known):
                yield Finding("T14", f"{metric} is not measured by {target.rpartition('.')[2]}", name)
            head = OF_TASK.get(metric.partition("/")[0])
            heads = diff.at(config, "model.heads")
            if head and isinstance(heads, dict) and head not in heads:
                has = ", ".join(heads) or "none"
                yield Finding("T14", f"{metric} needs a {head} head; model.heads has {has}", name)


def composes(subject: Subject) -> Iterator[Finding]:
    """T15."""
    for name, error in subject.errors.items():
        yield Finding("T15", error, name)


def claimed(subject: Subject) -> Iterator[Finding]:
    """C1: the paper's own numbers have to agree with what the paper says of them."""
    for effect in subject.table.effects:
        size = _size(subject, effect)
        if size is None:
            said = f"no published {effect.metric} of both {effect.better} and {effect.worse}"
            yield Finding("C1", f"cannot be checked: {said}", None, NOTE)
        elif effect.kind == "equal" and abs(size) > effect.tolerance + ROUNDING:
            says = f"{effect.better} = {effect.worse}: published {size:+.1f} {effect.metric}"
            yield Finding("C1", f"{says}, tolerance {effect.tolerance:.1f}")
        elif effect.kind != "equal" and size <= 0:
            yield Finding("C1", f"{effect.better} > {effect.worse}: published {size:+.1f} {effect.metric}")
        elif effect.gain is not None and abs(size - effect.gain) > ROUNDING:
            says = f"{effect.better} > {effect.worse} by {effect.gain:.1f}: published {size:+.1f} {effect.metric}"
            yield Finding("C1", says)


def claims(subject: Subject) -> Iterator[Finding]:
    """C2."""
    if not subject.table.effects:
        level = "" if subject.ablation else NOTE
        yield Finding("C2", "no claim says what the table shows", None, level)


def _size(subject: Subject, effect: Effect) -> float | None:
    """The published difference, counted so that more is better."""
    rows = [subject.table.rows[name].published.get(effect.metric) for name in (effect.better, effect.worse)]
    if rows[0] is None or rows[1] is None:
        return None
    return (rows[0] - rows[1]) * (-1 if effect.metric in subject.table.lower else 1)
