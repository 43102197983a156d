"""Slow motion: frames that a network draws between those of a video.

One network of the middle draws 1, 3, 7, ... frames: the middle of two frames, then the middles of both halves.

    # deviates: the authors have a network of its own for each quarter; here the drawn middle is read again
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lineage.config.build import ConfigError
from lineage.config.validate import TRUE_FLOWS
from lineage.data.frames.clip_files import read_picture
from lineage.data.frames.collate import collate
from lineage.data.frames.sample import FrameSample
from lineage.data.samples.video import USUAL_RATE, VIDEOS, Frame, VideoError, read_frame_rate, read_frames
from lineage.report.image_sources import find_files
from lineage.run.restore import Restored
from lineage.run.task import find_task
from lineage.structures import INTERPOLATION


class FrameSource(NamedTuple):
    """A video, or the pictures of a folder in the order of their names."""

    name: str
    stem: str  # of the video that is written
    frames: Iterator[Frame]
    rate: float  # frames per second


def list_sources(names: Sequence[str], every: int = 1) -> Iterator[FrameSource]:
    """Yield videos, and folders of pictures, that a command line names. Raises ConfigError if there is none."""
    files = list(find_files(names))
    if not files:
        raise ConfigError(f"{', '.join(names)}: no video is there, and no folder of pictures")
    folders: dict[Path, list[Path]] = {}
    for path, name in files:
        if path.suffix.lower() in VIDEOS or not path.exists():
            yield FrameSource(name, Path(name).stem, read_frames(path, every), read_frame_rate(path))
        else:
            folders.setdefault(path.parent, []).append(path)
    for folder, pictures in folders.items():
        name = str(folder if len(pictures) > 1 else pictures[0])
        stem = folder.resolve().name  # the name of `.` is empty
        yield FrameSource(name, stem, map(read_picture, sorted(pictures)[::every]), USUAL_RATE)


def count_halvings(between: int) -> int:
    """Return how often intervals are halved for 1, 3, 7, ... frames between two. Raises ConfigError for others."""
    halvings = (between + 1).bit_length() - 1
    if between < 1 or between != 2**halvings - 1:
        raise ConfigError(f"--between {between}: a network of the middle draws 1, 3, 7, 15, ... frames between two")
    return halvings


def check_model(restored: Restored) -> None:
    """Raise ConfigError unless the weights are those of a network of the middle frame, which reads frames alone."""
    if find_task(restored.model) != INTERPOLATION:
        raise ConfigError(
            f"{restored.source}: --between needs a model of frames between frames, such as one that "
            "`python train.py model=dvtsr` trained; this one detects objects"
        )
    if restored.config.model.time != 0.5:
        raise ConfigError(
            f"{restored.source} was trained for dataset.time={restored.config.model.time:g}: --between needs 0.5"
        )
    if (flow := restored.config.model.get("flow")) in TRUE_FLOWS:
        raise ConfigError(
            f"{restored.source} was trained with model.flow={flow}, the true motion of drawn videos, which a clip does "
            "not have: --between needs weights that were trained with model.flow=spynet or none"
        )


def insert_frames(
    restored: Restored, frames: Iterable[Frame], between: int, device: torch.device, name: str = "the clip"
) -> Iterator[Frame]:
    """Yield all frames of the clip `name`, with `between` drawn ones after each but the last.

    Raises VideoError if it has one frame, of a video or of a folder of pictures.
    """
    halvings, last = count_halvings(between), None
    for first, second in pairwise(frames):
        yield from _fill(restored, first, second, halvings, device)
        last = second
    if last is None:
        raise VideoError(f"{name}: one frame has nothing between; two are needed, and --every N keeps each N-th only")
    yield last


def _fill(restored: Restored, first: Frame, second: Frame, halvings: int, device: torch.device) -> Iterator[Frame]:
    """Yield the first frame and those between the two."""
    if halvings == 0:
        yield first
        return
    middle = draw_middle(restored, first, second, device)
    yield from _fill(restored, first, middle, halvings - 1, device)
    yield from _fill(restored, middle, second, halvings - 1, device)


@torch.inference_mode()
def draw_middle(restored: Restored, first: Frame, second: Frame, device: torch.device) -> Frame:
    """Return the frame in the middle of two."""
    both = torch.stack([_to_tensor(first), _to_tensor(second)])
    height, width = first.shape[:2]
    sample = FrameSample(both, both[0], None, 1, (height, width))
    inputs = collate([sample], [0], size_divisibility=restored.canvas.size_divisibility).images
    detect: Callable[[Any], Any] = restored.detect  # a frame, as the task of the model has it
    frame = detect(inputs._replace(frames=inputs.frames.to(device), sizes=inputs.sizes.to(device)))
    stored = (255 * frame[0, :, :height, :width]).round().clamp(0, 255).to(torch.uint8)
    return stored.permute(1, 2, 0).cpu().numpy()


def _to_tensor(frame: Frame) -> Tensor:
    return torch.from_numpy(frame).permute(2, 0, 1).contiguous()
