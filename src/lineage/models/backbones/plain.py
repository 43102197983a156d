"""Plain networks, the bodies before ResNet: convolutions one after the other, then fc6 and fc7 on each region.

Fast R-CNN (arXiv:1504.08083), section 2.2, cuts an ImageNet classifier at its last pooling layer: what is before it
becomes the backbone, RoI pooling takes its place, and the two fully connected layers after it become the head's body.
Layers carry the names of their Caffe prototxt, so that "train conv3_1 and up" (section 4.5) means the same here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import torch
from torch import Tensor, nn

from lineage.models.backbones.init import msra, xavier
from lineage.models.backbones.norm import get_norm
from lineage.models.backbones.normalize import Normalize
from lineage.structures import Images
from lineage.weights.pretrained import LATER, WeightsError, load_backbone_state

ORDERS = ("rgb", "bgr")


def convolution(
    name: str,
    inputs: int,
    outputs: int,
    kernel: int,
    *,
    norm: str | None,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
) -> dict[str, nn.Module]:
    """Return convN and its ReLU, with a norm between them if training starts from scratch (the papers have none)."""
    between = {name.replace("conv", "bn"): get_norm(norm)(outputs)} if norm else {}
    layer = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, groups=groups)
    return {name: layer, **between, name.replace("conv", "relu"): nn.ReLU()}  # fmt: skip


class FullyConnected(nn.Sequential):
    """fc6 and fc7 with dropout: [R, C, s, s] -> [R, widths[-1]]"""

    def __init__(self, inputs: int, *, widths: Sequence[int], dropout: float):
        layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        for number, (before, after) in enumerate(zip([inputs, *widths], widths, strict=False), 6):
            layers[f"fc{number}"] = nn.Linear(before, after)
            layers[f"relu{number}"] = nn.ReLU()
            layers[f"drop{number}"] = nn.Dropout(dropout)
        super().__init__(layers)
        self.channels = widths[-1]
        xavier(*(layer for layer in self if isinstance(layer, nn.Linear)))


@dataclass(frozen=True, slots=True)
class Classifier:
    """fc6 and fc7 of a plain network: the body of a box head, and no part of the backbone."""

    pretrained: FullyConnected  # reads `size` x `size` bins
    channels: int  # of the last map
    size: int
    widths: Sequence[int]
    dropout: float

    def body(self, bins: int) -> FullyConnected:
        """Return fc6 and fc7 for regions of `bins` bins: the pretrained layers if they read so many, else new ones."""
        if bins == self.size**2:
            return self.pretrained
        return FullyConnected(self.channels * bins, widths=self.widths, dropout=self.dropout)


class PlainBackbone(nn.Module):
    """The convolutions of a plain network: one map at the stride of the last one.

    `channel_order` is that of the pretrained weights, rgb or bgr. `classifier` is kept for the box head that is
    built on this backbone; its parameters are not the backbone's.
    """

    def __init__(self, trunk: nn.Sequential, classifier: Classifier, *, normalize: Normalize, channel_order: str):
        super().__init__()
        if channel_order not in ORDERS:
            raise ValueError(f"backbone.channel_order={channel_order} is unknown; choose one of {', '.join(ORDERS)}")
        self.normalize, self.channel_order = normalize, channel_order
        self.trunk, self.channels, self.classifier = trunk, [classifier.channels], classifier

    def forward(self, images: Images) -> list[Tensor]:
        """-> one map [B, channels[0], H / stride, W / stride]"""
        pixels = self.normalize(images)
        return [self.trunk(pixels.flip(1) if self.channel_order == "bgr" else pixels)]

    def list_layers(self) -> list[nn.Module]:
        """Return the convolutions, from the pixels to the map."""
        return [layer for layer in self.trunk if isinstance(layer, nn.Conv2d)]


class PlainOptions(TypedDict):
    """Keywords that all plain networks have, as configs give them."""

    size: int  # side of the region that fc6 was trained on, in bins
    fc: Sequence[int]  # widths of fc6 and fc7
    dropout: float
    first_trained: str  # name of the first layer that is trained; those before it are frozen
    weights: str | None
    channel_order: str  # of the weights: rgb or bgr
    mean: Sequence[float]  # RGB, whatever the order
    std: Sequence[float]


def plain_backbone(
    layers: Mapping[str, nn.Module],
    translate: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    options: PlainOptions,
) -> PlainBackbone:
    """Build backbone and classifier of a plain network, load their weights, freeze the first layers.

    layers: the convolutional part by Caffe's names.
    translate: state dict of a file -> the names of `layers`, fc6 and fc7.
    """
    size, fc, dropout, weights = options["size"], options["fc"], options["dropout"], options["weights"]
    trunk = nn.Sequential(OrderedDict(layers))
    convolutions = [layer for layer in trunk if isinstance(layer, nn.Conv2d)]
    msra(*convolutions)
    channels = convolutions[-1].out_channels
    pretrained = FullyConnected(channels * size**2, widths=fc, dropout=dropout)
    if weights is not None and weights != LATER:
        _load_weights(trunk, pretrained, translate(load_backbone_state(weights)), weights)
    _freeze(trunk, pretrained, options["first_trained"], weights)
    classifier = Classifier(pretrained, channels, size, tuple(fc), dropout)
    normalize = Normalize(options["mean"], options["std"])
    return PlainBackbone(trunk, classifier, normalize=normalize, channel_order=options["channel_order"])


def remove_padding(trunk: nn.Sequential, names: Sequence[str]) -> nn.Sequential:
    """Set the padding of the named layers to 0, in place. Raises ValueError if the network has no such layer."""
    layers = dict(trunk.named_children())
    for name in names:
        if not hasattr(layers.get(name), "padding"):
            padded = [path for path, layer in layers.items() if hasattr(layer, "padding")]
            raise ValueError(f"{name} is not a layer with padding; choose from {', '.join(padded)}")
        layers[name].padding = (0, 0)
    return trunk


def _load_weights(trunk: nn.Module, classifier: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Load layers by Caffe's names. fc6 and fc7 stay new if the file has no classifier or one of another size."""
    missing = [name for name in trunk.state_dict() if name not in state and ".num_batches" not in name]
    if missing:
        raise WeightsError(f"backbone.weights={source} lacks {', '.join(missing[:6])}: it is of another network")
    trunk.load_state_dict({name: state[name] for name in trunk.state_dict() if name in state})
    own = classifier.state_dict()
    fitting = {name: state[name] for name in own if name in state and state[name].shape == own[name].shape}
    finite = {name: value for name, value in fitting.items() if torch.isfinite(value).all()}
    classifier.load_state_dict(finite, strict=False)


def _freeze(trunk: nn.Sequential, classifier: nn.Sequential, first_trained: str, weights: str | None) -> None:
    """Freeze every layer before `first_trained`."""
    layers = dict([*trunk.named_children(), *classifier.named_children()])
    names = [name for name, layer in layers.items() if isinstance(layer, nn.Conv2d | nn.Linear)]
    if first_trained not in names:
        raise ValueError(f"backbone.first_trained={first_trained} is no layer; choose one of {', '.join(names)}")
    if weights is None and first_trained != names[0]:
        raise WeightsError(
            f"backbone.weights=null with backbone.first_trained={first_trained}: layers that were never trained would "
            "stay as they are. Start from pretrained weights (the option's own, where it names any, or "
            f"backbone.weights=FILE), or train from scratch with backbone.first_trained={names[0]} backbone.norm=gn32"
        )
    for name, layer in layers.items():
        if name == first_trained:
            return
        layer.requires_grad_(False)
