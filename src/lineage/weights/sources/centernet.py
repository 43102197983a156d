"""CenterNet's names (arXiv:1904.07850): its ResNets, DLA-34 and Hourglass-104, for boxes and for human pose.

Its code reads pixels blue first, with a mean of its own, and multiplies the taps of a deformable convolution by
sigmoids; ours are twice as large, so that the weights are half as large here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lineage.weights.sources.layout import BLUE_FIRST
from lineage.weights.sources.table import Layout, NameTable, PixelNormalization, SourceConventions, Stems
from lineage.weights.sources.torchvision import list_resnet_stems

PIXELS = PixelNormalization((119.85, 113.985, 104.04), (70.89, 69.87, 73.695))
CONVENTIONS = SourceConventions(PIXELS)
HALVED = Layout("their modulation is half of ours", lambda weight: weight / 2, lambda weight: weight * 2)
BRANCHES = {
    "hm": "head.heat", "wh": "head.sizes", "reg": "head.offsets",
    "hps": "landmarks.points", "hm_hp": "landmarks.heat", "hp_offset": "landmarks.offsets",
}  # fmt: skip
DECONVOLUTIONS = 18  # layers of the longest upsampling: three times six
LEVELS = 5  # of an hourglass
STACKS = 2
BLOCKS = 4  # residual blocks in a row, at most
TREE = ("conv1", "bn1", "conv2", "bn2", "root.conv", "root.bn", "project.0", "project.1")
SUBTREES = ("", "tree1.", "tree2.", "tree1.tree1.", "tree1.tree2.", "tree2.tree1.", "tree2.tree2.")
RESIDUAL = {name: name for name in ("conv1", "bn1", "conv2", "bn2")} | {f"skip.{i}": f"shortcut.{i}" for i in (0, 1)}


def list_head_stems() -> Stems:
    return tuple((f"{theirs}.{layer}", f"{ours}.0.{layer}") for theirs, ours in BRANCHES.items() for layer in (0, 2))


def list_deconvolution_stems(*, deformable: bool) -> Stems:
    stems = [(f"deconv_layers.{i}", f"neck.layers.{i}") for i in range(DECONVOLUTIONS)]
    offsets = [(f"{theirs}.conv_offset_mask", f"{ours}.offset") for theirs, ours in stems] if deformable else []
    return (*stems, *offsets)


def list_dla_stems(theirs: str) -> Stems:
    """Return the stems of DLA-34 below the prefix `theirs`."""
    return (
        *((f"{theirs}base_layer.{i}", f"backbone.stem.{i}") for i in (0, 1)),
        *((f"{theirs}level{stage}.{i}", f"backbone.plain.{stage}.{i}") for stage in (0, 1) for i in (0, 1)),
        *(
            (f"{theirs}level{stage + 2}.{subtree}{layer}", f"backbone.stages.{stage}.{subtree}{layer}")
            for stage in range(4)
            for subtree in SUBTREES
            for layer in TREE
        ),
    )


def list_aggregation_stems() -> Stems:
    places = [(f"dla_up.ida_{step}", f"neck.steps.{step}") for step in range(3)] + [("ida_up", "neck.last")]
    stems = []
    for theirs, ours in places:
        for number in range(1, 4):
            stems.append((f"{theirs}.up_{number}", f"{ours}.enlarge.{number - 1}"))
            for part, ours_part in (("proj", "project"), ("node", "merge")):
                name, place = f"{theirs}.{part}_{number}", f"{ours}.{ours_part}.{number - 1}"
                stems += [
                    (f"{name}.conv", f"{place}.0"), (f"{name}.conv.conv_offset_mask", f"{place}.0.offset"),
                    (f"{name}.actf.0", f"{place}.1"),
                ]  # fmt: skip
    return tuple(stems)


def list_hourglass_stems() -> Iterator[tuple[str, str]]:
    """Yield the stems of Hourglass-104 with its heads, which each stack has."""
    yield from _pair("pre.0", "backbone.stem", {"conv": "0", "bn": "1"})
    yield from _pair("pre.1", "backbone.stem.3", RESIDUAL)
    for stack in range(STACKS):
        for level in range(LEVELS):
            theirs, ours = f"kps.{stack}" + ".low2" * level, f"backbone.stages.{stack}" + ".inner" * level
            parts = [("up1", "skip"), ("low1", "down"), ("low3", "up")]
            parts += [("low2", "inner")] if level == LEVELS - 1 else []
            for part, ours_part in parts:
                for block in range(BLOCKS):
                    yield from _pair(f"{theirs}.{part}.{block}", f"{ours}.{ours_part}.{block}", RESIDUAL)
        yield from _pair(f"cnvs.{stack}", f"backbone.outputs.{stack}", {"conv": "0", "bn": "1"})
        yield from _pair(f"inters_.{stack}", f"backbone.from_input.{stack}", {"0": "0", "1": "1"})
        yield from _pair(f"cnvs_.{stack}", f"backbone.from_output.{stack}", {"0": "0", "1": "1"})
        yield from _pair(f"inters.{stack}", f"backbone.between.{stack}", RESIDUAL)
        for name, branch in BRANCHES.items():
            yield from ((f"{name}.{stack}.0.conv", f"{branch}.{stack}.0"), (f"{name}.{stack}.1", f"{branch}.{stack}.2"))


def _pair(theirs: str, ours: str, layers: dict[str, str]) -> Iterator[tuple[str, str]]:
    yield from ((f"{theirs}.{layer}", f"{ours}.{our_layer}") for layer, our_layer in layers.items())


def halve(places: Sequence[str]) -> dict[str, Layout]:
    return {f"{place}.weight": HALVED for place in places}


FIRST = {"backbone.stem.0": BLUE_FIRST}
RESNET = NameTable(
    "CenterNet ResNet",
    (*list_resnet_stems("", "backbone."), *list_deconvolution_stems(deformable=False), *list_head_stems()),
    layouts=FIRST,
    conventions=CONVENTIONS,
)
DEFORMABLE = NameTable(
    "CenterNet ResNet with deformable convolutions",
    (*list_resnet_stems("", "backbone."), *list_deconvolution_stems(deformable=True), *list_head_stems()),
    layouts=FIRST | halve([f"neck.layers.{i}" for i in range(0, DECONVOLUTIONS, 6)]),
    conventions=CONVENTIONS,
)
DLA = NameTable(
    "CenterNet DLA-34",
    (*list_dla_stems("base."), *list_aggregation_stems(), *list_head_stems()),
    layouts=FIRST | halve([ours for theirs, ours in list_aggregation_stems() if theirs.endswith(".conv")]),
    ignored=("base.fc.*", "base.level3.project.*", "base.level4.project.*"),  # their trees read no such projection
    conventions=CONVENTIONS,
)
HOURGLASS = NameTable("CenterNet Hourglass-104", list_hourglass_stems(), layouts=FIRST, conventions=CONVENTIONS)
DLA_CLASSIFICATION = NameTable(
    "DLA-34 of its authors", list_dla_stems(""), ignored=("fc.*", "level3.project.*", "level4.project.*")
)
TABLES = (RESNET, DEFORMABLE, DLA, HOURGLASS, DLA_CLASSIFICATION)
