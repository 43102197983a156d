"""The choice of an engine, and the parts of recorded steps that a CPU can run; a GPU runs the rest in tests/gpu."""

from __future__ import annotations

import warnings
from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from lineage.config.digests import config_digest, to_plain
from lineage.ops.slot_limit import limit_slots
from lineage.structures import Losses
from lineage.train.detection_module import combine_losses
from lineage.train.engines import static_batch
from lineage.train.engines.engine import EagerEngine, UnknownEngine, make_engine
from lineage.train.engines.slot_forecast import NeededSlots, SlotForecast
from lineage.train.engines.step_graph import GraphEngine, _Replay
from lineage.train.optimizer import match_layouts, sgd
from lineage.weights.state_dict import sha256
from tests.models.compose import build, config
from tests.models.scenes import batch

CPU = torch.device("cpu")
SIZE = (96, 96)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return build("model=mask_rcnn").train()


def sums(losses: Losses) -> dict[str, tuple[float, float]]:
    return {name: (loss.sum.item(), loss.normalizer.item()) for name, loss in losses.items()}


def test_the_engine_is_no_part_of_the_experiment() -> None:
    digests = {config_digest(to_plain(config(f"engine={name}"))) for name in ("auto", "eager", "graph")}
    assert len(digests) == 1


def test_a_cpu_runs_eagerly_and_gives_the_reason() -> None:
    assert make_engine("auto", nn.Identity(), CPU).description == "eager"
    assert make_engine("graph", nn.Identity(), CPU).description == (
        "eager: engine=graph needs CUDA, and this run is on cpu"
    )
    with pytest.raises(UnknownEngine, match="engine=fast is unknown; choose one of auto, eager, compiled, graph"):
        make_engine("fast", nn.Identity(), CPU)


def test_anomaly_detection_is_not_recorded() -> None:
    engine = make_engine("auto", nn.Identity(), torch.device("cuda"), detect_anomaly=True)
    assert isinstance(engine, EagerEngine)
    assert "detect_anomaly" in engine.description


def test_compiling_names_the_parts_and_changes_no_name_of_a_weight() -> None:
    model = build("model=mask_rcnn")
    names = [*model.state_dict()]
    engine = make_engine("compiled", model, CPU)
    assert engine.description.startswith("compiled: backbone, neck, box.body, heads.mask.body")
    assert [*model.state_dict()] == names == [*deepcopy(model).state_dict()]


def test_padded_buffers_give_the_losses_of_the_batch(model: nn.Module) -> None:
    """Also when a fuller batch was in them before."""
    images, targets = batch([SIZE] * 2, [3, 2], 4, canvas=SIZE)
    buffers = static_batch.reserve(images, targets)
    static_batch.fill(buffers, *batch([SIZE] * 2, [8, 7], 4, canvas=SIZE, seed=1))
    static_batch.fill(buffers, images, targets)
    assert buffers[1].boxes.shape[1] == 16 > targets.boxes.shape[1]
    assert sums(model.losses(*buffers)) == sums(model.losses(images, targets))


def test_batches_with_a_few_more_objects_share_buffers() -> None:
    shapes = [
        static_batch.read_shapes(static_batch.reserve(*batch([SIZE], [count], 4, canvas=SIZE, slots=slots)))
        for count, slots in ((2, 8), (9, 16), (20, 32))
    ]
    assert shapes[0] == shapes[1] != shapes[2]


@pytest.mark.parametrize("slots", [None, 4, 8])
def test_a_limit_that_is_enough_changes_no_loss(model: nn.Module, slots: int | None) -> None:
    inputs = batch([SIZE] * 2, [3, 2], 4, canvas=SIZE)
    needed = NeededSlots(slots, pinned=False)
    with limit_slots(needed):
        limited = model.losses(*inputs)
    full = model.losses(*inputs)
    assert needed.heads == 1
    assert needed.wait() > 0
    assert needed.is_enough() == (slots is None or needed.wait() <= slots)
    if needed.is_enough():
        for name, loss in full.items():
            torch.testing.assert_close(limited[name].sum, loss.sum)


@pytest.mark.parametrize(("name", "reports"), [("cascade_mask_rcnn", 1), ("cascade_mask_rcnn_staged", 3)])
def test_only_heads_on_other_labels_than_the_samplers_report_again(name: str, reports: int) -> None:
    """The three mask heads of the second are trained on the regions of three stages."""
    needed = NeededSlots(None, pinned=False)
    with limit_slots(needed):
        build(f"model={name}").losses(*batch([SIZE] * 2, [3, 2], 4, canvas=SIZE))
    assert needed.heads == reports


def test_the_forecast_follows_the_fullest_of_the_last_steps() -> None:
    forecast = SlotForecast(nn.Identity())
    assert forecast.choose() is None
    forecast.add(10)
    assert forecast.choose() == 16
    forecast.add(30)
    assert forecast.choose() == 64
    assert forecast.choose(at_least=100) == 128
    for _ in range(16):
        forecast.add(3)
    assert forecast.choose() == 16
    counting = SlotForecast(nn.BatchNorm2d(3))  # its statistics would be counted twice
    counting.add(3)
    assert counting.choose() is None


