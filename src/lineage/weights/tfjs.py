"""TensorFlow.js layers models: `model.json` names the tensors, shards beside it hold their bytes.

Only the data is read; the topology is the caller's. Keras' kernels are (height, width, inputs, outputs), those of
depthwise convolutions (height, width, channels, multiplier).
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lineage.weights.readers import FileError


def tensors(folder: Path) -> dict[str, Tensor]:
    """Every tensor of a model by its name there, in its layout there.

    `folder` holds model.json, or is that file. Raises FileError if a shard is missing, too short or not float32.
    """
    index = folder if folder.suffix == ".json" else folder / "model.json"
    try:
        groups = json.loads(index.read_text(encoding="utf-8"))["weightsManifest"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(f"{index}: not the model.json of a TensorFlow.js layers model ({error})") from error
    found: dict[str, Tensor] = {}
    for group in groups:
        found |= _group(index.parent, group)
    return found


def _group(folder: Path, group: dict[str, list[Any]]) -> dict[str, Tensor]:
    try:
        content = bytearray().join((folder / path).read_bytes() for path in group["paths"])
    except OSError as error:
        raise FileError(f"{error.filename}: this shard of the model is missing or unreadable") from error
    found, start = {}, 0
    for weight in group["weights"]:
        if weight["dtype"] != "float32" or "quantization" in weight:
            raise FileError(f"{folder}: {weight['name']} is {weight['dtype']}; only plain float32 is read")
        count = math.prod(weight["shape"])
        if start + 4 * count > len(content):
            raise FileError(f"{folder / group['paths'][-1]}: cut off inside {weight['name']}; fetch it again")
        flat = torch.frombuffer(content, dtype=torch.float32, count=count, offset=start)
        found[weight["name"]] = flat.reshape(weight["shape"]).clone()
        start += 4 * count
    return found


NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def mobilenet_v1(folder: str, blocks: int) -> dict[str, Tensor]:
    """The body of a Keras MobileNetV1 under the names of models.mobilenet; its classifier is left out."""
    given = tensors(Path(folder))
    state: dict[str, Tensor] = {}
    places = [("conv1", "blocks.0.0.convolution", "blocks.0.1")]
    for block in range(1, blocks):
        places.append((f"conv_dw_{block}", f"blocks.{block}.0.convolution", f"blocks.{block}.1"))
        places.append((f"conv_pw_{block}", f"blocks.{block}.3", f"blocks.{block}.4"))
    for layer, convolution, norm in places:
        for kernel, order in (("kernel", (3, 2, 0, 1)), ("depthwise_kernel", (2, 3, 0, 1))):
            if f"{layer}/{kernel}" in given:
                state[f"{convolution}.weight"] = given[f"{layer}/{kernel}"].permute(order).contiguous()
        names = ((f"{layer}_bn/{theirs}", f"{norm}.{ours}") for theirs, ours in NORM.items())
        state |= {ours: given[theirs] for theirs, ours in names if theirs in given}
    return state
