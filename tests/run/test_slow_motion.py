"""Frames drawn between the frames of a video: their number, their order, and what cannot draw them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from lineage.config.build import ConfigError
from lineage.data.samples.video import VideoError, write_frames
from lineage.models.interpolation.baselines import FrameAverage
from lineage.run.inference.slow_motion import (
    check_model,
    count_halvings,
    insert_frames,
    list_sources,
)
from lineage.run.task import check_detector

CPU = torch.device("cpu")


def restored(time: float = 0.5, **options: str) -> Any:
    model = FrameAverage(time=time)
    config = OmegaConf.create({"model": {"time": time, **options}})
    return SimpleNamespace(
        model=model, detect=model.detect, canvas=SimpleNamespace(size_divisibility=16), config=config, source="run"
    )


@pytest.mark.parametrize(
    ("between", "values"), [(1, [0, 40, 80, 100, 120]), (3, [0, 20, 40, 60, 80, 90, 100, 110, 120])]
)
def test_drawn_frames_stand_between_those_of_the_video(between: int, values: list[int]) -> None:
    video = [np.full((18, 20, 3), value, np.uint8) for value in (0, 80, 120)]  # sides are no multiples of 16
    drawn = list(insert_frames(restored(), video, between, CPU))
    assert [int(frame[5, 5, 1]) for frame in drawn] == values
    assert {frame.shape for frame in drawn} == {(18, 20, 3)}


@pytest.mark.parametrize("between", [0, 2, 4, 5, 6])
def test_intervals_are_halved(between: int) -> None:
    with pytest.raises(ConfigError, match="1, 3, 7"):
        count_halvings(between)


def test_other_models_are_refused() -> None:
    check_model(restored())
    with pytest.raises(ConfigError, match=r"needs 0\.5"):
        check_model(restored(time=0.25))
    check_model(restored(flow="spynet"))
    with pytest.raises(ConfigError, match=r"model\.flow=exact_intermediate, .* needs .* model\.flow=spynet or none"):
        check_model(restored(flow="exact_intermediate"))
    with pytest.raises(ConfigError, match="detects objects"):
        check_model(SimpleNamespace(model=torch.nn.Identity(), source="run"))


@pytest.mark.parametrize("kind", ["folder", "video"])
def test_one_frame_has_nothing_between(kind: str, tmp_path: Path) -> None:
    """A folder and a video are refused alike, whether they have one frame or --every leaves one."""
    clip = tmp_path / ("clip" if kind == "folder" else "clip.mkv")
    if kind == "folder":
        clip.mkdir()
        for number in range(3):
            Image.new("RGB", (20, 18)).save(clip / f"{number}.png")
    else:
        write_frames(clip, [np.zeros((18, 20, 3), np.uint8)] * 3, 25)
    (source,) = list_sources([str(clip)], every=3)
    with pytest.raises(VideoError, match=rf"{source.name}: one frame has nothing between; .* --every"):
        list(insert_frames(restored(), source.frames, 1, CPU, source.name))


def test_a_folder_of_pictures_is_a_clip(tmp_path: Path) -> None:
    """In the order of names, at the usual rate; a folder without any is refused."""
    for number, value in enumerate((0, 80, 120)):
        Image.new("RGB", (20, 18), (value,) * 3).save(tmp_path / f"{number}.png")
    (source,) = list_sources([str(tmp_path)])
    assert (source.stem, source.rate) == (tmp_path.name, 25)
    drawn = insert_frames(restored(), source.frames, 1, CPU)
    assert [int(frame[5, 5, 1]) for frame in drawn] == [0, 40, 80, 100, 120]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no video is there"):
        list(list_sources([str(tmp_path / "empty")]))


@pytest.mark.parametrize("names", [["."], ["0.png", "1.png"], ["*.png"]])
def test_pictures_of_the_current_folder_are_a_clip_of_its_name(
    names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Path('.')` has no name, and a video without one has no ending either."""
    for number in range(2):
        Image.new("RGB", (20, 18)).save(tmp_path / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    (source,) = list_sources(names)
    assert source.stem == tmp_path.name


def test_one_picture_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (20, 18)).save(tmp_path / "pic.png")
    monkeypatch.chdir(tmp_path)
    (source,) = list_sources(["pic.png"])
    with pytest.raises(VideoError, match=r"^pic\.png: one frame has nothing between"):
        write_frames(tmp_path / f"{source.stem}.mp4", insert_frames(restored(), source.frames, 1, CPU, source.name), 25)


def test_a_model_of_frames_detects_nothing() -> None:
    with pytest.raises(ConfigError, match="predict without --between takes detectors of objects; FrameAverage reads"):
        check_detector(restored().model, "predict without --between")
