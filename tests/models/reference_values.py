"""Losses, gradients and detections of models on fixed weights and images; `python -m tests.models.reference_values`
writes them again.

What a model computes is a part of what its rows mean: entries of earlier commits are compared with those of later ones.
A change that moves a number of reference_values.json changes the experiment; the commit that moves it gives the reason.
Weights come from NumPy's generators and everything is float64, so that the numbers are those of any CPU.
"""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from lightning_utilities.core.apply_func import apply_to_collection
from omegaconf import OmegaConf
from torch import Tensor, nn

from lineage.config.build import build
from lineage.structures import Detections, Losses
from tests.models import compose, scenes

FILE = Path(__file__).with_suffix(".json")
SIZE = (64, 64)
BASES = {  # an option of a group -> the models that it is tried on
    "roi": ["mask_rcnn"], "classification": ["faster_rcnn"], "regression": ["faster_rcnn", "retinanet"],
    "suppression": ["faster_rcnn"], "upsampling": ["centernet"],
}  # fmt: skip
AS_OTHERS = (  # names of other options, or what the models above have, or not for them
    "deepmark", "paper", "mini", "smoke", "none", "align", "softmax", "smooth_l1_ninth", "greedy", "aggregation_mini",
)  # fmt: skip
BACKBONES = {  # a model -> the bodies that it is tried on
    "faster_rcnn": ["mini_deep", "mini_next", "mini_next_deep", "regnetx_mini", "regnety_mini"],
    "faster_rcnn_vgg": ["zf_mini", "vgg_m_mini", "caffenet_mini"],
    "centernet": ["dla_mini", "hourglass_mini upsampling=none"],
}


def list_cases() -> list[str]:
    """Return the overrides of each case."""
    cases = [f"model={name}" for name in compose.DETECTORS if name not in AS_OTHERS]
    cases += [f"model={model} backbone={name}" for model, names in BACKBONES.items() for name in names]
    for group, models in BASES.items():
        options = sorted({path.stem for path in (compose.CONF / group).glob("*.yaml")}.difference(AS_OTHERS))
        cases += [f"model={model} {group}={option}" for option in options for model in models]
    return cases


def make_model(case: str) -> nn.Module:
    config = compose.config(*case.split(), "tier=mini")
    for key in ("model.sampler.batch_size_per_image", "model.box.resample.batch_size_per_image"):
        if OmegaConf.select(config, key) is not None:
            OmegaConf.update(config, key, 16)
    model: nn.Module = build(config.model).double()
    fill(model)
    compose.keep_all(model)
    return model


@torch.no_grad()
def fill(model: nn.Module) -> None:
    """Draw every parameter: scales around 1, biases around 0, filters that keep the size of what they read."""
    for name, parameter in model.named_parameters():
        values = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(parameter.shape)
        if parameter.ndim > 1:
            values *= math.sqrt(2 / parameter[0].numel())
        else:
            values = 0.1 * values + name.endswith("weight")
        parameter.copy_(torch.from_numpy(values))


def compute(case: str) -> dict[str, float]:
    """Return sums and normalizers of the losses, the norm of their gradient, and weighted sums of what is detected."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        torch.manual_seed(0)
        model = make_model(case)
        with torch.random.fork_rng():
            images, targets = scenes.batch([SIZE, (48, 64)], [3, 2], 4, canvas=SIZE)
        images = images._replace(proposals=scenes.proposals(targets, side=SIZE[0]))
        images, targets = apply_to_collection((images, targets), Tensor, to_double)
        losses = model.train().losses(images, targets)
        values = read_losses(losses)
        values["gradient"] = measure_gradient(model, losses)
        with torch.no_grad():
            return values | summarize(model.eval().detect(images))
    finally:
        torch.set_default_dtype(default)


def to_double(value: Tensor) -> Tensor:
    """Return floats as float64, as trainer.precision=64-true does with a batch."""
    return value.double() if value.is_floating_point() else value


def read_losses(losses: Losses) -> dict[str, float]:
    """Return the sums and normalizers of losses and of their diagnostics."""
    parts = [(name, loss) for name, loss in losses.items()]
    parts += [(f"{name}/{part.name}", part) for name, loss in losses.items() for part in loss.diagnostics]
    sums = {f"{name} sum": float(part.sum.detach()) for name, part in parts}
    return sums | {f"{name} normalizer": float(part.normalizer) for name, part in parts}


def measure_gradient(model: nn.Module, losses: Losses) -> float:
    torch.stack([loss.sum / loss.normalizer.clamp(min=1) for loss in losses.values()]).sum().backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    return float(torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt())


def summarize(detections: Detections) -> dict[str, float]:
    """Return a sum of every field over the valid slots, weighted by position so that the order counts."""
    fields = {name: value for name, value in detections._asdict().items() if isinstance(value, Tensor)}
    fields |= detections.extra or {}
    valid = detections.valid
    return {name: weigh(value * fit(valid, value) if name in SLOTS else value) for name, value in fields.items()}


SLOTS = ("boxes", "scores", "labels", "proposal_index", "probabilities", "masks", "keypoints")


def fit(valid: Tensor, value: Tensor) -> Tensor:
    return valid.view(*valid.shape, *[1] * (value.ndim - 2))


def weigh(value: Tensor) -> float:
    flat = value.double().flatten()
    return float(flat @ torch.cos(torch.arange(len(flat), dtype=torch.float64)))


def main() -> None:
    FILE.write_text(json.dumps({case: compute(case) for case in list_cases()}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
