"""Whose weights are these? The table that knows most of the names; none for those of this code base."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from torch import Tensor

from lineage.weights.sources import (
    caffe,
    detectron,
    detectron2,
    detectron2_variants,
    huggingface,
    regnet,
    torchvision,
    torchvision_variants,
)
from lineage.weights.sources.layout import DENSE
from lineage.weights.sources.table import EPS, Maths, Pixels, Table, translate

TABLES = (
    torchvision.DETECTION,
    torchvision.CLASSIFICATION,
    torchvision_variants.RETINANET,
    torchvision_variants.V2,
    torchvision_variants.MOBILENET,
    detectron2.PYRAMIDAL,
    detectron2.DENSE,
    detectron2.SINGLE,
    detectron2.CLASSIFICATION,
    *detectron2_variants.TABLES,
    regnet.TORCHVISION,
    regnet.PYCLS,
    detectron.TABLE,
    caffe.TABLE,
    huggingface.TRANSFORMERS,
)
OURS = "lineage"
WRAPPERS = ("module.", "model.", "_orig_mod.")  # distributed, Lightning, torch.compile
FIRST = "backbone.stem.0.weight"
ENOUGH = 0.5  # of the names; a checkpoint may carry heads that nobody here has


class Given(NamedTuple):
    """Weights under our names in our layout, and where they came from."""

    state: dict[str, Tensor]
    source: str
    unknown: list[str]  # names that the source's table does not have
    maths: Maths | None  # None: ours, the config says it


def understood(state: dict[str, Tensor], digest: str = "") -> Given:
    """`digest` is the file's sha256: published files whose frozen norms have another eps are known by it."""
    state = unwrapped(state)
    table = recognised(state)
    if table is None:
        return Given(state, OURS, [], None)
    found, unknown = translate(table, state)
    if digest.startswith(torchvision.EPS_ZERO):
        found = {name: value - EPS if name.endswith("running_var") else value for name, value in found.items()}
    return Given(found, table.source, unknown, table.grouped if is_grouped(found) else table.maths)


def recognised(names: Iterable[str]) -> Table | None:
    names = list(names)
    best = max(TABLES, key=lambda table: table.known(names))
    return best if best.known(names) >= ENOUGH * len(names) and names else None


