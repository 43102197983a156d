"""Host time of a step of `python train.py` beyond that of a bare loop, for a model that computes next to nothing.

The bare loop takes a batch from the same loader and runs forward pass, division of the losses, backward pass, optimizer
and schedule of the rate. The run is what run/assemble.py builds from the default config: Lightning's Trainer, seeds,
norm of the gradient, buffer of the losses, metrics.csv, checkpoints by signal, progress lines. Both take turns in one
process, on one thread; times are process times, because other work shares the machine.

Lightning's import lets torch search for NVML's library whenever it counts GPUs, which its optimizers do in every step.
The bare loop is that of a program without Lightning, so it does not search; Lightning alone does on a machine without a
GPU, and a run ends it (train/callbacks/empty_hooks.py).

    OMP_NUM_THREADS=1 python benchmarks/step_overhead.py [--rounds 7] [--steps 1000] [--profile]

Writes benchmarks/results/step_overhead.md.
"""

from __future__ import annotations

import argparse
import cProfile
import io
import os
import pstats
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, cast

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from rich.console import Console
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from lineage.config.build import build
from lineage.config.compose import compose_config
from lineage.config.schema import Schedule
from lineage.data.datamodule import DetectionData
from lineage.eval.evaluator import NoEvaluation
from lineage.results.atomic import atomic_write
from lineage.run.assemble import Parts, build_scheduler, make_trainer
from lineage.run.resume import Attempt
from lineage.structures import Batch, Detections, Images, Loss, Losses, Targets
from lineage.train.callbacks.empty_hooks import NVML_CHECK
from lineage.train.detection_module import DetectionModule, combine_losses
from lineage.train.loggers import RunName
from lineage.train.progress import silence_lightning
from lineage.train.rank_heartbeat import RankHeartbeat
from lineage.train.stop_signals import StopSignals

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "step_overhead.md"
REMAINDER = """\
The aim, 0.25 ms, is not reached: Lightning's own loop takes more than that. Calls of functions are those beyond the
bare loop, counted by a profiler, and the same on a busy machine."""
LAYERS = 30  # of the model: 60 parameters, as many as a small detector has
IMAGES = 2


class Layers(nn.Module):
    """A detector of linear layers of width 4: as many operations and parameters as there are layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(nn.Linear(4, 4) for _ in range(LAYERS)))

    def losses(self, images: Images, targets: Targets) -> Losses:
        outputs = self.layers(images.pixels[:, 0, 0, :4].float() / 255)
        count = torch.tensor(float(len(outputs)))
        return {"roi_cls": Loss(outputs.square().sum(), count), "roi_box": Loss(outputs.abs().sum(), count)}

    def detect(self, images: Images) -> Detections:
        raise NotImplementedError("nothing is evaluated")


class OneBatch(IterableDataset[Batch]):
    """The same batch, `steps` times."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        ids = torch.arange(IMAGES)
        nothing = torch.zeros(IMAGES, 3)
        targets = Targets(torch.rand(IMAGES, 3, 4), nothing.long(), nothing.bool(), nothing.bool(), None, None)
        sizes = torch.full((IMAGES, 2), 8)
        self.batch = Batch(Images(torch.full((IMAGES, 3, 8, 8), 9).byte(), sizes.float(), ids), targets, ids, sizes)

    def __iter__(self) -> Any:
        return iter([self.batch] * self.steps)

    def __len__(self) -> int:
        return self.steps


class Batches(pl.LightningDataModule):
    """The part of DetectionData that a run without evaluation needs."""

    val = None

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def train_dataloader(self) -> DataLoader[Batch]:
        return DataLoader(OneBatch(self.steps), batch_size=None)

    def accumulate(self, world_size: int) -> int:
        return 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--profile", action="store_true", help="print what a step of the run calls, and write nothing")
    args = parser.parse_args()
    torch.set_num_threads(1)
    silence_lightning()
    config = compose_run(args.steps)
    if args.profile:
        print(profile(partial(run_lightning, config)))
        return
    for run in RUNS:
        run(config)  # modules are imported and memory is claimed
    rounds = [[run(config) for run in RUNS] for _ in range(args.rounds)]
    text = format_table(rounds, [count_calls(run) for run in RUNS], args.steps)
    print(text)
    atomic_write(RESULT, text)


