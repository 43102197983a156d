"""`lineage data stats|check|show` of videos: drawn ones, clips on disk, and what is wrong with these."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from lineage.cli.data.main import main

DRAWN = ("moving_shapes", "dataset.val.length=6", "dataset.train.length=4", "dataset.speed=8")


def write_clips(folder: Path, wrong_size: bool = False) -> Path:
    for number in range(10):
        size = (32, 48) if wrong_size and number == 9 else (32, 32)
        (folder / "a").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / "a" / f"{number:03d}.png"), np.full((*size, 3), 20 * number, np.uint8))
    return folder


def test_stats_count_clips_and_measure_the_motion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stats", *DRAWN, "--split", "val"]) == 0
    output = capsys.readouterr().out
    assert "6 triplets of 2 clips (3 of each), frames of 48 x 48 (height x width)" in output
    largest = float(output.split("at most ")[1])
    assert 4 < largest <= 8.01


def test_check_reads_every_frame(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["check", "clips", "--root", str(write_clips(tmp_path)), "--split", "val"]
    part = "dataset.val.part=[0.5,1.0]"
    assert main([*arguments, part]) == 0
    assert "no defects. 2 triplets of 1 clip." in capsys.readouterr().out
    (tmp_path / "a/008.png").write_bytes(b"no picture")
    assert main([*arguments, part]) == 1
    assert "008.png: is not an image Pillow can read" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["check", "stats"])
def test_clips_that_are_too_short_are_named(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_clips(tmp_path)
    for name in ("b", "c"):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "0.png"), np.full((32, 32, 3), 9, np.uint8))
    assert main([command, "clips", "--root", str(tmp_path), "--split", "train"]) == 0
    output = capsys.readouterr().out
    assert "left out, as their part in this split is shorter than a triplet: 2 clips, such as b" in output
    assert " of 1 clip" in output


def test_check_ends_with_a_training_on_videos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = ("dataset.train.part=[0.0,0.5]", "dataset.val.part=[0.5,1.0]")
    assert main(["check", "clips", "--root", str(write_clips(tmp_path)), *parts]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"next     python train.py model=dvtsr dataset=clips dataset.root={tmp_path}")


def test_a_frame_of_another_size_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["check", "clips", "--root", str(write_clips(tmp_path, wrong_size=True)), "--split", "val"]
    assert main([*arguments, "dataset.val.part=[0.5,1.0]"]) == 1
    assert "frames 7, 8 and 9 have sizes 32 x 32, 32 x 32, 32 x 48" in capsys.readouterr().out


def test_drawn_videos_have_nothing_on_disk(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", *DRAWN]) == 0
    assert capsys.readouterr().out.count("drawn on demand") == 2


def test_show_draws_a_row_per_triplet(tmp_path: Path) -> None:
    assert main(["show", *DRAWN, "--count", "3", "--out", str(tmp_path / "triplets.png")]) == 0
    with Image.open(tmp_path / "triplets.png") as picture:
        assert picture.width > 700
        assert picture.height > 3 * 230
