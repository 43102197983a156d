"""Sharded training (ZeRO stage 3, arXiv:1910.02054; FSDP2, arXiv:2304.11277): every process holds a part of each
weight, of its gradient and of the optimizer's state.

The units that are gathered are the blocks of the body and, as one unit, the rest of the model:

start         shard the units; an optimizer of the parts is made after that
forward       gather the rest, then block by block: gather, run, free
backward      gather a block again, average its gradients into parts
evaluation    gather everything once: processes may have different numbers of images, and gathering takes all of them
checkpoint    whole tensors, with the names and numbers of a run that is not sharded: either kind resumes the other
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from pytorch_lightning.strategies import ModelParallelStrategy
from pytorch_lightning.strategies.parallel import ParallelStrategy
from torch import Tensor, nn
from torch.optim import Optimizer

from lineage.train.memory.checkpointed_blocks import METHODS, select_blocks

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

ENTRY_POINTS = ("losses", "detect")  # methods of a detector that take the place of forward


class ShardedStrategy(ModelParallelStrategy):
    """Strategy of FSDP2 over all processes, with the checkpoint files of any other strategy."""

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def shard(self, model: nn.Module) -> None:
        """Shard a model over the processes, unless it is sharded."""
        shard_model(model, self.device_mesh["data_parallel"])

    def on_validation_start(self) -> None:
        gather_units(cast(nn.Module, self.model))

    def on_validation_end(self) -> None:
        free_units(cast(nn.Module, self.model))

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Return the whole weights, on the first process; an empty dict on others."""
        return gather_state(cast(nn.Module, self.model).state_dict())

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return the whole state of the optimizer, on the first process; without values on others."""
        state = optimizer.state_dict()
        whole = {number: gather_state(values) for number, values in state["state"].items()}
        return {"state": whole, "param_groups": set_fused(state["param_groups"], True)}  # as of whole tensors

    @property
    def lightning_restore_optimizer(self) -> bool:
        return True

    def load_checkpoint(self, checkpoint_path: str | Path, weights_only: bool | None = None) -> dict[str, Any]:
        return ParallelStrategy.load_checkpoint(self, checkpoint_path, weights_only=True)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        model = cast(nn.Module, self.model or self.lightning_module)
        load_whole_state(model, checkpoint["state_dict"], strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            load_whole_optimizer_state(optimizer, state)


def shard_model(model: nn.Module, mesh: DeviceMesh) -> None:
    """Split every parameter over the first dimension among the processes of a mesh, in place."""
    from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

    if isinstance(model, FSDPModule):
        return
    model.to(memory_format=torch.contiguous_format)  # FSDP takes no other layout
    bodies = [module for module in model.modules() if hasattr(module, "list_layers")]
    units = {block: METHODS for body in bodies for block in select_blocks(body.list_layers())}
    for unit, methods in {**units, model: ENTRY_POINTS}.items():
        fully_shard(unit, mesh=mesh)
        for method in methods:
            if hasattr(unit, method):
                register_fsdp_forward_method(unit, method)


def gather_units(model: nn.Module) -> None:
    """Gather all weights of a sharded model on every process, until free_units."""
    with torch.inference_mode(False), torch.no_grad():  # the same memory serves the training later
        for unit in _list_units(model):
            unit.set_reshard_after_forward(False, recurse=False)
            unit.unshard()


def free_units(model: nn.Module) -> None:
    """Keep the part of this process alone again."""
    for number, unit in enumerate(_list_units(model)):
        unit.set_reshard_after_forward(number > 0, recurse=False)  # the rest of the model stays until the backward pass
        unit.reshard()


def _list_units(model: nn.Module) -> list[Any]:
    """Return the units of a model, the whole model first."""
    from torch.distributed.fsdp import FSDPModule

    return [module for module in model.modules() if isinstance(module, FSDPModule)]


def gather_state(values: dict[str, Any]) -> dict[str, Any]:
    """Return values with whole tensors on the CPU, on the first process; an empty dict on the others, which take part.

    Values that are not sharded are returned as they are, on every process.
    """
    from torch.distributed.tensor import DTensor

    if not any(isinstance(value, DTensor) for value in values.values()):
        return values
    is_first = torch.distributed.get_rank() == 0
    state: dict[str, Any] = {}
    for name, value in values.items():
        whole = cast(Any, value).detach().full_tensor() if isinstance(value, DTensor) else value
        if is_first:
            state[name] = whole.cpu() if isinstance(whole, Tensor) else whole
    return state


def load_whole_state(model: nn.Module, state: Mapping[str, Tensor], strict: bool = True) -> None:
    """Load weights of an ordinary file into a sharded model, of which each process takes its part."""
    own = model.state_dict()
    model.load_state_dict({name: _shard_like(value, own.get(name)) for name, value in state.items()}, strict=strict)


def load_whole_optimizer_state(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Load the state that an ordinary run has saved; parameters are numbered in the order of their groups."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    sharded = {
        number: {name: _shard_like(value, parameters[number]) for name, value in values.items()}
        for number, values in state["state"].items()
    }
    optimizer.load_state_dict({"state": sharded, "param_groups": set_fused(state["param_groups"], False)})


def set_fused(groups: list[dict[str, Any]], is_fused: bool) -> list[dict[str, Any]]:
    """Return parameter groups that step in one kernel, which takes no parts of tensors, or do not."""
    return [{**group, "fused": is_fused} if "fused" in group else group for group in groups]


def _shard_like(value: Any, reference: Any) -> Any:
    """Return this process's part of a tensor, split as the reference is; other values as they are."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(reference, DTensor) or not isinstance(value, Tensor) or value.shape != reference.shape:
        return value
    local = value.to(reference.device).contiguous()
    return distribute_tensor(local, reference.device_mesh, reference.placements, src_data_rank=None)
