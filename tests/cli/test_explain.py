"""`lineage explain` end to end: pictures, page and JSON of a random model, and messages for bad input."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lineage.cli.main import main
from lineage.data.formats.voc import CLASSES
from tests.weights import published

STRANGE = "<b>x&y'.png"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Return a drawing whose file has a name of HTML and whose size is not that of the canvas."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((140, 100)).save(tmp_path / STRANGE)
    return tmp_path / STRANGE


def test_writes_pictures_page_and_json(run: Path, picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--score", "0", "--count", "2", "--method", "gradient,hires-cam,d_rise", "--masks", "2", "--judge"]
    assert main(["explain", str(run), str(picture), *options, "--out", str(out)]) == 0
    (image,) = json.loads((out / "explain.json").read_text())
    assert image["target"] == "class"
    assert image["proposal_policy"] == "the proposal is a constant"
    assert image["d_rise"].startswith("D-RISE: 2 masks")
    assert [detection["number"] for detection in image["detections"]] == [1, 2]
    for detection in image["detections"]:
        assert [*detection["methods"]] == ["gradient", "odam", "d_rise"]
        gradient = detection["methods"]["gradient"]
        assert 0 <= gradient["energy_in_box"] <= 1
        assert 0 <= gradient["odi"] <= 1
        assert gradient["deletion"] > 0
        assert gradient["insertion"] >= 0
        assert re.fullmatch(r"feature map \d of stride \d+", detection["methods"]["odam"]["layer"])
    assert Image.open(out / f"{STRANGE}.png").width > 4 * 220
    page = (out / "explain.html").read_text()
    assert "<b>x&" not in page
    assert "&lt;b&gt;x&amp;y" in page
    assert not re.search(r"https?://|src=\"(?!data:)|url\((?!data:)", page)


def test_the_highest_score_is_named_if_no_detection_reaches_the_threshold(
    run: Path, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--score", "1", "--method", "gradient", "--out", str(tmp_path / "out")]
    assert main(["explain", str(run), str(picture), *options]) == 0
    line = capsys.readouterr().out.splitlines()[0]
    highest = re.search(r": 0 detections \(the highest score was (0\.\d{3}): a lower --score shows more\), ", line)
    assert highest, line
    assert 0 < float(highest[1]) < 1


def test_chosen_detections_keep_their_numbers(run: Path, picture: Path, tmp_path: Path) -> None:
    options = ["--score", "0", "--detection", "3", "--detection", "1", "--method", "grad_cam", "--target", "mask"]
    assert main(["explain", str(run), str(picture), *options, "--out", str(tmp_path / "out")]) == 0
    (image,) = json.loads((tmp_path / "out" / "explain.json").read_text())
    assert [detection["number"] for detection in image["detections"]] == [3, 1]


def test_a_checkpoint_in_the_layout_of_detectron2(picture: Path, tmp_path: Path) -> None:
    """Its model and the names of its classes are inferred from names, shapes and number."""
    weights, out = tmp_path / "model_final.pkl", tmp_path / "out"
    shapes = published.d2_faster_fpn(50, 20) | published.d2_mask(20)
    state = {name: value.numpy() for name, value in published.filled(shapes).items()}
    weights.write_bytes(pickle.dumps({"model": state, "__author__": "Detectron2 Model Zoo"}))
    shrink = ["augment.test.sizes=[96]", "augment.collate.buckets=[]"]
    options = ["--score", "0", "--count", "1", "--method", "gradient,odam", "--target", "mask", "--out", str(out)]
    assert main(["explain", str(weights), str(picture), *shrink, *options]) == 0
    (image,) = json.loads((out / "explain.json").read_text())
    (detection,) = image["detections"]
    assert detection["class"] in CLASSES
    assert image["target"] == "mask"
    assert detection["methods"]["odam"]["layer"].startswith("feature map")


def test_a_number_beyond_the_detections_is_refused(
    run: Path, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", str(run), str(picture), "--detection", "999", "--out", str(tmp_path / "out")]) == 1
    assert "--detection 999, but" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--method", "gradcam"], "Did you mean grad_cam"),
        (["--target", "foo"], "choose one of class"),
        (["--detection", "0"], "no number of 1 or more"),
    ],
)
def test_unknown_words_are_refused(
    run: Path, picture: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["explain", str(run), str(picture), *options])
    assert message in capsys.readouterr().err


def test_a_missing_image_is_named(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(run), str(tmp_path / "no.png"), "--out", str(tmp_path / "out")]) == 1
    assert "no.png: no such file" in capsys.readouterr().err


def test_a_path_that_is_no_run_folder_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["explain", "runs/absent"])
    assert "runs/absent is no run folder" in capsys.readouterr().err
