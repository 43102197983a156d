"""Dataset of a model that cannot learn from the default one: conf/default_datasets.yaml.

A model cannot choose it in its own defaults list: Hydra resolves the dataset, and the tier that comes with it, first.
"""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from lineage.results import paths
from lineage.results.overrides import Override

FILE = "default_datasets.yaml"
CHOOSING = ("dataset", "experiment", "resume")  # overrides that bring a dataset along


def add_default_dataset(arguments: Sequence[str]) -> list[str]:
    """Return the arguments, and after `model=NAME` the model's own dataset unless another choice names one."""
    overrides = [Override.parse(text) for text in arguments if not text.startswith("-")]
    if any(override.name.partition("/")[0] in CHOOSING for override in overrides):
        return [*arguments]
    datasets = read_default_datasets()
    added: list[str] = []
    for text in arguments:
        override = Override.parse(text)
        dataset = datasets.get(override.value or "") if override.name == "model" else None
        added += [text] if dataset is None else [text, f"dataset={dataset}"]
    return added


def read_default_datasets() -> dict[str, str]:
    """Return model -> dataset of the shipped file and of the project's own."""
    datasets: dict[str, str] = {}
    for folder in paths.configs():
        if (folder / FILE).is_file():
            datasets |= yaml.safe_load((folder / FILE).read_text(encoding="utf-8")) or {}
    return datasets
