"""torchvision's Faster and Mask R-CNN against ours: equal weights and images give equal detections and losses."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import paste_masks_in_image

from lineage.structures import Detections, Images, Targets
from lineage.zoo import torchvision as zoo
from tests.models.compose import build
from tests.models.scenes import batch, dense

CLASSES = 4
# what torchvision's constants are, in our words
AS_TORCHVISION = (
    "tier=paper",
    f"dataset.classes={CLASSES}",
    "backbone.weights=null",
    "backbone.norm=bn",
    "backbone.frozen_stages=0",
    "roi.aligned=false",
    "model.proposals.anchors.rounded=true",
    "regression=smooth_l1_ninth",
    "model.box.score=0.02",
    "model.box.candidates=4000",
    "model.proposals.after_nms={train: 60, test: 200}",
    "model.proposals.matcher.foreground=0.5",
)
MASK = ("model.heads.mask.aligned=false", "model.heads.mask.binary=false", "model.heads.mask.grid=16")
SIZES = [(192, 256), (180, 250), (192, 200)]


def theirs(name: str) -> nn.Module:
    """A random torchvision model whose scores spread, so that thresholds and NMS have something to decide."""
    torch.manual_seed(0)
    model = torchvision.models.get_model(
        name,
        weights=None,
        weights_backbone=None,
        num_classes=CLASSES + 1,
        min_size=192,
        max_size=256,
        box_score_thresh=0.02,
        rpn_post_nms_top_n_train=60,
        rpn_post_nms_top_n_test=200,
        rpn_batch_size_per_image=10**6,
        box_batch_size_per_image=10**6,
        rpn_fg_iou_thresh=0.5,  # low enough that random anchors hit
        trainable_backbone_layers=5,
    )
    # the resize is not under test: images go in as they are
    model.transform.resize = lambda image, target: (image, target)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.8, 1.2)
                module.weight.mul_(0.6)  # keeps activations of a random ResNet finite
        model.rpn.head.cls_logits.weight.mul_(20)
        model.rpn.head.bbox_pred.weight.mul_(10)
        model.roi_heads.box_predictor.cls_score.weight.mul_(20)
    model.eval()
    _balance(model)
    return model


@torch.no_grad()
def _balance(model: nn.Module) -> None:
    """Moves the class biases so that no class wins everywhere, as one does in a random network."""
    scores, seen = model.roi_heads.box_predictor.cls_score, []
    hook = scores.register_forward_hook(lambda _module, _inputs, output: seen.append(output.mean(0)))
    model(as_lists(*batch(SIZES, [3, 2, 1], CLASSES, canvas=(192, 256)))[0])
    hook.remove()
    scores.bias -= seen[0]


@pytest.fixture(scope="module", params=["fasterrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn"])
def pair(request: pytest.FixtureRequest) -> tuple[nn.Module, nn.Module]:
    """torchvision's model and ours with the same weights, both in eval mode."""
    reference = theirs(request.param)
    mask = request.param.startswith("mask")
    model = build("model=mask_rcnn" if mask else "model=faster_rcnn", *AS_TORCHVISION, *(MASK if mask else ()))
    model.load_state_dict(zoo.ours(reference.state_dict()))
    return reference, model.eval()


def as_lists(images: Images, targets: Targets) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    sizes = [(int(h), int(w)) for h, w in images.sizes]
    pictures = [images.pixels[i, :, :h, :w].float() / 255 for i, (h, w) in enumerate(sizes)]
    labelled = []
    for i, size in enumerate(sizes):
        count = int(targets.valid[i].sum())
        masks = [dense(targets.masks, i, slot, size) for slot in range(count)]
        labelled.append(
            {
                "boxes": targets.boxes[i, :count],
                "labels": targets.labels[i, :count] + 1,
                "masks": torch.stack(masks) if masks else torch.zeros(0, *size, dtype=torch.uint8),
            }
        )
    return pictures, labelled


@torch.no_grad()
def test_detections_equal_torchvision(pair: tuple[nn.Module, nn.Module]) -> None:
    reference, model = pair
    images, targets = batch(SIZES, [3, 2, 1], CLASSES, canvas=(192, 256))
    expected = reference(as_lists(images, targets)[0])
    found = model.detect(images)
    for image, wanted in enumerate(expected):
        assert len(wanted["boxes"]) > 20
        assert len(wanted["labels"].unique()) > 1
        _assert_equal(found, image, wanted, SIZES[image])


def _assert_equal(found: Detections, image: int, wanted: dict[str, Tensor], size: tuple[int, int]) -> None:
    valid = found.valid[image]
    assert valid.sum() == len(wanted["boxes"])
    boxes = found.boxes[image][valid]
    torch.testing.assert_close(boxes, wanted["boxes"], atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(found.scores[image][valid], wanted["scores"], atol=1e-4, rtol=1e-4)
    assert torch.equal(found.labels[image][valid] + 1, wanted["labels"])
    if found.masks is not None:
        # torchvision pastes before it returns; pasting ours with its own function compares the 28 x 28 masks
        pasted = paste_masks_in_image(found.masks[image][valid][:, None], wanted["boxes"], size)
        torch.testing.assert_close(pasted, wanted["masks"], atol=1e-4, rtol=1e-4)


def test_losses_equal_torchvision_on_equal_samples(pair: tuple[nn.Module, nn.Module]) -> None:
    """Both sample every anchor and region there is, so their random choices cannot differ."""
    reference, model = pair
    model.proposals.samples = model.sampler.samples = model.sampler.foreground = 10**6
    reference.train()  # only this mode gives losses; batch norm must stay as it is
    for module in reference.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    images, targets = batch(SIZES, [5, 3, 0], CLASSES, canvas=(192, 256))
    expected = reference(*as_lists(images, targets))
    found = {key: loss.total / loss.terms.clamp(min=1) for key, loss in model.losses(images, targets).items()}
    pairs = {
        "rpn_cls": "loss_objectness",
        "rpn_box": "loss_rpn_box_reg",
        "roi_cls": "loss_classifier",
        "roi_box": "loss_box_reg",
    } | ({"roi_mask": "loss_mask"} if "roi_mask" in found else {})
    for key, name_there in pairs.items():
        torch.testing.assert_close(
            found[key], expected[name_there], atol=1e-4, rtol=1e-4, msg=lambda m, key=key: f"{key}: {m}"
        )
        assert found[key] > 0
