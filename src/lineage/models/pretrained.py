"""Pretrained weights: a file, or the name of a torchvision weight that is downloaded once."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from urllib.error import URLError

import torch
import torchvision
from torch import Tensor


class WeightsError(Exception):
    """Weights that cannot be had; the message says which and what to do."""


def load(weights: str) -> dict[str, Tensor]:
    """`weights` is a path, or a name like ResNet50_Weights.IMAGENET1K_V1 -> its state dict.

    Raises WeightsError when the file is missing or no state dict, or when the download fails.
    """
    if "_Weights." in weights:
        return _download(weights)
    path = Path(weights)
    if not path.is_file():
        raise WeightsError(f"weights {weights}: no such file, and no torchvision weight is called that")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)  # never runs code from the file
    except (OSError, RuntimeError, UnpicklingError, EOFError) as error:
        reason = str(error).partition("\n")[0]
        raise WeightsError(f"{path}: not a file of weights, or cut off ({reason})") from error
    state = state.get("state_dict", state.get("model", state)) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path} holds no state dict (a dict of tensors)")
    return state


def _download(weights: str) -> dict[str, Tensor]:
    try:
        chosen = torchvision.models.get_weight(weights)
    except ValueError as error:
        raise WeightsError(f"backbone.weights={weights}: torchvision has no such weight ({error})") from error
    try:
        return dict(chosen.get_state_dict(progress=True, check_hash=True))
    except (URLError, OSError) as error:
        raise WeightsError(
            f"backbone.weights={weights} could not be downloaded ({error}). Without a network, copy the file\n"
            f"  {chosen.url}\nhere and pass backbone.weights=<its path>, or train from scratch with "
            "backbone.weights=null backbone.norm=gn backbone.frozen_stages=0"
        ) from error
