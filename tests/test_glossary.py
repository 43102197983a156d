"""Every place in the code that docs/glossary.md names exists, and every word of a verdict is explained."""

from __future__ import annotations

import re
from pathlib import Path

from lineage.tables import verdicts

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")


def test_places_exist() -> None:
    names = re.findall(r"`([\w/]+\.(?:py|yaml))`", TEXT)
    assert len(names) > 30
    assert not [name for name in names if not (ROOT / "src/lineage" / name).is_file()]


def test_every_verdict_is_explained() -> None:
    words = [verdicts.REPRODUCED, verdicts.CONTRADICTED, verdicts.UNDERPOWERED, verdicts.OFF_PROTOCOL,
             verdicts.SAME_RUN, verdicts.FAILED, verdicts.MISSING, verdicts.SAME_SIGN, verdicts.OPPOSITE_SIGN,
             verdicts.NO_DIFFERENCE, verdicts.DIFFERENCE, verdicts.NOT_LEARNED, verdicts.NO_VERDICT]  # fmt: skip
    assert all(word in TEXT for word in words)
