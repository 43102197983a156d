"""Overrides for the fuzz: a config that composes has the value that Hydra's parser reads, and finite numbers only."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.robustness.fuzz import Wrong
from benchmarks.robustness.mutations import VALUES, damage_bytes
from benchmarks.robustness.report import ROOT
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import OverrideType
from omegaconf import OmegaConf

from lineage.config import validate
from lineage.config.compose import compose_config
from lineage.run.checks.values import check_values

EXAMPLES = (
    "schedule.steps=12", "schedule.milestones=[6,9]", "schedule.gamma=0.1", "optimizer.lr=0.02", "model=mask_rcnn",
    "dataset.size=[64,64]", "data.workers=0", "data.images_per_device=2", "seed=3", "trainer=cpu", "tier=smoke",
    "roi=pool", "augment=flip", "model.box.score_thresh=0.05", "loss_weights={rpn_cls: 2}", "weights=null", "~tta",
    "checkpoint_every=3", "dataset=shapes", "schedule.warmup_factor=0.001", "trainer.log_every_n_steps=5",
    "trainer.precision=32-true", "experiment=mask_rcnn/table2c/roi_align", "evaluate_only=false", "rank_timeout=300",
    "logger=csv", "+callbacks.x=1", "model.sampler.batch_size_per_image=64", "optimizer.weight_decay=1e-4",
)  # fmt: skip
MISSING = "absent"


class Overrides:
    """One override on the command line of train.py, as far as a run gets before it opens its data."""

    def __init__(self, folder: Path) -> None:
        self.parser = OverridesParser.create()

    def damage(self, chance: random.Random) -> bytes:
        text = chance.choice(EXAMPLES)
        key, _, value = text.partition("=")
        kind = chance.random()
        if kind < 0.35:
            return damage_bytes(text.encode(), chance)
        if kind < 0.75:
            other = chance.choice((*VALUES, "[6", "{a:", "${seed}", "${oc.env:HOME}", "1_000", "0x10"))
            return f"{key}={other}".encode(errors="surrogatepass")
        if kind < 0.9:
            return f"{chance.choice(('+', '++', '~', ' ', '-'))}{text}".encode()
        return f"{key}.{chance.choice(('x', '_target_', '0', ''))}={value}".encode()

    def read(self, data: bytes) -> None:
        text = data.decode(errors="surrogateescape")
        config = compose_config([text])
        validate.check(config)
        OmegaConf.update(config, "dataset.classes", 3, force_add=True)  # which a run fills in from its dataset
        check_values(config)
        override = self.parser.parse_override(text)
        is_value = override.type in (OverrideType.CHANGE, OverrideType.ADD, OverrideType.FORCE_ADD)
        if is_value and not (ROOT / "conf" / override.key_or_group).is_dir() and override.key_or_group != "experiment":
            stored = OmegaConf.select(config, override.key_or_group, default=MISSING)
            if not is_same(stored, override.value()):
                raise Wrong(f"{text}: {stored!r:.100}, not {override.value()!r:.100}")
        for key, number in list_numbers(OmegaConf.to_container(config, resolve=False), ""):
            if not math.isfinite(number):
                raise Wrong(f"{text}: {key} is {number}")


def is_same(stored: Any, typed: Any) -> bool:
    """Return whether a key has the value that was typed; 1 and 1.0, a number and its text, are one."""
    if OmegaConf.is_config(stored):
        stored = OmegaConf.to_container(stored, resolve=False)
    if isinstance(typed, dict) and isinstance(stored, dict):
        return all(is_same(stored.get(key), value) for key, value in typed.items())
    if isinstance(typed, str) and typed.startswith("${"):
        return True
    if isinstance(stored, int | float) and isinstance(typed, int | float):
        return float(stored) == float(typed)
    return stored == typed or str(stored) == str(typed) or str(stored).lower() == str(typed).strip("'\"").lower()


def list_numbers(node: Any, key: str) -> Iterator[tuple[str, float]]:
    """Yield the numbers of a config by their keys."""
    if isinstance(node, dict | list):
        for name, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from list_numbers(value, f"{key}.{name}".lstrip("."))
    elif isinstance(node, int | float):
        yield key, node
