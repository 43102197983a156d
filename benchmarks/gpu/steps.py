"""Steps to time: training and inference of our models and of torchvision's Mask R-CNN."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torchvision
from benchmarks.gpu.scene import CANVAS, CLASSES, DEVICE, OBJECTS, SLOTS, as_lists, scene
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor, nn

import lineage.config.schema  # noqa: F401  (registers the schema)
from lineage.structures import Detections
from lineage.train.detection_module import combine_losses
from lineage.train.engines.engine import make_engine
from lineage.train.optimizer import sgd

ROOT = Path(__file__).parents[2]
SOLVER = {"lr": 1e-9, "momentum": 0.9, "weight_decay": 1e-4}  # so small that proposals stay


def build(model: str, *overrides: str) -> nn.Module:
    """Return one of our models at the papers' size with random weights."""
    defaults = ("tier=paper", "dataset=coco", f"dataset.classes={CLASSES}", "backbone.weights=later")
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", overrides=[f"model={model}", *defaults, *overrides])
    torch.manual_seed(0)
    return instantiate(config.model, _convert_="all")


class OurTraining:
    """A step as the trainer takes it: losses, gradients, SGD."""

    def __init__(
        self,
        images: int,
        *,
        engine: str,
        model: str = "mask_rcnn",
        overrides: Sequence[str] = (),
        bf16: bool = True,
        canvas: tuple[int, int] = CANVAS,
        objects: int = OBJECTS,
        slots: int = SLOTS,
        classes: int = CLASSES,
    ) -> None:
        self.model = build(model, f"dataset.classes={classes}", *overrides).to(DEVICE).train()
        self.engine = make_engine(engine, self.model, DEVICE)
        self.optimizer = sgd(self.model, **SOLVER, norm_decay=0.0, bias_lr_factor=1.0, bias_decay=1e-4)
        self.inputs = scene(images, canvas, objects, slots, classes)
        self.bf16 = bf16

    def compute_gradients(self) -> Tensor:
        """Return the means of the losses; the gradients are in the parameters."""
        with torch.autocast(DEVICE.type, dtype=torch.bfloat16, enabled=self.bf16):
            loss, means, _ = combine_losses(self.engine.losses(*self.inputs))
        loss.backward()
        return means

    def __call__(self) -> None:
        self.compute_gradients()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


class TheirTraining:
    """The same step of torchvision's Mask R-CNN, its norms frozen as ours."""

    def __init__(self, images: int, *, bf16: bool = True, channels_last: bool = False) -> None:
        torch.manual_seed(0)
        self.model = torchvision.models.detection.maskrcnn_resnet50_fpn(
            weights=None, weights_backbone=None, num_classes=CLASSES + 1, min_size=CANVAS[0], max_size=CANVAS[1],
            norm_layer=torchvision.ops.FrozenBatchNorm2d, trainable_backbone_layers=3,
        ).to(DEVICE).train()  # fmt: skip
        for name, parameter in self.model.backbone.body.named_parameters():
            if name.startswith(("conv1", "bn1", "layer1")):
                parameter.requires_grad_(False)
        if channels_last:
            self.model.to(memory_format=torch.channels_last)
        trainable = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.SGD(trainable, **SOLVER)
        self.pictures, self.targets = as_lists(*scene(images))
        self.bf16 = bf16

    def __call__(self) -> None:
        with torch.autocast(DEVICE.type, dtype=torch.bfloat16, enabled=self.bf16):
            losses = self.model(list(self.pictures), [dict(target) for target in self.targets])
            loss = sum(losses.values())
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def our_inference(model: nn.Module, images: int, engine: str, bf16: bool = True) -> Callable[[], Detections]:
    """Return the detection of a batch, masks as they leave the network."""
    model.to(DEVICE).eval()
    runner = make_engine(engine, model, DEVICE)
    inputs, _ = scene(images)

    def run() -> Detections:
        with torch.inference_mode(), torch.autocast(DEVICE.type, dtype=torch.bfloat16, enabled=bf16):
            return runner.detect(inputs)

    return run


def their_inference(model: nn.Module, images: int, bf16: bool = True) -> Callable[[], Any]:
    """Return the detection of a batch, masks pasted into their images."""
    model.to(DEVICE).eval()
    pictures, _ = as_lists(*scene(images))

    def run() -> Any:
        with torch.inference_mode(), torch.autocast(DEVICE.type, dtype=torch.bfloat16, enabled=bf16):
            return model(pictures)

    return run
