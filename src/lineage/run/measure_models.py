"""The sizes of all models, measured without their memory: built on torch's meta device from the overrides of train.py.

They go to the facts of each model in experiments/models, and from there to docs/models.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn

from lineage.config.build import build
from lineage.config.compose import compose_config
from lineage.results import paths
from lineage.tables import model_facts
from lineage.tables.format import model_list

PAGE = Path("docs", "models.md")


def measure_models(project: Path) -> list[Path]:
    """Create the facts of new models, count the parameters of all and write the page; return what is new, and the page.

    New facts hold the paper that the model's config names, and no published numbers: these are added by hand. In a
    project that lies over the shipped configs, only its own files are written.
    """
    experiments = project / "experiments"
    unmeasured = model_facts.find_unmeasured(paths.experiments(), paths.configs())
    new = [model_facts.create(experiments, config) for config in unmeasured.values()]
    for path in sorted((experiments / model_facts.FOLDER).glob("*.yaml")):
        variants = model_facts.read_facts(path).variants
        model_facts.write_parameters(path, [count_parameters(variant.choices.split()) for variant in variants])
    page = project / PAGE
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(model_list.markdown(model_facts.load(paths.experiments())), encoding="utf-8")
    return [*new, page]


def count_parameters(choices: Iterable[str], *, trainable: bool = False) -> int:
    """Count all parameters, or only those that are trained; for 80 classes unless the choices have another number."""
    config = compose_config(["tier=paper", "dataset.classes=80", "backbone.weights=later", *choices])
    with torch.device("meta"):
        model: nn.Module = build(config.model)
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad or not trainable)
