"""What every evaluator offers, whatever the protocol it follows: the only face the training code knows."""

from __future__ import annotations

from typing import Any, Protocol

from lineage.structures import Batch, Detections


class Evaluator(Protocol):
    """Collects detections batch by batch; `compute` ends a round, the next `update` begins a new one.

    Under torch.distributed every process updates with its own images and calls `compute`; all get the same answer.
    """

    @property
    def protocol(self) -> dict[str, Any]:
        """Everything that decides the numbers besides the detections: thresholds, limits, engine and version.

        Plain data, hashed into the entry of a run: numbers of different protocols never share a table.
        """
        ...

    def update(self, detections: Detections, batch: Batch) -> None: ...

    def compute(self) -> dict[str, float]:
        """Named metrics in percent, such as box/AP; NaN where the ground truth has nothing to measure."""
        ...

    def per_class(self) -> dict[str, dict[str, float]]:
        """class -> metric -> value, of the last round."""
        ...

    def results(self) -> list[dict[str, Any]]:
        """The detections of the last round as COCO result records, one per detection."""
        ...
