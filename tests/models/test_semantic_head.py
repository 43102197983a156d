"""The semantic branch of Panoptic FPN."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lineage.models.roi_heads.required_targets import UnlabelledError
from lineage.models.roi_heads.semantic_head import SemanticHead
from lineage.structures import Images, Targets
from tests.models.compose import build
from tests.models.scenes import batch

STRIDES = (4, 8, 16, 32)


def head(channels: int = 16, width: int = 32, classes: int = 5) -> SemanticHead:
    torch.manual_seed(0)
    return SemanticHead(channels, strides=STRIDES, width=width, norm="gn", num_classes=classes, loss_weight=0.5)


def pyramid(size: tuple[int, int] = (64, 96), images: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(images, 16, -(-size[0] // s), -(-size[1] // s), generator=generator) for s in (*STRIDES, 64)]


def labelled(labels: Tensor) -> Targets:
    slots = torch.zeros(len(labels), 8, dtype=torch.bool)
    return Targets(torch.zeros(len(labels), 8, 4), slots.long(), slots, slots, None, None, labels)


def nothing() -> Images:
    return Images(torch.zeros(0), torch.zeros(0), torch.zeros(0))


def test_figure_3_layer_by_layer() -> None:
    made, maps = head(), pyramid()
    total = 0
    for level, x in enumerate(maps[:4]):
        layers = [layer for layer in made.levels[level] if hasattr(layer, "weight")]
        for convolution, norm in zip(layers[::2], layers[1::2], strict=True):
            x = F.relu(F.group_norm(F.conv2d(x, convolution.weight, padding=1), 8, norm.weight, norm.bias))
            if level:
                x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        assert len(layers) == 2 * max(level, 1)
        total = total + x
    wanted = F.conv2d(total, made.classes.weight, made.classes.bias)
    torch.testing.assert_close(made.logits(maps), wanted, atol=1e-5, rtol=1e-4)
    assert wanted.shape == (2, 5, 16, 24)


def test_the_loss_is_half_the_mean_over_labelled_pixels() -> None:
    made, maps = head(), pyramid()
    labels = torch.randint(0, 5, (2, 64, 96), generator=torch.Generator().manual_seed(2)).byte()
    labels[:, :20] = 255
    total, terms, _ = made.losses(maps, None, labelled(labels), nothing())["semantic"]
    logits = F.interpolate(made.logits(maps), scale_factor=4, mode="bilinear", align_corners=False)
    torch.testing.assert_close(total / terms, 0.5 * F.cross_entropy(logits, labels.long(), ignore_index=255))
    assert terms == 2 * 44 * 96


def test_nothing_labelled_costs_nothing() -> None:
    made = head()
    total, terms, _ = made.losses(pyramid(), None, labelled(torch.full((2, 64, 96), 255).byte()), nothing())["semantic"]
    total.backward()
    assert (total, terms) == (0, 0)
    assert all(parameter.grad.isfinite().all() for parameter in made.parameters())


def test_an_image_of_odd_size() -> None:
    made = head()
    total, *_ = made.losses(pyramid((52, 70)), None, labelled(torch.ones(2, 52, 70).byte()), nothing())["semantic"]
    assert total.isfinite()


def test_a_dataset_without_labels_is_named() -> None:
    with pytest.raises(UnlabelledError, match="no semantic labels"):
        head().losses(pyramid(), None, labelled(torch.zeros(0))._replace(semantic=None), nothing())


def test_parameters_of_the_paper() -> None:
    """Seven 3x3 convolutions with group norm: one for P2 and P3, two for P4, three for P5; and 54 classes."""
    made = SemanticHead(256, strides=STRIDES, width=128, norm="gn", num_classes=54, loss_weight=0.5)
    first, later, norms = 4 * 256 * 128 * 9, 3 * 128 * 128 * 9, 7 * 2 * 128
    assert sum(p.numel() for p in made.parameters()) == first + later + norms + 129 * 54


def test_panoptic_fpn_finds_things_and_stuff() -> None:
    torch.manual_seed(0)
    model = build("model=panoptic_fpn", "dataset=shapes_panoptic")
    images, targets = batch([(128, 128)] * 2, [3, 0], 4, canvas=(128, 128))
    targets = targets._replace(semantic=torch.randint(0, 5, (2, 128, 128)).byte())
    losses = model.losses(images, targets)
    assert {"roi_mask", "semantic"} < losses.keys()
    sum(loss.sum / loss.normalizer.clamp(min=1) for loss in losses.values()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    with torch.no_grad():
        found = model.detect(images)
        alone = model.detect(Images(*(None if field is None else field[:1] for field in images)))
    assert found.semantic.shape == (2, 5, 32, 32)
    torch.testing.assert_close(alone.semantic[0], found.semantic[0], atol=1e-4, rtol=1e-4)
