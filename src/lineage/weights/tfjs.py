"""TensorFlow.js layers models: `model.json` names the tensors, shards beside it hold their bytes.

Only the data is read, not the topology. Keras' kernels are (height, width, inputs, outputs), those of
depthwise convolutions (height, width, channels, multiplier).
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lineage.weights.arrays import FileError


def read_tfjs(folder: Path) -> dict[str, Tensor]:
    """Return every tensor of a model, under the names and in the layout of the file.

    `folder` holds model.json, or is that file. Raises FileError if a shard is missing, too short or not float32.
    """
    index = folder if folder.suffix == ".json" else folder / "model.json"
    try:
        groups = json.loads(index.read_text(encoding="utf-8"))["weightsManifest"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise FileError(f"{index}: not the model.json of a TensorFlow.js layers model ({error})") from error
    tensors: dict[str, Tensor] = {}
    for group in groups:
        tensors |= _read_group(index.parent, group)
    return tensors


def _read_group(folder: Path, group: dict[str, list[Any]]) -> dict[str, Tensor]:
    try:
        content = bytearray().join((folder / path).read_bytes() for path in group["paths"])
    except OSError as error:
        raise FileError(f"{error.filename}: this shard of the model is missing or unreadable") from error
    tensors, start = {}, 0
    for weight in group["weights"]:
        if weight["dtype"] != "float32" or "quantization" in weight:
            raise FileError(f"{folder}: {weight['name']} is {weight['dtype']}; only plain float32 is read")
        count = math.prod(weight["shape"])
        if start + 4 * count > len(content):
            raise FileError(f"{folder / group['paths'][-1]}: cut off inside {weight['name']}; fetch it again")
        flat = torch.frombuffer(content, dtype=torch.float32, count=count, offset=start)
        tensors[weight["name"]] = flat.reshape(weight["shape"]).clone()
        start += 4 * count
    return tensors


NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def read_mobilenet_v1(folder: str, blocks: int) -> dict[str, Tensor]:
    """Return the body of a Keras MobileNetV1 under the names of backbones.mobilenet, without its classifier."""
    tensors = read_tfjs(Path(folder))
    state: dict[str, Tensor] = {}
    layers = [("conv1", "blocks.0.0.convolution", "blocks.0.1")]
    for block in range(1, blocks):
        layers.append((f"conv_dw_{block}", f"blocks.{block}.0.convolution", f"blocks.{block}.1"))
        layers.append((f"conv_pw_{block}", f"blocks.{block}.3", f"blocks.{block}.4"))
    for layer, convolution, norm in layers:
        for kernel, order in (("kernel", (3, 2, 0, 1)), ("depthwise_kernel", (2, 3, 0, 1))):
            if f"{layer}/{kernel}" in tensors:
                state[f"{convolution}.weight"] = tensors[f"{layer}/{kernel}"].permute(order).contiguous()
        names = ((f"{layer}_bn/{theirs}", f"{norm}.{ours}") for theirs, ours in NORM.items())
        state |= {ours: tensors[theirs] for theirs, ours in names if theirs in tensors}
    return state
