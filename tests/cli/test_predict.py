"""`lineage predict`: every kind of input, files that cannot be read, and JSON that COCO's tools take."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as rle
from pycocotools.coco import COCO

from lineage.cli.main import main
from lineage.data.annotations.image_ids import ImageIds, number_files
from lineage.data.samples import video
from lineage.data.samples.metadata import DatasetMeta
from lineage.data.shapes.dataset import FIGURE_SKELETON, Shapes
from lineage.report.image_sources import Picture, find_files, number_frames
from lineage.results.run_folder import RunFolder
from lineage.run.class_names import default_meta, read_run_meta
from lineage.run.restore import restore
from tests.trained import run_folder
from tests.weights import published

NOTHING_KNOWN = "--results=absent"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three scenes of different sizes, one of them rotated by EXIF, in a folder and a folder below it."""
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for i, (name, size) in enumerate((("a.png", (96, 128)), ("b.jpg", (128, 96)), ("deep/a.png", (64, 160)))):
        pixels = Shapes(seed=i, length=1, size=[size])[0].image.permute(1, 2, 0).numpy()
        image = Image.fromarray(pixels)
        exif = Image.Exif()
        if name == "b.jpg":
            exif[0x0112] = 6  # to be turned by 90 degrees
        image.save(folder / name, exif=exif)
    return folder


def predicted(out: Path) -> dict[str, Any]:
    return json.loads((out / "predictions.json").read_text())


def test_a_folder(run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["predict", str(photos), "--weights", str(run), "--out", str(out), "--score", "0.05"]) == 0
    found = predicted(out)
    assert [one["file_name"] for one in found["images"]] == ["a.png", "b.jpg", "deep/a.png"]
    assert [(one["height"], one["width"]) for one in found["images"]] == [(96, 128), (96, 128), (64, 160)]
    assert [one["name"] for one in found["categories"]] == json.loads((run / "classes.json").read_text())["classes"]
    assert found["annotations"]
    for name, written in (("a.png.png", "PNG"), ("b.jpg.jpg", "JPEG"), ("deep/a.png.png", "PNG")):
        with Image.open(out / name) as painted:
            assert max(painted.size) >= 480
            assert painted.format == written, "JPEG where it came as JPEG"
    assert "3 pictures" in capsys.readouterr().out


