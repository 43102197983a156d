"""A child's config, an option file or the command line replaces a node of a model: no key of the old one is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import lineage.config.schema  # noqa: F401  registers the schema
from lineage.results import paths

CONF = paths.shipping_root() / "conf"
NODES = {"neck": "neck", "proposals": "proposals", "sampler": "sampler", "box_body": "box.body"}  # option -> key
NEW = "{_target_: lineage.models.backbones.last_map.LastMap, _partial_: true, size: 3}"
KEYS = {"_target_": "lineage.models.backbones.last_map.LastMap", "_partial_": True, "size": 3}


def model(project: Path, *overrides: str) -> Any:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", [f"hydra.searchpath=[file://{project}]", "tier=mini", *overrides])
    return OmegaConf.create(OmegaConf.to_container(config.model))


def write(project: Path, name: str, *lines: str) -> None:
    path = project / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def test_there_is_an_option_for_each_node_here() -> None:
    assert {path.stem for path in (CONF / "replace").glob("*.yaml")} == NODES.keys()


@pytest.mark.parametrize("option", NODES)
def test_a_child_replaces_a_node_of_its_parent(tmp_path: Path, option: str) -> None:
    *outer, last = NODES[option].split(".")
    node = [*(f"{name}: {{" for name in outer), f"{last}: {NEW}", *("}" for _ in outer)]
    write(tmp_path, "model/child", f"defaults: [faster_rcnn, /replace/{option}, _self_]", "".join(node))
    child, parent = model(tmp_path, "model=child"), model(tmp_path, "model=faster_rcnn")
    assert OmegaConf.select(child, NODES[option]) == KEYS
    assert child.keys() == parent.keys()


def test_an_option_file_replaces_the_neck_of_any_model(tmp_path: Path) -> None:
    write(tmp_path, "neck/new", "defaults: [/replace/neck, _self_]", *NEW.strip("{}").split(", "))
    write(tmp_path, "model/child", "defaults: [mask_rcnn, /neck@neck: new]")
    assert model(tmp_path, "model=child").neck == KEYS
    for name in ("faster_rcnn", "retinanet"):
        assert model(tmp_path, f"model={name}", "+neck@model.neck=new").neck == KEYS


def test_the_command_line_replaces_a_node(tmp_path: Path) -> None:
    new = NEW.replace(": ", ":")
    overrides = ["+replace=[neck,sampler]", f"model.neck={new}", f"model.sampler={new}"]
    changed = model(tmp_path, "model=faster_rcnn", *overrides)
    assert changed.neck == changed.sampler == KEYS
