"""Error analysis: true maps in place of predicted ones give true boxes, each map its part."""

from __future__ import annotations

import pytest
import torch

from lineage.models.centers.center_targets import CenterTargets
from lineage.models.detectors.true_maps import TrueMaps, spread
from lineage.structures import Detections, Images, Targets
from tests.models.compose import build
from tests.models.scenes import batch


def scene() -> tuple[Images, Targets]:
    """Objects whose centres lie in different cells that are no neighbours."""
    images, truth = batch([(128, 128)], [3], 4, canvas=(128, 128))
    boxes = torch.zeros_like(truth.boxes)
    boxes[0, :3] = torch.tensor([[8.0, 8, 31, 50], [60, 20, 101, 47], [30, 70, 77, 120]])
    return images, truth._replace(boxes=boxes)


def detect(heat: bool, sizes: bool, offsets: bool) -> tuple[Detections, Targets]:
    images, truth = scene()
    torch.manual_seed(0)
    model = build("model=centernet").eval()
    torch.nn.init.constant_(model.head.sizes[0][-1].bias, 0.5)  # sizes of 0 or less, as at first, are no boxes
    with torch.no_grad():
        return TrueMaps(model, heat=heat, sizes=sizes, offsets=offsets).detect_with_truth(images, truth), truth


def test_all_true_maps_give_the_true_boxes() -> None:
    detections, truth = detect(True, True, True)
    order = detections.boxes[0, :3, 0].argsort()
    true_order = truth.boxes[0, :3, 0].argsort()
    torch.testing.assert_close(detections.boxes[0, :3][order], truth.boxes[0, :3][true_order])
    assert detections.labels[0, :3][order].equal(truth.labels[0, :3][true_order])
    assert detections.scores[0, :3].tolist() == [1, 1, 1]
    assert detections.scores[0, 3:].max() < 1


def test_landmarks_start_from_true_centres_and_stay_in_true_boxes() -> None:
    """DeepMark in true boxes: what is left of the error of landmarks is that of their own maps."""
    images, truth = scene()
    truth = truth._replace(labels=truth.labels.clamp(max=1))
    torch.manual_seed(0)
    choices = (
        "dataset.classes=2",
        "+dataset.keypoints=5",
        "+dataset.keypoint_counts=[2,3]",
        "+dataset.keypoint_offsets=[0,2]",
    )
    model = build("model=deepmark", "upsampling=deconvolution", *choices).eval()
    layer = model.landmarks.points[0][-1]
    torch.nn.init.zeros_(layer.weight)
    with torch.no_grad():  # each landmark is a cell to the right of the centre and two below; no peak replaces it
        layer.bias.copy_(torch.tensor([1.0, 2.0]).repeat(5))
        model.landmarks.peak_thresh = 1.0
        detections = TrueMaps(model, heat=True, sizes=True, offsets=True).detect_with_truth(images, truth)
    assert detections.keypoints is not None
    for slot in range(3):
        match = (truth.boxes[0, :3] - detections.boxes[0, slot]).abs().amax(1).argmin()
        assert detections.labels[0, slot] == truth.labels[0, match]
        cell = ((truth.boxes[0, match, :2] + truth.boxes[0, match, 2:]) / 8).floor()
        own = slice(0, 2) if truth.labels[0, match] == 0 else slice(2, 5)
        torch.testing.assert_close(
            detections.keypoints[0, slot, own, :2],
            (4 * (cell + torch.tensor([1.0, 2.0]))).expand(own.stop - own.start, 2),
        )
        others = [index for index in range(5) if not own.start <= index < own.stop]
        assert not detections.keypoints[0, slot, others].any()


def test_each_map_is_replaced_by_itself() -> None:
    plain, truth = detect(False, False, False)
    found, _ = detect(True, False, False)
    assert found.scores[0, :3].tolist() == [1, 1, 1]
    sizes = found.boxes[0, :3, 2:] - found.boxes[0, :3, :2]
    assert sizes.max() < 4  # as an untrained network predicts them
    sized, _ = detect(False, True, False)
    assert plain.scores.equal(sized.scores)
    true_sizes = (truth.boxes[0, :3, 2:] - truth.boxes[0, :3, :2]).tolist()
    inside = [box for box in sized.boxes[0].tolist() if min(box[:2]) > 0 and max(box[2:]) < 128]
    assert inside
    assert all(pytest.approx([box[2] - box[0], box[3] - box[1]], abs=1e-3) in true_sizes for box in inside)


def test_a_value_spreads_to_the_cells_that_are_nearest_to_its_object() -> None:
    cells, zero = torch.tensor([[[1, 1], [6, 2], [0, 0]]]), torch.zeros(1, 3)
    centers = CenterTargets(cells, zero.long(), zero, zero, zero, torch.tensor([[True, True, False]]))
    values = torch.tensor([[[1.0, 10.0], [2.0, 20.0], [9.0, 90.0]]])
    maps = spread(centers, values, (4, 8))
    for row in range(4):
        for column in range(8):
            steps = [abs(column - x) + abs(row - y) for x, y in ((1, 1), (6, 2))]
            goal = {1.0, 2.0} if steps[0] == steps[1] else {1.0 if steps[0] < steps[1] else 2.0}
            assert maps[0, 0, row, column].item() in goal
            assert maps[0, 1, row, column] == 10 * maps[0, 0, row, column]


def test_without_annotations_there_is_no_truth() -> None:
    tested = TrueMaps(build("model=centernet"), heat=True, sizes=False, offsets=False)
    with pytest.raises(ValueError, match="only an evaluation has"):
        tested.detect(scene()[0])
    with pytest.raises(ValueError, match="replaces maps of a CenterNet, and this model is a RetinaNet"):
        TrueMaps(build("model=retinanet"), heat=True, sizes=False, offsets=False)
