"""Curves survive a resume; W&B never prompts, and no server costs a run more than seconds."""

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from pytorch_lightning.loggers import Logger

from lineage.results.run_folder import read_metrics
from lineage.run import metadata
from lineage.run.resume import Attempt, record_run_id
from lineage.train import background_logger
from lineage.train.background_logger import BackgroundLogger
from lineage.train.loggers import (
    CsvLogger,
    RunName,
    close_at_end,
    find_dashboard_url,
    make_loggers,
    make_wandb_logger,
)
from lineage.train.trackers import wandb_logger
from lineage.train.trackers.wandb_logger import choose_mode, has_wandb_key

NAME = RunName("id", "scratch", "mask_rcnn", 0)


def log(folder: Path, start: int, steps: range) -> CsvLogger:
    logger = CsvLogger(folder=folder, name=NAME, start=start)
    logger.log_hyperparams({})
    for step in steps:
        logger.log_metrics({"loss": float(step)}, step)
    return logger


def test_a_new_column_keeps_the_old_rows(tmp_path: Path) -> None:
    logger = log(tmp_path, 0, range(1, 3))
    logger.log_metrics({"box/AP": 3.0}, 2)
    assert read_metrics(logger.path) == [
        {"step": "1", "loss": "1.0", "box/AP": ""},
        {"step": "2", "loss": "2.0", "box/AP": ""},
        {"step": "2", "loss": "", "box/AP": "3.0"},
    ]


def test_what_a_killed_run_logged_after_its_checkpoint_is_dropped(tmp_path: Path) -> None:
    log(tmp_path, 0, range(1, 6))
    logger = log(tmp_path, 3, range(4, 7))
    assert [row["step"] for row in read_metrics(logger.path)] == ["1", "2", "3", "4", "5", "6"]


def test_an_evaluation_that_comes_again_replaces_its_row(tmp_path: Path) -> None:
    log(tmp_path, 0, range(1, 4)).log_metrics({"box/AP": 1.0}, 3)
    logger = log(tmp_path, 3, range(0))
    logger.log_metrics({"box/AP": 2.0}, 3)
    rows = read_metrics(logger.path)
    assert [(row["step"], row["loss"], row["box/AP"]) for row in rows[-2:]] == [("3", "3.0", ""), ("3", "", "2.0")]
    assert len(rows) == 4


def test_a_row_that_a_full_disk_cut_off_is_dropped(tmp_path: Path) -> None:
    path = log(tmp_path, 0, range(1, 14)).path
    path.write_text(path.read_text().removesuffix("13,13.0\n") + "1")
    log(tmp_path, 13, range(13, 15))
    assert [row["step"] for row in read_metrics(path)] == [str(step) for step in range(1, 15)]


def test_a_machine_without_a_key_stays_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    assert not has_wandb_key()
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert has_wandb_key()
    assert choose_mode() == "online"
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert choose_mode() == "offline"
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.our-lab.org")
    (tmp_path / ".netrc").write_text("machine wandb.our-lab.org login user password x\n")
    (tmp_path / ".netrc").chmod(0o600)
    assert has_wandb_key()


@contextmanager
def serve(kind: str) -> Iterator[int]:
    """Open a port of this machine: nobody listens, or the server never answers, or answers 500."""
    if kind != "500":
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            if kind == "hangs":
                listener.listen(50)
            yield listener.getsockname()[1]
        return

    class Broken(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_error(500)

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Broken) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize("kind", ["refuses", "hangs", "500"])
def test_a_server_that_does_not_serve_costs_seconds_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    with serve(kind) as port:
        monkeypatch.delenv("WANDB_MODE", raising=False)
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        monkeypatch.setattr(wandb_logger, "ONLINE", 1.0)
        import wandb  # noqa: F401  (takes as long as the machine is busy, whatever the server does)

        started = time.monotonic()
        makers = {"wandb": partial(make_wandb_logger, project="lineage", entity=None)}
        loggers = make_loggers(makers, folder=tmp_path, name=NAME, start=0)
        with caplog.at_level(logging.WARNING, "lineage"), close_at_end(loggers):
            loggers[0].log_hyperparams({"seed": 0})
            for step in range(3):
                loggers[0].log_metrics({"loss": 1.0}, step)
            assert find_dashboard_url(loggers) is None
        assert time.monotonic() - started < 15
    lines = [record.message for record in caplog.records if record.name.startswith("lineage")]
    assert [line.partition(",")[0] for line in lines] == ["W&B is offline"]
    for _ in range(100):  # its own process writes what `wandb sync` uploads later
        if b"trainer/global_step" in next(tmp_path.glob("wandb/offline-run-*-id/run-id.wandb")).read_bytes():
            return
        time.sleep(0.1)
    raise AssertionError("the curves are not on disk")


