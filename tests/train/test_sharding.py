"""Sharded training is training: on two processes the losses, the weights, the files and the metrics of one process."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import EMAWeightAveraging
from pytorch_lightning.strategies import FSDPStrategy, SingleDeviceStrategy
from torch import Tensor, nn

from lineage.config.build import ConfigError
from lineage.results.run_folder import list_checkpoints, read_metrics
from lineage.run.checks.sharding import check_sharding
from lineage.structures import Images, Loss, Losses, Targets
from lineage.train.checkpoint import Checkpoints
from lineage.train.loggers import CsvLogger, RunName
from lineage.train.memory.sharding import ShardedStrategy, gather_state
from tests.train import tiny, toy

LOGGED = ("loss", "roi_cls/accuracy", "grad_norm")
SHARDED = ("trainer=fsdp", "trainer.accelerator=cpu", "trainer.devices=2")
FEW = (*tiny.TINY, "schedule.steps=6", "schedule.milestones=[5]", "dataset.val.length=3")


class Block(nn.Module):
    """A layer of a body that runs by a method `run`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, 6, 3, padding=1)

    def run(self, features: Tensor) -> Tensor:
        return self.convolution(features).relu()


class Body(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(3), Block(6)])

    def list_layers(self) -> list[nn.Module]:
        return list(self.blocks)

    def forward(self, pixels: Tensor) -> Tensor:
        for block in self.blocks:
            pixels = block.run(pixels)
        return pixels


class Detector(toy.Toy):
    """A detector whose head runs on two levels in a step, as an RPN's does."""

    def __init__(self) -> None:
        super().__init__()
        self.body = Body()
        self.head = nn.Linear(6, 5)

    def losses(self, images: Images, targets: Targets) -> Losses:
        features = self.body(images.pixels.float() / 255)
        levels = [self.head(level.mean((2, 3))) for level in (features, features[..., ::2, ::2])]
        weight = targets.valid.float()
        error = sum((level[:, None, :4] - targets.boxes).abs().sum(2) * weight for level in levels)
        score, images_per_batch = levels[0][:, 4], torch.tensor(float(len(weight)))
        accuracy = toy.Diagnostic("accuracy", (score.detach() > 0).sum(), images_per_batch)
        return {
            "roi_box": Loss(error.sum(), weight.sum()),
            "roi_cls": Loss(score.square().sum(), images_per_batch, (accuracy,)),
        }


def fit(folder: Path, start: Path | None = None, **options: Any) -> Any:
    """Train six steps of four images, from a checkpoint if one is named; return the module."""
    folder.mkdir(exist_ok=True)
    module = toy.detection_module(images=4, make_model=Detector)
    callbacks = [Checkpoints(folder / "checkpoints", every=3, keep=[0.5])]
    logger = CsvLogger(folder=folder, name=RunName("id", "table", "row", 0), start=3 if start else 0)
    trainer = toy.trainer(6, logger=logger, callbacks=callbacks, val_check_interval=4, **options)
    trainer.fit(module, toy.ToyData(start=3 if start else 0, size=4), ckpt_path=start, weights_only=True)
    return module