def unwrapped(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without what training tools put before every name."""
    for wrapper in WRAPPERS:
        inside = {name.removeprefix(wrapper): value for name, value in state.items() if name.startswith(wrapper)}
        if len(inside) > len(state) / 2:  # the rest is what the tool keeps beside the model
            return unwrapped(inside)
    return state


def is_grouped(state: dict[str, Tensor]) -> bool:
    """A ResNeXt: its 3x3 convolutions see a part of their inputs."""
    middle, first = state.get("backbone.stages.0.0.conv2.weight"), state.get("backbone.stages.0.0.conv1.weight")
    return middle is not None and first is not None and middle.shape[1] < first.shape[0]


def repainted(state: dict[str, Tensor], given: Pixels, wanted: Pixels) -> dict[str, Tensor]:
    """The same network for pixels divided by another deviation: it moves into the first convolution.

    Exact, for padding is zero either way. Another mean is not, at the border: ValueError says which one is needed.
    """
    if max(abs(a - b) for a, b in zip(given.mean, wanted.mean, strict=True)) > 0.01:
        raise ValueError(
            f"these weights were trained on pixels minus {list(given.mean)}, the network here subtracts "
            f"{[round(value, 4) for value in wanted.mean]}: set backbone.mean={_listed(given.mean)} "
            f"backbone.std={_listed(given.std)}"
        )
    ratio = [new / old for new, old in zip(wanted.std, given.std, strict=True)]
    first = state.get(FIRST)
    if first is None or max(abs(one - 1) for one in ratio) < 1e-6:
        return state
    return state | {FIRST: first * first.new_tensor(ratio)[:, None, None]}


def _listed(values: Iterable[float]) -> str:
    return "[" + ",".join(f"{value:g}" for value in values) + "]"


BLOCKS: dict[tuple[int, ...], tuple[str, ...]] = {
    (2, 2, 2, 2): ("resnet18",),
    (3, 4, 6, 3): ("resnet34", "resnet50"),  # of basic blocks, of bottlenecks
    (3, 4, 23, 3): ("resnet101",),
    (3, 8, 36, 3): ("resnet152",),
    (2, 6, 15, 2): ("regnetx_3_2gf",),
    (2, 5, 14, 2): ("regnetx_4gf",),
    (2, 5, 13, 1): ("regnety_3_2gf",),
    (2, 6, 12, 2): ("regnety_4gf",),
}
RESNEXT = {  # by inputs of a group
    ("resnet101", 8): "resnext101_32x8d",
    ("resnet101", 4): "resnext101_64x4d",
    ("resnet152", 8): "resnext152_32x8d",
}


def options(state: dict[str, Tensor]) -> list[str]:
    """The overrides of the model whose weights these are, as far as their names and shapes tell."""
    detector = any(name.startswith(("proposals.", "box.", "head.")) for name in state)
    chosen = [f"model={_model(state)}"] if detector else []
    chosen += [f"backbone={body}"] if (body := _body(state)) else []
    return chosen + ([f"dataset.classes={count}"] if (count := classes(state)) else [])


def classes(state: dict[str, Tensor]) -> int | None:
    """How many a detector tells apart; None for what is no detector."""
    scores = state.get("box.scores.bias", state.get("box.stages.0.scores.bias"))
    dense = state.get("head.scores.predictor.bias")
    if scores is not None:
        return len(scores) - 1
    return len(dense) // DENSE if dense is not None else None


def _body(state: dict[str, Tensor]) -> str | None:
    if any(name.startswith("backbone.trunk.") for name in state):
        return "vgg16_caffe" if "backbone.trunk.conv5_3.weight" in state else "caffenet"
    places = {tuple(name.split(".")[2:4]) for name in state if name.startswith("backbone.stages.")}
    # C4: the last stage is the head's
    places |= {("3", name.split(".")[3]) for name in state if name.startswith("box.body.stage.")}
    counts = Counter(stage for stage, _ in places)
    seen = tuple(counts[str(stage)] for stage in range(4) if counts[str(stage)])  # an RPN on C4 has three stages
    names = next((names for blocks, names in BLOCKS.items() if seen and blocks[: len(seen)] == seen), ())
    body = names[-1] if names and "backbone.stages.0.0.conv3.weight" in state else next(iter(names), None)
    if not is_grouped(state):
        return body
    return RESNEXT.get((body or "", state["backbone.stages.0.0.conv2.weight"].shape[1]))


def _plain_model(state: dict[str, Tensor]) -> str:
    def has(part: str) -> bool:
        return any(name.startswith(part) for name in state)

    if has("head."):
        return "retinanet"
    if has("backbone.trunk."):
        return "faster_rcnn_vgg" if has("proposals.") else "fast_rcnn"
    if not has("box."):
        return "rpn" if has("neck.") else "rpn_c5" if has("backbone.stages.3.") else "rpn_c4"
    if has("box.stages."):
        return "cascade_mask_rcnn" if has("heads.mask.") else "cascade_rcnn"
    if has("heads.semantic."):
        return "panoptic_fpn"
    if has("heads.mask.point."):
        return "pointrend"
    heads = "_".join(head for head in ("mask", "keypoint") if has(f"heads.{head}."))
    name = f"{heads or ('faster' if has('proposals.') else 'fast')}_rcnn"
    if has("neck."):
        given = "mask_rcnn_given" if name == "mask_rcnn" and not has("proposals.") else name
        return given if given != "fast_rcnn" else "fast_rcnn_fpn"
    if has("box.body.stage."):
        return f"{name}_c4"
    return "fast_rcnn_c5" if name == "fast_rcnn" else f"{name}_dc5"  # with or without dilation: nothing tells


def _model(state: dict[str, Tensor]) -> str:
    """Norms in the pyramid are of torchvision's v2 recipes where they have statistics, and group norms where not."""
    name = _plain_model(state)
    if name.startswith("cascade") and any(key.startswith("heads.semantic.") for key in state):
        return "cascade_panoptic_fpn"
    if any(key.startswith("backbone.blocks.") for key in state):
        return f"{name}_mobilenet"
    if "neck.lateral_norm.0.weight" not in state:
        return name
    return f"{name}_v2" if "neck.lateral_norm.0.running_mean" in state else f"{name}_gn"
