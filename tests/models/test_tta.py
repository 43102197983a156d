"""Views of an image: there and back, one plain view changes nothing, flips meet in the middle."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from lineage.models.detectors.tta import TTA, make_view
from lineage.models.roi_heads.nms_variants import GreedyNMS
from lineage.run.assemble import assemble
from lineage.run.resolve import resolve
from lineage.structures import Detections, Images, Proposals
from tests.models.compose import build, config
from tests.models.scenes import batch

SIZES = [(128, 128), (100, 90), (64, 128)]
CANVAS = (128, 128)
MODELS = ["faster_rcnn", "mask_rcnn", "mask_rcnn_c4", "keypoint_rcnn", "cascade_mask_rcnn", "retinanet", "rpn"]


def images(proposals: Proposals | None = None) -> Images:
    return batch(SIZES, [1, 1, 1], 4, canvas=CANVAS)[0]._replace(proposals=proposals)


def model(name: str) -> nn.Module:
    torch.manual_seed(0)
    return build(f"model={name}", "model.head.score_thresh=0.0" if name == "retinanet" else "seed=0").eval()


def views(model: nn.Module, scales: list[float], flip: bool, **options: object) -> TTA:
    settings = {
        "nms_thresh": 0.5,
        "suppression": GreedyNMS(class_agnostic=False),
        "detections_per_img": 50,
        "flip_indices": (),
    } | options
    return TTA(model, scales=scales, flip=flip, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.3])
@pytest.mark.parametrize("flip", [False, True])
def test_boxes_come_back_to_where_they_were(scale: float, flip: bool) -> None:
    boxes = torch.tensor([[[3.0, 4, 50, 60]]]).expand(3, 1, 4)
    seen = make_view(images(Proposals(boxes, torch.ones(3, 1), torch.ones(3, 1) > 0)), scale, flip, 32)
    torch.testing.assert_close(seen.to_canvas(seen.to_view(boxes)), boxes)
    assert torch.equal(seen.images.proposals.boxes, seen.to_view(boxes))
    assert all(side % 32 == 0 for side in seen.images.pixels.shape[-2:])
    torch.testing.assert_close(seen.images.sizes, torch.tensor(SIZES) * (round(128 * scale) / 128))


def test_a_flip_mirrors_the_content_of_each_image() -> None:
    given = images()
    seen = make_view(given, 1.0, True, 32).images
    for i, (height, width) in enumerate(SIZES):
        expected = given.pixels[i, :, :height, :width].flip(-1)
        assert torch.equal(seen.pixels[i, :, :height, :width], expected)


def test_resizing_mixes_no_padding_into_the_content() -> None:
    given = images()
    white = given._replace(pixels=torch.zeros_like(given.pixels))
    for i, (height, width) in enumerate(SIZES):
        white.pixels[i, :, :height, :width] = 200
    seen = make_view(white, 0.5, False, 32).images
    for i, (height, width) in enumerate(SIZES):
        assert (seen.pixels[i, :, : height // 2, : width // 2] == 200).all()


@torch.no_grad()
@pytest.mark.parametrize("name", MODELS)
def test_the_plain_view_alone_gives_what_the_model_gives(name: str) -> None:
    network = model(name)
    plain_view = views(network, [1.0], False, nms_thresh=1.0, detections_per_img=1000)
    assert_alike(network.detect(images()), plain_view.detect(images()))


def assert_alike(plain: Detections, asked: Detections) -> None:
    """The same detections, in any order among equal scores, with the same masks and keypoints."""
    for image in range(len(SIZES)):
        given, found = plain.valid[image], asked.valid[image]
        torch.testing.assert_close(asked.scores[image, found], plain.scores[image, given], atol=1e-5, rtol=1e-4)
        apart = (asked.boxes[image, found, None] - plain.boxes[image, given]).abs().amax(-1)
        apart = apart + 1e4 * (asked.labels[image, found, None] != plain.labels[image, given])
        nearest = apart.min(1)
        assert apart.numel() == 0 or nearest.values.max() < 1e-3
        for one, other in ((plain.masks, asked.masks), (plain.keypoints, asked.keypoints)):
            if one is not None and other is not None:
                expected = one[image, given][nearest.indices]
                torch.testing.assert_close(other[image, found], expected, atol=1e-3, rtol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("name", MODELS)
def test_views_fill_what_the_model_fills(name: str) -> None:
    network = model(name)
    plain, asked = network.detect(images()), views(network, [1.0, 0.5], True).detect(images())
    assert [field is None for field in plain] == [field is None for field in asked]
    limit = torch.tensor(SIZES).flip(1).repeat(1, 2)[:, None] + 1e-2
    assert ((asked.boxes >= -1e-2) & (asked.boxes <= limit)).all()
    assert (asked.scores[:, 1:] <= asked.scores[:, :-1]).all()
    alone = views(network, [1.0, 0.5], True).detect(Images(*(None if x is None else x[1:2] for x in images())))
    torch.testing.assert_close(alone.boxes[0], asked.boxes[1], atol=1e-2, rtol=1e-3)


class Mirrored(nn.Module):
    """A model whose answer is where the brightest column is: exact under flips."""

    def detect(self, images: Images) -> Detections:
        column = images.pixels[:, 0].amax(1).argmax(1).float()
        boxes = torch.stack((column, column * 0, column + 1, column * 0 + 9), -1)[:, None]
        ones = torch.ones(len(column), 1)
        label = torch.zeros(len(column), 1, dtype=torch.int64)
        return Detections(boxes, ones, label, ones > 0, label, torch.ones(len(column), 1, 2))


def test_a_flipped_view_agrees_with_the_plain_one() -> None:
    given = images()
    pixels = torch.zeros_like(given.pixels)
    pixels[:, :, 5, 17] = 255
    found = views(Mirrored(), [1.0], True).detect(given._replace(pixels=pixels))
    assert found.valid.sum(1).tolist() == [1, 1, 1]  # both views say the same box, so NMS leaves one
    torch.testing.assert_close(found.boxes[:, 0], torch.tensor([[17.0, 0, 18, 9]]).expand(3, 4))


@torch.no_grad()
def test_keypoints_of_a_flipped_view_change_their_names() -> None:
    network = model("keypoint_rcnn")
    network.box.postprocess.score_thresh = 0.0
    joints = network.heads["keypoint"].deconvolution.out_channels
    swapped = list(reversed(range(joints)))
    same = views(network, [1.0], True).detect(images())
    other = views(network, [1.0], True, flip_indices=swapped).detect(images())
    assert torch.equal(same.boxes, other.boxes)
    assert not torch.equal(same.keypoints, other.keypoints)


def test_keypoints_of_a_flipped_view_are_those_of_their_class() -> None:
    """The first class has a left and a right keypoint; in the second both slots mean something else."""
    both = views(nn.Identity(), [1.0], True, class_flip_indices=((1, 0, 2), (0, 1, 2)))
    maps = torch.arange(2 * 3 * 2.0).view(1, 2, 3, 1, 2)
    labels, by_flip = torch.tensor([[0, 1]]), [make_view(images(), 1.0, flip, 32) for flip in (False, True)]
    plain, mirrored = (both._unflip(view, maps, labels) for view in by_flip)
    assert torch.equal(plain, maps)
    assert torch.equal(mirrored[0, 0], maps[0, 0, [1, 0, 2]].flip(-1))
    assert torch.equal(mirrored[0, 1], maps[0, 1].flip(-1))


def test_a_run_without_the_plain_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"tta.scales=\[0.5\] lacks 1.0"):
        views(nn.Identity(), [0.5], False)


@pytest.mark.parametrize("option", ["none", "flip", "scales"])
def test_every_option_reaches_the_evaluation(option: str, tmp_path: Path) -> None:
    small = config(f"tta={option}", "dataset.train.length=2", "dataset.val.length=2", f"paths.cache={tmp_path}")
    small.dataset.classes = None
    parts = assemble(resolve(small))
    detect = parts.module.detect_views
    assert (detect is None) == (option == "none")
    assert detect is None or len(detect.__self__.views) == {"flip": 2, "scales": 18}[option]
