"""Pretrained weights: a file, a URL, or the name of a torchvision weight; of any known code base.

A backbone of stages calls `load_backbone`; a plain network calls `load_backbone_state` and gets Caffe's layer names.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import torchvision
from torch import Tensor, nn

from lineage.results.file_digest import compute_sha256
from lineage.weights.arrays import FileError
from lineage.weights.cache import fetch, verify_digest
from lineage.weights.catalog import CATALOG, PUBLISHED, find_conventions, resolve_url
from lineage.weights.download import DownloadError
from lineage.weights.identify import LoadedWeights, adapt_input_normalization, identify
from lineage.weights.readers import read_tensors
from lineage.weights.safe_pickle import UnsafePickle
from lineage.weights.sources.table import PixelNormalization, SourceConventions

log = logging.getLogger(__name__)

STRIDE = "backbone.stride_in="
LATER = "later"  # in place of weights: those of the whole model follow, so a backbone need not fetch its own


class WeightsError(Exception):
    """Weights that are needed and cannot be loaded; the message names them and the remedy."""


def check_start(norm: str, frozen_stages: int, weights: str | None) -> None:
    """Raise WeightsError if layers would be frozen that were never trained."""
    if weights is None and (norm == "frozen_bn" or frozen_stages > 0):
        raise WeightsError(
            f"backbone.weights=null with backbone.norm={norm} and backbone.frozen_stages={frozen_stages}: layers that "
            "were never trained would stay as they are. Start from pretrained weights (the option's own, where it "
            "names any, or backbone.weights=FILE), or train from scratch with "
            "backbone.norm=gn32 backbone.frozen_stages=0"
        )


def check_stride(stride_in: str, weights: str | None, conventions: SourceConventions | None = None) -> None:
    """Raise WeightsError if weights were trained with the stride in another convolution of the bottlenecks.

    conventions: of the file; without them, those that the address states.
    """
    conventions = find_conventions(weights or "") or conventions
    if conventions is None:
        return
    trained = next((text for text in conventions.settings if text.startswith(STRIDE)), f"{STRIDE}3x3")
    if trained != f"{STRIDE}{stride_in}":
        msra = "detectron2://ImageNetPretrained/MSRA/R-50.pkl (or R-101)"
        other = f", or take weights of MSRA, backbone.weights={msra} backbone.std=[1,1,1]" if stride_in == "1x1" else ""
        raise WeightsError(
            f"backbone.weights={weights} were trained with {trained}, the network here has {STRIDE}{stride_in}: no "
            f"published model is that. Set {trained}{other}"
        )


def load_backbone(
    body: nn.Module,
    weights: str,
    pixels: PixelNormalization,
    *,
    optional: tuple[str, ...] = (),
    stride_in: str | None = None,
) -> None:
    """Load weights of a classifier or a detector into a body of stages.

    optional: parts of the names of tensors that published weights lack.
    stride_in: where the bottlenecks of the body stride, if it has any.
    Raises WeightsError as load_backbone_state does, and if the weights are another network's. Logs what is unused.
    """
    if weights == LATER:
        return
    own = body.state_dict()
    state = load_backbone_state(weights, pixels, stride_in)
    required = [name for name in own if not any(text in name for text in (*optional, ".num_batches_tracked"))]
    if lacking := [name for name in required if name not in state or state[name].shape != own[name].shape]:
        raise WeightsError(
            f"backbone.weights={weights} are of another network: {len(lacking)} of {len(required)} tensors are not "
            f"there or have another shape, {', '.join(lacking[:3])} among them"
        )
    unused = [name for name in state if name not in own and not name.endswith(".num_batches_tracked")]
    if unused:
        names = ", ".join(unused[:3]) + (", ..." if len(unused) > 3 else "")
        log.warning(f"backbone.weights={weights}: not in this body, so left out ({len(unused)}): {names}")
    body.load_state_dict(state, strict=False)


def load_backbone_state(
    weights: str, pixels: PixelNormalization | None = None, stride_in: str | None = None
) -> dict[str, Tensor]:
    """Return the state dict of a backbone; if its `pixels` have another deviation, the first layer is adapted.

    Raises WeightsError if the file is missing, holds no weights, needs other pixels or another stride, or cannot be
    downloaded.
    """
    if weights == LATER:
        return {}
    if stride_in is not None:
        check_stride(stride_in, weights)
    path = locate(weights)
    raw = read_state(path)
    loaded = identify(raw, compute_sha256(path))
    if not any(name.startswith("backbone.stages.") for name in loaded.state):
        return raw  # a plain network or a MobileNet, whose class translates the names itself
    if stride_in is not None:
        check_stride(stride_in, weights, loaded.conventions)
    conventions = find_conventions(weights) or loaded.conventions
    if pixels is not None and conventions is not None:
        try:
            state = adapt_input_normalization(loaded.state, conventions.pixels, pixels)
        except ValueError as error:
            raise WeightsError(f"backbone.weights={weights}: {error}") from error
        loaded = replace(loaded, state=state)
    prefix = "backbone."
    return {name.removeprefix(prefix): value for name, value in loaded.state.items() if name.startswith(prefix)}


def load_full(weights: str, sha256: str | None = None) -> LoadedWeights:
    """Load weights of a detector or a part of one, under our names. Raises WeightsError as load_backbone_state does."""
    path = locate(weights, sha256)
    return identify(read_state(path), compute_sha256(path))


def read_state(path: Path) -> dict[str, Tensor]:
    """Return names and tensors as the file has them. Raises WeightsError if it is not a file of weights."""
    try:
        return read_tensors(path)
    except (FileError, UnsafePickle) as error:
        raise WeightsError(str(error)) from error


def locate(weights: str, sha256: str | None = None) -> Path:
    """Return a local file, downloaded if need be. `...#sha256=HEX` after a path or URL is the same as `sha256`."""
    source, _, fragment = weights.partition("#sha256=")
    expected = sha256 or fragment or None
    try:
        if "_Weights." in source:
            return fetch(_torchvision_url(source), expected)
        if "://" in source:
            return fetch(_resolve_published(source), expected)
        path = Path(source)
        if not path.is_file():
            raise WeightsError(f"weights {weights}: no such file, and no torchvision weight is called that")
        return verify_digest(path, expected)
    except DownloadError as error:
        scratch = "" if "_Weights." not in source else (
            ", or train from scratch with backbone.weights=null backbone.norm=gn32 backbone.frozen_stages=0"
        )  # fmt: skip
        raise WeightsError(f"weights {weights}: {error}{scratch}") from error


def _resolve_published(weights: str) -> str:
    try:
        return resolve_url(weights)
    except KeyError as error:
        names = ", ".join(f"{CATALOG}{name}" for name in PUBLISHED)
        raise WeightsError(f"weights {weights}: no such weights in detectron2's catalog; it has {names}") from error


def _torchvision_url(weights: str) -> str:
    try:
        return str(torchvision.models.get_weight(weights).url)
    except (ValueError, KeyError) as error:
        raise WeightsError(f"weights {weights}: torchvision has no such weight ({error})") from error
