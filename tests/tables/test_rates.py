"""The rules of benchmarks/verdicts.py, whose error rates docs/tables.md states, are those of the code."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from benchmarks import verdicts as benchmark

from lineage.tables import verdicts
from lineage.tables.statistics import seed_noise
from lineage.tables.statistics.seed_noise import PublishedNoise
from lineage.tables.table import Effect, Row, Table
from tests.tables import made

WORDS = {
    benchmark.PLUS: verdicts.REPRODUCED,
    benchmark.MINUS: verdicts.CONTRADICTED,
    benchmark.INSIDE: verdicts.REPRODUCED,
    benchmark.OUTSIDE: verdicts.CONTRADICTED,
    0: verdicts.UNDERPOWERED,
}
BY_NAME = {f"{scenario.name} {scenario.seeds}": scenario for scenario in (*benchmark.FALSE, *benchmark.POWER)}


def build_table(scenario: benchmark.Scenario, published: list[float]) -> Table:
    numbers = {row: value for (row, _), value in zip(scenario.numbers, published, strict=True)}
    rows = {f"r{i}": Row(f"r{i}", f"r{i}", {}, {}, {"mask/AP": numbers[i]} if i in numbers else {})
            for i in range(len(scenario.means))}  # fmt: skip
    effects = [Effect("order", f"r{a}", f"r{b}", "mask/AP", None, 0.5) for a, b in scenario.orders]
    effects += [Effect("equal", f"r{a}", f"r{b}", "mask/AP", None, 0.5) for a, b in scenario.equals]
    dataset = "coco" if scenario.prior is not None else "cityscapes"
    return replace(made.table(dataset=dataset), rows=rows, effects=effects, baseline=None)


@pytest.mark.parametrize("name", list(BY_NAME)[::3])
def test_the_benchmark_judges_as_the_code(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario, tables = BY_NAME[name], 6
    if scenario.prior is not None:
        noise = PublishedNoise(scenario.prior, 28, "simulated", "coco", ("mask/AP",))
        monkeypatch.setattr(seed_noise, "PUBLISHED", (noise,))
    values, published = benchmark.simulate(scenario, tables, seed=1)
    expected = benchmark.judge_today(scenario, values, published)
    for i in range(tables):
        entries = [made.entry(f"r{row}", float(value), seed) for (row, seed), value in np.ndenumerate(values[i])]
        judgement = verdicts.judge(build_table(scenario, list(map(float, published[i]))), entries)
        words = [verdict.word for (verdict,) in judgement.effects] + [one.word for one in judgement.numbers]
        assert words == [WORDS[int(outcome)] for outcome in expected[i]]


def test_false_verdicts_are_as_rare_as_promised() -> None:
    """In the table of docs/tables.md 10,000 tables per line are counted; here 1,000 of three kinds."""
    for name in ("no effect, 5 orders, tier mini 3", "no effect, 1 order, read at 1 to 10 seeds 10",
                 "10 numbers, truly .6 off, tolerance .5 3"):  # fmt: skip
        assert benchmark.measure(BY_NAME[name], 1000)["today"][0] < 0.065
    assert benchmark.measure(BY_NAME["5 orders, 1 AP, sd .3, tier mini 3"], 1000)["today"][1] > 0.73


def test_the_document_shows_the_measured_table() -> None:
    results = (benchmark.ROOT / "benchmarks/results/verdicts.md").read_text(encoding="utf-8")
    lines = [line for line in results.splitlines() if line.startswith("| ") and line[-3].isdigit()]
    page = (benchmark.ROOT / "docs/tables.md").read_text(encoding="utf-8")
    assert len(lines) == len(benchmark.FALSE) + len(benchmark.POWER)
    assert all(line in page for line in lines)
