"""Plain networks, the bodies before ResNet: convolutions one after the other, then fc6 and fc7 on each region.

Fast R-CNN (arXiv:1504.08083), section 2.2, cuts an ImageNet classifier at its last pooling layer: what is before it
becomes the backbone, RoI pooling takes its place, and the two fully connected layers after it become the head's body.
Layers carry the names of their Caffe prototxt, so that "train conv3_1 and up" (section 4.5) says the same here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from lineage.models.backbones import norm as norms
from lineage.models.backbones.init import msra, xavier
from lineage.models.backbones.resnet import Normalize
from lineage.structures import Images
from lineage.weights.pretrained import LATER, WeightsError, load

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
    """convN, its ReLU and, as these networks never had but training from scratch needs, a norm between the two."""
    between = {name.replace("conv", "bn"): norms.norm(norm)(outputs)} if norm else {}
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


class Plain(nn.Module):
    """One map at the stride of the last convolution; `head` is the pretrained body of a box head.

    `order` is that of the colours the weights were trained on; `mean` and `std` are RGB whatever the order.
    """

    def __init__(
        self,
        layers: Mapping[str, nn.Module],
        *,
        size: int,
        fc: Sequence[int],
        dropout: float,
        first_trained: str,
        weights: str | None,
        translate: Callable[[dict[str, Tensor]], dict[str, Tensor]],
        order: str,
        mean: Sequence[float],
        std: Sequence[float],
    ):
        super().__init__()
        if order not in ORDERS:
            raise ValueError(f"backbone.order={order} is unknown; choose one of {', '.join(ORDERS)}")
        self.normalize, self.order = Normalize(mean, std), order
        self.trunk = nn.Sequential(OrderedDict(layers))
        convolutions = [layer for layer in self.trunk if isinstance(layer, nn.Conv2d)]
        msra(*convolutions)
        self.channels, self.size, self.widths, self.dropout = [convolutions[-1].out_channels], size, tuple(fc), dropout
        head = FullyConnected(self.channels[0] * size**2, widths=fc, dropout=dropout)
        if weights not in (None, LATER):
            _adopt(self.trunk, head, translate(load(weights)), weights)
        _freeze(self.trunk, head, first_trained, weights)
        self._head = (head,)  # in a tuple, which registers nothing: it belongs to the box head that takes it

    def forward(self, images: Images) -> list[Tensor]:
        """-> one map [B, channels[0], H / stride, W / stride]"""
        pixels = self.normalize(images)
        return [self.trunk(pixels.flip(1) if self.order == "bgr" else pixels)]

    def head(self, bins: int) -> FullyConnected:
        """fc6 and fc7 for regions of so many bins; other than the pretrained `size` x `size`, they start afresh."""
        if bins == self.size**2:
            return self._head[0]
        return FullyConnected(self.channels[0] * bins, widths=self.widths, dropout=self.dropout)


def _adopt(trunk: nn.Module, head: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Layers by Caffe's names. Some published files have no classifier: then fc6 and fc7 start afresh."""
    missing = [name for name in trunk.state_dict() if name not in state and ".num_batches" not in name]
    if missing:
        raise WeightsError(f"backbone.weights={source} lacks {', '.join(missing[:6])}: it is of another network")
    trunk.load_state_dict({name: state[name] for name in trunk.state_dict() if name in state})
    own = head.state_dict()
    fitting = {name: state[name] for name in own if name in state and state[name].shape == own[name].shape}
    head.load_state_dict({name: value for name, value in fitting.items() if torch.isfinite(value).all()}, strict=False)


def _freeze(trunk: nn.Sequential, head: nn.Sequential, first_trained: str, weights: str | None) -> None:
    """Everything before `first_trained` stays as it came."""
    layers = dict([*trunk.named_children(), *head.named_children()])
    names = [name for name, layer in layers.items() if isinstance(layer, nn.Conv2d | nn.Linear)]
    if first_trained not in names:
        raise ValueError(f"backbone.first_trained={first_trained} is no layer; choose one of {', '.join(names)}")
    if weights is None and first_trained != names[0]:
        raise WeightsError(
            f"backbone.weights=null with backbone.first_trained={first_trained}: layers that were never trained would "
            "stay as they are. Start from pretrained weights (the option's own, where it names any, or "
            f"backbone.weights=FILE), or train from scratch with backbone.first_trained={names[0]} backbone.norm=gn"
        )
    for name, layer in layers.items():
        if name == first_trained:
            return
        layer.requires_grad_(False)
