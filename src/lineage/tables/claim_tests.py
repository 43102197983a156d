"""The tests that decide a claim, read after every seed: p values of its possible outcomes.

A test of n seeds has been read with 1, 2, ... n of them. An outcome that was significant at one of these readings stays
so, unless later seeds show that the noise is larger: this is what alpha spending pays for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from lineage.tables.statistics.sequential import compute_share
from lineage.tables.statistics.significance import Comparison, RequiredSeeds, adjust_holm, find_levels
from lineage.tables.statistics.student_t import ALPHA
from lineage.tables.table import Effect

BETTER, WORSE = "better", "worse"  # outcomes of a sign
INSIDE, OUTSIDE = "inside", "outside"  # of a difference and its tolerance


class Reading(NamedTuple):
    """A comparison of the first `n` seeds, with the noise that is known now and with that which they showed themselves.

    The larger p counts: neither may a noise that was underestimated decide, nor one that is estimated again and again.
    """

    n: int
    comparison: Comparison
    then: Comparison


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a claim. Its outcomes exclude each other, so it counts once in a family of tests."""

    test: Callable[[Comparison], Mapping[str, float]]  # outcome -> p
    target: float = 0.0  # of the difference
    tolerance: float | None = None  # None: the sign

    def distance(self, difference: float) -> float:
        """Return how far a difference is from the edge that decides."""
        if self.tolerance is None:
            return abs(difference)
        return abs(self.tolerance - abs(difference - self.target))

    def is_two_sided(self, difference: float) -> bool:
        return self.tolerance is None or abs(difference - self.target) > self.tolerance


class Answer(NamedTuple):
    """The most significant outcome of a question; p is corrected for the readings, not for other claims."""

    outcome: str
    p: float
    n: int  # seeds of the reading


def build_sign_question() -> Question:
    """Return the question of the sign of a difference."""
    return Question(lambda comparison: {BETTER if comparison.difference > 0 else WORSE: comparison.p_different()})


def build_size_question(target: float, tolerance: float) -> Question:
    """Return the question whether a difference is `target` within `tolerance`: two one-sided tests (TOST)."""

    def test(comparison: Comparison) -> dict[str, float]:
        inside = comparison.p_equivalent(target, tolerance)
        return {INSIDE: inside, OUTSIDE: comparison.p_beyond_tolerance(target, tolerance)}

    return Question(test, target, tolerance)


def list_questions(effect: Effect, on_protocol: bool, scale: float) -> list[Question]:
    """Return the questions of a relation: its sign; the size of a gain only in the paper's own setting.

    scale: of the tolerance, at a smaller tier.
    """
    if effect.kind == "equal":
        return [build_size_question(0.0, effect.tolerance * scale)]
    if effect.gain is None or not on_protocol:
        return [build_sign_question()]
    return [build_sign_question(), build_size_question(effect.gain, effect.tolerance)]


def find_answer(question: Question, readings: Sequence[Reading], count: int, planned: int) -> Answer:
    """Return the most significant outcome over all readings.

    count: questions of the family. Of the levels that Holm tests at, the smallest leaves a reading the smallest part;
    it counts.
    """
    answers = []
    for n, comparison, then in readings:
        share, before = compute_share(n, ALPHA / (2 * count), planned), question.test(then)
        for outcome, p in question.test(comparison).items():
            answers.append(Answer(outcome, min(1.0, max(p, before[outcome]) / share), n))
    return min(answers, key=lambda answer: answer.p)


class CorrectedAnswer(NamedTuple):
    """An answer after the correction for all questions of its family (Holm)."""

    outcome: str  # "" if it is not significant
    n: int  # seeds of the reading
    p: float
    level: float  # that the question is tested at


def correct_family(
    cases: Sequence[tuple[Sequence[Question], Sequence[Reading]]], planned: int
) -> list[list[CorrectedAnswer]]:
    """Answer the questions of cases, each from its readings, and correct all of them together."""
    count = sum(len(questions) for questions, _ in cases)
    answers = [
        find_answer(question, readings, count, planned) for questions, readings in cases for question in questions
    ]
    p_values = [answer.p for answer in answers]
    corrected = [
        CorrectedAnswer(answer.outcome if p <= ALPHA else "", answer.n, p, level)
        for answer, p, level in zip(answers, adjust_holm(p_values), find_levels(p_values), strict=True)
    ]
    in_order = iter(corrected)
    return [list(islice(in_order, len(questions))) for questions, _ in cases]


def estimate_seeds(question: Question, reading: Reading, level: float, count: int, planned: int) -> RequiredSeeds:
    """Return how many seeds of each row settle a question, if the true difference is as large as it looks."""
    n, comparison, _ = reading
    sides = 2 if question.is_two_sided(comparison.difference) else 1
    share = compute_share(max(planned, n + 1) if n >= planned else planned, ALPHA / (2 * count), planned)
    return comparison.compute_required_seeds(question.distance(comparison.difference), level * share / sides)


def describe_noise(comparison: Comparison) -> str:
    """Return which noises the interval of a comparison contains, and the standard deviation of a run."""
    noise = comparison.noise
    return f"noise of {' and '.join(comparison.noises)}: sd {noise.sd:.2g} from {noise.source}"


def describe_seeds(seeds: RequiredSeeds, n: int, is_number: bool) -> str:
    """Return how many more seeds would settle a claim, with the interval that the noise leaves open."""
    best, low, high = (None if count is None else max(1, count - n) for count in seeds)
    if best is None:
        return "no number of seeds settles it: the published run has noise too" if is_number else "too close to settle"
    highest = "no end" if high is None else str(high)
    return f"about {best} more seeds would settle it ({low} to {highest}: the noise itself is an estimate)"
