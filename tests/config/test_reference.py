"""docs/config.md is what the configs say."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from lineage.cli.config import main
from lineage.config import reference

ROOT = Path(__file__).parents[2]
CONF, SCHEMA = ROOT / "conf", ROOT / "src" / "lineage" / "config" / "schema.py"


def test_the_page_is_up_to_date(tmp_path: Path) -> None:
    """It is what the options that are on it say; a new option need not be on it."""
    written = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    options = re.findall(r"^\*\*`(\w+)=(\w+)`\*\*", written, re.MULTILINE)
    assert len(options) > 200
    for group, name in options:
        (tmp_path / group).mkdir(exist_ok=True)
        shutil.copy(CONF / group / f"{name}.yaml", tmp_path / group)
    assert written == reference.markdown(tmp_path, SCHEMA), "run `lineage config --write`"


def test_an_option_lists_the_keys_that_its_parents_do_not_set_so(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "child.yaml").write_text(
        "# a child\ndefaults: [parent, _self_]\nwidth: 3\nhead: {size: [1, 2]}\ndepth: 2  # blocks\n"
    )
    (tmp_path / "model" / "parent.yaml").write_text("head:\n  _target_: a.b.Head\n  size: [1, 2]  # pixels\nwidth: 4\n")
    parent, child = reference.groups(tmp_path)["model"]
    assert parent.keys == [
        reference.Key("model.head", "Head", ""),
        reference.Key("model.head.size", "[1, 2]", "pixels"),
        reference.Key("model.width", "4", ""),
    ]
    assert (child.name, child.comment, child.parents) == ("child", "a child", ["parent"])
    assert child.keys == [reference.Key("model.width", "3", ""), reference.Key("model.depth", "2", "blocks")]


def test_the_command_finds_a_key_and_names_the_nearest_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule.steps"]) == 0
    assert "schedule.steps" in capsys.readouterr().out
    assert main(["shedule"]) == 1
    assert "schedule" in capsys.readouterr().err


def test_keys_of_a_run_have_the_values_that_yaml_would_have() -> None:
    """A dict that is made anew for each run was printed as field(default_factory=dict)."""
    values = {key.name: key.value for key in reference.schema_keys(SCHEMA)}
    assert (values["callbacks"], values["keep_checkpoints"], values["profile"]) == ("{}", "[]", "false")
    assert not [value for value in values.values() if "(" in value or value in ("None", "True", "False")]
