"""Cityscapes' result folders through `lineage evaluate`, against the official script on the same files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lineage.cli import main
from tests.eval.test_cityscapes import SIZE, by_script, predictions, street, written


def make(root: Path, seed: int, streets: int = 4) -> list[tuple[str, str]]:
    """A dataset with results beside it; the pairs of text file and ground truth."""
    rng = np.random.default_rng(seed)
    truth, images, results = (root / part for part in ("gtFine/val/city", "leftImg8bit/val/city", "results/city"))
    for folder in (truth, images, results):
        folder.mkdir(parents=True)
    listed = []
    for place in range(streets):
        ids = street(rng)
        text, made = written(results, place, ids, predictions(rng, ids))
        listed.append((text, str(Path(made).rename(truth / Path(made).name))))
        Image.new("RGB", SIZE[::-1]).save(images / f"city_{place:06d}_000000_leftImg8bit.png")
    return listed


def argv(root: Path) -> list[str]:
    return ["evaluate", str(root / "results"), "--dataset", "cityscapes", f"dataset.root={root}", "--json"]


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_the_official_script(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(np, "in1d", np.isin, raising=False)  # the script's name for it is gone from NumPy 2.4
    listed = make(tmp_path, seed)
    assert main.main(argv(tmp_path)) == 0
    ours = json.loads(capsys.readouterr().out)
    table = by_script(tmp_path / "results", listed)
    expected = {"mask/AP": np.nanmean(table), "mask/AP50": np.nanmean(table[:, 0])}
    assert {name: value / 100 for name, value in ours["metrics"].items()} == pytest.approx(expected, abs=1e-12)
    for row, one in zip(table, ours["classes"].values(), strict=True):
        assert one["mask/AP"] == (None if np.isnan(row).any() else pytest.approx(100 * row.mean(), abs=1e-10))


@pytest.mark.parametrize(("line", "said"), [
    ("0_0.png 26", "line 1: '0_0.png 26' is not `mask.png label_id confidence`"),
    ("0_0.png car 0.5", "is not `mask.png label_id confidence`"),
    ("0_0.png 99 0.5", "label id 99 is not among 24, 25, 26"),
    ("none.png 26 0.5", "none.png cannot be read"),
    ("../../out.png 26 0.5", "out.png is outside"),
    ("0_0.png 26 0.5\n0_0.png 24 0.5", "line 2: 0_0.png is named twice"),
    ("small.png 26 0.5", "has 3 x 4 pixels (height x width), its image 60 x 90"),
    ("0_0.png 26 nan", "record 0 has the score nan, not a number"),
])  # fmt: skip
def test_a_bad_line_is_named(line: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (text, _), *_ = make(tmp_path, 3)
    Image.new("L", (4, 3), 255).save(Path(text).with_name("small.png"))
    Path(text).write_text(line + "\n")
    assert main.main(argv(tmp_path)) == 1
    assert said in capsys.readouterr().err


def test_each_image_has_one_text_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (text, _), *_ = make(tmp_path, 3)
    again = Path(text).with_name(f"{Path(text).stem}_again.txt")
    again.write_text("")
    assert main.main(argv(tmp_path)) == 1
    assert "several results for one image: city_000000_000000.txt, city_000000_000000_a" in capsys.readouterr().err
    again.unlink()
    Path(text).unlink()
    assert main.main(argv(tmp_path)) == 1
    assert "has no city_000000_000000*.txt. Each image needs one; empty if nothing was found" in capsys.readouterr().err
    for other in (tmp_path / "results").rglob("*.txt"):
        other.write_text("\n")
    Path(text).write_text("0_0.png 7 0.5\n")  # a road
    assert main.main(argv(tmp_path)) == 1
    assert "no line of its files names an object of 24, 25, 26" in capsys.readouterr().err
