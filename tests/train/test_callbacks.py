"""Callbacks of Lightning in our runs: early stopping, the best weights, the range test, statistics, the profiler."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import EarlyStopping, EMAWeightAveraging, ModelCheckpoint, ThroughputMonitor

from lineage.config.build import ConfigError, build
from lineage.config.compose import compose_config
from lineage.data.shapes.dataset import Shapes
from lineage.eval.evaluator import NoEvaluation, make_evaluator
from lineage.eval.protocols.coco import CocoScorer
from lineage.eval.protocols.voc import VocScorer
from lineage.results.file_digest import find_damage
from lineage.run.checks.callbacks import check_callbacks
from lineage.train.callbacks.profile_steps import ProfileSteps
from lineage.train.callbacks.rate_finder import RateFinder
from lineage.train.checkpoint import Checkpoints
from lineage.train.detection_module import DetectionModule
from lineage.train.evaluate_first import EvaluateFirst
from lineage.train.evaluated_weights import describe_weights, restore_best
from lineage.train.loggers import CsvLogger, RunName
from tests.train.toy import Count, Toy, ToyData, detection_module, trainer

CONF = Path(__file__).parents[2] / "conf" / "callbacks"


class Scripted(Count):
    """An evaluator whose metric is read from a list, evaluation by evaluation; it also notes the weights."""

    def __init__(self, scores: list[float]) -> None:
        super().__init__()
        self.scores, self.weights = iter(scores), []  # type: ignore[var-annotated]

    def compute(self) -> dict[str, float]:
        return {"box/AP": next(self.scores)}


def module(*scores: float) -> DetectionModule:
    model = detection_module()
    model.evaluator = Scripted(list(scores))  # type: ignore[assignment]
    return model


def weights(model: DetectionModule) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def best(folder: Path) -> ModelCheckpoint:
    node = OmegaConf.load(CONF / "best.yaml").best
    callback: ModelCheckpoint = build(node)
    callback.dirpath = str(folder)
    return callback


def test_training_ends_when_the_metric_has_not_risen() -> None:
    stopping: EarlyStopping = build(OmegaConf.load(CONF / "early_stopping.yaml").early_stopping)
    stopping.patience = 2
    fitted = trainer(20, callbacks=[stopping], val_check_interval=2)
    fitted.fit(module(10, 30, 20, 30, 40), datamodule=ToyData())  # 30 at step 4, then twice no more
    assert fitted.global_step == 8
    assert describe_weights(fitted) == (
        "at step 8 of 20: stopped by box/AP on the images that it is scored on, so the score is optimistic"
    )


def test_the_best_weights_are_kept(tmp_path: Path) -> None:
    model = module(10, 30, 20, 25)
    fitted = trainer(8, callbacks=[best(tmp_path)], val_check_interval=2, enable_checkpointing=True)
    fitted.fit(model, datamodule=ToyData())
    at_step_4 = module(0, 0)
    trainer(4, val_check_interval=2).fit(at_step_4, datamodule=ToyData())
    last = weights(model)
    assert restore_best(fitted, model)
    assert all(map(torch.equal, weights(model), weights(at_step_4)))
    assert not all(map(torch.equal, weights(model), last))
    assert describe_weights(fitted).startswith("at step 4 of 8: best box/AP, 30.00, chosen on the images that it is")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best-0000004.ckpt", "best-0000004.ckpt.sha256"]
    assert find_damage(tmp_path / "best-0000004.ckpt") is None


def test_what_ended_the_training_is_said_beside_the_best_weights(tmp_path: Path) -> None:
    stopping = EarlyStopping("box/AP", mode="max", patience=2)
    fitted = trainer(20, callbacks=[best(tmp_path), stopping], val_check_interval=2, enable_checkpointing=True)
    fitted.fit(module(10, 30, 20, 30, 40), datamodule=ToyData())
    text = describe_weights(fitted)
    assert text.startswith("at step 4 of 20: best box/AP, 30.00, chosen on")
    assert text.endswith("; stopped at step 8 by box/AP")


def test_without_a_choice_the_last_weights_are_evaluated(tmp_path: Path) -> None:
    model = module(1)
    fitted = trainer(2)
    fitted.fit(model, datamodule=ToyData())
    assert not restore_best(fitted, model)
    assert describe_weights(fitted) == "at step 2"
    averaged = trainer(2, callbacks=[EMAWeightAveraging(decay=0.5)])
    averaged.fit(detection_module(), datamodule=ToyData())
    assert describe_weights(averaged) == "average by EMAWeightAveraging at step 2"


def test_a_resumed_run_still_has_the_best_of_before(tmp_path: Path) -> None:
    """Killed after the evaluation of step 4, whose score is in no checkpoint: it is evaluated again."""
    every = dict(val_check_interval=2, enable_checkpointing=True)
    killed = trainer(4, callbacks=[best(tmp_path), Checkpoints(tmp_path, every=100)], **every)
    killed.fit(module(10, 30), datamodule=ToyData())
    metrics = tmp_path / "metrics.csv"
    metrics.write_text("step,box/AP\n2,10\n4,30\n")
    resumed = trainer(8, callbacks=[best(tmp_path), EvaluateFirst(metrics, 4)], **every)
    checkpoint = tmp_path / "step-0000004.ckpt"
    resumed.fit(module(30, 20, 25), datamodule=ToyData(4), ckpt_path=checkpoint, weights_only=True)
    assert describe_weights(resumed).startswith("at step 4 of 8: best box/AP, 30.00")


def test_a_run_that_was_moved_still_has_its_best(tmp_path: Path) -> None:
    """Lightning compares names of folders: resume=runs/a in place of the whole path forgot the best of before."""
    before, after = tmp_path / "before" / "checkpoints", tmp_path / "after" / "checkpoints"
    every = dict(val_check_interval=2, enable_checkpointing=True)
    stopped = trainer(5, callbacks=[best(before), Checkpoints(before, every=100)], **every)
    stopped.fit(module(10, 30), datamodule=ToyData())
    before.parent.rename(after.parent)
    resumed = trainer(8, callbacks=[best(after), Checkpoints(after, every=100)], **every)
    checkpoint = after / "step-0000005.ckpt"
    model = module(20, 40)
    resumed.fit(model, datamodule=ToyData(5), ckpt_path=checkpoint, weights_only=True)
    text = describe_weights(resumed)
    assert text.startswith("at step 8 of 8: best box/AP, 40.00")
    assert sorted(path.name for path in after.glob("best*")) == ["best-0000008.ckpt", "best-0000008.ckpt.sha256"]


def test_checkpoints_of_chosen_parts_stay(tmp_path: Path) -> None:
    fitted = trainer(10, callbacks=[Checkpoints(tmp_path, every=1, keep=[0.25, 0.5])])
    fitted.fit(detection_module(), datamodule=ToyData())
    assert sorted(path.name for path in tmp_path.glob("*.ckpt")) == [
        f"step-{step:07d}.ckpt"
        for step in (2, 5, 9, 10)  # round(2.5) is 2, then the newest two
    ]


def test_the_range_test_changes_nothing_of_the_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    finder: RateFinder = build(OmegaConf.load(CONF / "lr_finder.yaml").lr_finder)
    plain, tested = detection_module(), detection_module()
    trainer(9, default_root_dir=str(tmp_path)).fit(plain, datamodule=ToyData())
    fitted = trainer(9, callbacks=[finder], default_root_dir=str(tmp_path))
    fitted.fit(tested, datamodule=ToyData())
    assert all(map(torch.equal, weights(plain), weights(tested)))
    assert fitted.global_step == 9
    with (tmp_path / "lr_finder.csv").open() as file:
        rates = [float(row["lr"]) for row in csv.DictReader(file)]
    assert rates == sorted(rates)
    assert rates[0] < 2e-6
    assert "range test: at most 100 steps before the training" in caplog.messages
    assert "optimizer.lr=" in caplog.text
    assert not list(tmp_path.glob(".lr_find*"))


@pytest.mark.parametrize(("stdout", "stderr"), [(True, True), (True, False), (False, True), (False, False)])
def test_the_bar_of_the_range_test_is_for_terminals(
    stdout: bool, stderr: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log of a run got the bar, redrawn some hundred times."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: stdout)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: stderr)
    finder = RateFinder(min_lr=1e-6, max_lr=1e-3, num_training_steps=20, early_stop_threshold=4.0)
    trainer(1, callbacks=[finder], default_root_dir=str(tmp_path)).fit(detection_module(), datamodule=ToyData())
    assert ("Finding best initial lr" in capsys.readouterr().err) == (stdout and stderr)


def test_a_diverging_range_test_ends_and_the_training_goes_on(tmp_path: Path) -> None:
    finder = RateFinder(min_lr=1e-3, max_lr=1e12, num_training_steps=60, early_stop_threshold=4.0)
    fitted = trainer(3, callbacks=[finder], default_root_dir=str(tmp_path))
    fitted.fit(detection_module(), datamodule=ToyData())
    assert fitted.global_step == 3


def test_the_throughput_monitor_counts_images(tmp_path: Path) -> None:
    monitor: ThroughputMonitor = build(OmegaConf.load(CONF / "statistics.yaml").throughput)
    assert monitor.batch_size_fn(next(iter(ToyData(size=3).stream))) == 3


def test_a_profile_is_a_table_and_a_trace_of_training_steps(tmp_path: Path) -> None:
    fitted = trainer(16, callbacks=[ProfileSteps(tmp_path / "profile")], val_check_interval=12)
    fitted.fit(detection_module(), datamodule=ToyData())
    table = (tmp_path / "profile" / "operators.txt").read_text()
    steps = int(next(line for line in table.splitlines() if "aten::convolution_backward" in line).split()[-1])
    assert steps == 5
    trace = json.loads((tmp_path / "profile" / "trace.json").read_text())
    assert any("convolution" in str(event.get("name")) for event in trace["traceEvents"])


@pytest.mark.parametrize(("steps", "timed"), [(1, 1), (4, 2), (12, 5), (13, 5)])
def test_of_a_short_training_the_second_half_is_timed(tmp_path: Path, steps: int, timed: int) -> None:
    fitted = trainer(steps, callbacks=[ProfileSteps(tmp_path / "profile")])
    fitted.fit(detection_module(), datamodule=ToyData())
    table = (tmp_path / "profile" / "operators.txt").read_text()
    row = next(line for line in table.splitlines() if "aten::convolution_backward" in line)
    assert int(row.split()[-1]) == timed


def test_a_callback_without_its_metric_is_refused() -> None:
    config = OmegaConf.create(
        {
            "callbacks": {"best": {"monitor": "mask/AP"}},
            "schedule": {"steps": 600, "evaluate_every": 0},
            "dataset": {"val": 1},
        }
    )
    with pytest.raises(ConfigError, match=r"callbacks=best waits for mask/AP.*schedule.evaluate_every=60"):
        check_callbacks(config, NoEvaluation(), Toy())
    config.schedule.evaluate_every = 100
    check_callbacks(config, NoEvaluation(), Toy())


@pytest.mark.parametrize(
    ("monitor", "scorer", "says"),
    [
        ("mask/AP", CocoScorer, None),
        ("mask/APx", CocoScorer, "begin with box/AP, box/AP50, box/AP75. Did you mean mask/AP "),
        ("box/AP", VocScorer, "begin with voc/mAP, voc/mAP07. Did you mean voc/mAP?"),
        ("voc/mAP", VocScorer, None),
    ],
)
def test_a_metric_that_the_evaluations_do_not_have_is_refused(monitor: str, scorer: Any, says: str | None) -> None:
    """A run of days ended at its first evaluation, and one on VOC could wait for no metric."""
    evaluator = make_evaluator(scorer, Shapes(seed=1, length=2, size=64))
    schedule, dataset = {"steps": 600, "evaluate_every": 100}, {"val": 1}
    config = OmegaConf.create({"callbacks": {"best": {"monitor": monitor}}, "schedule": schedule, "dataset": dataset})
    if says is None:
        check_callbacks(config, evaluator, Toy())
        return
    with pytest.raises(ConfigError) as raised:
        check_callbacks(config, evaluator, Toy())
    assert f"callbacks.best.monitor={monitor}: no metric of this run's evaluations, which {says}" in str(raised.value)


@pytest.mark.parametrize(
    ("model", "monitor", "says"),
    [
        ("faster_rcnn", "mask/AP", "this model has no head that predicts masks; its evaluations have box/AP, box/AP50"),
        ("faster_rcnn", "mask/APx", "which begin with box/AP, box/AP50, box/AP75. There are: box/AP, "),
        ("retinanet", "mask/AP50", "this model has no head that predicts masks; its evaluations have box/AP, box/AP50"),
        ("faster_rcnn", "box/AP", None),
        ("mask_rcnn", "mask/AP", None),
        ("pointrend", "mask/AP", None),
    ],
)
def test_a_metric_of_what_a_model_does_not_predict_is_refused(model: str, monitor: str, says: str | None) -> None:
    """A run of days ended at its first evaluation, where the ground truth has masks and the model has none."""
    evaluator = make_evaluator(CocoScorer, Shapes(seed=1, length=2, size=64))
    callbacks = ["callbacks=[best]", f"callbacks.best.monitor={monitor}", "schedule.evaluate_every=100"]
    config = compose_config([f"model={model}", "tier=smoke", "dataset.classes=3", *callbacks])
    if says is None:
        check_callbacks(config, evaluator, build(config.model))
        return
    with pytest.raises(ConfigError) as raised:
        check_callbacks(config, evaluator, build(config.model))
    assert f"callbacks.best.monitor={monitor}: " in str(raised.value)
    assert says in str(raised.value)
    assert "mask/AP, " not in str(raised.value)


@pytest.mark.parametrize("monitor", ["calibration/D-ECE", "explain/seconds", "box/AP"])
def test_a_metric_that_an_evaluator_adds_may_be_waited_for(monitor: str) -> None:
    """The metrics of the scorer alone were listed, so that calibration/D-ECE was refused."""
    option = "explanation" if monitor.startswith("explain") else "calibration"
    callbacks = ["callbacks=[best]", f"callbacks.best.monitor={monitor}", "schedule.evaluate_every=100"]
    config = compose_config([f"evaluator={option}", "model=faster_rcnn", "tier=smoke", "dataset.classes=3", *callbacks])
    evaluator = make_evaluator(build(config.evaluator), Shapes(seed=1, length=2, size=64))
    check_callbacks(config, evaluator, build(config.model))
    config.callbacks.best.monitor = f"{monitor}x"
    with pytest.raises(ConfigError, match=f"Did you mean {monitor}"):
        check_callbacks(config, evaluator, build(config.model))


def test_statistics_of_a_whole_run_on_a_cpu(tmp_path: Path) -> None:
    callbacks = [build(node) for node in OmegaConf.load(CONF / "statistics.yaml").values()]
    logger = CsvLogger(folder=tmp_path, name=RunName("id", "table", "row", 0), start=0)
    logger.log_hyperparams({})
    fitted = trainer(40, callbacks=callbacks, logger=logger, val_check_interval=30, log_every_n_steps=10)
    fitted.fit(detection_module(), datamodule=ToyData(size=3))
    with (tmp_path / "statistics.csv").open() as file:
        statistics = {(row["name"], int(row["step"])): float(row["value"]) for row in csv.DictReader(file)}
    assert statistics["train/samples", 39] == 120  # Lightning counts this step from 0
    assert statistics["train/device/samples_per_sec", 39] > 0
    assert fitted.global_step == 40
