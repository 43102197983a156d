"""Every key has a role, and every key that the table lists exists."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml
from omegaconf import OmegaConf

from lineage.config import digests as config_digests
from lineage.config.digests import config_digest, training_digest
from lineage.config.schema import Run
from lineage.results.diff import configs
from lineage.results.key_roles import NEUTRAL_VALUES, ROLES, SAME_EXPERIMENT, VOLATILE, Role, keys_with, role_of, within

CONF = Path(__file__).parents[2] / "conf"
FILLED_IN = (  # by run/resolve.py, where keypoints are not COCO's, or classes have their own
    "dataset.keypoints", "dataset.keypoint_counts", "dataset.keypoint_offsets", "dataset.keypoint_groups",
)  # fmt: skip


def schema_keys(node: type = Run, prefix: str = "") -> Iterator[tuple[str, ...]]:
    """Every key of the schema, with the nodes that it lies in."""
    types = get_type_hints(node)
    for field in fields(node):
        key = f"{prefix}{field.name}"
        if is_dataclass(types[field.name]):
            yield from ((key, *keys) for keys in schema_keys(types[field.name], f"{key}."))
        else:
            yield (key,)


@pytest.mark.parametrize("keys", list(schema_keys()), ids=lambda keys: keys[-1])
def test_every_key_of_the_schema_has_a_role(keys: tuple[str, ...]) -> None:
    assert any(key in ROLES for key in keys), f"say in results/key_roles.py what {keys[-1]} is for"


def test_every_key_that_is_listed_exists() -> None:
    missing = [pattern for pattern in ROLES if not any(fnmatchcase(key, pattern) for key in known_keys())]
    assert not missing, "these keys are in no config: renamed, or gone"


def known_keys() -> set[str]:
    return {key for keys in schema_keys() for key in keys} | {"hydra", *FILLED_IN} | set(conf_keys())


def conf_keys() -> Iterator[str]:
    for path in CONF.glob("*/*.yaml"):
        yield from flat(yaml.safe_load(path.read_text(encoding="utf-8")), f"{path.parent.name}.")


def flat(node: Any, prefix: str) -> Iterator[str]:
    for name, value in node.items() if isinstance(node, dict) else ():
        yield f"{prefix}{name}"
        yield from flat(value, f"{prefix}{name}.")


@pytest.mark.parametrize(
    ("key", "role"),
    [
        ("model.box.nms_thresh", Role.TEST),
        ("model.box.roi", Role.TRAINING),
        ("model.proposals.test.post_nms_top_n", Role.TEST),
        ("dataset.train.root", Role.TRAINING),
        ("dataset.root", Role.PLACE),
        ("dataset.val.list", Role.TEST),
        ("trainer.devices", Role.SPEED),
        ("trainer.precision", Role.TRAINING),
        ("hydra.run.dir", Role.PROCESS),
        ("cell.note", Role.DISPLAY),
        ("seeds", Role.TRAINING),
        ("anything.new", Role.TRAINING),
    ],
)
def test_the_role_of_a_key_is_that_of_the_nearest_node(key: str, role: Role) -> None:
    assert role_of(key) is role


def test_keys_of_a_config_by_role() -> None:
    config = {
        "seed": 0,
        "paths": {"results": "a", "runs": "b", "cache": "c"},
        "cell": {"table": None, "start": "x", "note": ""},
        "model": {"box": {"nms_thresh": 0.5, "size": 7}},
        "data": {},
        "logger": {"csv": {"_target_": "x"}},
    }
    assert keys_with(config, *VOLATILE) == ["seed", "paths", "cell.start", "cell.note", "data", "logger"]
    assert keys_with(config, *SAME_EXPERIMENT) == ["seed", "paths", "cell", "data", "logger"]
    assert keys_with(config, Role.TEST) == ["model.box.nms_thresh"]
    assert keys_with(config, Role.OUTPUT) == ["paths.results", "paths.runs"]


def test_within() -> None:
    assert within("a.b", ("a",))
    assert within("a", ("a",))
    assert not within("ab", ("a",))


@pytest.mark.parametrize("pattern", NEUTRAL_VALUES)
def test_a_younger_key_at_a_neutral_value_changes_no_digest(pattern: str) -> None:
    """A stored config without the key is the same experiment; with another value it is another one."""
    assert pattern in known_keys() or "*" in pattern
    old = {
        "dataset": {"name": "coco", "train": {"images": "a"}, "val": {"images": "b"}},
        "schedule": {"steps": 1},
        "trainer": {"precision": "32-true"},
        "optimizer": {"lr": 1},
        "model": {"backbone": {"block": "basic"}},
    }
    path = pattern.replace("*backbone", "model.backbone").replace("*", "train")
    digest = config_digests.test_digest if role_of(path) is Role.TEST else training_digest
    digests = []
    for value in (*NEUTRAL_VALUES[pattern], [7, 8]):
        new = OmegaConf.create(old)
        OmegaConf.update(new, path, value, force_add=True)
        plain = OmegaConf.to_container(new)
        assert isinstance(plain, dict)
        digests.append([config_digest(plain), digest(new), not configs(old, plain)])
    expected = [config_digest(old), digest(OmegaConf.create(old)), True]
    assert digests[:-1] == [expected] * (len(digests) - 1)
    assert all(a != b for a, b in zip(digests[-1], expected, strict=True))
