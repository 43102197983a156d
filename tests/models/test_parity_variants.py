"""torchvision's later two-stage detectors against ours: the v2 recipes and MobileNetV3, as tests.models.test_parity."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import paste_masks_in_image

from lineage.structures import Detections
from lineage.zoo.names import back, translate
from lineage.zoo.source import recognised
from lineage.zoo.torchvision_variants import MOBILENET, V2
from tests.models.compose import build
from tests.models.scenes import batch
from tests.models.test_parity import AS_TORCHVISION, CLASSES, MASK, as_lists

SIZES, CANVAS = [(192, 256), (180, 250)], (192, 256)  # of 64 pixels: torchvision guesses strides from map sizes
VARIANTS = {
    "fasterrcnn_resnet50_fpn_v2": ("model=faster_rcnn_v2", V2),
    "maskrcnn_resnet50_fpn_v2": ("model=mask_rcnn_v2", V2),
    "fasterrcnn_mobilenet_v3_large_fpn": ("model=faster_rcnn_mobilenet", MOBILENET),
    "fasterrcnn_mobilenet_v3_large_320_fpn": ("model=faster_rcnn_mobilenet_320", MOBILENET),
}


def theirs(name: str) -> nn.Module:
    """Random, with scores that spread, all anchors and regions sampled."""
    torch.manual_seed(0)
    everything = {"rpn_batch_size_per_image": 10**6, "box_batch_size_per_image": 10**6}
    shorter = {"rpn_post_nms_top_n_train": 60, "box_score_thresh": 0.02, "rpn_fg_iou_thresh": 0.5}
    model = torchvision.models.get_model(
        name, weights=None, weights_backbone=None, num_classes=CLASSES + 1, trainable_backbone_layers=5,
        **everything, **shorter,
    )  # fmt: skip
    model.transform.resize = lambda image, target: (image, target)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.8, 1.2)
                module.weight.mul_(1 if "mobilenet" in name else 0.6)
        model.rpn.head.bbox_pred.weight.mul_(10)
    return balanced(model.eval())


@torch.no_grad()
def balanced(model: nn.Module) -> nn.Module:
    """Scores that neither agree nor saturate, where order is a matter of rounding: centred, at most 4."""
    pictures, predictors = as_lists(*batch(SIZES, [3, 2], CLASSES, canvas=CANVAS))[0], model.roi_heads.box_predictor
    for scores, centred in ((model.rpn.head.cls_logits, False), (predictors.cls_score, True)):
        seen: list[Tensor] = []
        hook = scores.register_forward_hook(lambda _module, _inputs, output, seen=seen: seen.append(output))
        model(pictures)
        hook.remove()
        logits = seen[0] if centred else seen[0].transpose(0, 1).flatten(1).T
        middle = logits.mean(0)
        spread = 4 / (logits - middle).abs().amax(0)
        scores.weight.mul_(spread.view(-1, *[1] * (scores.weight.ndim - 1)))
        scores.bias.copy_((scores.bias - middle) * spread)
    return model


SLOW = dict.fromkeys(("fasterrcnn_resnet50_fpn_v2", "maskrcnn_resnet50_fpn_v2"), pytest.mark.slow)  # half a minute each


@pytest.fixture(scope="module", params=[pytest.param(name, marks=SLOW.get(name, ())) for name in VARIANTS])
def pair(request: pytest.FixtureRequest) -> tuple[nn.Module, nn.Module]:
    reference = theirs(request.param)
    choice, table = VARIANTS[request.param]
    assert recognised(reference.state_dict()) is table
    proposals = 150 if "320" in choice else 1000
    options = [one for one in AS_TORCHVISION if "after_nms" not in one]
    after = f"model.proposals.after_nms={{train: 60, test: {proposals}}}"
    eps = ["backbone.eps=1e-5"] if "mobilenet" in choice else []
    model = build(choice, *options, after, *eps, *(MASK if "mask" in choice else ()))
    found, unknown = translate(table, reference.state_dict())
    assert not unknown
    model.load_state_dict(found)
    returned, lost = back(table, found)
    assert not lost
    assert returned.keys() == reference.state_dict().keys()
    return reference, model.eval()


@torch.no_grad()
def test_detections_equal_torchvision(pair: tuple[nn.Module, nn.Module]) -> None:
    reference, model = pair
    images, targets = batch(SIZES, [3, 2], CLASSES, canvas=CANVAS)
    expected = reference(as_lists(images, targets)[0])
    found = model.detect(images)
    for image, wanted in enumerate(expected):
        assert len(wanted["boxes"]) > 20
        assert len(wanted["labels"].unique()) > 1
        assert_same_objects(found, image, wanted)


def assert_same_objects(found: Detections, image: int, wanted: dict[str, Tensor]) -> None:
    """The same boxes, labels, scores and masks in any order.

    Of exact ties, as of regions that pool alike, either may survive: two may differ.
    """
    valid = found.valid[image]
    assert valid.sum() == len(wanted["boxes"])
    apart = (found.boxes[image, valid, None] - wanted["boxes"]).abs().amax(-1)
    apart = apart + 1e6 * (found.labels[image, valid, None] + 1 != wanted["labels"])
    nearest = apart.min(1)
    same = nearest.values < 1e-2
    assert (~same).sum() <= 2
    assert (apart.amin(0) >= 1e-2).sum() <= 2
    there = nearest.indices[same]
    torch.testing.assert_close(found.scores[image, valid][same], wanted["scores"][there], atol=1e-4, rtol=1e-4)
    if found.masks is not None:
        pasted = paste_masks_in_image(found.masks[image, valid, None], found.boxes[image, valid], SIZES[image])
        torch.testing.assert_close(pasted[same], wanted["masks"][there], atol=1e-3, rtol=1e-3)


def test_losses_equal_torchvision_on_equal_samples(pair: tuple[nn.Module, nn.Module]) -> None:
    reference, model = pair
    model.proposals.samples = model.sampler.samples = model.sampler.foreground = 10**6
    reference.train()
    for module in reference.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    images, targets = batch(SIZES, [5, 0], CLASSES, canvas=CANVAS)
    expected = reference(*as_lists(images, targets))
    found = {name: loss.total / loss.terms.clamp(min=1) for name, loss in model.losses(images, targets).items()}
    names = {
        "rpn_cls": "loss_objectness", "rpn_box": "loss_rpn_box_reg", "roi_cls": "loss_classifier",
        "roi_box": "loss_box_reg", "roi_mask": "loss_mask",
    }  # fmt: skip
    for ours, there in names.items():
        if ours in found:
            torch.testing.assert_close(found[ours], expected[there], atol=1e-4, rtol=1e-4)
            assert found[ours] > 0