def test_the_json_is_coco(run: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    main(["predict", str(photos), f"--weights={run}", f"--out={out}", "--score=0.05", "--no-pictures"])
    assert not list(out.glob("*.png"))
    read = COCO(str(out / "predictions.json"))
    sizes = {one["id"]: (one["height"], one["width"]) for one in read.dataset["images"]}
    for one in read.dataset["annotations"]:
        height, width = sizes[one["image_id"]]
        x, y, w, h = one["bbox"]
        assert 0 <= x <= x + w <= width + 1e-3
        assert 0 <= y <= y + h <= height + 1e-3
        assert one["score"] >= 0.05
        assert one["category_id"] in read.cats
        assert rle.decode(one["segmentation"]).shape == (height, width)
        assert len(one["keypoints"]) % 3 == 0
    by_image = [[one["score"] for one in read.imgToAnns[i]] for i in sizes]
    assert all(scores == sorted(scores, reverse=True) for scores in by_image)


def test_a_batch_finds_what_single_images_do(run: Path, tmp_path: Path) -> None:
    """Of equal sizes: padding is part of what group norm averages over."""
    scenes = Shapes(seed=5, length=3, size=[(96, 128)])
    for i in range(3):
        Image.fromarray(scenes[i].image.permute(1, 2, 0).numpy()).save(tmp_path / f"{i}.png")
    outs = [tmp_path / "one", tmp_path / "three"]
    for out, batch in zip(outs, (1, 3), strict=True):
        main(["predict", f"{tmp_path}/*.png", f"--weights={run}", f"--out={out}", f"--batch={batch}", "--score=0.1"])
    one, three = (predicted(out)["annotations"] for out in outs)
    assert len(one) > 3
    assert [a["category_id"] for a in one] == [a["category_id"] for a in three]
    np.testing.assert_allclose([a["bbox"] for a in one], [a["bbox"] for a in three], atol=1e-2)


def test_what_cannot_be_read_is_named_and_counted(
    run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "broken.jpg").write_bytes(b"no image")
    (photos / "cut.png").write_bytes((photos / "a.png").read_bytes()[:200])
    (photos / "empty.mp4").write_bytes(b"")
    given = [str(photos), str(tmp_path / "nowhere.png")]
    out = tmp_path / "out"
    assert main(["predict", *given, f"--weights={run}", f"--out={out}", "--no-pictures"]) == 1
    said = capsys.readouterr()
    assert "3 pictures" in said.out
    for name in ("broken.jpg: is not an image", "cut.png: cannot be decoded", "empty.mp4: is not a video",
                 f"{tmp_path}/nowhere.png: no such file", "4 of 7 could not be read"):  # fmt: skip
        assert name in said.err
    assert len(predicted(out)["images"]) == 3


def test_earlier_results_stay_if_nothing_can_be_read(
    run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["predict", str(photos), f"--weights={run}", f"--out={out}", "--no-pictures"]) == 0
    before = [(out / name).read_text() for name in ("predictions.json", "coco_results.json")]
    assert main(["predict", str(tmp_path / "phtos"), f"--weights={run}", f"--out={out}", "--no-pictures"]) == 1
    assert [(out / name).read_text() for name in ("predictions.json", "coco_results.json")] == before
    assert "phtos: no such file\nnothing was predicted, and nothing is written" in capsys.readouterr().err


def test_frames_of_a_video(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    video.write_frames(path, (np.full((96, 128, 3), 30 * i, np.uint8) for i in range(7)), 10)
    out = tmp_path / "out"
    predict = ["predict", str(path), f"--weights={run}", f"--out={out}", "--every", "3", "--score", "0"]
    assert main(predict) == 0
    assert [one["file_name"] for one in predicted(out)["images"]] == [f"clip.avi#{n:06d}" for n in (0, 3, 6)]
    assert all(one["track_id"] >= 1 for one in predicted(out)["annotations"])
    assert [one.name for one in out.iterdir() if one.suffix != ".json"] == ["clip.avi.mp4"]
    assert len([*video.read_frames(out / "clip.avi.mp4")]) == 3
    assert video.read_frame_rate(out / "clip.avi.mp4") == pytest.approx(10 / 3, abs=0.01)
    assert main([*predict, "--frames"]) == 0
    assert sorted(one.name for one in out.glob("*.png")) == [f"clip.avi-{n:06d}.png" for n in (0, 3, 6)]
    shown = [one for one in number_frames(path, "clip", 1) if isinstance(one, Picture)]
    assert len(shown) == 7
    assert abs(int(shown[4].pixels.mean()) - 120) < 5


def test_foreign_weights_need_nothing_said(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights, out = tmp_path / "model_final.pth", tmp_path / "out"
    torch.save({"model": published.filled(published.d2_faster_fpn(50, 20))}, weights)
    shrink = ["augment.test.sizes=[96]", "augment.collate.buckets=[]"]
    assert main(["predict", str(photos / "a.png"), *shrink, f"--weights={weights}", f"--out={out}", "--score=0"]) == 0
    assert [one["name"] for one in predicted(out)["categories"]][:2] == ["aeroplane", "bicycle"]


def test_a_typed_deviation_is_that_of_the_weights(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """detectron2's SyncBN from scratch divides pixels, its other SyncBN does not; their tensors have equal shapes."""
    weights = tmp_path / "model_final.pth"
    shapes = published.d2_resnet("backbone.bottom_up.", 50) | published.d2_rpn(256, 3)
    shapes |= published.d2_norms((256, 512, 1024, 2048), 5, 4, leaves=published.BATCH)
    state = published.filled(shapes)
    torch.save({"model": state}, weights)
    red_first = state["backbone.bottom_up.stem.conv1.weight"].flip(1)
    restored = restore(str(weights), [], tmp_path)
    assert "If so, add backbone.stride_in=3x3 backbone.std=[58.395,57.12,57.375]" in caplog.text
    assert (restored.config.backbone.stride_in, list(restored.config.backbone.std)) == ("1x1", [1, 1, 1])
    assert torch.equal(restored.model.backbone.stem[0].weight, red_first)
    caplog.clear()
    scratch = ["backbone.stride_in=3x3", "backbone.std=[58.395,57.12,57.375]"]
    restored = restore(str(weights), scratch, tmp_path)
    assert not caplog.text
    assert torch.equal(restored.model.backbone.stem[0].weight, red_first)
    assert restored.model.backbone.normalize.std.flatten().tolist() == pytest.approx([58.395, 57.12, 57.375])


@pytest.mark.parametrize("c4", [False, True])
def test_proposals_of_detectron2_load(c4: bool, tmp_path: Path) -> None:
    prefix, stages, size = ("backbone.", 3, (1024, 15)) if c4 else ("backbone.bottom_up.", 4, (256, 3))
    shapes = published.d2_resnet(prefix, 50, stages) | published.d2_rpn(*size) | ({} if c4 else published.d2_fpn())
    torch.save({"model": published.filled(shapes)}, tmp_path / "rpn.pth")
    restored = restore(str(tmp_path / "rpn.pth"), [], tmp_path)
    assert restored.meta.classes == ("object",)
    assert restored.config.model.proposals.post_nms_top_n.test == 2000


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--weights=nowhere"], "no such file, and no entry named"),
        (["--weights={run}", "model.box.scoer=0.1"], "has no key model.box.scoer"),
        (["--weights={run}", "model=faster_rcnn"], "the run's config determines its model"),
        (["--weights={run}", "--classes=cat,dog"], "--classes names 2 classes, the model has 6"),
    ],
)
def test_bad_wishes(
    run: Path, photos: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(photos), NOTHING_KNOWN, *(text.format(run=run) for text in arguments)]) == 1
    assert told in capsys.readouterr().err


def test_neither_prediction_nor_export_imports_a_trainer() -> None:
    trainers = "[name for name in sys.modules if name.startswith(('pytorch_lightning', 'lineage.train'))]"
    code = f"import sys, lineage.cli.predict, lineage.cli.export; print({trainers})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_patterns_and_repeats(photos: Path) -> None:
    pattern = str(photos / "**" / "*.png")
    assert [name for _, name in find_files([pattern])] == ["a.png", "deep/a.png"]
    assert [name for _, name in find_files([str(photos / "a.png"), str(photos)])] == ["a.png", "b.jpg", "deep/a.png"]
    again = photos / "deep" / "photos"
    again.mkdir()
    (again / "a.png").write_bytes((photos / "a.png").read_bytes())
    names = [name for _, name in find_files([str(photos / "a.png"), str(photos / "deep/a.png"), str(again / "a.png")])]
    assert names == ["a.png", "deep/a.png", "photos/a.png"], "no two files have one name, picture or id"


def test_numbered_files_keep_their_ids(tmp_path: Path) -> None:
    for name in ("000000000139.jpg", "42.png"):
        Image.new("RGB", (32, 32)).save(tmp_path / name)
    ids = number_files([*find_files([str(tmp_path)])])
    assert (ids.by_name, ids.first_free) == ({"000000000139.jpg": 139, "42.png": 42}, 140)
    Image.new("RGB", (32, 32)).save(tmp_path / "x.png")
    assert number_files([*find_files([str(tmp_path)])]) == ImageIds()


def test_where_nothing_is_found_the_best_score_is_told(
    run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(photos / "a.png"), f"--weights={run}", f"--out={tmp_path / 'out'}", "--score=1"]
    assert main(["predict", *given]) == 0
    said = capsys.readouterr().out
    assert "0 objects" in said
    assert "the highest score was" in said


def pictured(run: Path, photo: Path, out: Path) -> np.ndarray:
    assert main(["predict", str(photo), f"--weights={run}", f"--out={out}", "--score=0.05"]) == 0
    return np.array(Image.open(out / f"{photo.name}.png"))


def told(run: Path, **more: object) -> None:
    file = run / "classes.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | more))


def test_the_bones_that_a_run_leaves_are_drawn(photos: Path, tmp_path: Path) -> None:
    run = run_folder(tmp_path / "keypoints", "keypoint_rcnn")
    without = pictured(run, photos / "a.png", tmp_path / "without")
    told(run, skeleton=FIGURE_SKELETON)
    assert (pictured(run, photos / "a.png", tmp_path / "with") != without).any()


def test_the_stuff_that_a_model_sees_is_drawn(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_folder(tmp_path / "panoptic", "panoptic_fpn")
    numbered = pictured(run, photos / "a.png", tmp_path / "numbered")
    told(run, stuff=["things", *("sky" for _ in range(53))])
    named = pictured(run, photos / "a.png", tmp_path / "named")
    monkeypatch.setattr("lineage.run.inference.predict.extract_areas", lambda *_: [])
    without = pictured(run, photos / "a.png", tmp_path / "without")
    assert (named != without).any(-1).mean() > 0.2
    assert 0 < (named != numbered).any(-1).mean() < 0.2, "the names differ"


def test_names_told_by_hand_keep_what_the_run_left(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "keypoints", "keypoint_rcnn")
    told(run, skeleton=[[0, 1]], stuff=["things", "sky"])
    meta = restore(str(run), [], tmp_path, "a,b,c,d,e,f").meta
    assert (meta.classes, meta.category_ids) == (("a", "b", "c", "d", "e", "f"), (1, 2, 3, 4, 5, 6))
    assert (meta.skeleton, meta.stuff) == (((0, 1),), ("things", "sky"))
    assert default_meta(1).skeleton == FIGURE_SKELETON
    assert default_meta(80).skeleton == ()


@pytest.mark.parametrize("older", [["classes", "category_ids"], ["classes", "category_ids", "skeleton", "stuff"]])
def test_runs_of_earlier_versions_left_less_metadata(tmp_path: Path, older: list[str]) -> None:
    meta = asdict(Shapes(seed=0, length=1, stuff=True).meta)
    (tmp_path / "classes.json").write_text(json.dumps({name: meta[name] for name in older}))
    assert read_run_meta(RunFolder(tmp_path)) == DatasetMeta(**{name: meta[name] for name in older})


def test_metadata_of_a_dataset_comes_back(tmp_path: Path) -> None:
    meta = Shapes(seed=0, length=1, stuff=True).meta
    (tmp_path / "classes.json").write_text(json.dumps(asdict(meta)))
    assert read_run_meta(RunFolder(tmp_path)) == meta
