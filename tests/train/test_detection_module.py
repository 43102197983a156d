"""The loss of a step, and when the host waits for it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from pytorch_lightning.loggers import CSVLogger
from torch.utils._python_dispatch import TorchDispatchMode

from lineage.eval.document import document_of
from lineage.eval.evaluator import DetectionEvaluator, MissingGeometryError
from lineage.eval.protocols.coco import CocoScorer
from lineage.results.run_folder import read_metrics
from lineage.structures import Detections, Diagnostic, Images, Loss
from lineage.train.detection_module import combine_losses
from lineage.train.loggers import CsvLogger, RunName
from lineage.train.loss_buffer import LossBuffer, NonFiniteLoss, StepLosses
from tests.train import toy


def test_each_loss_is_divided_by_its_own_count() -> None:
    losses = {"a": Loss(torch.tensor(6.0), torch.tensor(3)), "b": Loss(torch.tensor(5.0), torch.tensor(0))}
    total, means, _ = combine_losses(losses)
    assert means.tolist() == [2.0, 5.0]
    assert total.item() == 7.0


def test_a_run_trains_and_evaluates() -> None:
    module = toy.detection_module()
    before = module.model.head.weight.clone()
    trainer = toy.trainer(10)
    trainer.fit(module, toy.ToyData())
    trainer.validate(module, toy.ToyData(), verbose=False)
    assert not torch.equal(before, module.model.head.weight)
    assert set(module.latest) == {"loss", "roi_box", "roi_cls", "lr", "images_per_second", "data_wait"}
    assert module.metrics == {"images": 4.0}
    assert module.throughput.images == 20


def test_evaluations_during_training_are_logged_with_their_step(tmp_path: Path) -> None:
    module = toy.detection_module()
    trainer = toy.trainer(6, val_check_interval=3, num_sanity_val_steps=1, logger=CSVLogger(tmp_path, "", ""))
    trainer.fit(module, toy.ToyData())
    assert module.evaluated_at == 6
    assert module.metrics == {"images": 4.0}


class Clock:
    """One second per reading, and 1000 per image that is detected."""

    def __init__(self) -> None:
        self.now = 0.0

    def read(self) -> float:
        self.now += 1.0
        return self.now

    def detect(self, detect: Callable[[Images], Detections], images: Images) -> Detections:
        self.now += 1000.0 * len(images.sizes)
        return detect(images)


def test_losses_are_logged_before_an_evaluation_which_is_no_training_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, module = Clock(), toy.detection_module()
    monkeypatch.setattr("lineage.train.throughput.time.perf_counter", clock.read)
    module.detect, module.log_every = partial(clock.detect, module.model.detect), 100
    logger = CsvLogger(folder=tmp_path, name=RunName("id", "t", "r", 0), start=0)
    toy.trainer(6, val_check_interval=3, num_sanity_val_steps=1, logger=logger).fit(module, toy.ToyData())
    losses = [(int(row["step"]), row["loss"]) for row in read_metrics(tmp_path / "metrics.csv") if row["loss"]]
    assert [step for step, _ in losses] == [3, 6]
    assert module.throughput.images == 12
    assert 0 < module.throughput.seconds < 100
    assert clock.now > 8000  # 4 images twice, and one batch of 2 before training


def test_accumulation_averages_micro_batches() -> None:
    weights = []
    for size, accumulated in ((2, 2), (4, 1)):
        module = toy.detection_module(images=4)
        module.model.body[2].p = 0.0
        data = toy.ToyData(size=size)
        toy.trainer(3, accumulate_grad_batches=accumulated).fit(module, data)
        weights.append((module.model.head.bias[4], module.global_step))
    torch.testing.assert_close(weights[0], weights[1])  # roi_cls: its count is the number of images


def test_accumulated_losses_are_divided_by_the_counts_of_their_own_micro_batches() -> None:
    """The step is on the mean of the micro batches' losses, each a sum over its own count, as in docs/recipes.md."""
    module, expected = toy.detection_module(images=4), toy.detection_module(images=4)
    for toy_module in (module, expected):
        toy_module.model.body[2].p = 0.0
    toy.trainer(1, accumulate_grad_batches=2).fit(module, toy.ToyData(size=2))
    optimizer = expected.make_optimizer(expected.model)
    expected.make_scheduler(optimizer)  # sets the rate of step 0
    for number in (0, 1):
        batch = toy.batch(number, size=2)
        losses = expected.model.losses(batch.images, batch.targets)
        assert losses["roi_box"].normalizer.item() == (3, 4)[number]  # 1 + 2 boxes, then 3 + 1
        (sum(loss.sum / loss.normalizer for loss in losses.values()) / 2).backward()
    optimizer.step()
    torch.testing.assert_close(module.model.state_dict(), expected.model.state_dict())


