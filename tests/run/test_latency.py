"""Latency: statistics of a clock that is not the wall's, power from files that are not the kernel's, and the entry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import accumulate, count
from pathlib import Path

import pytest
import torch

from lineage.cli import latency as command
from lineage.config.build import ConfigError
from lineage.launch.cells import CellName, build_cells
from lineage.results import integrity, paths, store
from lineage.results.entry import parse as parse_entry
from lineage.run.inference import latency, latency_entry
from lineage.run.inference.latency import Latency, Workload, measure_latency
from lineage.run.inference.power import UNREADABLE, PowerMeter
from lineage.tables.read import load_table

CPU = torch.device("cpu")


def clock_of(durations: list[float]) -> Iterator[float]:
    """Yield the times before and after calls of these durations in milliseconds."""
    ends = [*accumulate(durations)]
    for start, end in zip([0.0, *ends], ends, strict=False):
        yield start / 1000
        yield end / 1000


def test_median_and_percentile_leave_out_the_warm_up(tmp_path: Path) -> None:
    calls: list[int] = []
    times = clock_of([*map(float, range(1, 51))])
    measured = measure_latency(
        lambda: calls.append(1), repeats=50, warmup=7, meter=PowerMeter(CPU, tmp_path), clock=lambda: next(times)
    )
    assert len(calls) == 57
    assert measured.milliseconds == pytest.approx([*range(1, 51)])
    assert measured.median == pytest.approx(25.5)
    assert measured.p95 == pytest.approx(1 + 0.95 * 49)
    assert measured.images_per_second == pytest.approx(1000 / 25.5)
    assert (measured.watts, measured.power_source) == (None, UNREADABLE)


def test_fewer_calls_are_refused() -> None:
    with pytest.raises(ConfigError, match="needs 50"):
        latency.check_repeats(49)
    latency.check_repeats(50)


def test_power_is_the_energy_of_the_processor_by_time(tmp_path: Path) -> None:
    domain = tmp_path / "class/powercap/intel-rapl:0"
    domain.mkdir(parents=True)
    (domain / "max_energy_range_uj").write_text("262143000000\n")
    (domain.parent / "intel-rapl:0:0").mkdir()  # a part of the same processor
    (domain.parent / "intel-rapl:0:0/energy_uj").write_text("1\n")
    for first, last, joules in ((1_000_000, 31_000_000, 30.0), (262_142_000_000, 5_000_000, 6.0)):  # the second wraps
        (domain / "energy_uj").write_text(f"{first}\n")
        seconds = count(0.0, 2.0)
        meter = PowerMeter(CPU, tmp_path, clock=lambda seconds=seconds: next(seconds))
        meter.start()
        (domain / "energy_uj").write_text(f"{last}\n")
        assert meter.stop() == pytest.approx(joules / 2)
        assert meter.source == "RAPL intel-rapl:0"


def test_power_of_a_board(tmp_path: Path) -> None:
    board = tmp_path / "class/hwmon/hwmon3"
    board.mkdir(parents=True)
    (board / "power1_input").write_text("7250000\n")
    meter = PowerMeter(CPU, tmp_path)
    meter.start()
    assert meter.stop() == pytest.approx(7.25)
    assert meter.source == "hwmon hwmon3/power1_input at the end"


@pytest.fixture
def workload() -> Workload:
    return Workload(lambda: None, "torch 2", (64, 96), CPU, None, "model")


def test_an_entry_claims_no_precision_and_fits_the_store(workload: Workload, tmp_path: Path) -> None:
    measured = Latency((10.0,) * 40 + (20.0,) * 20, 7.5, "RAPL")
    started = datetime(2026, 11, 26, tzinfo=UTC)
    entry = latency_entry.make_latency_entry(
        measured, workload, threads=4, warmup=3, argv=["lineage", "latency"], started=started
    )
    path = store.write(entry, tmp_path)
    assert path.parent == tmp_path / "scratch/model"
    assert integrity.verify(tmp_path) == (1, [])
    back = parse_entry(path.read_text())
    assert back.metrics == {
        "cost/image_ms": 10.0, "cost/image_ms_p95": 20.0, "cost/images_per_second": 100.0, "cost/watts": 7.5,
    }  # fmt: skip
    assert (back.table, back.row, back.steps, back.image_ms) == (None, None, 0, 10.0)
    assert back.config["latency"] == {
        "runtime": "torch 2", "size": [64, 96], "batch": 1, "threads": 4, "device": "cpu", "warmup": 3, "repeats": 60,
    }  # fmt: skip
    assert (back.hardware["threads"], back.hardware["power"]) == (4, "RAPL")
    assert back.hardware["cpu"]
    other = latency_entry.make_latency_entry(measured, workload, threads=1, warmup=3, argv=["lineage"], started=started)
    assert other.config_digest != entry.config_digest, "another number of threads is another measurement"


def test_only_a_table_of_costs_has_such_entries(tmp_path: Path) -> None:
    rows = "rows: {a: {quoted: it, published: {METRIC: 1}}}"
    head = "paper: P\nlabel: L\nmessage: m.\nkind: cost\ndataset: coco\nsource: s\nconfidence: read in source\n"
    (tmp_path / "p").mkdir()
    for name, metric in (("speed", "cost/image_ms"), ("precision", "box/AP")):
        text = f"{head}metrics: {{{metric}: x}}\n{rows.replace('METRIC', metric)}\n"
        (tmp_path / f"p/{name}.yaml").write_text(text)
    assert latency_entry.has_costs_alone("p/speed", tmp_path)
    assert not latency_entry.has_costs_alone("p/precision", tmp_path)
    assert not latency_entry.has_costs_alone("p/none", tmp_path)
    assert not latency_entry.has_costs_alone(None, tmp_path)


def test_a_model_without_a_run_fills_a_row_of_costs(tmp_path: Path) -> None:
    """The digest is that of the cell which the planner would train, so that the table counts the entry."""
    row = ["experiment=deepfashion2/speed/mobilenet", "dataset.classes=13", "+dataset.keypoints=294"]
    assert command.main([*row, "--size", "64x64", "--threads", "1", "--results", str(tmp_path)]) == 0
    (entry,) = (parse_entry(path.read_text()) for path in tmp_path.rglob("*.json"))
    assert (entry.table, entry.row, entry.tier) == ("deepfashion2/speed", "mobilenet", "paper")
    assert {metric.partition("/")[0] for metric in entry.metrics} == {"cost"}
    assert entry.note.endswith("64 x 64 at a time, random weights")
    name = CellName("deepfashion2/speed", "mobilenet", "paper", 0)
    cells = build_cells(paths.project(), partial(load_table, paths.experiments()), [name])
    assert entry.cell_digest == cells[name].cell_digest
    assert str(Path.home()) not in json.dumps(entry.config["paths"])


def test_a_model_without_a_run_is_a_free_entry(tmp_path: Path) -> None:
    model = ["model=centernet_mobilenet", "tier=smoke", "dataset.classes=3"]
    assert command.main([*model, "--size", "64x96", "--threads", "1", "--results", str(tmp_path)]) == 0
    (path,) = tmp_path.rglob("*.json")
    assert path.parent == tmp_path / "scratch/centernet_mobilenet"
    entry = parse_entry(path.read_text())
    assert (entry.table, entry.tier, entry.choices["model"]) == (None, "smoke", "centernet_mobilenet")
    with pytest.raises(ConfigError, match=r"dataset\.classes=80"):
        command.main([model[0], "dataset=coco", "--no-entry"])


def test_a_size_is_padded_as_at_test_time(capsys: pytest.CaptureFixture[str]) -> None:
    model = ["model=centernet_mobilenet", "tier=smoke", "dataset.classes=3"]
    assert command.main([*model, "--size", "101x77", "--threads", "1", "--no-entry"]) == 0
    printed = capsys.readouterr().out
    assert " 128x96 " in printed
    assert "--size 101x77 is padded to 128x96" in printed


def test_the_canvas_of_a_file_is_that_of_its_description(tmp_path: Path) -> None:
    file, description = tmp_path / "model.onnx", tmp_path / "model.onnx.json"
    assert latency.pad_size(file, (101, 77)) == (101, 77)
    description.write_text('{"size_divisibility": 16, "smallest_size": 80}')
    assert latency.pad_size(file, (101, 77)) == (112, 80)
    with pytest.raises(ConfigError, match="80 pixels or more, not 112x64"):
        latency.pad_size(file, (101, 64))
    for damage in ("0", '"16"', "null", "1.5", "true"):
        description.write_text(f'{{"size_divisibility": {damage}}}')
        with pytest.raises(ConfigError, match=r"json is damaged"):
            latency.pad_size(file, (101, 77))


def test_bad_arguments_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    refused = {
        "'0' is no list": ["a", "--threads", "0"],
        "--size is one size": ["a", "--size", "any"],
        "no config to override": ["a.onnx", "seed=1"],
        "0 or more": ["a", "--warmup", "-1"],
    }
    for message, argv in refused.items():
        with pytest.raises(SystemExit):
            command.parse(argv)
        assert message in capsys.readouterr().err
    with pytest.raises(ConfigError, match="no such file"):
        command.main(["none.onnx", "--no-entry"])
    assert command.parse(["a", "--threads", "2,1,2"]).threads == [2, 1]


def test_other_processes_are_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "count_cores", lambda: 4)
    command.warn_of_load(2.9, threads=1)
    assert capsys.readouterr().out == ""
    command.warn_of_load(2.9, threads=4)
    assert "load 2.9, 4 cores" in capsys.readouterr().out


def test_the_load_is_that_before_the_first_measurement(
    workload: Workload, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each measurement here loads the machine by its threads, as the kernel would count them a minute later."""
    loads = [0.1]
    monkeypatch.setattr(command, "count_cores", lambda: 2)
    monkeypatch.setattr(latency.os, "getloadavg", lambda: (loads[-1], 0.0, 0.0))
    monkeypatch.setattr(command, "prepare", lambda *_: replace(workload, run=lambda: loads.append(loads[-1] + 1)))
    assert command.main(["model", "--threads", "1,2", "--results", str(tmp_path)]) == 0
    assert "other processes" not in capsys.readouterr().out
    entries = [parse_entry(path.read_text()) for path in tmp_path.rglob("*.json")]
    assert [entry.hardware["load"] for entry in entries] == [0.1, 0.1]
    assert command.main(["model", "--threads", "1", "--no-entry"]) == 0
    assert "other processes" in capsys.readouterr().out
