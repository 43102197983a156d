"""docs/architecture.md is the map: what it names exists, and it names every package."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "lineage"
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_every_package_is_named() -> None:
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    missing = [name for name in sorted(packages) if not re.search(rf"(?<!\w){name}(/|\b)", TEXT)]
    assert not missing, f"docs/architecture.md does not name {', '.join(missing)}"


def test_every_file_that_a_question_leads_to_exists() -> None:
    rows = TEXT.partition("## Question -> file")[2].partition("\n## ")[0]
    answers = [line.split("|")[2] for line in rows.splitlines() if line.startswith("| ") and "`" in line]
    assert len(answers) > 25
    for answer in answers:
        folder = PACKAGE
        for name in re.findall(r"`([\w/.]+)`", answer):
            path = PACKAGE / name if "/" in name or (PACKAGE / name).exists() else folder / name
            assert path.exists(), f"docs/architecture.md leads to {name}, which does not exist"
            folder = path.parent


def test_links_lead_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
        broken = [link for link in links if not (page.parent / link).exists()]
        assert not broken, f"{page.name} links to {', '.join(broken)}"
