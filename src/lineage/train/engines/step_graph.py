"""A training step as two CUDA graphs, its forward and its backward pass, and an inference as one.

The first batches of a shape run eagerly; the next one is recorded, and it and all later ones are replayed.
Between both graphs, and after them, everything stays as it is: the trainer divides the losses by their normalizers,
weights and scales them, and the replayed backward pass hands gradients to autograd as any other function does. So
accumulation, loss weights, loss scaling, gradient clipping, the hooks of DDP and the optimizer work unchanged.

All graphs share one pool of memory: the intermediate results of a step are dead when the next one is replayed.
"""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from lineage.ops.layers.kernels import read_compute_type
from lineage.ops.layers.prepared_weights import PreparedWeights, UsedWeights, use_weights
from lineage.ops.slot_limit import limit_slots
from lineage.structures import Detections, Images, Loss, Losses, Targets
from lineage.train.engines import static_batch
from lineage.train.engines.slot_forecast import NeededSlots, SlotForecast
from lineage.train.engines.step_gradients import StepGradients

EAGER_STEPS = 2  # of each shape, before it is recorded
SYNC = "synchronizing CUDA operation"  # in torch's warning
MAX_GRAPHS = 32  # per engine, for training and inference together; further shapes run eagerly
log = logging.getLogger(__name__)
Recorded = TypeVar("Recorded")


class GraphEngine:
    """Records and replays the steps of a model on CUDA."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.description = f"graph: CUDA graphs per canvas, at most {MAX_GRAPHS}; the first batches of each are eager"
        self.graphs: dict[Hashable, Any] = {}
        self.visited: Counter[Hashable] = Counter()
        self.eager_steps = 0
        self.buckets: dict[Hashable, Hashable] = {}  # shapes of a batch -> those of its buffers
        self.pointers: tuple[Any, ...] = ()  # addresses of the parameters that the graphs read; which are trained
        self.recorder: Recorder | None = None
        self.used = UsedWeights()  # those that the eager steps asked for
        self.forecast = SlotForecast(model)
        self.refusal: str | None = None  # why nothing is recorded any more

    def losses(self, images: Images, targets: Targets) -> Losses:
        if self.refusal or not torch.is_grad_enabled() or not images.pixels.is_cuda:
            return self.model.losses(images, targets)
        losses, needed = self._run(images, targets, self.forecast.choose())
        if not needed.is_enough():
            losses, needed = self._run(images, targets, self.forecast.choose(needed.wait()))
            if not needed.is_enough():
                losses, needed = self._run(images, targets, None)
        if needed.heads:
            self.forecast.add(needed.wait())
        return losses

    def _run(self, images: Images, targets: Targets, slots: int | None) -> tuple[Losses, NeededSlots]:
        """Run a step with a number of slots, from its graph if there is one."""
        step = self._look_up(("losses", slots), images, targets, partial(RecordedStep, slots))
        if step is not None:
            return step.replay(images, targets), step.needed
        needed = NeededSlots(slots, pinned=True)
        self.eager_steps += 1  # the first may build constants, the second must wait for nothing
        watch = self._watch_for_syncs() if self.eager_steps == 2 else self._note_weights()
        with limit_slots(needed), watch:
            return self.model.losses(images, targets), needed

    def detect(self, images: Images) -> Detections:
        if self.refusal or torch.is_grad_enabled() or not images.pixels.is_cuda:
            return self.model.detect(images)
        inference = self._look_up(("detect",), images, None, RecordedInference)
        if inference is not None:
            return inference.replay(images)
        with self._note_weights():
            return self.model.detect(images)

    def _note_weights(self) -> AbstractContextManager[None]:
        """Note which weights are asked for inside, as long as that takes no time of steps that are never recorded."""
        return use_weights(self.used) if len(self.graphs) < MAX_GRAPHS else nullcontext()

    def _look_up(
        self, kind: tuple[Hashable, ...], images: Images, targets: Targets | None, record: Callable[..., Recorded]
    ) -> Recorded | None:
        """Return the recorded graph for such a batch; record it after EAGER_STEPS. None: run it eagerly."""
        pointers = tuple((parameter.data_ptr(), parameter.requires_grad) for parameter in self.model.parameters())
        if pointers != self.pointers:  # weights were replaced, not overwritten, or others are trained
            self.graphs.clear()
            self.visited.clear()
            self.recorder, self.used, self.pointers = None, UsedWeights(), pointers
        shapes = static_batch.read_shapes((images, targets))
        if shapes not in self.buckets:
            self.buckets[shapes] = static_batch.read_shapes(static_batch.reserve(images, targets))
        key = (*kind, *_read_modes(self.model), self.buckets[shapes])
        if key not in self.graphs and self.visited[key] >= EAGER_STEPS and len(self.graphs) < MAX_GRAPHS:
            self._record(key, record, images, targets)
        self.visited[key] += 1
        return self.graphs.get(key)

    @contextmanager
    def _watch_for_syncs(self) -> Iterator[None]:
        """Record nothing any more if the host waits for the device inside, which a graph cannot."""
        with warnings.catch_warnings(record=True) as messages:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")  # warns of itself, too
            try:
                yield
            finally:
                torch.cuda.set_sync_debug_mode("default")
        waits = [message for message in messages if SYNC in str(message.message)]
        if waits:
            place = f"{Path(waits[0].filename).name}, line {waits[0].lineno}"
            self._refuse(f"the host waits for the device in {place}")

    def _refuse(self, reason: str) -> None:
        self.refusal = reason
        self.graphs.clear()
        log.warning("engine=graph: a step of this model cannot be recorded, so the run is eager: %s", reason)

    def _record(self, key: Hashable, record: Callable[..., Any], images: Images, targets: Targets | None) -> None:
        try:
            self.recorder = self.recorder or Recorder(self.model, images.pixels.device, self.used)
            self.graphs[key] = record(self.model, self.recorder, images, targets)
        except RuntimeError as error:  # nothing was computed, so the batch can still run eagerly
            _reset_generator(images.pixels.device)
            self._refuse(str(_find_first(error)).strip().partition("\n")[0])


def _reset_generator(device: torch.device) -> None:
    """Give the device's generator a state that no recording has begun in; a failed one leaves it open."""
    generator = torch.cuda.default_generators[device.index or 0]
    with suppress(AttributeError, RuntimeError):
        generator.graphsafe_set_state(generator.clone_state())


