"""The files of docs/scale start what docs/scale.md promises: their options compose to a config of two nodes."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import yaml

from lineage.config.compose import compose_config
from lineage.config.resume_overrides import extend_command

FOLDER = Path(__file__).parents[1] / "docs" / "scale"


def read_trainjob() -> tuple[list[str], int]:
    """Return the options of train.py and the number of nodes."""
    trainer = yaml.safe_load((FOLDER / "trainjob.yaml").read_text())["spec"]["trainer"]
    assert trainer["command"] == ["torchrun", "train.py"]
    return trainer["args"], trainer["numNodes"]


def read_skypilot() -> tuple[list[str], int]:
    """Return the options of train.py and the number of nodes."""
    task = yaml.safe_load((FOLDER / "skypilot.yaml").read_text())
    words = shlex.split(task["run"].replace("\\\n", " ").replace('$(echo "$SKYPILOT_NODE_IPS" | head -n1)', "FIRST"))
    assert words[0] == ".venv/bin/torchrun"
    return words[words.index("train.py") + 1 :], task["num_nodes"]


@pytest.mark.parametrize("read", [read_trainjob, read_skypilot])
def test_the_options_of_a_job_compose(read: object) -> None:
    assert callable(read)
    options, nodes = read()
    assert "resume=auto" in options  # a second start goes on
    started = [option for option in extend_command(options) if not option.startswith("hydra.")]
    config = compose_config(started)
    assert config.trainer.num_nodes == nodes == 2
    assert config.trainer.strategy._target_.endswith("DDPStrategy")
    assert config.resume is None
