"""Identify the code base that wrote a state dict, and convert it to our names and layout."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from lineage.weights.sources import (
    caffe,
    centernet,
    detectron,
    detectron2,
    detectron2_variants,
    huggingface,
    regnet,
    torchvision,
    torchvision_variants,
)
from lineage.weights.sources.table import EPS, NameTable, PixelNormalization, SourceConventions, to_ours

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
    *centernet.TABLES,
)
OURS = "lineage"
WRAPPERS = ("module.", "model.", "_orig_mod.")  # distributed, Lightning, torch.compile
FIRST_LAYER = "backbone.stem.0.weight"
MIN_MATCHES = 0.5  # share of the names; a checkpoint may have heads that no table has


@dataclass(frozen=True, slots=True)
class LoadedWeights:
    """Weights under our names and in our layout, and their source."""

    state: dict[str, Tensor]
    source: str
    unknown: list[str]  # names that are not in the source's table
    conventions: SourceConventions | None  # None: ours, as in the config


def identify(state: dict[str, Tensor], sha256: str = "") -> LoadedWeights:
    """Convert weights of any known code base to our names.

    sha256: digest of the file; it identifies published files whose frozen norms have another eps.
    """
    state = unwrap(state)
    table = find_table(state)
    if table is None:
        return LoadedWeights(state, OURS, [], None)
    converted, unknown = to_ours(table, state)
    if sha256.startswith(torchvision.EPS_ZERO):
        converted = {name: value - EPS if name.endswith("running_var") else value for name, value in converted.items()}
    return LoadedWeights(converted, table.source, unknown, select_conventions(table, converted, state))


def select_conventions(table: NameTable, ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> SourceConventions:
    """Return the conventions of one network of a source: by its kind of body, and by what the file itself states.

    ours, theirs: the same tensors under our names, and as the file has them.
    """
    conventions = table.conventions
    if is_resnext(ours):
        conventions = table.grouped
    elif has_group_norm(ours):
        conventions = table.group_normed
    return table.adapt_conventions(conventions, theirs) if table.adapt_conventions else conventions


def find_table(names: Iterable[str]) -> NameTable | None:
    """Return the table with most of the names; None if none has enough, as for weights of this code base."""
    names = list(names)
    best = max(TABLES, key=lambda table: table.count_matches(names))
    return best if best.count_matches(names) >= MIN_MATCHES * len(names) and names else None


def unwrap(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Remove the prefixes of training tools, such as `module.`, from all names."""
    for wrapper in WRAPPERS:
        inside = {name.removeprefix(wrapper): value for name, value in state.items() if name.startswith(wrapper)}
        if len(inside) > len(state) / 2:  # the rest is what the tool saves beside the model
            return unwrap(inside)
    return state


def is_resnext(state: dict[str, Tensor]) -> bool:
    """Return whether the 3x3 convolutions are grouped: each reads a part of its inputs."""
    middle = state.get("backbone.stages.0.0.conv2.weight")
    first = state.get("backbone.stages.0.0.conv1.weight")
    return middle is not None and first is not None and middle.shape[1] < first.shape[0]


def has_group_norm(state: dict[str, Tensor]) -> bool:
    """Return whether the body's norms have no statistics, as group norm."""
    return "backbone.stem.1.weight" in state and "backbone.stem.1.running_mean" not in state


def adapt_input_normalization(
    state: dict[str, Tensor], trained_on: PixelNormalization, used: PixelNormalization
) -> dict[str, Tensor]:
    """Adapt the first convolution to pixels divided by another deviation.

    Exact, because padding is zero either way. Another mean would change the border: raises ValueError, which names the
    mean to use.
    """
    if max(abs(a - b) for a, b in zip(trained_on.mean, used.mean, strict=True)) > 0.01:
        raise ValueError(
            f"these weights were trained on pixels minus {list(trained_on.mean)}, the network here subtracts "
            f"{[round(value, 4) for value in used.mean]}: set backbone.mean={_format(trained_on.mean)} "
            f"backbone.std={_format(trained_on.std)}"
        )
    ratios = [new / old for new, old in zip(used.std, trained_on.std, strict=True)]
    first = state.get(FIRST_LAYER)
    if first is None or max(abs(ratio - 1) for ratio in ratios) < 1e-6:
        return state
    return state | {FIRST_LAYER: first * first.new_tensor(ratios)[:, None, None]}


def _format(values: Iterable[float]) -> str:
    return "[" + ",".join(f"{value:g}" for value in values) + "]"
