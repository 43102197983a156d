"""Temperature and BTS of whole softmax rows: closed forms, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lineage.calibration.bin_wise_temperature import fit_row_temperature, scale_rows, take_log
from lineage.calibration.calibration_error import Ints
from lineage.calibration.logit import Floats
from lineage.calibration.split import CalibrationError
from lineage.calibration.temperature import fit_temperature
from lineage.cli.calibrate import main
from lineage.cli.calibrate_rows import read_rows


def draw_rows(count: int = 8000, temperature: float = 2.5) -> tuple[Floats, Ints]:
    """Return rows whose logits are `temperature` times too large, and classes drawn from the right rows."""
    generator = np.random.default_rng(0)
    logs = take_log(scale_rows(generator.normal(0, 1.5, (count, 6)), np.ones(count)))
    right = scale_rows(logs, np.ones(count))
    labels = (right.cumsum(axis=1) < generator.random(count)[:, None]).sum(axis=1)
    return scale_rows(logs, np.full(count, temperature)), labels


def test_the_temperature_that_was_applied_comes_back() -> None:
    probabilities, labels = draw_rows()
    (temperature,) = fit_row_temperature(probabilities, labels).temperatures
    assert temperature == pytest.approx(2.5, abs=0.1)


def test_two_classes_have_the_temperature_of_binary_scores() -> None:
    generator = np.random.default_rng(1)
    scores = generator.uniform(0.01, 0.99, 3000)
    labels = (generator.random(3000) < scores**2).astype(np.int64)
    rows = np.stack([1 - scores, scores], axis=1)
    (temperature,) = fit_row_temperature(rows, labels).temperatures
    assert temperature == pytest.approx(fit_temperature(scores, labels.astype(np.float64)).temperature, rel=1e-5)


def test_one_bin_is_the_temperature_and_classes_stay() -> None:
    probabilities, labels = draw_rows(2000)
    bins = fit_row_temperature(probabilities, labels, num_bins=10)
    assert len(bins.temperatures) == 10
    for function in (fit_row_temperature(probabilities, labels, num_bins=1), bins):
        calibrated = function(probabilities)
        np.testing.assert_allclose(calibrated.sum(axis=1), 1)
        assert np.array_equal(calibrated.argmax(axis=1), probabilities.argmax(axis=1))


def test_the_command_measures_the_other_half(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    probabilities, labels = draw_rows()
    np.savez(tmp_path / "rows.npz", probabilities=probabilities, labels=labels)
    assert main([str(tmp_path / "rows.npz"), "--out", str(tmp_path / "out")]) == 0
    measures = json.loads((tmp_path / "out" / "calibration_rows.json").read_text())["measures"]
    assert measures["temperature"]["ECE"] < 0.03 < 0.1 < measures["raw"]["ECE"]
    assert measures["temperature"]["NLL"] < measures["raw"]["NLL"]
    assert "measured on 4000 others" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("rows", "labels", "message"),
    [([[0.5, 0.4]] * 4, [0] * 4, "sum to 1"), ([[0.5, 0.5]] * 4, [2] * 4, "labels are 0 to 1"),
     ([[0.5, 0.5]] * 4, [0] * 3, "shapes"), ([[np.nan, 0.5]] * 4, [0] * 4, "sum to 1"),
     ([[0.5, 0.5]] * 4, [0.5] * 4, "types float64 and float64"), ([["a", "b"]] * 4, [0] * 4, "types <U1 and int64")],
)  # fmt: skip
def test_bad_rows_are_refused(rows: list[list[float]], labels: list[float], message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", probabilities=rows, labels=labels)
    with pytest.raises(CalibrationError, match=message):
        read_rows(tmp_path / "rows.npz")


def test_a_file_that_is_none_names_what_it_would_be(tmp_path: Path) -> None:
    (tmp_path / "rows.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(CalibrationError, match=r"rows\.npz is damaged: .*numpy\.savez\(FILE"):
        read_rows(tmp_path / "rows.npz")
    np.savez(tmp_path / "rows.npz", labels=[0] * 4)
    with pytest.raises(CalibrationError, match="it has no array 'probabilities"):
        read_rows(tmp_path / "rows.npz")
