"""Every runnable row of every table, at tier mini: it composes, its classes exist, and its model takes a step.

Rows whose models are equal are tried once. The first of each model is fast; the others are marked slow.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from lineage.assemble import fill_classes, fill_stuff
from lineage.build import build
from lineage.launch import composed
from lineage.launch.composed import Ask, Composed
from lineage.models.long_tail import asking, count_classes
from lineage.models.pretrained import LATER
from lineage.structures import Images, Regions, Targets
from lineage.tables import read
from lineage.tables.entry import digest
from lineage.train.freeze import train_only
from tests.models import scenes

PROJECT = Path(__file__).parents[2]
TABLES = PROJECT / "experiments"
ROWS = [(name, row) for name in read.names(TABLES) for row in read.load(TABLES, name).rows.values() if row.runs]
MODEL = ("model", "backbone", "trainable", "edit", "proposals", "tta", "optimizer", "loss_weights")  # what a step is of


def _chosen(row: tuple[str, object]) -> str:
    """The family a row stands for: its model."""
    return row[1].choose.get("model", "mask_rcnn")  # type: ignore[attr-defined]


FIRST = {_chosen(row): f"{row[0]}/{row[1].name}" for row in reversed(ROWS)}
FAMILIES = [row for row in ROWS if FIRST[_chosen(row)] == f"{row[0]}/{row[1].name}"]


@lru_cache(maxsize=1)
def _distinct() -> list[tuple[str, Composed]]:
    """One row of each different model at tier mini."""
    asks = [Ask(name, row, "mini") for name, row in ROWS]
    seen: dict[str, tuple[str, Composed]] = {}
    for ask, made in zip(asks, composed.rows(PROJECT, asks), strict=True):
        assert made.error is None, f"{ask.table}/{ask.row.name}: {made.error}"
        seen.setdefault(digest({key: made.config.get(key) for key in MODEL}, ()), (f"{ask.table}/{ask.row.name}", made))
    return list(seen.values())


@pytest.mark.parametrize("name", [f"{table}/{row.name}" for table, row in FAMILIES])
def test_the_first_row_of_each_model_takes_a_step(name: str) -> None:
    table, _, row = name.rpartition("/")
    made = composed.rows(PROJECT, [Ask(table, read.load(TABLES, table).rows[row], "mini")])[0]
    assert made.error is None, made.error
    _step(made)


@pytest.mark.slow
def test_every_different_model_of_the_tables_takes_a_step() -> None:
    failed = {}
    for name, made in _distinct():
        try:
            _step(made)
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}"
    assert not failed, "\n".join(f"{name}: {reason}" for name, reason in failed.items())


@pytest.mark.slow
def test_no_row_of_a_tier_needs_a_file() -> None:
    """Whatever the paper trains on, a tier trains on what is in this repository, from scratch."""
    for tier in ("mini", "smoke"):
        asks = [Ask(name, row, tier) for name, row in ROWS]
        for ask, made in zip(asks, composed.rows(PROJECT, asks), strict=True):
            where = f"{tier}/{ask.table}/{ask.row.name}"
            assert made.error is None, f"{where}: {made.error}"
            assert made.config["dataset"]["name"].startswith("shapes"), where
            assert made.config["backbone"]["weights"] is None, where


@pytest.mark.slow
def test_every_row_composes_at_its_papers_size_and_its_classes_exist() -> None:
    asks = [Ask(name, row, "paper") for name, row in ROWS]
    for ask, made in zip(asks, composed.rows(PROJECT, asks), strict=True):
        assert made.error is None, f"{ask.table}/{ask.row.name}: {made.error}"
        for target in _targets(made.config):
            module, _, name = target.rpartition(".")
            assert hasattr(_imported(module), name), f"{ask.table}/{ask.row.name}: {target}"


@pytest.mark.slow
def test_every_model_of_a_paper_is_built_at_its_size() -> None:
    """On `meta`: shapes without numbers."""
    asks = [Ask(name, row, "paper") for name, row in ROWS]
    seen = {}
    for ask, made in zip(asks, composed.rows(PROJECT, asks), strict=True):
        seen.setdefault(digest({key: made.config.get(key) for key in ("model", "backbone")}, ()), (ask, made))
    failed = {}
    for ask, made in seen.values():
        try:
            config = _filled(made.config, classes=20)
            with torch.device("meta"):
                assert sum(p.numel() for p in build(config.model).parameters()) > 100_000
        except Exception as error:
            failed[f"{ask.table}/{ask.row.name}"] = f"{type(error).__name__}: {error}"
    assert not failed, "\n".join(f"{name}: {reason}" for name, reason in failed.items())


def test_rows_name_few_enough_models_to_try_all() -> None:
    assert len(FAMILIES) == len({_chosen(row) for row in ROWS}) > 25


def _step(made: Composed) -> None:
    """What a run does, on two images: losses, their gradients, an optimizer step, detections."""
    torch.manual_seed(0)
    config = OmegaConf.create(made.config)
    for part in (config.dataset.train, config.dataset.val):
        part.length = 2
    dataset = build(config.dataset.train)
    config.dataset.classes = None
    fill_classes(config, dataset.classes, dataset.classes)
    fill_stuff(config, dataset)
    model = build(_filled(made.config, len(dataset.classes), OmegaConf.select(config, "dataset.stuff")).model)
    if asking(model):
        count_classes(model, [2] * len(dataset.classes), 2)
    for edit in (build(config.edit) or {}).values():
        edit(model)
    if config.trainable is not None:
        train_only(model, config.trainable)
    images, targets = _batch(len(dataset.classes), semantic=OmegaConf.select(config, "dataset.stuff"))
    if config.proposals and config.proposals.val is not None:
        images = _proposed(images, targets)
    _learn(model, config, images, targets)
    with torch.no_grad():
        views = build(config.tta, model=model.eval(), mirrored=()) if config.tta else model.eval()
        found = views.detect(images)
    assert found.boxes.isfinite().all()
    assert found.scores.isfinite().all()
    assert found.boxes.shape[0] == len(images.sizes)


def _learn(model: torch.nn.Module, config: DictConfig, images: Images, targets: Targets) -> None:
    losses = model.train().losses(images, targets)
    weights = config.loss_weights or {}
    loss = sum(weights.get(name, 1) * one.total / one.terms.clamp(min=1) for name, one in losses.items())
    assert torch.isfinite(loss), {name: float(one.total) for name, one in losses.items()}
    if config.schedule.steps == 0:
        return
    loss.backward()
    touched = [p for p in model.parameters() if p.grad is not None]
    assert touched
    assert all(p.grad.isfinite().all() for p in touched)
    before = [p.detach().clone() for p in touched]
    build(config.optimizer)(model).step()
    assert any(not torch.equal(p, old) for p, old in zip(touched, before, strict=True))


def _filled(plain: dict[str, object], classes: int, stuff: int | None = None) -> DictConfig:
    """A resolved config whose dataset was not asked for its classes yet."""
    config = OmegaConf.create(plain)
    _fill(config.model, "classes", classes)
    for node in (config.backbone, config.model.backbone):
        if "weights" in node and node.weights is not None:
            node.weights = LATER
    return config


def _fill(node: object, key: str, value: int) -> None:
    """Where an interpolation resolved to the dataset's null."""
    if isinstance(node, DictConfig):
        for name in list(node):
            if name == key and node[name] is None:
                node[name] = value
            else:
                _fill(node[name], key, value)


