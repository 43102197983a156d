"""`lineage data stats`, `check` and `show` of videos, which have clips and motion in the place of objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineage.results.count_noun import count_noun

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
    triplets, clips = count_noun(len(dataset), "triplet"), count_noun(len(counts), "clip")
    of_each = f"{counts[0]:,} to {counts[-1]:,}" if counts[0] < counts[-1] else f"{counts[0]:,}"
    lines = [f"{name}: {triplets} of {clips} ({of_each} of each), frames of {format_sizes(low, high)}"]
    lines += list_unused(dataset)
    step = max(1, len(dataset) // MEASURED)
    flows = [flow for index in range(0, len(dataset), step) if (flow := dataset[index].flows) is not None]
    if flows:
        means = sorted(float(flow[0].norm(dim=0).mean()) for flow in flows)
        largest = max(float(flow[0].norm(dim=0).max()) for flow in flows)
        lines.append(
            f"motion between the given frames: {means[len(means) // 2]:.1f} pixels (median of "
            f"{count_noun(len(means), 'triplet')}, each its mean), at most {largest:.1f}"
        )
    return "\n".join(lines)


def format_sizes(low: Sequence[int], high: Sequence[int]) -> str:
    """Return the smallest and the largest (height, width), or the only one."""
    smallest, largest = (f"{height} x {width}" for height, width in (low, high))
    return f"{smallest if smallest == largest else f'{smallest} to {largest}'} (height x width)"


def list_unused(dataset: FrameTriplets) -> list[str]:
    """Return a note on the clips that are shorter than a triplet and left out, or none."""
    used = set(dataset.clips)
    short = [name for name in dataset.reader.names if name not in used]
    if not short:
        return []
    return [
        f"left out, as their part in this split is shorter than a triplet: {count_noun(len(short), 'clip')}, "
        f"such as {short[0]}"
    ]


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
        triplets, clips = count_noun(len(dataset), "triplet"), count_noun(len(set(dataset.clips)), "clip")
        print(f"{split}: {dataset.source}: no defects. {triplets} of {clips}.")
    for note in list_unused(dataset):
        print(f"{split}: {note}")
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
