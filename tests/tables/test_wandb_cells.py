"""Meanings of the cells of W&B's exports: states, seeds, steps, and mappings as text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.tables.test_foreign import read_one, write_table


@pytest.mark.parametrize(("record", "expected"), [
    ({"state": "finished", "box/AP": 1.0}, ("finished", None, None, 0)),
    ({"state": "Crashed", "seed": 4, "_step": 7}, ("failed", "W&B's state: crashed", 4, 7)),
    ({"state": "killed", "SEED": 5, "iteration": 8.0}, ("stopped", "W&B's state: killed", 5, 8)),
    ({"state": "preempted", "random_seed": 6, "iter": 9}, ("stopped", "W&B's state: preempted", 6, 9)),
    ({"state": "unheard of", "seed": -1, "step": -3}, ("failed", "W&B's state: unheard of", None, 0)),
    ({"box/AP": 1.0, "seed": "2", "trainer/global_step": "11"}, ("finished", None, 2, 11)),
    ({"box/AP": 1.0, "seed": 1, "SEED": 2, "_step": 3, "step": 4}, ("finished", None, 1, 3)),
])  # fmt: skip
def test_states_seeds_and_steps_of_wandb(tmp_path: Path, record: dict[str, Any], expected: tuple[Any, ...]) -> None:
    run = read_one(write_table(tmp_path, json.dumps({"Name": "a"} | record), "export.json"))
    assert (run.status, run.error, run.seed, run.steps) == expected
    assert run.config == {key: value if key == "state" else int(value) if isinstance(value, str) else value
                          for key, value in record.items() if key != "state" and not key.startswith("_")}  # fmt: skip


def test_mappings_in_cells_of_wandb_are_json_or_python(tmp_path: Path) -> None:
    text = 'summary,config,name\n"{""box/AP"": 41.0, ""x"": null}","{\'lr\': None, \'seed\': 5, \'_wandb\': 1}",a\n'
    run = read_one(write_table(tmp_path, text))
    assert (run.metrics, run.config, run.seed) == ({"box/AP": 41.0}, {"lr": None, "seed": 5}, 5)
    numbers = read_one(write_table(tmp_path, "Name,box/AP,lr,depth,note,empty\nb,3.5,1e-3,50,fifty,\n"))
    assert numbers.config == {"box/AP": 3.5, "lr": 0.001, "depth": 50, "note": "fifty"}
