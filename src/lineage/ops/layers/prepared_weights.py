"""Weights in the type that a step computes in, all prepared by a launch or two in place of one per layer.

A recorded step is small kernels too: some 150 casts and scalings of weights in a Mask R-CNN, and as many of their
gradients. So the first eager steps note which weights are asked for (UsedWeights), and a recording starts by preparing
those (PreparedWeights). Layers are not changed for it: inside `use_weights` a convolution, a product, `weight.to` and
`fold_norm` take a prepared tensor where there is one, as they would take a cast of autocast's from its cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lineage.ops.layers.kernels import FLOATS, read_compute_type, runs_kernels

if TYPE_CHECKING:
    from lineage.ops.layers.filters import FrozenNorm
    from lineage.ops.layers.prepared_weights_cuda import Casts

PRODUCTS = {F.conv1d, F.conv2d, F.conv3d, F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d, F.linear}


class Prepared(NamedTuple):
    """A weight in the type of its readers."""

    weight: Tensor  # a leaf, in the weight's order of memory; times the norm's scale
    shift: Tensor | None  # [O], of the norm


class WeightSource(Protocol):
    def find(self, weight: Tensor, norm: FrozenNorm | None, dtype: torch.dtype) -> Prepared | None: ...


_source: WeightSource | None = None


@contextmanager
def use_weights(source: WeightSource) -> Iterator[None]:
    """Let layers ask `source` for their weights."""
    global _source
    before, _source = _source, source
    try:
        with _Lookup(source):
            yield
    finally:
        _source = before


def find_prepared(weight: Tensor, norm: FrozenNorm, dtype: torch.dtype) -> Prepared | None:
    """Return what was prepared of a weight and the norm that is folded into it."""
    return None if _source is None else _source.find(weight, norm, dtype)


_lent: dict[int, Tensor] = {}  # by the id of a parameter


@contextmanager
def lend_buffers(buffers: dict[int, Tensor]) -> Iterator[None]:
    """Let a backward pass write gradients of parameters, by id, to the memory that they will be read from."""
    global _lent
    before, _lent = _lent, buffers
    try:
        yield
    finally:
        _lent = before


def take_buffer(parameter: Tensor) -> Tensor | None:
    """Return the memory that a gradient is wanted in, once: a second part is added to it by autograd."""
    return _lent.pop(id(parameter), None)


class _Lookup(TorchFunctionMode):
    """Replaces weights where autocast, or a layer of ours, would cast them."""

    def __init__(self, source: WeightSource) -> None:
        super().__init__()
        self.source = source

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in PRODUCTS:
            args = [self._find(value, None) for value in args]
            kwargs = {name: self._find(value, None) for name, value in kwargs.items()}
        elif func is Tensor.to and len(args) == 2 and not kwargs and isinstance(args[1], torch.dtype):
            weight = self._find(*args)
            return weight if weight.dtype == args[1] else func(*args)
        return func(*args, **kwargs)

    def _find(self, value: Any, dtype: torch.dtype | None) -> Any:
        """Return a weight as it was prepared, in autocast's type if none is given, and anything else as it is."""
        if not isinstance(value, nn.Parameter):
            return value
        prepared = self.source.find(value, None, dtype or read_compute_type(value))
        return value if prepared is None else prepared.weight


class Use(NamedTuple):
    """A weight as layers want it."""

    weight: nn.Parameter
    norm: FrozenNorm | None
    dtype: torch.dtype


class UsedWeights:
    """Notes which weights are asked for, and has none of them."""

    def __init__(self) -> None:
        self.uses: dict[tuple[int, torch.dtype], Use] = {}

    def find(self, weight: Tensor, norm: FrozenNorm | None, dtype: torch.dtype) -> None:
        """Note a weight; under a second norm, or both with and without, it stays with its first use."""
        key = (id(weight), dtype)
        if key not in self.uses and isinstance(weight, nn.Parameter) and _can_prepare(weight, norm, dtype):
            self.uses[key] = Use(weight, norm, dtype)

    def choose(self, dtype: torch.dtype) -> list[Use]:
        """Return the uses in a type."""
        return [use for use in self.uses.values() if use.dtype == dtype]


def _can_prepare(weight: Tensor, norm: FrozenNorm | None, dtype: torch.dtype) -> bool:
    constants = () if norm is None else norm[:4]
    return (
        dtype in FLOATS
        and (norm is not None or dtype != torch.float32)
        and runs_kernels(weight)
        and weight.is_leaf
        and 0 < weight.numel() < 2**31  # the kernel counts in 32 bits
        and (weight.is_contiguous() or weight.is_contiguous(memory_format=torch.channels_last))
        and all(x.dtype == torch.float32 for x in (weight, *constants))
        and all(x.is_contiguous() for x in constants)
    )


class PreparedWeights:
    """Weights in one type and the tensors that are prepared of them, whose memory is written anew by each `prepare`."""

    def __init__(self, uses: Sequence[Use]) -> None:
        self.uses = {id(use.weight): use for use in uses}
        with torch.inference_mode(False), torch.no_grad():
            self.prepared = {key: _reserve(use) for key, use in self.uses.items()}
        self.casts = self._plan()

    def _plan(self) -> Casts | None:
        if not self.uses:
            return None
        from lineage.ops.layers.prepared_weights_cuda import Cast, Casts  # Triton loads only where there is a GPU

        casts = Casts([use.weight for use in self.uses.values()])
        casts.plan([Cast(use.weight, self.prepared[key].weight, use.norm, self.prepared[key].shift)
                    for key, use in self.uses.items()])  # fmt: skip
        casts.write_tables()
        return casts

    def prepare(self) -> None:
        """Write all weights, as they are now; may be recorded."""
        if self.casts is not None:
            self.casts.launch()

    def find(self, weight: Tensor, norm: FrozenNorm | None, dtype: torch.dtype) -> Prepared | None:
        use = self.uses.get(id(weight))
        return self.prepared[id(weight)] if use and use.dtype == dtype and _are_same(use.norm, norm) else None

    def list_trained(self) -> list[Use]:
        """Return the uses of weights that a gradient is wanted for."""
        return [use for key, use in self.uses.items() if self.prepared[key].weight.requires_grad]


def _reserve(use: Use) -> Prepared:
    weight = torch.empty_like(use.weight, dtype=use.dtype).requires_grad_(use.weight.requires_grad)
    return Prepared(weight, None if use.norm is None else weight.new_empty(len(weight)))


def _are_same(norm: FrozenNorm | None, other: FrozenNorm | None) -> bool:
    """Return whether two norms have the same tensors."""
    if norm is None or other is None:
        return norm is other
    return norm.eps == other.eps and all(x is y for x, y in zip(norm[:4], other[:4], strict=True))
