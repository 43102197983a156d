"""Every model in one table: what it is called here, where it was described, its size, what others published for it.

experiments/models.yaml holds the facts, docs/models.md is written from it. A test keeps the two equal and measures
every size again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from lineage.tables.table import TableError

FILE = "models.yaml"  # in experiments/
CODEBASES = ("paper", "Detectron", "detectron2", "mmdetection", "torchvision")
AP = tuple(f"AP {name}" for name in CODEBASES)
COLUMNS = ("model", "choices", "paper", "parameters", "counted by others", "benchmark", *AP, "parity")
COCO = "COCO val2017"


@dataclass(frozen=True, kw_only=True)
class Model:
    name: str
    choices: str  # overrides of train.py
    paper: str
    parameters: int
    parity: str
    benchmark: str = COCO
    published: dict[str, str] = field(default_factory=dict)  # code base -> box AP / mask or keypoint AP
    counted: dict[str, float] = field(default_factory=dict)  # source -> parameters; not everybody counts the same


def load(experiments: Path) -> list[Model]:
    """In the order of the file; TableError for a field that is not known."""
    path = experiments / FILE
    try:
        rows = yaml.safe_load(path.read_text(encoding="utf-8"))
        return [_model(row) for row in rows]
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise TableError(f"{path}: {type(error).__name__}: {error}") from error


def _model(row: dict[str, object]) -> Model:
    published = row.get("published", {})
    if not isinstance(published, dict) or not set(published) <= {*CODEBASES}:
        raise ValueError(f"{row.get('name')}: `published` names one of {', '.join(CODEBASES)}")
    size, counted = row["parameters"], row.get("counted", {})
    if not isinstance(size, int) or not isinstance(counted, dict):
        raise ValueError(f"{row.get('name')}: parameters is a number, counted {{source: number}}")
    read = ("with", "published", "parameters", "counted")
    texts = {name: str(value) for name, value in row.items() if name not in read}
    numbers = {source: float(count) for source, count in counted.items()}
    return Model(choices=str(row["with"]), parameters=size, published={**published}, counted=numbers, **texts)


def cells(model: Model) -> list[str]:
    published = [model.published.get(name, "") for name in CODEBASES]
    counted = ", ".join(f"{source} {count / 1e6:.4g} M" for source, count in model.counted.items())
    size = f"{model.parameters / 1e6:.2f} M"
    return [model.name, model.choices, model.paper, size, counted, model.benchmark, *published, model.parity]


def markdown(models: Sequence[Model], preface: str) -> str:
    """The page docs/models.md."""
    lines = [preface.strip(), "", _line(COLUMNS), _line(["---"] * len(COLUMNS))]
    for model in models:
        name, choices, paper, *rest = cells(model)
        link = f"[{paper}](https://arxiv.org/abs/{paper.removeprefix('arXiv:')})"
        lines.append(_line([name, f"`{choices}`", link, *rest]))
    return "\n".join(lines) + "\n"


def text(models: Sequence[Model]) -> str:
    """For a terminal: name, choices and size."""
    rows = [(model.name, f"{model.parameters / 1e6:7.2f} M", model.choices) for model in models]
    width = max(len(name) for name, _, _ in rows)
    return "\n".join(f"{name:{width}}  {size}  {choices}" for name, size, choices in rows)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
