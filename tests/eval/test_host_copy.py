from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from torch import Tensor

from lineage.eval.predictions import image_coordinates
from lineage.eval.predictions.accumulator import DetectionAccumulator
from lineage.eval.predictions.host_copy import WorkQueue
from lineage.eval.predictions.paste_cuda import paste_cuda
from lineage.eval.predictions.rle import Rles
from tests.eval.scenes import batch, guesses, share, world


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


def test_a_thread_pastes_with_the_operations_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Detections of inference mode are read by a thread that is not in it."""

    def paste_as_on_a_gpu(masks: Tensor, boxes: np.ndarray, sizes: np.ndarray) -> Rles:
        return paste_cuda(masks, torch.from_numpy(boxes), torch.from_numpy(sizes))

    scene = world(np.random.default_rng(3), images=7)
    answers = []
    for workers in (0, 1):
        accumulator = DetectionAccumulator(batch(scene).ids.tolist(), ("box", "mask"), workers)
        with torch.inference_mode():
            detections = guesses(np.random.default_rng(4), scene)
            assert share([0], detections, batch(scene))[0].masks.is_inference()
            accumulator.update(*share([0, 1, 2], detections, batch(scene)))
            accumulator.update(*share([3, 4, 5, 6], detections, batch(scene)))
        answers.append(accumulator.finish()[0])
        monkeypatch.setattr(image_coordinates, "_paste", paste_as_on_a_gpu)
    assert answers[0].masks() == answers[1].masks()
    assert len(answers[0].masks()) > 20


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