def _batch(classes: int, semantic: int | None) -> tuple[Images, Targets]:
    """One image with objects and one without."""
    images, targets = scenes.batch([(96, 128), (128, 112)], [4, 0], classes, canvas=(128, 128))
    if semantic is None:
        return images, targets
    labels = targets.semantic
    assert labels is not None
    return images, targets._replace(semantic=torch.where(labels == 255, labels, labels % semantic))


def _proposed(images: Images, targets: Targets) -> Images:
    """The objects themselves, moved a little, and boxes anywhere."""
    generator = torch.Generator().manual_seed(1)
    moved = targets.boxes + torch.randn(targets.boxes.shape, generator=generator) * targets.valid[..., None]
    low = torch.rand(2, 24, 2, generator=generator) * 60
    anywhere = torch.cat((low, low + 10 + torch.rand(2, 24, 2, generator=generator) * 30), -1)
    boxes = torch.cat((moved.clamp(0, 96), anywhere), 1)
    valid = torch.cat((targets.valid, torch.ones(2, 24, dtype=torch.bool)), 1)
    scores = torch.arange(boxes.shape[1], 0, -1.0).expand(2, -1).contiguous()
    return images._replace(proposals=Regions(boxes, scores, valid))


def _targets(node: object) -> set[str]:
    if isinstance(node, list):
        return set().union(*map(_targets, node))
    if not isinstance(node, dict):
        return set()
    below = set().union(*map(_targets, node.values()))
    return below | ({node["_target_"]} if "_target_" in node else set())


@lru_cache(maxsize=256)
def _imported(name: str) -> object:
    import importlib

    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        outer, _, last = name.rpartition(".")
        return getattr(_imported(outer), last)


