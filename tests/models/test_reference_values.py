"""Models compute what they computed in earlier commits."""

from __future__ import annotations

import json

import pytest

from tests.models import reference_values

STORED = json.loads(reference_values.FILE.read_text(encoding="utf-8")) if reference_values.FILE.is_file() else {}
WRITE = "python -m tests.models.reference_values"


def test_every_case_is_stored() -> None:
    assert [*STORED] == reference_values.list_cases(), f"{WRITE} writes the file again"


@pytest.mark.parametrize("case", STORED)
def test_a_model_computes_what_its_rows_mean(case: str) -> None:
    values = reference_values.compute(case)
    assert values == pytest.approx(STORED[case], rel=1e-5, abs=1e-5), f"the experiment changed: {WRITE}, and say why"