class Dashboard(Logger):
    """A logger whose server may fail at any call."""

    url = "https://dashboard/run"
    name = version = "dashboard"

    def __init__(self, calls: list[Any], error: BaseException | None = None, wait: float = 0.0) -> None:
        super().__init__()
        self.calls, self.error, self.wait = calls, error, wait

    def log_hyperparams(self, params: Any, *_: Any, **__: Any) -> None:
        self.calls.append(params)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        time.sleep(self.wait)
        if self.error:
            raise self.error
        self.calls.append((metrics, step))

    def close(self) -> None:
        self.calls.append("closed")


def test_a_logger_in_the_background_gets_every_call_in_order() -> None:
    calls: list[Any] = []
    logger = BackgroundLogger("dashboard", lambda: Dashboard(calls))
    logger.log_hyperparams({"seed": 0})
    for step in range(100):
        logger.log_metrics({"loss": 1.0}, step)
    assert find_dashboard_url([logger]) == "https://dashboard/run"
    logger.close()
    assert calls == [{"seed": 0}, *(({"loss": 1.0}, step) for step in range(100)), "closed"]


def refuse() -> Logger:
    raise SystemExit("login failed")


@pytest.mark.parametrize(
    ("make", "warning"),
    [
        (refuse, "logger x does not open: SystemExit: login failed. The run goes on"),
        (
            lambda: Dashboard([], OSError("no route")),
            "logger x fails in log_metrics: OSError: no route. The run goes on",
        ),
        (lambda: Dashboard([], wait=9.0), "logger x has not written everything within 1 s. The run goes on"),
    ],
    ids=["opening", "logging", "hanging"],
)
def test_a_failing_logger_is_one_warning(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, make: Any, warning: str
) -> None:
    monkeypatch.setattr(background_logger, "OPEN", 1.0)
    logger = BackgroundLogger("x", make)
    started = time.monotonic()
    with caplog.at_level(logging.WARNING):
        logger.log_hyperparams({})
        for step in range(3):
            logger.log_metrics({"loss": 1.0}, step)
        logger.close(seconds=1.0)
    assert time.monotonic() - started < 4
    assert [record.message for record in caplog.records] == [warning]


def test_a_resumed_run_has_the_id_of_the_first_attempt(tmp_path: Path) -> None:
    (tmp_path / "start.json").write_text('{"overrides": [], "choices": {}}')
    attempt = Attempt(tmp_path, OmegaConf.create(), [], {})
    record_run_id(attempt, "first")
    start = json.loads((tmp_path / "start.json").read_text())
    assert start == {"overrides": [], "choices": {}, "id": "first"}
    resumed = attempt._replace(run_id=start["id"])
    record_run_id(resumed, "second")
    assert json.loads((tmp_path / "start.json").read_text())["id"] == "first"
    facts = {"id": "second", "table": None, "row": None, "choices": {"model": "mask_rcnn"}, "seed": 0}
    facts |= {"tier": "mini", "deviations": ["model=mask_rcnn", "optimizer.lr=0.1"]}
    name = metadata.name_run(resumed, facts)
    assert (name.id, name.title, name.published) == ("first", "mask_rcnn optimizer.lr=0.1 seed 0", {})
    row = metadata.name_run(resumed, facts | {"table": "mask_rcnn/table2c", "row": "roi_align"})
    assert (row.table, row.published["mask/AP"]) == ("mask_rcnn/table2c", 30.3)  # arXiv:1703.06870, table 2c


def test_statistics_of_devices_are_no_rows_of_metrics(tmp_path: Path) -> None:
    """Lightning's monitors log at the steps of evaluations too, whose rows they replaced."""
    logger = CsvLogger(folder=tmp_path, name=RunName("id", "t", "r", 0), start=0)
    logger.log_hyperparams({})
    logger.log_metrics({"box/AP": 30.0}, step=4)
    logger.log_metrics({"DeviceStatsMonitor.on_train_batch_end/cpu_percent": 93.0}, step=4)
    logger.log_metrics({"train/samples": 8.0, "epoch": 0.0}, step=4)
    assert (tmp_path / "metrics.csv").read_text().split() == ["step,box/AP", "4,30.0"]
    assert (tmp_path / "statistics.csv").read_text().split()[:2] == [
        "step,name,value", "4,DeviceStatsMonitor.on_train_batch_end/cpu_percent,93.0",
    ]  # fmt: skip
