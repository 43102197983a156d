"""Deviations from papers, as the code and configs that rows use mark them: `# deviates: what, and why`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lineage.launch.compose_rows import SOURCES, ComposedRow

MARK = "# deviates: "
COMMENT = re.compile(r"^\s*#(?!\s*deviates)\s?(.*)$")


def find_deviations(rows: Iterable[ComposedRow], configs: Iterable[Path]) -> list[str]:
    """Return the deviations of rows, each once with its file: of the classes that they name, and of their options."""
    files: dict[Path, None] = {}
    folders = list(configs)
    for row in rows:
        files |= dict.fromkeys(_list_modules(row.config))
        options = [Path(group.partition("@")[0], f"{option}.yaml") for group, option in row.choices.items()]
        files |= dict.fromkeys(path for folder in folders for option in options if (path := folder / option).is_file())
    return [text for path in sorted(files, key=str) for text in read_deviations(path)]


def read_deviations(path: Path) -> list[str]:
    """Return the deviations that a file marks, with the comment lines that continue them."""
    lines = path.read_text(encoding="utf-8").splitlines()
    texts = []
    for i, line in enumerate(lines):
        if MARK in line:
            words = [line.partition(MARK)[2].strip()]
            for below in lines[i + 1 :]:
                more = COMMENT.match(below)
                if more is None or not line.strip().startswith("#"):
                    break
                words.append(more[1].strip())
            texts.append(f"{path.stem}: {' '.join(words)}")
    return texts


def _list_modules(node: Any) -> Iterator[Path]:
    """Yield the files of the classes and functions that a config names."""
    if isinstance(node, list):
        for item in node:
            yield from _list_modules(item)
    if isinstance(node, dict):
        for value in node.values():
            yield from _list_modules(value)
        target = node.get("_target_")
        if isinstance(target, str) and target.startswith("lineage."):
            parts = target.split(".")
            files = [SOURCES.joinpath(*parts[:n]).with_suffix(".py") for n in range(len(parts) - 1, 1, -1)]
            yield from [path for path in files if path.is_file()][:1]
