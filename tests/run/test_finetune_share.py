"""finetune=FOLDER with few images: the share for validation leaves some on both sides."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from lineage.cli.data.main import main as data
from lineage.config.build import ConfigError
from lineage.config.compose import compose_config
from lineage.data.export import voc
from lineage.data.shapes.dataset import Shapes
from lineage.run.finetune.expand import expand_command
from lineage.run.finetune.layout import read_layout
from lineage.run.finetune.share import choose_share, fit_share
from lineage.run.splits import build_train, build_val
from tests.data import folder


def hash_name(name: str) -> float:
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 16**8


NAMES = sorted((f"{number}.png" for number in range(1000)), key=hash_name)
ABOVE = {share: [name for name in NAMES if hash_name(name) >= share] for share in (0.2, 0.35)}


def write(root: Path, names: list[str], empty: int = 0) -> Path:
    """Images of these names, the last ones without objects."""
    content = folder.content(len(names))
    for record, name in zip(content["images"], names, strict=True):
        record["file_name"] = name
    content["annotations"] = content["annotations"][: len(names) - empty]
    return folder.write(root, content)


@pytest.mark.parametrize(
    ("names", "share"),
    [
        ([NAMES[0], NAMES[-1]], 0.2),
        (ABOVE[0.2][:9] + NAMES[-1:], 0.3),
        (ABOVE[0.35][:9] + NAMES[-1:], 0.4),
        (NAMES[-2:], None),
        (NAMES[:1], None),
        (NAMES[:1] + NAMES[150:152], 0.1),
    ],
)
def test_the_smallest_share_that_leaves_images_on_both_sides(names: list[str], share: float | None) -> None:
    assert choose_share([name.encode() for name in names], 0.2) == share


@pytest.mark.parametrize(
    ("names", "empty"), [(ABOVE[0.2][:9] + NAMES[-1:], 0), (ABOVE[0.2][:9] + NAMES[-1:] + NAMES[:2], 2)]
)
def test_a_small_folder_has_images_on_both_sides(
    tmp_path: Path, names: list[str], empty: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Images without objects, which are not trained on, do not count."""
    root = write(tmp_path / "cells", names, empty)
    command = expand_command([f"finetune={root}", "trainer=cpu"])
    assert "dataset.val.fraction=0.3" in command
    said = "about 30% of its images are held out, since 20% of so few leaves one side without images: "
    assert said in capsys.readouterr().out
    config = compose_config([text for text in command if text.startswith("dataset")])
    val = build_val(config)
    assert len(build_train(config)) == 1
    assert val is not None
    assert len(val) == 9 + empty
    data(["check", str(root)])
    assert "about 30% of its images are held out" in capsys.readouterr().out


def test_a_typed_share_counts(tmp_path: Path) -> None:
    root = write(tmp_path / "cells", [*ABOVE[0.2][:9], NAMES[-1]])
    layout = read_layout(root)
    assert fit_share(layout, ["dataset.val=null"]) is layout
    assert fit_share(layout, ["dataset.val.fraction=0.6"]) is layout


def test_a_single_image_is_refused_in_one_line(tmp_path: Path) -> None:
    root = write(tmp_path / "cells", NAMES[:1])
    with pytest.raises(ConfigError, match=r"1 image with objects, too few .*: dataset.val=null$") as error:
        expand_command([f"finetune={root}"])
    assert "\n" not in str(error.value)
    assert expand_command([f"finetune={root}", "dataset.val=null", "trainer=cpu"])


def test_the_share_of_a_voc_folder(tmp_path: Path) -> None:
    voc.write(Shapes(seed=0, length=2, size=[48, 64]), tmp_path, "train")
    layout = fit_share(read_layout(tmp_path), [])
    config = compose_config([f"dataset={layout.name}", *layout.overrides])
    val = build_val(config)
    assert val is not None
    assert (len(build_train(config)), len(val)) == (1, 1)
