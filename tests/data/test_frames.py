"""Triplets of drawn videos, of clips on disk and of REDS_VTSR: which frames they hold, and what moves where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from lineage.data.frames import clips, moving_shapes, reds
from lineage.data.frames.collate import collate
from lineage.data.frames.sample import FrameSample
from lineage.data.frames.transforms import RandomCrop, RandomSymmetry
from lineage.data.frames.triplets import FrameError, FrameTriplets
from lineage.models.interpolation.flow import combine_super_slomo
from lineage.ops.warp import warp_backward

STILL = {"speed": 0.0, "acceleration": 0.0, "spin": 0.0}


def draw(**changes: Any) -> FrameTriplets:
    keywords = (
        {"seed": 1, "length": 6, "pairs": 2, "time": 0.5, "size": [48, 64], "objects": 3} | STILL | {"speed": 6.0}
    )
    return moving_shapes.load(**(keywords | changes))


def write_picture(path: Path, value: int, size: tuple[int, int] = (16, 24)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*size, 3), value, np.uint8))


def values(sample: FrameSample) -> list[int]:
    """Return the grey value of first, middle and second frame, which numbers them here."""
    return [int(image[0, 0, 0]) for image in (sample.frames[0], sample.image, sample.frames[1])]


def test_drawn_triplets_follow_each_other() -> None:
    dataset = draw()
    assert len(dataset) == 6
    assert dataset.clips == ["clip 000"] * 2 + ["clip 001"] * 2 + ["clip 002"] * 2
    assert draw(length=3).clips == ["clip 000"] * 2 + ["clip 001"]
    assert torch.equal(dataset[0].frames[1], dataset[1].frames[0])
    assert not torch.equal(dataset[0].image, dataset[0].frames[0])
    assert torch.equal(draw()[5].image, dataset[5].image)
    assert draw().fingerprint == dataset.fingerprint != draw(seed=2).fingerprint
    assert draw(time=0.25).fingerprint != dataset.fingerprint


def test_any_time_between_the_given_frames_is_drawn() -> None:
    assert [triplet.middle for triplet in draw(time=0.3, length=2, pairs=2).triplets] == [0.3, 1.3]
    for time in (0.0, 1.0, 1.5):
        with pytest.raises(FrameError, match=f"dataset.time={time:g}: .* above 0 and below 1"):
            draw(time=time)


def test_nothing_moves_at_speed_0() -> None:
    sample = draw(speed=0.0)[0]
    assert torch.equal(sample.frames[0], sample.image)
    assert sample.flows is not None
    assert torch.allclose(sample.flows, torch.zeros_like(sample.flows), atol=1e-5)


@pytest.mark.parametrize("motion", [{}, {"acceleration": 4.0}, {"spin": 20.0}])
def test_the_true_flow_explains_the_second_frame(motion: dict[str, float]) -> None:
    """Where nothing is covered, the second frame at the end of a flow is the first frame."""
    errors = []
    for sample in map(draw(**motion).__getitem__, range(6)):
        assert sample.flows is not None
        first, second = sample.frames.float()
        warped = warp_backward(second[None], sample.flows[:1])[0]
        errors.append((warped - first)[:, 8:-8, 8:-8].abs().median())
        assert (second - first).abs().mean() > 8
    assert max(errors) < 3  # of 255: of bilinear samples of a smooth pattern


def test_steady_motion_is_half_way_in_the_middle() -> None:
    sample = draw(objects=0)[0]  # the background alone
    assert sample.flows is not None
    warped = warp_backward(sample.frames[1][None].float(), sample.flows[:1] / 2)[0]
    difference = (warped - sample.image)[:, 8:-8, 8:-8].abs()
    assert difference.mean() < 2
    assert torch.allclose(sample.flows[0], -sample.flows[1], atol=1e-4)


def test_flows_from_the_wanted_frame_reach_it_at_edges_too() -> None:
    """Near the edge of an object the flow between the given frames is that of whatever was there at another time.

    So Super SloMo's combination of exact flows errs there, and the flows from the wanted frame do not: each pixel is
    that of one of the two frames, unless it is covered in both.
    """
    shares: dict[str, list[float]] = {"between": [], "from wanted": []}
    for sample in map(draw(objects=2).__getitem__, range(6)):
        assert sample.flows is not None
        between = combine_super_slomo(sample.flows[None, 0], sample.flows[None, 1], 0.5)
        for name, flows in (("between", between), ("from wanted", sample.flows[2:, None])):
            pairs = zip(sample.frames.float(), flows, strict=True)
            errors = [(warp_backward(frame[None], flow)[0] - sample.image).abs().amax(0) for frame, flow in pairs]
            shares[name].append(float((torch.stack(errors).amin(0)[8:-8, 8:-8] > 25).float().mean()))
    assert max(shares["from wanted"]) < 0.03
    assert sum(shares["between"]) > 2 * sum(shares["from wanted"])


def test_clips_of_pictures(tmp_path: Path) -> None:
    for number in range(10):
        write_picture(tmp_path / "a" / f"{number:03d}.png", 20 * number)
    train = clips.load(root=str(tmp_path), time=0.5, interval=2, stride=1, part=[0.0, 0.8])
    val = clips.load(root=str(tmp_path), time=0.25, interval=4, stride=4, part=[0.5, 1.0])
    assert [values(train[i]) for i in range(len(train))] == [[20 * (n + i) for i in range(3)] for n in range(6)]
    assert [values(val[i]) for i in range(len(val))] == [[100, 120, 180]]
    assert val.clips == ["a"]
    assert train[0].flows is None


def test_a_video_is_a_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINEAGE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "clips").mkdir()
    video = cv2.VideoWriter(str(tmp_path / "clips/b.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (32, 24))
    for number in range(7):
        video.write(np.full((24, 32, 3), 30 * number, np.uint8))
    video.release()
    dataset = clips.load(root=str(tmp_path / "clips"), time=0.5, interval=2, stride=1, part=[0.0, 1.0])
    assert len(dataset) == 5
    assert dataset.sizes.tolist() == [[24, 32]] * 5
    assert np.abs(np.array(values(dataset[4])) - [120, 150, 180]).max() <= 3  # JPEG
    assert len([*(tmp_path / "cache/frames").glob("*.npy")]) == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"time": 0.5, "interval": 3}, "which no clip has"),
        ({"part": [0.0, 0.1]}, "shorter than a triplet"),
        ({"only": ["z"]}, "no clip named"),
        ({"root": None}, "dataset.root=FOLDER"),
        ({"root": "nowhere"}, "no such folder"),
    ],
)
def test_clips_that_are_not_there(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    for number in range(6):
        write_picture(tmp_path / "a" / f"{number}.png", number)
    keywords: dict[str, Any] = {"root": str(tmp_path), "time": 0.5, "interval": 2, "stride": 1, "part": [0.0, 1.0]}
    with pytest.raises(FrameError, match=says):
        clips.load(**(keywords | changes))


def test_a_frame_that_was_cut_off_or_is_of_another_size_is_refused(tmp_path: Path) -> None:
    for number in range(6):
        write_picture(tmp_path / "a" / f"{number}.png", number)
    dataset = clips.load(root=str(tmp_path), time=0.5, interval=2, stride=1, part=[0.0, 1.0])
    whole = (tmp_path / "a/3.png").read_bytes()
    (tmp_path / "a/3.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FrameError, match=r"3\.png: cannot be decoded"):
        dataset[1]
    Image.new("RGB", (32, 20)).save(tmp_path / "a/3.png")
    with pytest.raises(FrameError, match="a: frames 1, 2 and 3 have sizes 16 x 24, 16 x 24, 20 x 32, the first of"):
        dataset[1]


@pytest.mark.parametrize(("time", "rate", "middles"), [(0.5, 30, [4, 12]), (0.25, 60, [2, 10]), (0.75, 60, [6, 14])])
def test_reds(tmp_path: Path, time: float, rate: int, middles: list[int]) -> None:
    for number in range(0, 20, 2):
        if number % 8 == 0:
            write_picture(tmp_path / "val/val_15fps/007" / f"{number:08d}.png", number)
        if number % (120 // rate) == 0:
            write_picture(tmp_path / f"val/val_{rate}fps/007" / f"{number:08d}.png", number)
    dataset = reds.load(root=str(tmp_path), split="val", time=time)
    assert [values(dataset[i]) for i in range(len(dataset))] == [[0, middles[0], 8], [8, middles[1], 16]]
    assert dataset.clips == ["007", "007"]
    (tmp_path / f"val/val_{rate}fps/007/{middles[1]:08d}.png").unlink()
    with pytest.raises(FrameError, match="frames are missing: 1, such as"):
        reds.load(root=str(tmp_path), split="val", time=time)
    with pytest.raises(FrameError, match="train_15fps"):
        reds.load(root=str(tmp_path), split="train", time=time)


def test_frames_of_a_batch_are_padded_by_their_border() -> None:
    dataset = draw(size=[40, 50])
    batch = collate([dataset[0], dataset[1]], [1, 2], size_divisibility=16)
    assert batch.images.frames.shape == (2, 2, 3, 48, 64)
    assert torch.equal(batch.images.frames[0, ..., :40, :50], dataset[0].frames)
    assert torch.equal(batch.targets[0, :, 40:, :50], dataset[0].image[:, 39:40].expand(3, 8, 50))
    assert batch.images.sizes.tolist() == [[40, 50]] * 2
    assert batch.images.flows is not None
    assert batch.images.flows.shape == (2, 4, 2, 48, 64)
    assert collate([dataset[0]._replace(flows=None)], [1]).images.flows is None


def test_a_triplet_is_cropped_and_turned_as_a_whole() -> None:
    sample = draw(speed=0.0)[0]
    torch.manual_seed(0)
    for _ in range(8):
        changed = RandomSymmetry()(RandomCrop(32)(sample))
        assert changed.image.shape == (3, 32, 32)
        assert torch.equal(changed.frames[0], changed.image)
        assert changed.flows is not None
        assert changed.flows.shape == (4, 2, 32, 32)
    assert RandomCrop(100)(sample).image.shape == sample.image.shape
