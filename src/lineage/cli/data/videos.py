"""`lineage data stats`, `check` and `show` of videos, which have clips and motion in the place of objects."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lineage.data.frames.triplets import FrameTriplets

MEASURED = 50  # triplets whose motion is measured: drawing all takes seconds


def has_videos(dataset: object) -> bool:
    """Return whether the samples of a dataset are triplets of frames."""
    from lineage.run.task import find_task
    from lineage.structures import INTERPOLATION

    return find_task(dataset) == INTERPOLATION


def format_summary(dataset: FrameTriplets, name: str) -> str:
    """Return the numbers of triplets and clips, the sizes of frames, and the motion between given frames if known."""
    low, high = (side.tolist() for side in (dataset.sizes.amin(0), dataset.sizes.amax(0)))
    counts = sorted(Counter(dataset.clips).values())
    lines = [
        f"{name}: {len(dataset):,} triplets of {len(counts):,} clips ({counts[0]:,} to {counts[-1]:,} of each), "
        f"frames of {low[0]} x {low[1]} to {high[0]} x {high[1]} (height x width)"
    ]
    step = max(1, len(dataset) // MEASURED)
    flows = [flow for index in range(0, len(dataset), step) if (flow := dataset[index].flows) is not None]
    if flows:
        means = sorted(float(flow[0].norm(dim=0).mean()) for flow in flows)
        largest = max(float(flow[0].norm(dim=0).max()) for flow in flows)
        lines.append(
            f"motion between the given frames: {means[len(means) // 2]:.1f} pixels (median of {len(means)} triplets, "
            f"each its mean), at most {largest:.1f}"
        )
    return "\n".join(lines)


def check_frames(dataset: FrameTriplets, split: str) -> int:
    """Read every frame, print those that cannot be read, and return their number."""
    problems: dict[str, None] = {}
    for index in range(len(dataset)):
        try:
            dataset[index]
        except (OSError, ValueError) as error:
            problems[f"{split}: {dataset.clips[index]}: {error}"] = None
    for problem in problems:
        print(problem)
    if not problems:
        clips = len(set(dataset.clips))
        print(f"{split}: {dataset.source}: no defects. {len(dataset):,} triplets of {clips:,} clips.")
    return len(problems)


def save_samples(dataset: Any, transform: Any, count: int, seed: int, path: Path) -> Path:
    """Draw `count` triplets as training gets them, in an order that the seed decides."""
    import torch

    from lineage.data.transforms.context import Context, bind_context
    from lineage.ops.random import fold_in
    from lineage.report.frame_pictures import save_triplets

    order = sorted(range(len(dataset)), key=lambda index: fold_in("show", seed, index))[:count]
    samples: list[Any] = []
    for position, index in enumerate(order):
        sample = dataset[index]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(fold_in(seed, position, sample.image_id))
            samples.append(bind_context(transform, Context(dataset, position, seed))(sample))
    return save_triplets([(sample.frames[0], sample.image, sample.frames[1]) for sample in samples], path)