def test_divergence_names_the_step_and_the_images() -> None:
    with pytest.raises(NonFiniteLoss, match=r"step 5: roi_box = nan. Images of that step: 10, 11") as error:
        toy.trainer(20).fit(toy.detection_module(), toy.ToyData(broken=5))
    assert (error.value.step, error.value.images) == (5, [10, 11])


class Syncs(TorchDispatchMode):
    """Counts the operations that would make the host wait for a GPU."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.count += func.overloadpacket in (torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero)
        return func(*args, **(kwargs or {}))


def test_the_host_waits_once_per_reading_not_per_step() -> None:
    module = toy.detection_module()
    for _ in range(5):
        with Syncs() as syncs:
            toy_batch = toy.batch(0)
            losses = module.model.losses(toy_batch.images, toy_batch.targets)
            total, means, diagnostics = combine_losses(losses)
            total.backward()
            module.loss_buffer.append(losses, StepLosses(0, means, diagnostics, toy_batch.ids))
            module.on_before_optimizer_step(None)
        assert syncs.count == 0
    with Syncs() as syncs:
        flushed = module.loss_buffer.flush()
    assert flushed.diagnostics.keys() == {"roi_cls/accuracy", "grad_norm"}


def test_diagnostics_are_ratios_of_sums_over_the_steps_of_a_flush() -> None:
    buffer = LossBuffer()
    for count, total in ((3.0, 4.0), (0.0, 0.0), (1.0, 1.0)):
        accuracy = Diagnostic("accuracy", torch.tensor(count), torch.tensor(total))
        losses = {
            "a": Loss(torch.tensor(6.0), torch.tensor(3), (accuracy,)),
            "b": Loss(torch.tensor(5.0), torch.tensor(1)),
        }
        _, means, diagnostics = combine_losses(losses)
        buffer.append(losses, StepLosses(0, means, diagnostics, torch.zeros(0)))
        buffer.append_grad_norm(torch.tensor(total))
    flushed = buffer.flush()
    assert flushed.means == {"loss": 7.0, "a": 2.0, "b": 5.0}
    assert flushed.diagnostics == pytest.approx({"a/accuracy": 4 / 5, "grad_norm": 5 / 3})
    assert buffer.flush().means == {}


def test_a_diagnostic_of_nothing_is_left_out() -> None:
    nothing = Diagnostic("fg_accuracy", torch.tensor(0.0), torch.tensor(0.0))
    losses = {"a": Loss(torch.tensor(6.0), torch.tensor(3), (nothing,))}
    _, means, diagnostics = combine_losses(losses)
    buffer = LossBuffer()
    buffer.append(losses, StepLosses(0, means, diagnostics, torch.zeros(0)))
    assert buffer.flush().diagnostics == {}


def test_diagnostics_and_the_gradient_norm_are_logged_with_the_losses(tmp_path: Path) -> None:
    module = toy.detection_module()
    toy.trainer(8, logger=CsvLogger(folder=tmp_path, name=RunName("id", "t", "r", 0), start=0)).fit(
        module, toy.ToyData()
    )
    rows = read_metrics(tmp_path / "metrics.csv")
    assert {"loss", "roi_cls", "lr", "roi_cls/accuracy", "grad_norm"} <= rows[0].keys()
    assert all(0 <= float(row["roi_cls/accuracy"]) <= 1 and float(row["grad_norm"]) > 0 for row in rows)


def test_an_output_that_is_scored_and_not_predicted_stops_the_run_before_training() -> None:
    mask = {"size": [8, 8], "counts": [0, 64]}
    annotation = {"id": 1, "image_id": 1000, "category_id": 1, "bbox": [0, 0, 8, 8], "area": 64, "segmentation": mask}
    images = [{"id": 1000, "height": 8, "width": 8}]
    truth = document_of({"images": images, "annotations": [annotation], "categories": [{"id": 1, "name": "car"}]})
    module = toy.detection_module()
    module.evaluator = DetectionEvaluator(CocoScorer(dataset=truth, tasks=["mask"]))
    trainer = toy.trainer(4, num_sanity_val_steps=1)
    with pytest.raises(MissingGeometryError, match=r"scores mask, and this model predicts only box: .*model=mask_rcnn"):
        trainer.fit(module, datamodule=toy.ToyData())
    assert trainer.global_step == 0
