from __future__ import annotations

import threading

import numpy as np
import pytest

from lineage.eval.predictions.accumulator import DetectionAccumulator
from lineage.eval.predictions.host_copy import WorkQueue
from tests.eval.scenes import batch, guesses, world
from tests.eval.test_gather import share


def test_threads_give_what_the_loop_itself_gives() -> None:
    scene = world(np.random.default_rng(3), images=7)
    detections = guesses(np.random.default_rng(4), scene)
    answers = []
    for workers in (0, 3):
        accumulator = DetectionAccumulator(batch(scene).ids.tolist(), ("box", "mask"), workers)
        for images in ([0, 1, 2], [3], [4, 5, 6]):
            accumulator.update(*share(images, detections, batch(scene)))
        answers.append(accumulator.finish())
    (alone, tasks), (threaded, same) = answers
    assert tasks == same == ["box", "mask"]
    assert len(alone.rle_lengths) > 20
    for name in ("images", "sizes", "image_index", "boxes", "scores", "labels", "rle", "rle_lengths"):
        np.testing.assert_array_equal(getattr(alone, name), getattr(threaded, name))


@pytest.mark.parametrize("workers", [0, 2])
def test_results_come_in_order_and_an_error_is_raised(workers: int) -> None:
    queue = WorkQueue(workers)
    for number in range(40):
        queue.submit(lambda x: x * x, number)
    assert queue.finish() == [number**2 for number in range(40)]
    assert queue.finish() == []
    with pytest.raises(ZeroDivisionError):  # noqa: PT012  the call raises, or the end
        queue.submit(lambda: 1 // 0)
        queue.finish()


def test_a_full_queue_waits_for_the_oldest_call() -> None:
    queue, gate, begun = WorkQueue(1), threading.Event(), []
    for number in range(4):
        queue.submit(lambda x: (begun.append(x), gate.wait()), number)
    threading.Timer(0.2, gate.set).start()
    assert not gate.is_set()
    queue.submit(lambda: None)  # the fifth
    assert gate.is_set()
    assert len(queue.finish()) == 5
    assert begun == [0, 1, 2, 3]
