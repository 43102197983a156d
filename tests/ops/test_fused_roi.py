from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from lineage.models.roi_heads.pooler import Pooler, RoIAlign, RoIPool, RoIWarp
from lineage.ops.fused_roi import runs_fused
from tests.ops.interpreter import run_interpreted


def test_the_kernels_equal_torchvision_under_tritons_interpreter() -> None:
    run_interpreted("-m", "tests.ops.interpreted_roi")


@pytest.fixture
def h100(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that exists in name only: fake tensors have its device and no memory."""
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(major=9))


@pytest.mark.usefixtures("h100")
def test_what_the_kernels_cannot_take_goes_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeTensorMode():
        maps = [torch.empty(2, 8, 16, 16, device="cuda") for _ in range(6)]
        assert runs_fused(maps[:1])
        assert runs_fused([level.bfloat16() for level in maps[:5]])
        assert not runs_fused(maps)
        assert not runs_fused([level.double() for level in maps[:4]])
        assert not runs_fused([torch.empty(2, 8, 16, 16)])
        torch.use_deterministic_algorithms(True)
        assert not runs_fused(maps[:4])
        torch.use_deterministic_algorithms(False)
        monkeypatch.setattr("lineage.ops.fused_roi.TRITON", False)
        assert not runs_fused(maps[:4])


class CountOperators(TorchDispatchMode):
    """A list of the operators that run, about as many as kernels are launched; views are none."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if not func.is_view and func.namespace != "prim":
            self.names.append(func.name())
        return func(*args, **(kwargs or {}))


LAYERS = {
    "lineage::roi_align": lambda size: RoIAlign(size, sampling_ratio=2, aligned=True, reduce="mean"),
    "lineage::roi_pool": RoIPool,
    "lineage::roi_align, rounded": lambda size: RoIWarp(size, sampling_ratio=2, reduce="mean"),
}


@pytest.mark.usefixtures("h100")
@pytest.mark.parametrize("name", LAYERS)
def test_a_pyramid_is_pooled_by_one_launch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No map is padded; what remains are some numbers per region."""
    # the kernel of ops/cuda/region_levels.py is no operator, so that it would read fake tensors
    monkeypatch.setattr("lineage.models.roi_heads.pooler.runs_kernels", lambda x: False)
    with FakeTensorMode(), torch.device("cuda"):
        maps = [torch.empty(2, 256, 256 // s, 320 // s, dtype=torch.bfloat16) for s in (4, 8, 16)]
        boxes = torch.empty(2, 100, 4)
        pooler = Pooler(LAYERS[name], size=7, strides=(4, 8, 16), canonical_size=224, canonical_level=4)
        with CountOperators() as operators:
            bins = pooler(maps, boxes)
    assert operators.names.count(name.split(",")[0]) == 1
    assert len(operators.names) <= 40  # numbers of regions: their level, their place in its map
    assert not any("pad" in operator for operator in operators.names)
    assert bins.shape == (200, 256, 7, 7)
    assert bins.is_contiguous(memory_format=torch.channels_last)