def test_a_step_with_too_few_slots_is_repeated_with_enough(model: nn.Module) -> None:
    engine = GraphEngine(model)
    images, targets = batch([SIZE] * 2, [3, 2], 4, canvas=SIZE)
    tried: list[int | None] = []

    def run(images: object, targets: object, slots: int | None) -> tuple[Losses, NeededSlots]:
        tried.append(slots)
        needed = NeededSlots(slots, pinned=False)
        needed.report(torch.tensor(40))
        return {}, needed

    engine._run = run  # type: ignore[method-assign]
    on_cuda = images._replace(pixels=_OnCuda(images.pixels))  # type: ignore[arg-type]
    engine.forecast.add(10)
    engine.losses(on_cuda, targets)
    assert tried == [16, 64]
    engine.losses(on_cuda, targets)
    assert tried[2:] == [64]


class _Step:
    """A recorded step of two parameters, replayed by functions: its loss is scale * (3 a + a b)."""

    def __init__(self, parameters: list[Tensor]) -> None:
        self.parameters, self.scale = parameters, 1.0
        self.sums, self.grad_sums = torch.zeros(1), torch.zeros(1)
        self.grads: list[Tensor | None] = [torch.empty_like(parameter) for parameter in parameters]
        self.forward_graph, self.backward_graph = (
            SimpleNamespace(replay=self.forward),
            SimpleNamespace(replay=self.back),
        )

    def forward(self) -> None:
        a, b = (parameter.detach() for parameter in self.parameters)
        self.sums.copy_(self.scale * (3 * a + a * b).sum())

    def back(self) -> None:
        a, b = (parameter.detach() for parameter in self.parameters)
        for buffer, grad in zip(self.grads, (3 + b, a), strict=True):
            if buffer is not None:
                buffer.copy_(self.grad_sums * self.scale * grad)


@pytest.mark.parametrize("set_to_none", [True, False])
def test_gradients_are_the_buffers_of_a_replay_and_still_accumulate(set_to_none: bool) -> None:
    parameters = [torch.tensor([2.0], requires_grad=True), torch.tensor([5.0], requires_grad=True)]
    step, optimizer = _Step(parameters), torch.optim.SGD(parameters, lr=0.0)
    for scales in ((1.0,), (1.0, 10.0, 100.0), (2.0, 3.0)):
        optimizer.zero_grad(set_to_none=set_to_none)
        for step.scale in scales:
            _Replay.apply(step, *parameters).sum().backward()
        assert [parameter.grad.item() for parameter in parameters] == [8 * sum(scales), 2 * sum(scales)]  # type: ignore[union-attr]
    if set_to_none:
        optimizer.zero_grad()
        _Replay.apply(step, *parameters).sum().backward()
        assert parameters[0].grad.data_ptr() == step.grads[0].data_ptr()  # type: ignore[union-attr]  # no copy
    step.grads[1] = None  # a parameter that the step does not use
    optimizer.zero_grad()
    _Replay.apply(step, *parameters).sum().backward()
    assert parameters[1].grad is None


class _OnCuda:
    """A tensor that says it is on a GPU."""

    is_cuda = True

    def __init__(self, pixels: torch.Tensor) -> None:
        self.pixels = pixels


def test_a_step_that_waits_for_the_device_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        torch.cuda, "set_sync_debug_mode", lambda mode: warnings.warn("a prototype feature", stacklevel=1)
    )
    engine = GraphEngine(nn.Identity())
    with engine._watch_for_syncs():
        pass
    assert engine.refusal is None
    with engine._watch_for_syncs():
        warnings.warn("called a synchronizing CUDA operation (Triggered internally ...)", stacklevel=1)
    assert engine.refusal is not None
    assert "the host waits for the device in test_engine.py, line" in engine.refusal


def test_optimizer_state_takes_the_layout_of_its_parameters() -> None:
    conv = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    optimizer = sgd(conv, lr=0.1, momentum=0.9, weight_decay=0, norm_decay=0, bias_lr_factor=1, bias_decay=0)
    momentum = torch.randn(4, 3, 3, 3)
    optimizer.state[conv.weight] = {"momentum_buffer": momentum.clone(), "step": torch.tensor(1.0)}
    match_layouts(optimizer)
    restored = optimizer.state[conv.weight]["momentum_buffer"]
    assert restored.stride() == conv.weight.stride()
    assert torch.equal(restored, momentum)


def test_weights_of_either_layout_have_one_digest() -> None:
    """A 1x1 filter in channels_last counts as contiguous, although its last stride is not 1."""
    conv = nn.Conv2d(32, 8, 1)
    digest = sha256(conv.state_dict())
    assert sha256(conv.to(memory_format=torch.channels_last).state_dict()) == digest


@pytest.mark.slow
def test_compiled_parts_give_the_losses_and_gradients_of_the_eager_model() -> None:
    """A real compilation by inductor, without a graph break."""
    torch.manual_seed(0)
    model = build("model=mask_rcnn").train()
    inputs = batch([(64, 64)], [3], 4, canvas=(64, 64))
    results = []
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    for name in ("eager", "compiled"):
        loss, losses, _ = combine_losses(make_engine(name, model, CPU).losses(*inputs))
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        results.append((losses, torch.autograd.grad(loss, parameters, allow_unused=True)))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 4
    assert not torch._dynamo.utils.counters["graph_break"]
    (losses, grads), (compiled_losses, compiled_grads) = results
    torch.testing.assert_close(compiled_losses, losses, rtol=1e-4, atol=1e-4)
    for compiled, eager in zip(compiled_grads, grads, strict=True):
        assert eager is None or float((compiled - eager).norm()) <= 1e-3 * float(eager.norm()) + 1e-4
