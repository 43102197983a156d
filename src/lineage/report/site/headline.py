"""The main metrics: those that a page shows in large type, sorts by first and draws over time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

TASKS = ("mask", "box", "keypoint", "panoptic", "voc")  # in this order; other tasks follow in their own
MAIN = ("AP", "PQ", "mAP", "mAP07", "PSNR", "AR1000")
PROPOSALS = "AR1000"  # counts where nothing else is measured
MEASURES = ("calibration", "explain")  # tasks that measure the detections of another: they count where none is


def choose_headline(metrics: Mapping[str, float | None]) -> list[str]:
    """Return the main metrics of a run; if it has none of MAIN, the first metric of each task."""
    names = [name for name, value in metrics.items() if value is not None and not name.startswith("cost/")]
    names = [name for name in names if _task(name) not in MEASURES] or names
    main = [name for name in names if _tail(name) in MAIN]
    precisions = [name for name in main if _tail(name) != PROPOSALS]
    firsts = {_task(name): name for name in reversed(names)}
    return sort_headline(precisions or main or reversed(firsts.values()))


def sort_headline(names: Iterable[str]) -> list[str]:
    """Return main metrics without repetition in the order of TASKS."""
    return sorted(dict.fromkeys(names), key=lambda name: (_index(TASKS, _task(name)), _index(MAIN, _tail(name))))


def _task(name: str) -> str:
    return name.partition("/")[0]


def _tail(name: str) -> str:
    return name.partition("/")[2]


def _index(names: tuple[str, ...], name: str) -> int:
    return names.index(name) if name in names else len(names)
