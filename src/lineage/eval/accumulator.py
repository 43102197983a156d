"""One round of evaluation: what is found batch by batch, then what came of it, until the next round ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from lineage.eval.predictions.collector import Collector, records
from lineage.eval.predictions.gather import on_first_rank
from lineage.eval.predictions.predictions import NOTHING, Detected
from lineage.eval.scores import Scores, join
from lineage.structures import Batch, Detections


class Round:
    """What evaluators hold in common; `category_ids` are the numbers that labels have in result records."""

    def __init__(self, images: Iterable[int], tasks: Sequence[str], category_ids: Sequence[int]) -> None:
        self.category_ids = np.array(category_ids, np.int64)
        self.found = NOTHING
        self.scores = Scores({}, {})
        self._collector = Collector(images, tasks)

    def add(self, detections: Detections, batch: Batch) -> None:
        self._collector.add(detections, batch)

    def finish(self, score: Callable[[Detected, str], Scores]) -> dict[str, float]:
        """Metrics over the images of all processes, the same on each; begins a new round.

        `score` is asked for every task that the detections have a geometry for.
        """
        self.found, tasks = found, _ = self._collector.finish()
        self.scores = on_first_rank(lambda: join(score(found, task) for task in tasks))
        return self.scores.metrics

    def records(self, task: str | None = None) -> list[dict[str, Any]]:
        """COCO result records of the last round. With a task they hold its geometry only, as COCO's server expects."""
        return records(self.found, self.category_ids, task)
