"""A rename in renames.yaml changes no digest, and what was stored under former names is read in the names of today."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import yaml

from lineage.results import renames, renames_table
from lineage.results.entry import digest, dump, parse
from lineage.results.renames import canonical, choices_today, first_target, key_today, target_today, upgrade
from tests.tables import made

ROOT = Path(__file__).parents[2]
TABLE: dict[str, Any] = {
    "modules": {
        "lineage.ops.nms": ["lineage.old.first", "lineage.old.second"],
        "lineage.shapes.data": "lineage.shapes",
    },
    "targets": {"lineage.ops.nms.New": ["lineage.old.first.Old", "lineage.ops.nms.Middle"]},
    "keys": {
        "lineage.ops.nms.New": {"nms_thresh": ["nms", "threshold"], "size": "extent"},
        "/": {"cell": "entry"},
        "/cell": {"note": "text"},
        "/schedule": {"max_steps": "steps"},
    },
    "values": {"lineage.ops.nms.New": {"mode": {"random": "chance"}, "sorted": {True: "yes", False: "no"}}},
    "options": {"logger": {"csv": "files"}},
    "groups": {"logger": "track"},
}
FIRST: dict[str, Any] = {
    "track": {"csv": 1},
    "entry": {"text": "why", "row": None},
    "schedule": {"steps": 100, "milestones": ["${..steps}", "${schedule.steps}"]},
    "box": {"_target_": "lineage.old.first.Old", "nms": 0.5, "extent": "${.nms}", "mode": "chance", "sorted": "no"},
    "model": {
        "_target_": "torch.nn.Identity",
        "head": "${box}",
        "parts": [{"_target_": "lineage.old.first.Old.of", "nms": "${box.nms}"}],
        "nms": "${oc.select:box.nms,7} ${model.head.nms} ${...schedule.steps} ${now:%Y} ${oc.env:HOME,x}",
        "first": "${model.parts[0].nms}",
    },
}
TODAY: dict[str, Any] = {
    "logger": {"csv": 1},
    "cell": {"note": "why", "row": None},
    "schedule": {"max_steps": 100, "milestones": ["${..max_steps}", "${schedule.max_steps}"]},
    "box": {
        "_target_": "lineage.ops.nms.New",
        "nms_thresh": 0.5,
        "size": "${.nms_thresh}",
        "mode": "random",
        "sorted": False,
    },
    "model": {
        "_target_": "torch.nn.Identity",
        "head": "${box}",
        "parts": [{"_target_": "lineage.ops.nms.New.of", "nms": "${box.nms_thresh}"}],
        "nms": "${oc.select:box.nms_thresh,7} ${model.head.nms_thresh} ${...schedule.max_steps} "
        "${now:%Y} ${oc.env:HOME,x}",
        "first": "${model.parts[0].nms}",
    },
}


@pytest.fixture
def _table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renames, "renames", lambda: renames_table.read(TABLE))


@pytest.mark.usefixtures("_table")
class TestTranslations:
    def test_an_old_config_is_read_in_the_names_of_today(self) -> None:
        assert upgrade(FIRST) == TODAY

    def test_a_config_of_today_is_left_as_it_is(self) -> None:
        assert upgrade(TODAY) == TODAY

    def test_digests_keep_the_first_names(self) -> None:
        assert canonical(TODAY) == FIRST
        assert digest(canonical(upgrade(FIRST))) == digest(FIRST)

    def test_a_config_between_two_renames_is_of_the_same_digest(self) -> None:
        between = {
            "box": {
                "_target_": "lineage.old.second.Old", "threshold": 0.5, "size": "${.threshold}", "mode": "chance",
                "sorted": False,
            }
        }  # fmt: skip
        assert upgrade(between) == {"box": TODAY["box"]}
        assert canonical(upgrade(between)) == {"box": FIRST["box"]}

    def test_other_values_are_of_another_digest(self) -> None:
        other = {**TODAY, "box": {**TODAY["box"], "nms_thresh": 0.6}}
        assert canonical(other) != FIRST

    def test_keys_are_left_out_by_their_name_of_today(self) -> None:
        left = canonical(TODAY, without=("cell.note", "model", "schedule.max_steps", "box.nms"))
        assert left["entry"] == {"row": None}
        assert "model" not in left
        assert "steps" not in left["schedule"]
        assert left["box"] == FIRST["box"]  # `nms` is what it was called

    @pytest.mark.parametrize(
        ("former", "today"),
        [
            ("entry.text", "cell.note"),
            ("track", "logger"),
            ("schedule.steps", "schedule.max_steps"),
            ("box.nms", "box.nms_thresh"),
            ("box.threshold", "box.nms_thresh"),
            ("model.head.nms", "model.head.nms_thresh"),  # a reference to box
            ("model.parts[0].nms", "model.parts[0].nms"),  # of Old.of, another callable
            ("box.nms_thresh", "box.nms_thresh"),
            ("no.such.key", "no.such.key"),
        ],
    )
    def test_a_former_key_has_a_name_of_today(self, former: str, today: str) -> None:
        assert key_today(former, TODAY) == today

    @pytest.mark.parametrize(
        ("former", "today"),
        [
            ("lineage.old.first.Old", "lineage.ops.nms.New"),
            ("lineage.old.second.Old", "lineage.ops.nms.New"),  # the class after the first move of its module
            ("lineage.ops.nms.Old", "lineage.ops.nms.New"),  # ... after the second
            ("lineage.ops.nms.Middle.of", "lineage.ops.nms.New.of"),
            ("lineage.old.second.nms", "lineage.ops.nms.nms"),
            ("lineage.shapes.Shapes", "lineage.shapes.data.Shapes"),
            ("torch.nn.Identity", "torch.nn.Identity"),
        ],
    )
    def test_a_former_class_has_a_name_of_today(self, former: str, today: str) -> None:
        assert target_today(former) == today
        assert target_today(today) == today

    def test_a_class_keeps_its_first_name(self) -> None:
        assert first_target("lineage.ops.nms.New") == "lineage.old.first.Old"
        assert first_target("lineage.ops.nms.Newer") == "lineage.old.first.Newer"  # for good, once it has a digest

    def test_choices(self) -> None:
        assert choices_today({"track": "files", "model": "csv"}) == {"logger": "csv", "model": "csv"}

    def test_an_old_entry_is_read_in_the_names_of_today(self) -> None:
        entry = parse(dump(made.entry(config=FIRST, choices={"track": "files"})))
        assert entry.config == TODAY
        assert entry.choices == {"logger": "csv"}


def test_a_module_in_a_package_that_has_the_name_of_a_former_module() -> None:
    """lineage.data.shapes was a file and is a folder now."""
    assert target_today("lineage.data.shapes.Shapes") == "lineage.data.shapes.dataset.Shapes"
    assert target_today("lineage.data.shapes.outlines.draw") == "lineage.data.shapes.outlines.draw"


def test_references_in_a_circle_end() -> None:
    circle = {"a": "${b}", "b": "${a}", "c": "${a.x}"}
    assert upgrade(circle) == circle


def table() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "src/lineage/results/renames.yaml").read_text(encoding="utf-8"))
    return loaded


def formers(names: str | list[str]) -> list[str]:
    return [names] if isinstance(names, str) else names


def test_the_table_names_modules_that_exist() -> None:
    missing = [name for name in table()["modules"] if importlib.util.find_spec(name) is None]
    assert not missing, "the names on the left of `modules` are those of today"
    for today, names in table()["modules"].items():
        files = [name for name in formers(names) if (ROOT / "src" / (name.replace(".", "/") + ".py")).is_file()]
        assert not files, f"{today} was {files}, which is another module today: a stored config cannot tell them apart"


@pytest.mark.parametrize("name", list(table()["targets"]))
def test_the_table_names_classes_that_exist(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    assert hasattr(importlib.import_module(module), attribute)
    for former in formers(table()["targets"][name]):
        assert target_today(former) == name, f"{former} is the former name of two classes"


def keywords(target: Any) -> set[str]:
    """Names of its parameters, and those of the TypedDict in `**options: Unpack[Options]`."""
    parameters = inspect.signature(target).parameters
    unpacked = [name for name, value in parameters.items() if value.kind is value.VAR_KEYWORD]
    hints = get_type_hints(target.__init__ if inspect.isclass(target) else target) if unpacked else {}
    kinds = (kind for name in unpacked for kind in get_args(hints[name]))
    return {*parameters, *(key for kind in kinds for key in get_type_hints(kind))}


@pytest.mark.parametrize("owner", [owner for owner in table()["keys"] if not owner.startswith("/")])
def test_the_table_names_keywords_that_exist(owner: str) -> None:
    module, _, attribute = owner.rpartition(".")
    target = getattr(importlib.import_module(module), attribute)
    parameters = keywords(target)
    untyped = [one for one in inspect.signature(target).parameters.values() if one.annotation == "Any"]
    passes_on = any(one.kind is one.VAR_KEYWORD for one in untyped)  # the rest goes to another class
    for today, names in table()["keys"][owner].items():
        assert today in parameters or passes_on, f"{owner} takes no {today}"
        still = [name for name in formers(names) if name in parameters]
        assert not still, f"{owner}.{today} was {still}, which is another keyword today"
    every = [name for names in table()["keys"][owner].values() for name in formers(names)]
    assert len(every) == len(set(every)), f"a former keyword of {owner} has two names of today"


def test_the_table_names_groups_and_options_that_exist() -> None:
    for group, names in table()["groups"].items():
        assert (ROOT / "conf" / group).is_dir(), f"there is no group {group}"
        assert not [name for name in formers(names) if (ROOT / "conf" / name).exists()]
    for group, options in table()["options"].items():
        for option, names in options.items():
            assert (ROOT / "conf" / group / f"{option}.yaml").is_file(), f"{group} has no option {option}"
            assert not [name for name in formers(names) if (ROOT / "conf" / group / f"{name}.yaml").exists()]