def fit_share(rank: int, folder: Path) -> None:
    """Train as one of two processes: from the start, then from the checkpoint of one process."""
    for name, start in (("two", None), ("resumed", folder / "one" / "checkpoints" / "step-0000003.ckpt")):
        module = fit(folder / name, start, devices=2, strategy=ShardedStrategy())
        parts = [parameter.to_local().numel() for parameter in module.model.parameters()]
        whole = [parameter.numel() for parameter in module.model.parameters()]
        state = gather_state(module.model.state_dict())
        torch.save((state, sum(parts), sum(whole)), folder / f"{name}-{rank}.pt")


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_two_processes_equal_one_also_on_disk(tmp_path: Path) -> None:
    one = fit(tmp_path / "one").model.state_dict()
    toy.run_in_two_processes(fit_share, tmp_path)
    # 1. Weights, of the run and of one that goes on from the checkpoint of one process.
    for name in ("two", "resumed"):
        state, parts, whole = torch.load(tmp_path / f"{name}-0.pt", weights_only=True)
        torch.testing.assert_close(state, dict(one), rtol=0, atol=1e-6)
        assert parts < 0.6 * whole
    assert torch.load(tmp_path / "two-1.pt", weights_only=True)[0] == {}  # the first process alone has a copy
    # 2. Curves.
    curves = [
        [[float(row[name]) for name in LOGGED] for row in read_metrics(tmp_path / run / "metrics.csv") if row["loss"]]
        for run in ("one", "two")
    ]
    torch.testing.assert_close(torch.tensor(curves[1]), torch.tensor(curves[0]), rtol=1e-5, atol=1e-6)
    # 3. Checkpoints: an ordinary file, from which one process goes on.
    ours, theirs = (load_checkpoint(tmp_path / run, 6) for run in ("two", "one"))
    for key in ("state_dict", "optimizer_states", "lr_schedulers"):
        torch.testing.assert_close(ours[key], theirs[key], rtol=1e-5, atol=1e-5)
    crossed = fit(tmp_path / "crossed", tmp_path / "two" / "checkpoints" / "step-0000003.ckpt").model.state_dict()
    torch.testing.assert_close(dict(crossed), dict(one), rtol=0, atol=1e-6)


def load_checkpoint(run: Path, step: int) -> dict[str, Any]:
    return torch.load(run / "checkpoints" / f"step-{step:07d}.ckpt", weights_only=True)


@pytest.mark.slow
def test_a_stopped_sharded_run_goes_on_to_the_metrics_of_one_process(tmp_path: Path) -> None:
    tiny.train(tmp_path, *FEW, f"hydra.run.dir={tmp_path / 'one'}")
    run = tmp_path / "run"
    first = tiny.start(tmp_path, *FEW, *SHARDED, "activation_checkpointing=true", f"hydra.run.dir={run}")
    while not list_checkpoints(run / "checkpoints"):
        assert first.poll() is None, first.communicate()[0]
        time.sleep(0.05)
    first.send_signal(signal.SIGTERM)
    output = first.communicate(timeout=120)[0]
    stopped = json.loads((run / "entry.json").read_text())
    assert stopped["status"] == "stopped", output
    assert max(list_checkpoints(run / "checkpoints")) == stopped["steps"] < 6
    tiny.train(tmp_path, f"resume={run}")
    ours, theirs = (json.loads((path / "entry.json").read_text()) for path in (run, tmp_path / "one"))
    assert ours["processes"] == 2
    assert ours["config_digest"] == theirs["config_digest"]
    assert ours["metrics"] == pytest.approx(theirs["metrics"], abs=0.1)
    assert tiny.losses(run) == pytest.approx(tiny.losses(tmp_path / "one"), abs=1e-3)
    # the weights are a file like any other
    test = tmp_path / "test"
    tiny.train(tmp_path, *FEW, "evaluate_only=true", f"weights={run}", f"hydra.run.dir={test}")
    assert json.loads((test / "entry.json").read_text())["metrics"] == pytest.approx(ours["metrics"])


def test_what_needs_whole_weights_is_refused_with_a_way_out() -> None:
    nothing = OmegaConf.create({})
    model = Detector()
    check_sharding(SingleDeviceStrategy(torch.device("cpu")), OmegaConf.create({"dump_proposals": True}), model, [])
    check_sharding(ShardedStrategy(), nothing, model, [])
    with pytest.raises(ConfigError, match="trainer=fsdp is FSDP2"):
        check_sharding(FSDPStrategy(), nothing, model, [])
    with pytest.raises(ConfigError, match="evaluate_only=true weights=<run folder> dump_proposals=true"):
        check_sharding(ShardedStrategy(), OmegaConf.create({"dump_proposals": True}), model, [])
    with pytest.raises(ConfigError, match="average_checkpoints"):
        check_sharding(ShardedStrategy(), nothing, model, [EMAWeightAveraging(decay=0.9)])
