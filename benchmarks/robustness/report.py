"""benchmarks/results/robustness.md: one section per script, each replaced when its script runs again."""

from __future__ import annotations

import datetime
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "benchmarks/results/robustness.md"
HEAD = """# What a run survives

`make robustness` runs the four scripts of benchmarks/robustness, each of which writes its section: `python -m
benchmarks.robustness kills | fuzz | places | soak`. A share of the fuzz runs in `make test`, of kills
and soak in `make test-slow`.
"""
TITLES = ("Kills", "Fuzz", "Places", "Soak")


def write_section(title: str, lines: list[str], command: str, path: Path = REPORT) -> None:
    """Replace the section `title` of the report, and keep the others."""
    sections = read_sections(path)
    sections[title] = "\n".join([f"`{command}`, {describe_origin()}.", "", *lines]).rstrip() + "\n"
    text = HEAD + "".join(f"\n## {name}\n\n{sections[name]}" for name in TITLES if name in sections)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}: section {title!r} written")


def read_sections(path: Path) -> dict[str, str]:
    """Return the text of each section by its title."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    parts = (part.partition("\n\n") for part in text.split("\n## ")[1:])
    return {title: body for title, _, body in parts}


def describe_origin() -> str:
    """Return date, commit, Python and machine."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    python = f"Python {platform.python_version()} on {platform.machine()}"
    return f"{datetime.date.today()}, commit {commit.strip()}, {python}"
