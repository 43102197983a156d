"""torchvision's detectors beside ours: random ones that have something to decide, and what equal means.

Equal weights and images have to give equal detections and losses. All anchors and regions are sampled, so that random
choices cannot differ.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import paste_masks_in_image

from lineage.structures import Detections, Images, Targets
from lineage.weights.sources.table import to_ours
from lineage.weights.sources.torchvision import DETECTION
from tests.models.scenes import batch, dense

CLASSES = 4
ALL = 10**6  # more than there are
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
    "model.box.score_thresh=0.02",
    "model.box.topk_candidates=4000",
    "model.proposals.post_nms_top_n={train: 60, test: 200}",
    "model.proposals.matcher.fg_iou_thresh=0.5",
)
MASK = (
    "model.heads.mask.target_aligned=false",
    "model.heads.mask.binary_targets=false",
    "model.heads.mask.target_sampling_ratio=16",
)
EVERYTHING = {
    "rpn_batch_size_per_image": ALL, "box_batch_size_per_image": ALL, "rpn_post_nms_top_n_train": 60,
    "box_score_thresh": 0.02, "rpn_fg_iou_thresh": 0.5,  # low enough that random anchors hit
}  # fmt: skip
SIZES, CANVAS = [(192, 256), (180, 250)], (192, 256)  # of 64 pixels: torchvision guesses strides from map sizes
LOSSES = {  # ours -> theirs
    "rpn_cls": "loss_objectness", "rpn_box": "loss_rpn_box_reg", "roi_cls": "loss_classifier",
    "roi_box": "loss_box_reg", "roi_mask": "loss_mask", "roi_keypoint": "loss_keypoint",
}  # fmt: skip


def convert_detector(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convert a torchvision detector to our names and class order. Raises KeyError for a name not in the table."""
    converted, unknown = to_ours(DETECTION, state)
    if unknown:
        raise KeyError(f"torchvision parameter {unknown[0]!r} has no counterpart here")
    return converted


@torch.no_grad()
def prepared(model: nn.Module, gain: float = 0.6) -> nn.Module:
    """Batch norms as after some training, with a gain that keeps activations of a random ResNet finite; no resize."""
    model.transform.resize = lambda image, target: (image, target)  # it is not under test: images go in as they are
    for norm in norms(model):
        norm.running_mean.uniform_(-0.1, 0.1)
        norm.running_var.uniform_(0.8, 1.2)
        norm.weight.mul_(gain)
    return model.eval()


def norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]


def learning(model: nn.Module) -> nn.Module:
    """Only in this mode torchvision gives losses; batch norms stay as they are."""
    model.train()
    for norm in norms(model):
        norm.eval()
    return model


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


def as_lists(images: Images, targets: Targets) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """What torchvision takes: pictures without padding, and a dictionary of objects each."""
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
                "keypoints": targets.keypoints[i, :count],
            }
        )
    return pictures, labelled


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


def assert_same_losses(reference: nn.Module, model: nn.Module, images: Images, targets: Targets) -> None:
    """`reference` samples ALL; after this, both are left as they learn."""
    model.proposals.batch_size_per_image = model.sampler.batch_size_per_image = model.sampler.num_foreground = ALL
    expected = learning(reference)(*as_lists(images, targets))
    found = {name: loss.sum / loss.normalizer.clamp(min=1) for name, loss in model.losses(images, targets).items()}
    assert {LOSSES[name] for name in found} == expected.keys()
    for name, value in found.items():
        torch.testing.assert_close(
            value, expected[LOSSES[name]], atol=1e-4, rtol=1e-4, msg=lambda m, name=name: f"{name}: {m}"
        )
        assert value > 0
