"""Pretrained weights: a file, a URL, or the name of a torchvision weight; of whatever code base.

A backbone asks with `load` and gets torchvision's names for a ResNet, Caffe's layer names for a plain network.
"""

from __future__ import annotations

from pathlib import Path

import torchvision
from torch import Tensor

from lineage.download import DownloadError
from lineage.zoo import torchvision as names
from lineage.zoo.cache import checked, fetch
from lineage.zoo.files import FileError, digest, read
from lineage.zoo.names import Pixels, back
from lineage.zoo.source import Given, repainted, understood
from lineage.zoo.unpickle import UnsafePickle

LATER = "later"  # in place of weights: the whole model's follow, so a backbone need not fetch its own


class WeightsError(Exception):
    """Weights that cannot be had; the message says which and what to do."""


def load(weights: str, pixels: Pixels | None = None) -> dict[str, Tensor]:
    """The state dict of a backbone. `pixels` are those it will see; another deviation moves into its first layer.

    Raises WeightsError when the file is missing, holds no weights or expects other pixels, or cannot be downloaded.
    """
    if weights == LATER:
        return {}
    path = locate(weights)
    raw = content(path)
    given = understood(raw, digest(path))
    body, _ = back(names.CLASSIFICATION, given.state)
    if not body:
        return raw  # a plain network, or one that only its own class knows
    if pixels is not None and given.maths is not None:
        try:
            given = given._replace(state=repainted(given.state, given.maths.pixels, pixels))
        except ValueError as error:
            raise WeightsError(f"backbone.weights={weights}: {error}") from error
    return back(names.CLASSIFICATION, given.state)[0]


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
