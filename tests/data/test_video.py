"""Videos: frames go out and come back in order, in colour, at their rate, and bad files say what is wrong."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from lineage.data.samples.video import CODECS, Frame, VideoError, read_frame_rate, read_frames, write_frames


def clip(count: int = 5, height: int = 48, width: int = 64) -> list[Frame]:
    """Return frames that turn from red to blue from left to right, brighter one by one."""
    ramp = np.linspace(0, 150, width).astype(np.uint8)
    frame = np.zeros((height, width, 3), np.uint8)
    frame[..., 0], frame[..., 2] = ramp[::-1], ramp
    return [frame + np.uint8(20 * i) for i in range(count)]


def test_lossless_frames_come_back_as_they_were(tmp_path: Path) -> None:
    frames = [*np.random.default_rng(0).integers(0, 256, (7, 50, 66, 3), dtype=np.uint8)]
    assert write_frames(tmp_path / "a.mkv", iter(frames), 12.5) == 7
    back = list(read_frames(tmp_path / "a.mkv"))
    assert len(back) == 7
    assert all((a == b).all() and a.dtype == np.uint8 for a, b in zip(frames, back, strict=True))
    assert read_frame_rate(tmp_path / "a.mkv") == 12.5
    assert [(frame == frames[i]).all() for i, frame in zip((0, 3, 6), read_frames(tmp_path / "a.mkv", 3), strict=True)]
    assert [path.name for path in tmp_path.iterdir()] == ["a.mkv"]


@pytest.mark.parametrize("suffix", sorted(set(CODECS) - {".mkv"}))
def test_other_codecs_hold_the_colours(tmp_path: Path, suffix: str) -> None:
    """Red and blue are not swapped, brightness is of the right frame."""
    frames = clip()
    write_frames(tmp_path / f"a{suffix}", frames, 29.97)
    back = list(read_frames(tmp_path / f"a{suffix}"))
    assert len(back) == len(frames)
    errors = [np.abs(a.astype(int) - b).mean() for a, b in zip(frames, back, strict=True)]
    assert max(errors) < 6
    assert read_frame_rate(tmp_path / f"a{suffix}") == pytest.approx(29.97, abs=0.01)


def test_an_odd_side_is_extended_by_its_edge(tmp_path: Path) -> None:
    (frame,) = clip(1, 33, 35)
    write_frames(tmp_path / "a.mkv", [frame], 25)
    (back,) = read_frames(tmp_path / "a.mkv")
    assert back.shape == (34, 36, 3)
    assert (back[:33, :35] == frame).all()
    assert (back[33, :35] == frame[32]).all()


def test_bad_files_say_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    for path, message in ((tmp_path / "no.mp4", "no such file"), (tmp_path / "empty.mp4", "is not a video")):
        with pytest.raises(VideoError, match=message):
            list(read_frames(path))
        with pytest.raises(VideoError, match=message):
            read_frame_rate(path)


LISTS = (
    "ffconcat version 1.0\nfile other.avi\n",
    "#EXTM3U\n#EXTINF:1,\nother.avi\n",
    "v=0\no=- 0 0 IN IP4 127.0.0.1\n",
)


@pytest.mark.parametrize("text", LISTS)
def test_a_list_of_other_files_is_no_video(tmp_path: Path, text: str) -> None:
    """FFmpeg would read the files that it names."""
    write_frames(tmp_path / "other.avi", clip(2), 10)
    (tmp_path / "clip.mp4").write_text(text)
    with pytest.raises(VideoError, match=r"clip\.mp4: is a text"):
        list(read_frames(tmp_path / "clip.mp4"))


def test_large_frames_are_refused_before_they_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is that of images; here it is a thousandth of a megapixel."""
    monkeypatch.setattr("lineage.data.samples.video.MEGAPIXELS", 0.001)
    write_frames(tmp_path / "clip.avi", clip(2), 10)
    with pytest.raises(VideoError, match=r"its frames are of \d+ x \d+ pixels; 0\.001 million are allowed"):
        list(read_frames(tmp_path / "clip.avi"))


def test_frames_that_are_no_video_write_nothing(tmp_path: Path) -> None:
    small, large = clip(1)[0], clip(1, 50, 64)[0]
    for name, frames, fps, message in (
        ("a.mp4", [], 25, "no frame"), ("a.mp4", [small, large], 25, "frame 1 is"), ("a.gif", [small], 25, "as .mp4"),
        ("a.mp4", [small], 0, "above 0"),
    ):  # fmt: skip
        with pytest.raises(VideoError, match=message):
            write_frames(tmp_path / name, frames, fps)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("start", "is_text"),
    [(b"#EXTM3", True), (b"v=0\r\no", True), (b"a\tb\nc.", True), (b"a", True),
     (b"#EXTM\xff", False), (b"\x1aabcde", False), (b"abcde\x00", False), (b"RIFF12", False)],
)  # fmt: skip
def test_six_bytes_of_text_are_a_text_whatever_follows(tmp_path: Path, start: bytes, is_text: bool) -> None:
    """OpenCV would open lists of other files, which begin with text; no kind of video does."""
    path = tmp_path / "a.mp4"
    path.write_bytes(start + b"\xff" * 40 * (len(start) == 6))
    with pytest.raises(VideoError, match="is a text, such as" if is_text else "is not a video"):
        list(read_frames(path))


@pytest.mark.parametrize(
    ("rate", "usual"),
    [(0.0, True), (0.5, False), (999.0, False), (1000.0, True), (90000.0, True), (-1.0, True), (float("nan"), True)],
)
def test_a_container_without_a_rate_has_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: float, usual: bool
) -> None:
    class Video:
        def isOpened(self) -> bool:
            return True

        def get(self, field: int) -> float:
            return {cv2.CAP_PROP_FPS: rate, cv2.CAP_PROP_FRAME_HEIGHT: 48, cv2.CAP_PROP_FRAME_WIDTH: 64}[field]

        def release(self) -> None:
            pass

    (tmp_path / "a.mp4").write_bytes(b"\0")
    monkeypatch.setattr(cv2, "VideoCapture", lambda path, reader: Video())
    assert read_frame_rate(tmp_path / "a.mp4") == (25 if usual else rate)


def test_a_frame_rate_of_nothing_and_of_less_is_refused(tmp_path: Path) -> None:
    for fps in (0.0, -1.0, float("nan")):
        with pytest.raises(VideoError, match="it is above 0"):
            write_frames(tmp_path / "a.mkv", clip(), fps)
    assert not list(tmp_path.iterdir())
