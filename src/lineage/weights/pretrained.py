"""Pretrained weights: a file, a URL, or the name of a torchvision weight; of whatever code base.

A backbone of stages asks with `adopt`; a plain network with `load`, and gets Caffe's layer names.
"""

from __future__ import annotations

from pathlib import Path

import torchvision
from torch import Tensor, nn

from lineage.weights.cache import checked, fetch
from lineage.weights.download import DownloadError
from lineage.weights.identify import Given, repainted, understood
from lineage.weights.readers import FileError, digest, read
from lineage.weights.safe_pickle import UnsafePickle
from lineage.weights.sources.table import Pixels

LATER = "later"  # in place of weights: the whole model's follow, so a backbone need not fetch its own


class WeightsError(Exception):
    """Weights that cannot be had, or are needed; the message says which and what to do."""


def check_start(norm: str, frozen_stages: int, weights: str | None) -> None:
    """Norm and freezing follow the initialisation: what never learns has to have learnt before."""
    if weights is None and (norm == "frozen_bn" or frozen_stages > 0):
        raise WeightsError(
            f"backbone.weights=null with backbone.norm={norm} and backbone.frozen_stages={frozen_stages}: layers that "
            "were never trained would stay as they are. Start from pretrained weights (the option's own, where it "
            "names any, or backbone.weights=FILE), or train from scratch with backbone.norm=gn backbone.frozen_stages=0"
        )


def adopt(body: nn.Module, weights: str, pixels: Pixels, *, fresh: tuple[str, ...] = ()) -> None:
    """Load what a body of stages needs, from a classifier or a detector of any code base.

    `fresh` are parts of names of what no published weights have and may start anew. WeightsError as `load`, and when
    the weights are another network's.
    """
    if weights == LATER:
        return
    own, given = body.state_dict(), load(weights, pixels)
    wanted = [name for name in own if not any(part in name for part in (*fresh, ".num_batches_tracked"))]
    if lacking := [name for name in wanted if name not in given or given[name].shape != own[name].shape]:
        raise WeightsError(
            f"backbone.weights={weights} are of another network: {len(lacking)} of {len(wanted)} tensors are not there "
            f"or have another shape, {', '.join(lacking[:3])} among them"
        )
    body.load_state_dict(given, strict=False)


def load(weights: str, pixels: Pixels | None = None) -> dict[str, Tensor]:
    """The state dict of a backbone. `pixels` are those it will see; another deviation moves into its first layer.

    Raises WeightsError when the file is missing, holds no weights or expects other pixels, or cannot be downloaded.
    """
    if weights == LATER:
        return {}
    path = locate(weights)
    raw = content(path)
    given = understood(raw, digest(path))
    if not any(name.startswith("backbone.stages.") for name in given.state):
        return raw  # a plain network, or one that only its own class knows
    if pixels is not None and given.maths is not None:
        try:
            given = given._replace(state=repainted(given.state, given.maths.pixels, pixels))
        except ValueError as error:
            raise WeightsError(f"backbone.weights={weights}: {error}") from error
    inside = "backbone."
    return {name.removeprefix(inside): one for name, one in given.state.items() if name.startswith(inside)}


def whole(weights: str, sha256: str | None = None) -> Given:
    """Weights of a detector or a part of one, under our names; errors as `load`."""
    path = locate(weights, sha256)
    return understood(content(path), digest(path))


def content(path: Path) -> dict[str, Tensor]:
    """Names and tensors as the file has them."""
    try:
        return read(path)
    except (FileError, UnsafePickle) as error:
        raise WeightsError(str(error)) from error


def locate(weights: str, sha256: str | None = None) -> Path:
    """A local file. `...#sha256=HEX` after a path or a URL asks for this content, as `sha256` does."""
    source, _, fragment = weights.partition("#sha256=")
    expected = sha256 or fragment or None
    try:
        if "_Weights." in source:
            return fetch(_published(source), expected)
        if "://" in source:
            return fetch(source, expected)
        path = Path(source)
        if not path.is_file():
            raise WeightsError(f"weights {weights}: no such file, and no torchvision weight is called that")
        return checked(path, expected)
    except DownloadError as error:
        scratch = "" if "_Weights." not in source else (
            ", or train from scratch with backbone.weights=null backbone.norm=gn backbone.frozen_stages=0"
        )  # fmt: skip
        raise WeightsError(f"weights {weights}: {error}{scratch}") from error


def _published(weights: str) -> str:
    try:
        return str(torchvision.models.get_weight(weights).url)
    except (ValueError, KeyError) as error:
        raise WeightsError(f"weights {weights}: torchvision has no such weight ({error})") from error
