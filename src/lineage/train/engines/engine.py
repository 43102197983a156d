"""The choice of an engine, `engine=auto|eager|compiled|graph`: it changes how fast a run is, not what it computes.

eager     operation by operation; on CUDA the layers after a convolution are one kernel (ops/layers/convolution.py)
compiled  the parts whose shapes depend on the canvas alone are compiled by torch.compile
graph     forward and backward of a step are recorded once per canvas and replayed: the host launches two graphs
auto      graph on CUDA, eager elsewhere
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Protocol

import torch
from torch import nn

from lineage.structures import Detections, Images, Losses, Targets
from lineage.train.engines.step_graph import GraphEngine

ENGINES = ("auto", "eager", "compiled", "graph")
COMPILED_PARTS = ("backbone", "neck", "body")  # names of modules, wherever they are in a model
MAX_SHAPES = 64  # that torch.compile may specialize a part for


class UnknownEngine(ValueError):
    """Error for a name that is not in ENGINES."""


class Detector(Protocol):
    def losses(self, images: Images, targets: Targets) -> Losses: ...

    def detect(self, images: Images) -> Detections: ...

    def parameters(self) -> Iterator[nn.Parameter]: ...


class Engine(Protocol):
    """Runs the two functions of a model. `description`: the choice and its reason, printed before a run starts."""

    description: str

    def losses(self, images: Images, targets: Targets) -> Losses: ...

    def detect(self, images: Images) -> Detections: ...


class EagerEngine:
    """Operation by operation."""

    def __init__(self, model: Detector, description: str = "eager") -> None:
        self.model, self.description = model, description

    def losses(self, images: Images, targets: Targets) -> Losses:
        return self.model.losses(images, targets)

    def detect(self, images: Images) -> Detections:
        return self.model.detect(images)


def make_engine(
    name: str,
    model: nn.Module,
    device: torch.device,
    *,
    detect_anomaly: bool = False,
    computes_twice: bool = False,
    sharded: bool = False,
) -> Engine:
    """Prepare a model for a device and return the engine, or the eager one with the reason why it has to be that.

    computes_twice: blocks of the model are computed again in the backward pass.
    sharded: weights are split over processes.

    Raises UnknownEngine if the name is not one of ENGINES.
    """
    if name not in ENGINES:
        raise UnknownEngine(f"engine={name} is unknown; choose one of {', '.join(ENGINES)}")
    if sharded:
        return EagerEngine(model, "eager, weights split over processes")
    if device.type == "cuda":
        model.to(memory_format=torch.channels_last)  # the layout of matrix units
    if name == "compiled":
        return EagerEngine(model, f"compiled: {', '.join(compile_parts(model)) or 'no part'}; the first steps are slow")
    if name == "eager" or (name == "auto" and device.type != "cuda"):
        return EagerEngine(model, "eager, blocks computed twice" if computes_twice else "eager")
    if reason := explain_refusal(device, detect_anomaly, computes_twice):
        return EagerEngine(model, f"eager: {reason}")
    return GraphEngine(model)


def explain_refusal(device: torch.device, detect_anomaly: bool, computes_twice: bool) -> str | None:
    """Return why a step cannot be a CUDA graph here, or None."""
    if device.type != "cuda":
        return f"engine=graph needs CUDA, and this run is on {device.type}"
    if detect_anomaly:
        return "trainer.detect_anomaly=true reads every gradient, which a CUDA graph cannot"
    if computes_twice:
        return "activation_checkpointing=true runs the body in the backward pass, which no CUDA graph was tried with"
    return None


def compile_parts(model: nn.Module) -> list[str]:
    """Let torch.compile specialize the parts of a model at their first call; return their names."""
    logging.getLogger("torch.utils.cpp_extension").addFilter(is_useful)
    config = torch._dynamo.config
    config.recompile_limit = max(config.recompile_limit, MAX_SHAPES)
    parts = [name for name, _ in model.named_modules() if name.rpartition(".")[2] in COMPILED_PARTS]
    for name in parts:
        model.get_submodule(name).compile(dynamic=False)
    return parts


def is_useful(record: logging.LogRecord) -> bool:
    """Return whether a warning of torch.compile is not that of a machine with CUDA's compiler and without a GPU."""
    return "No CUDA runtime is found" not in str(record.msg)