def compose_run(steps: int) -> DictConfig:
    schedule = {"steps": steps, "images_per_step": IMAGES, "warmup_steps": 100, "milestones": [steps // 2]}
    overrides = [f"schedule.{key}={value}" for key, value in schedule.items()]
    # a checkpoint is the price of an interval, not of a step
    return compose_config(["trainer=cpu", *overrides, f"checkpoint_every={10 * steps}"])


def make_module(config: DictConfig) -> DetectionModule:
    return DetectionModule(
        Layers(),
        optimizer=build(config.optimizer),
        scheduler=build_scheduler(config, Schedule(**config.schedule)),
        evaluator=NoEvaluation(),
        images_per_step=IMAGES,
        seed=0,
        log_every=config.trainer.log_every_n_steps,
    )


def run_bare(config: DictConfig) -> float:
    """Return the process seconds of a step of the bare loop."""
    os.environ.pop(NVML_CHECK, None)
    module = make_module(config)
    model: Any = module.model.train()
    optimizer = module.make_optimizer(model)
    scheduler = module.make_scheduler(optimizer)
    started = time.process_time()
    for batch in DataLoader(OneBatch(config.schedule.steps), batch_size=None):
        loss, _, _ = combine_losses(model.losses(batch.images, batch.targets))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    return (time.process_time() - started) / config.schedule.steps


class Plain(pl.LightningModule):
    """The bare loop as a LightningModule."""

    def __init__(self, module: DetectionModule) -> None:
        super().__init__()
        self.detector = module.model
        self.makers = module.make_optimizer, module.make_scheduler

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return combine_losses(cast(Any, self.detector).losses(batch.images, batch.targets))[0]

    def configure_optimizers(self) -> Any:
        make_optimizer, make_scheduler = self.makers
        optimizer = make_optimizer(self.detector)
        return [optimizer], [{"scheduler": make_scheduler(optimizer), "interval": "step"}]


def run_plain(config: DictConfig) -> float:
    """Return the process seconds of a step of Lightning's Trainer without anything of ours."""
    os.environ[NVML_CHECK] = "1"
    clock, silent = Clock(), {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    trainer = pl.Trainer(
        accelerator="cpu", max_steps=config.schedule.steps, callbacks=[clock], enable_checkpointing=False, **silent
    )
    trainer.fit(Plain(make_module(config)), DataLoader(OneBatch(config.schedule.steps), batch_size=None))
    return (clock.ended - clock.started) / config.schedule.steps


class Clock(pl.Callback):
    """Clock of a run from its first step to its last."""

    def __init__(self) -> None:
        self.started = self.ended = 0.0

    def on_train_start(self, *_: Any) -> None:
        self.started = time.process_time()

    def on_train_end(self, *_: Any) -> None:
        self.ended = time.process_time()


def run_without_norm(config: DictConfig) -> float:
    """Return the process seconds of a step of a run that does not log the norm of its gradients."""
    module = make_module(config)
    vars(module)["on_before_optimizer_step"] = None
    return run_lightning(config, module=module)


def run_lightning(
    config: DictConfig, profiler: cProfile.Profile | None = None, module: DetectionModule | None = None
) -> float:
    """Return the process seconds of a step of a run."""
    os.environ[NVML_CHECK] = "1"
    module, data, clock = module or make_module(config), Batches(config.schedule.steps), Clock()
    with TemporaryDirectory() as folder:
        (Path(folder) / "checkpoints").mkdir()
        parts = Parts(cast(DetectionData, data), cast(nn.Module, module.model), module)
        name, console = RunName("id", "table", "row", 0), Console(file=io.StringIO())
        attempt = Attempt(Path(folder), config, [], {})
        trainer = make_trainer(attempt, parts, name, console, StopSignals(), RankHeartbeat(300.0))
        vars(trainer)["callbacks"].append(clock)
        for logger in trainer.loggers:
            logger.log_hyperparams({})
        if profiler:
            profiler.enable()
        trainer.fit(module, datamodule=data)
        if profiler:
            profiler.disable()
    return (clock.ended - clock.started) / config.schedule.steps


RUNS: dict[Callable[[DictConfig], float], str] = {
    run_bare: "bare loop",
    run_plain: "the same in Lightning's Trainer, without anything of ours",
    run_lightning: "`python train.py`",
    run_without_norm: "the same, without the norm of all gradients that it logs",
}


def profile(run: Any) -> str:
    profiler, text = cProfile.Profile(), io.StringIO()
    run(profiler)
    pstats.Stats(profiler, stream=text).sort_stats("tottime").print_stats(60)
    return text.getvalue()


def count_calls(run: Callable[[DictConfig], float], steps: int = 100) -> Counter[str]:
    """Return the calls of functions in a step, by package: those of a longer run beyond a shorter one."""
    counts = []
    for length in (steps, 2 * steps):
        profiler = cProfile.Profile()
        profiler.runcall(run, compose_run(length))
        calls: Counter[str] = Counter()
        for (path, _, _), (_, number, *_) in cast(Any, pstats.Stats(profiler)).stats.items():
            calls[find_package(path)] += number
        counts.append(calls)
    return Counter({package: round((counts[1][package] - number) / steps) for package, number in counts[0].items()})


def find_package(path: str) -> str:
    """Return "Lightning", "ours" or "other" for the file of a function."""
    if "lightning" in path:
        return "Lightning"
    return "ours" if str(ROOT / "src") in path else "other"


def format_table(rounds: list[list[float]], calls: list[Counter[str]], steps: int) -> str:
    introduction = str(__doc__).partition("\n    OMP")[0].strip()
    rows = []
    for name, column, counts in zip(RUNS.values(), zip(*rounds, strict=True), calls, strict=True):
        beyond = sorted((own - bare[0]) * 1e3 for own, bare in zip(column, rounds, strict=True))
        spread = f"{median(beyond):.2f} ({beyond[0]:.2f} to {beyond[-1]:.2f})"
        numbers = " | ".join(str(counts[package] - calls[0][package]) for package in ("Lightning", "ours", "other"))
        rows.append(f"| {name} | {median(column) * 1e3:.2f} | {spread} | {numbers} |")
    table = "\n".join(rows)
    return f"""{introduction}

| | ms a step | beyond the bare loop, median and range of {len(rounds)} rounds | calls: of Lightning | of ours | other |
| --- | ---: | ---: | ---: | ---: | ---: |
{table}

{REMAINDER}

{LAYERS} layers, {IMAGES} images a step, {steps} steps a round, torch {torch.__version__}, Lightning {pl.__version__};
two cores, shared with trainings.
"""


if __name__ == "__main__":
    main()
