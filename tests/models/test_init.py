"""Initial weights of every layer against the papers' numbers: the law, its std, and the exact bias.

A body is tested as it starts from scratch, a head as it starts beside any body. Widths differ within a model, so that
fan-in and fan-out differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import log, sqrt

import pytest
import torch
from torch import Tensor, nn

from tests.models.compose import build

PRIOR = -log(99)  # RetinaNet (arXiv:1708.02002), section 4.1: every class starts with the probability 0.01
BODY = r"(backbone|box\.body\.stage|box\.head\.pool\.layer)\..*"
RULES = {  # pattern of a layer's name -> law, bias
    # He (arXiv:1502.01852) over the outputs: ResNet, plain bodies from scratch, MobileNet
    BODY + r"(stem|conv\d(_\d)?|downsample|blocks\.\d.*)(\.\d|\.fc\d)*": ("he", 0.0),
    # Non-local networks (arXiv:1711.07971), as released: std 0.01, and a last layer of 0
    r"backbone\.relations\.\d\.(theta|phi|g)": (0.01, 0.0),
    r"backbone\.relations\.\d\.out": (0.0, 0.0),
    # Deformable convolution (arXiv:1703.06211), section 2.1: offsets start at 0
    r"backbone\.stages\..*conv2\.offset": (0.0, 0.0),
    # FPN (arXiv:1612.03144) and RetinaNet's P6 and P7 in Detectron: XavierFill
    r"neck\.(lateral|smooth)\.\d|neck\.top\.p[67]": ("xavier", 0.0),
    # Faster R-CNN (arXiv:1506.01497), section 3.1: all new layers std 0.01
    r"proposals\.(convolution|deeper\.\d|objectness|deltas)": (0.01, 0.0),
    # Fast R-CNN (arXiv:1504.08083), section 2.3: std 0.01 for classes, 0.001 for boxes
    r"box\.(stages\.\d\.|heads\.\d\.|head\.)?scores": (0.01, 0.0),
    r"box\.(stages\.\d\.|heads\.\d\.|head\.)?deltas": (0.001, 0.0),
    # fully connected layers in Detectron: XavierFill
    r"box\.(stages\.\d\.|heads\.\d\.|head\.)?body\.(\d|fc\d?)": ("xavier", 0.0),
    # Mask R-CNN (arXiv:1703.06870) and 4conv1fc in Detectron: MSRAFill, over the outputs
    r"box\.body\.convolutions\.\d": ("he", 0.0),
    r"heads\.(mask|keypoint)(\.stages\.\d)?\.(body\.\d|deconvolution)": ("he", 0.0),
    r"heads\.mask(\.stages\.\d)?\.masks": ("he", 0.0),
    r"heads\.semantic\.(levels\.\d\.\d|classes)": ("he", 0.0),
    # PointRend (arXiv:1912.08193), released code
    r"heads\.mask\.coarse\.reduce|heads\.mask\.point\.layers\.\d": ("he", 0.0),
    r"heads\.mask\.coarse\.fc\.\d": ("xavier", 0.0),
    r"heads\.mask\.(coarse|point)\.masks": (0.001, 0.0),
    # the MLP of Mask R-CNN's table 2e: as the coarse head of PointRend
    r"heads\.mask\.layers\.\d": ("xavier", 0.0),
    # RetinaNet, section 4.1: all new layers std 0.01, the last of the classes with the prior
    r"head\.(scores|deltas)\.convolutions\.\d|head\.deltas\.predictor": (0.01, 0.0),
    r"head\.scores\.predictor": (0.01, PRIOR),
}
OTHERS = {("mask_rcnn_mlp", "heads.mask.masks"): (0.001, 0.0)}  # as all predictors of fully connected heads
MODELS = {
    "mask_rcnn": ["heads.mask.width=40", "heads.mask.body.width=48"],
    "mask_rcnn_gn": ["heads.mask.width=40", "heads.mask.body.width=48", "box.body.width=48", "neck.channels=40"],
    "mask_rcnn_mlp": ["heads.mask.widths=[96,80]"],
    "mask_rcnn_v2": [],
    "mask_keypoint_rcnn": ["heads.keypoint.body.width=48"],
    "cascade_mask_rcnn_staged": ["heads.mask.width=40"],
    "integral_rcnn": [],
    "retinanet": ["head.subnet.width=48"],
    "pointrend": ["heads.mask.coarse.width=48", "heads.mask.point.width=48"],
    "panoptic_fpn": ["heads.semantic.width=48"],
    "fast_rcnn": [],
    "faster_rcnn_c4": [],
    "faster_rcnn_mobilenet": [],
    "faster_rcnn_vgg": [],
    "rcnn": [],
}
BODIES = {
    "mini_deep": ["backbone.non_local=[4]", "backbone.deform=[4,5]", "backbone.deform_version=2"],
    "mobilenet_v1_075": [
        "backbone.norm=gn",
        "backbone.width_multiplier=0.25",
        "backbone.weights=null",
        "backbone.frozen_stages=0",
    ],
}


def layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    return ((name, module) for name, module in model.named_modules() if isinstance(module, kinds))


def check(weight: Tensor, law: float | str) -> None:
    """Five standard errors around the std and around 0, and the tails of the law."""
    count = weight.numel()
    he, xavier = sqrt(2 * weight.shape[1] / count), sqrt(len(weight) / count)  # sqrt(2 / fan_out), sqrt(1 / fan_in)
    std = {"he": he, "xavier": xavier}[law] if isinstance(law, str) else law
    if std == 0:
        assert weight.count_nonzero() == 0
        return
    spread = 0.2 if law == "xavier" else 0.5  # (kurtosis - 1) / 4 of a uniform and a normal law
    assert float(weight.square().mean().sqrt()) == pytest.approx(std, rel=5 * sqrt(spread / count))
    assert abs(float(weight.mean())) < 5 * std / sqrt(count)
    largest = float(weight.abs().max()) / std
    if law == "xavier":
        assert largest <= sqrt(3) * (1 + 1e-6)
    elif count > 1000:
        assert largest > 2.5  # of 1000 normal numbers the largest lies beyond with a probability of 1 - 4e-6


def check_all(name: str, model: nn.Module) -> set[str]:
    """Check every layer by the only rule of its name -> the rules that were used."""
    used = set()
    for path, layer in layers(model):
        matching = [pattern for pattern in RULES if re.fullmatch(pattern, path)]
        assert len(matching) == 1, f"{name}: {path} has {len(matching)} rules: name its paper's number in RULES"
        law, bias = OTHERS.get((name, path), RULES[matching[0]])
        try:
            check(layer.weight.detach(), law)
            if layer.bias is not None:
                torch.testing.assert_close(layer.bias.detach(), torch.full_like(layer.bias, bias), atol=0, rtol=1e-6)
        except AssertionError as error:
            raise AssertionError(f"{name}: {path}, {law}: {error}") from error
        used.add(matching[0])
    return used


def test_every_layer_starts_from_the_number_of_its_paper() -> None:
    """All models together, so that each rule is used."""
    torch.manual_seed(0)
    used = set()
    for name, options in MODELS.items():
        stuff = ["+dataset.stuff=4"] if "panoptic" in name else []
        used |= check_all(name, build(f"model={name}", *stuff, *(f"model.{option}" for option in options)))
    for name, options in BODIES.items():
        used |= check_all(name, build("model=faster_rcnn", f"backbone={name}", *options))
    assert RULES.keys() - used == set()


@pytest.mark.parametrize(
    ("wrong", "law"),
    [
        (lambda w: nn.init.normal_(w, std=0.03), 0.01),
        (lambda w: nn.init.normal_(w, mean=0.01, std=0.01), 0.01),
        (lambda w: nn.init.uniform_(w, -0.01 * sqrt(3), 0.01 * sqrt(3)), 0.01),
        (lambda w: nn.init.kaiming_normal_(w, mode="fan_in"), "he"),
        (lambda w: nn.init.kaiming_normal_(w, mode="fan_out", nonlinearity="linear"), "he"),
        (lambda w: nn.init.kaiming_uniform_(w, mode="fan_out"), "he"),
        (lambda w: nn.init.kaiming_uniform_(w, a=3), "xavier"),
        (lambda w: nn.init.kaiming_uniform_(w, a=sqrt(5)), "xavier"),  # of an nn.Linear
        (lambda w: nn.init.xavier_uniform_(w), "xavier"),
        (lambda w: nn.init.kaiming_normal_(w, nonlinearity="linear"), "xavier"),
    ],
)
def test_another_law_is_noticed(wrong, law) -> None:
    torch.manual_seed(0)
    with pytest.raises(AssertionError):
        check(wrong(torch.empty(48, 64, 3, 3)), law)


@pytest.mark.parametrize(
    ("name", "bias"),
    [
        ("softmax", 0.0), ("softmax_smooth", 0.0), ("seesaw", 0.0),
        ("sigmoid", PRIOR), ("focal", PRIOR), ("class_balanced", PRIOR), ("equalization", PRIOR),
    ],
)  # fmt: skip
def test_scores_start_from_the_prior_of_their_loss(name: str, bias: float) -> None:
    scores = build("model=faster_rcnn", f"classification={name}").box.scores
    torch.testing.assert_close(scores.bias.detach(), torch.full_like(scores.bias, bias), atol=0, rtol=1e-6)


def test_norms_start_as_the_identity() -> None:
    model = build("model=mask_rcnn_gn")
    norms = [module for module in model.modules() if isinstance(module, nn.GroupNorm)]
    assert len(norms) > 10
    assert {
        (float(p), name) for norm in norms for name, values in norm.named_parameters() for p in values.detach()
    } == {
        (1.0, "weight"),
        (0.0, "bias"),
    }