def _find_first(error: BaseException) -> BaseException:
    """Return the error that led to this one: ending a failed recording raises another."""
    while error.__context__ is not None:
        error = error.__context__
    return error


def _read_modes(model: nn.Module) -> tuple[Hashable, ...]:
    """Return the switches of torch that a graph is recorded under."""
    autocast = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else None
    return model.training, autocast, torch.is_inference_mode_enabled()


class Recorder:
    """Stream, pool of memory, weights and buffers of gradients that all graphs of an engine share."""

    def __init__(self, model: nn.Module, device: torch.device, used: UsedWeights) -> None:
        self.pool = torch.cuda.graph_pool_handle()
        self.stream = torch.cuda.Stream(device)
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        with torch.inference_mode(False):
            self.grads = [torch.empty_like(parameter, requires_grad=False) for parameter in self.parameters]
        self.used = used
        self.prepared: dict[tuple[torch.dtype, int], PreparedWeights] = {}
        self._create_workspaces(device)

    def choose_weights(self) -> PreparedWeights:
        """Return the weights that steps asked for in the type of this one, in memory that all graphs share."""
        uses = self.used.choose(read_compute_type(self.grads[0])) if self.grads else []
        key = (uses[0].dtype, len(uses)) if uses else (torch.float32, 0)
        if key not in self.prepared:
            self.prepared[key] = PreparedWeights(uses)
        return self.prepared[key]

    def _create_workspaces(self, device: torch.device) -> None:
        """Let cuBLAS reserve its memory for this stream outside of the pool, in the forward and the backward thread."""
        with torch.cuda.stream(self.stream), torch.enable_grad(), torch.inference_mode(False):
            matrix = torch.ones(8, 8, device=device, requires_grad=True)
            (matrix @ matrix).sum().backward()
        torch.cuda.current_stream(device).wait_stream(self.stream)

    @contextmanager
    def record(self, graph: torch.cuda.CUDAGraph) -> Iterator[None]:
        """Record what is launched inside; other threads, such as those that pin memory, go on."""
        current = torch.cuda.current_stream()
        try:
            with torch.cuda.graph(graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"):
                yield
        finally:
            torch.cuda.set_stream(current)  # torch leaves its stream set if the recording failed


class RecordedStep:
    """The losses of a batch and their gradients, recorded for a number of foreground slots, None for all."""

    def __init__(
        self, slots: int | None, model: nn.Module, recorder: Recorder, images: Images, targets: Targets
    ) -> None:
        self.inputs = static_batch.reserve(images, targets)
        static_batch.fill(self.inputs, images, targets)
        self.parameters = recorder.parameters
        self.forward_graph, self.backward_graph = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        self.needed = NeededSlots(slots, pinned=True)
        self.weights = recorder.choose_weights()
        self.gradients = StepGradients(self.weights, recorder.parameters, recorder.grads)
        # weights that autocast cast before would be read at replay as they were then
        torch.clear_autocast_cache()
        with recorder.record(self.forward_graph), limit_slots(self.needed), use_weights(self.weights):
            self.weights.prepare()
            losses: Losses = model.losses(*self.inputs)
            sums = torch.stack([loss.sum for loss in losses.values()])
        self.grad_sums = torch.ones_like(sums)
        with recorder.record(self.backward_graph):
            self.grads = self.gradients.compute(sums, self.grad_sums)
        self.gradients.finish_recording()
        torch.clear_autocast_cache()
        self.losses = {name: loss._replace(sum=loss.sum.detach()) for name, loss in losses.items()}
        self.sums = sums.detach()

    def replay(self, images: Images, targets: Targets) -> Losses:
        static_batch.fill(self.inputs, images, targets)
        self.needed.reset()
        sums = _Replay.apply(self, *self.parameters).unbind()
        return {
            name: Loss(sum, loss.normalizer, loss.diagnostics)
            for sum, (name, loss) in zip(sums, self.losses.items(), strict=True)
        }


class _Replay(torch.autograd.Function):
    """The sums of the losses as a function of the parameters, both passes replayed."""

    @staticmethod
    def forward(ctx: Any, step: RecordedStep, *parameters: Tensor) -> Tensor:
        ctx.step = step
        step.forward_graph.replay()
        return step.sums.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        step = ctx.step
        step.grad_sums.copy_(grad)
        _move_accumulated(step.parameters, step.grads)
        step.backward_graph.replay()
        # autograd takes a gradient that nothing else refers to, without a copy: the alias is such, the buffer is not
        return None, *(None if buffer is None else buffer.detach() for buffer in step.grads)


def _move_accumulated(parameters: Sequence[Tensor], buffers: Sequence[Tensor | None]) -> None:
    """Move gradients of earlier batches of a step out of the buffers, which a replay overwrites."""
    for parameter, buffer in zip(parameters, buffers, strict=True):
        before = parameter.grad
        if before is not None and buffer is not None and before.data_ptr() == buffer.data_ptr():
            parameter.grad = before.clone()


class RecordedInference:
    """The detections of a batch, recorded."""

    def __init__(self, model: nn.Module, recorder: Recorder, images: Images, targets: None) -> None:
        self.inputs = static_batch.reserve(images, None)
        static_batch.fill(self.inputs, images, None)
        self.graph = torch.cuda.CUDAGraph()
        self.weights = recorder.choose_weights()
        torch.clear_autocast_cache()
        with recorder.record(self.graph), use_weights(self.weights):
            self.weights.prepare()
            self.detections: Detections = model.detect(self.inputs[0])
        torch.clear_autocast_cache()

    def replay(self, images: Images) -> Detections:
        static_batch.fill(self.inputs, images, None)
        self.graph.replay()
        return tree_map_only(Tensor, torch.clone, self.detections)
