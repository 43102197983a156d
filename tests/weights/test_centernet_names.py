"""CenterNet's published files: names written down from its networks, not from our table; every tensor is used."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from lineage.weights.identify import identify
from lineage.weights.infer_overrides import infer_overrides
from lineage.weights.sources import centernet
from lineage.weights.sources.table import NameTable
from tests.models.compose import build

PAPER = ("tier=paper", "backbone.norm=bn", "backbone.frozen_stages=0", "backbone.weights=null")
BOXES = ("hm", "wh", "reg")
POSE = (*BOXES, "hps", "hm_hp", "hp_offset")
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def layers(name: str, *leaves: str) -> Iterator[str]:
    yield from (f"{name}.{leaf}" for leaf in leaves or ("weight", "bias"))


def residual(name: str, *, projection: str = "") -> Iterator[str]:
    for i in (1, 2):
        yield f"{name}.conv{i}.weight"
        yield from layers(f"{name}.bn{i}", *NORM)
    if projection:
        yield f"{name}.{projection}.0.weight"
        yield from layers(f"{name}.{projection}.1", *NORM)


def deformable(name: str) -> Iterator[str]:
    yield from layers(name)
    yield from layers(f"{name}.conv_offset_mask")


def resnet18(*, is_deformable: bool) -> Iterator[str]:
    yield "conv1.weight"
    yield from layers("bn1", *NORM)
    for stage in (1, 2, 3, 4):
        yield from residual(f"layer{stage}.0", projection="" if stage == 1 else "downsample")
        yield from residual(f"layer{stage}.1")
    for step in range(3):
        if is_deformable:
            yield from deformable(f"deconv_layers.{6 * step}")
            yield from layers(f"deconv_layers.{6 * step + 1}", *NORM)
        enlarging = 6 * step + 3 if is_deformable else 3 * step
        yield f"deconv_layers.{enlarging}.weight"
        yield from layers(f"deconv_layers.{enlarging + 1}", *NORM)


def heads(names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        yield from layers(f"{name}.0")
        yield from layers(f"{name}.2")


def root(name: str) -> Iterator[str]:
    yield f"{name}.root.conv.weight"
    yield from layers(f"{name}.root.bn", *NORM)


def dla34() -> Iterator[str]:
    for name in ("base.base_layer", "base.level0", "base.level1"):
        yield f"{name}.0.weight"
        yield from layers(f"{name}.1", *NORM)
    for level in (2, 5):
        for tree in ("tree1", "tree2"):
            yield from residual(f"base.level{level}.{tree}")
        yield from root(f"base.level{level}")
        yield f"base.level{level}.project.0.weight"
        yield from layers(f"base.level{level}.project.1", *NORM)
    for level in (3, 4):
        for half in ("tree1", "tree2"):
            for tree in ("tree1", "tree2"):
                yield from residual(f"base.level{level}.{half}.{tree}")
            yield from root(f"base.level{level}.{half}")
        yield f"base.level{level}.tree1.project.0.weight"
        yield from layers(f"base.level{level}.tree1.project.1", *NORM)
    for place, count in (("dla_up.ida_0", 1), ("dla_up.ida_1", 2), ("dla_up.ida_2", 3), ("ida_up", 2)):
        for number in range(1, count + 1):
            yield f"{place}.up_{number}.weight"
            for part in ("proj", "node"):
                yield from deformable(f"{place}.{part}_{number}.conv")
                yield from layers(f"{place}.{part}_{number}.actf.0", *NORM)


def hourglass(name: str, widths: tuple[int, ...], blocks: tuple[int, ...]) -> Iterator[str]:
    for block in range(blocks[0]):
        changes = widths[0] != widths[1]
        yield from residual(f"{name}.up1.{block}")
        yield from residual(f"{name}.low1.{block}", projection="" if block else "skip")
        last = block == blocks[0] - 1
        yield from residual(f"{name}.low3.{block}", projection="skip" if last and changes else "")
    if len(widths) > 2:
        yield from hourglass(f"{name}.low2", widths[1:], blocks[1:])
    else:
        for block in range(blocks[1]):
            yield from residual(f"{name}.low2.{block}")


def hourglass104() -> Iterator[str]:
    yield "pre.0.conv.weight"
    yield from layers("pre.0.bn", *NORM)
    yield from residual("pre.1", projection="skip")
    for stack in (0, 1):
        yield from hourglass(f"kps.{stack}", (256, 256, 384, 384, 384, 512), (2, 2, 2, 2, 2, 4))
        yield f"cnvs.{stack}.conv.weight"
        yield from layers(f"cnvs.{stack}.bn", *NORM)
        for name in BOXES:
            yield from layers(f"{name}.{stack}.0.conv")
            yield from layers(f"{name}.{stack}.1")
    yield from residual("inters.0")
    for name in ("inters_.0", "cnvs_.0"):
        yield f"{name}.0.weight"
        yield from layers(f"{name}.1", *NORM)


NETWORKS = {
    "model=centernet backbone=resnet18 upsampling=deconvolution model.head.width=64": (
        centernet.RESNET, [*resnet18(is_deformable=False), *heads(BOXES)]
    ),
    "model=centernet_pose backbone=resnet18 upsampling=deformable model.head.width=64": (
        centernet.DEFORMABLE, [*resnet18(is_deformable=True), *heads(POSE)]
    ),
    "model=centernet backbone=dla34 upsampling=aggregation model.head.width=256": (
        centernet.DLA, [*dla34(), *heads(BOXES)]
    ),
    "model=centernet backbone=hourglass104 upsampling=none model.head.width=256": (
        centernet.HOURGLASS, [*hourglass104()]
    ),
}  # fmt: skip


def meta(choices: str, classes: int = 80) -> nn.Module:
    with torch.device("meta"):
        return build(*PAPER, *choices.split(), f"dataset.classes={classes}")


@pytest.mark.parametrize("choices", NETWORKS)
def test_every_tensor_of_a_network_has_a_place_and_the_other_way_round(choices: str) -> None:
    table, names = NETWORKS[choices]
    own = meta(choices).state_dict().keys()
    assert {table.our_name(name) for name in names} == own
    assert {table.their_name(name) for name in own} == set(names)


@pytest.mark.parametrize("choices", NETWORKS)
def test_a_file_is_recognized_and_its_network_inferred(choices: str) -> None:
    table, _ = NETWORKS[choices]
    shapes = {name: value.shape for name, value in meta(choices).state_dict().items()}
    names = {table.their_name(name): shape for name, shape in shapes.items()}
    state = {f"module.{name}": torch.zeros(()).expand(shape) for name, shape in names.items()}
    loaded = identify(state)
    assert loaded.source == table.source
    assert not loaded.unknown
    model, backbone, *rest = choices.split()
    assert infer_overrides(loaded.state) == [model, backbone, "dataset.classes=80", *rest]


@pytest.mark.parametrize(
    "choices",
    [
        "model=deepmark backbone=resnet18 dataset.classes=13 ++dataset.keypoints=294 upsampling=deformable "
        "model.head.width=64",
        "model=deepmark backbone=mobilenet_v3_large dataset.classes=13 ++dataset.keypoints=294 "
        "upsampling=aggregation_plain model.head.width=32",
        "model=deepmark backbone=dla34 dataset.classes=5 ++dataset.keypoints=58 upsampling=aggregation "
        "model.head.width=256",  # shapes_garments
        "model=centernet_pose backbone=resnet18 dataset.classes=1 upsampling=deconvolution model.head.width=64",
        "model=centernet_mobilenet dataset.classes=80 upsampling=aggregation_plain model.head.width=32",
        "model=mask_rcnn backbone=mobilenet_v3_large dataset.classes=2",
        "model=mask_rcnn backbone=mobilenet_v1_075 dataset.classes=2",
    ],
)
def test_the_hint_of_a_file_is_the_choices_of_its_network(choices: str) -> None:
    """A DeepMark was named centernet_pose, with a MobileNet a model that does not exist."""
    with torch.device("meta"):
        state = build(*PAPER, *choices.split()).state_dict()
    assert infer_overrides(state) == choices.split()


def test_modulation_colours_and_pixels_are_converted() -> None:
    table: NameTable = centernet.DEFORMABLE
    state = {"conv1.weight": torch.rand(64, 3, 7, 7), "deconv_layers.0.weight": torch.rand(256, 512, 3, 3),
             "deconv_layers.0.bias": torch.rand(256), "deconv_layers.3.weight": torch.rand(256, 256, 4, 4),
             "deconv_layers.0.conv_offset_mask.weight": torch.rand(27, 512, 3, 3),
             "hm.2.bias": torch.rand(80)}  # fmt: skip
    loaded = identify(state)
    assert loaded.source == table.source
    assert loaded.state["backbone.stem.0.weight"].equal(state["conv1.weight"].flip(1))
    assert loaded.state["neck.layers.0.weight"].equal(state["deconv_layers.0.weight"] / 2)
    assert loaded.state["neck.layers.0.bias"].equal(state["deconv_layers.0.bias"])
    assert loaded.state["neck.layers.3.weight"].equal(state["deconv_layers.3.weight"])
    assert loaded.state["neck.layers.0.offset.weight"].equal(state["deconv_layers.0.conv_offset_mask.weight"])
    assert loaded.conventions is not None
    blue, green, red = (0.408, 0.447, 0.470)
    assert loaded.conventions.pixels.mean == pytest.approx([255 * red, 255 * green, 255 * blue])
