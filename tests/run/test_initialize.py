"""Where a model's weights come from, and what is said when they are of another model."""

from __future__ import annotations

import hashlib
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch
import torchvision
from torch import nn

from lineage.config.build import ConfigError
from lineage.results import store
from lineage.run.initialize import load_initial_weights, locate_weights
from lineage.weights import catalog
from lineage.weights.catalog import resolve_url
from lineage.weights.pretrained import LATER, WeightsError, load_backbone_state, locate
from lineage.weights.sources.table import CAFFE, IMAGENET, UNSCALED
from tests.models.compose import build
from tests.tables.made import entry
from tests.weights import published

MINI = ("model=faster_rcnn", "tier=mini")


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return build(*MINI)


@pytest.fixture
def run(tmp_path: Path, model: nn.Module) -> Path:
    folder = tmp_path / "runs" / "20261124-101500"
    (folder / "checkpoints").mkdir(parents=True)
    torch.save(model.state_dict(), folder / "weights.pt")
    return folder


def test_a_run_folder_and_its_entry_are_weights(tmp_path: Path, model: nn.Module, run: Path) -> None:
    results = tmp_path / "results"
    written = entry(folder=str(run))
    store.write(written, results)
    for source in (str(run), str(run / "weights.pt"), written.id, written.id.rpartition("-")[2]):
        other = build(*MINI)
        load_initial_weights(other, source, require_all=True, results=results)
        assert all(torch.equal(a, b) for a, b in zip(other.parameters(), model.parameters(), strict=True))


def test_what_starts_afresh_is_told(
    tmp_path: Path, model: nn.Module, run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = build("model=mask_rcnn", "tier=mini", "model.box.class_agnostic=true")
    load_initial_weights(other, str(run), require_all=False, results=tmp_path)
    assert "of another shape, so starting afresh (" in caplog.text
    assert "box.deltas.bias, box.deltas.weight, heads.mask.body.0.bias" in caplog.text
    assert "most of the model" not in caplog.text
    torch.save(published.filled(published.d2_faster_fpn(50, 20)), tmp_path / "other.pth")
    load_initial_weights(build(*MINI), str(tmp_path / "other.pth"), require_all=False, results=tmp_path)
    assert "most of the model. The file would fit model=faster_rcnn backbone=resnet50" in caplog.text


def test_the_last_checkpoint_serves_where_a_run_was_stopped(tmp_path: Path, model: nn.Module, run: Path) -> None:
    (run / "weights.pt").unlink()
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 0}, run / "checkpoints" / "step-0000010.ckpt")
    load_initial_weights(build(*MINI), str(run), require_all=True, results=tmp_path)
    (run / "checkpoints" / "step-0000010.ckpt").unlink()
    with pytest.raises(WeightsError, match=r"holds neither weights\.pt nor checkpoints"):
        locate_weights(str(run), tmp_path)


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ("no.pth", "no such file, run folder, URL or torchvision weight"),
        ("20261124", "no such file, and no entry named"),
        ("ResNet50_Weights.NONE", "torchvision has no such weight"),
        ("ftp://host/x.pth", "ftp:// is not supported"),
    ],
)
def test_weights_that_are_nowhere(tmp_path: Path, model: nn.Module, weights: str, told: str) -> None:
    with pytest.raises(WeightsError, match=told):
        load_initial_weights(model, weights, require_all=False, results=tmp_path)


def test_weights_of_another_model_name_it(tmp_path: Path, model: nn.Module) -> None:
    path = tmp_path / "model_final.pth"
    torch.save({"model": published.filled(published.d2_c4(50, 5))}, path)
    with pytest.raises(ConfigError) as caught:
        load_initial_weights(model, str(path), require_all=True, results=tmp_path)
    message = str(caught.value)
    assert "weights of detectron2" in message
    assert "They would fit model=mask_rcnn_c4 backbone=resnet50 dataset.classes=5" in message
    assert " in the file, " in message


def test_tensors_that_a_model_has_no_place_for_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Offsets of deformable convolutions: without them every detection is wrong."""
    path = tmp_path / "model_final.pth"
    torch.save(published.filled(published.deformable(published.d2_faster_fpn(50, 5))), path)
    plain = build("model=faster_rcnn", "tier=paper", f"backbone.weights={LATER}", "dataset.classes=5")
    with pytest.raises(ConfigError) as caught:
        load_initial_weights(plain, str(path), require_all=True, results=tmp_path)
    message = str(caught.value)
    assert "not in the model (26): backbone.stages.1.0.conv2.offset.bias" in message
    assert "They would fit model=faster_rcnn backbone=resnet50 dataset.classes=5 backbone.deform=[3,4,5]" in message
    load_initial_weights(plain, str(path), require_all=False, results=tmp_path)
    assert "not in the model, so left out (26): backbone.stages.1.0.conv2.offset.bias" in caplog.text


def test_detectors_of_torchvision_fill_a_whole_model(tmp_path: Path) -> None:
    theirs = torchvision.models.get_model("fasterrcnn_resnet50_fpn", weights=None, weights_backbone=None, num_classes=5)
    path = tmp_path / "fasterrcnn.pth"
    torch.save(theirs.state_dict(), path)
    ours = build("model=faster_rcnn", "tier=paper", f"backbone.weights={LATER}")
    load_initial_weights(ours, str(path), require_all=True, results=tmp_path)
    assert torch.equal(ours.box.scores.bias[-1], theirs.roi_heads.box_predictor.cls_score.bias[0])
    body = load_backbone_state(str(path), IMAGENET)  # as a backbone's weights: its body alone
    assert torch.equal(body["stages.0.0.conv1.weight"], theirs.backbone.body.layer1[0].conv1.weight)
    with pytest.raises(WeightsError, match=r"set backbone.mean=\[123.675,116.28,103.53\]"):
        load_backbone_state(str(path), CAFFE)


def test_bodies_of_msra_serve_a_resnet(tmp_path: Path) -> None:
    blobs = published.filled(published.c2_resnet(50))
    path = tmp_path / "R-50.pth"
    torch.save(blobs, path)
    body = load_backbone_state(str(path), CAFFE)
    assert torch.equal(body["stem.0.weight"], blobs["conv1_w"].flip(1))  # red first
    assert torch.equal(body["stages.3.2.bn3.weight"], blobs["res5_2_branch2c_bn_s"])
    ours = build(
        "model=faster_rcnn", "tier=paper", f"backbone.weights={path}", f"backbone.mean={list(CAFFE.mean)}",
        "backbone.std=[1.0,1.0,1.0]", "backbone.stride_in=1x1",
    )  # fmt: skip
    assert torch.equal(ours.backbone.stages[3][2].conv3.weight, blobs["res5_2_branch2c_w"])


def test_a_stride_that_is_not_the_weights_is_refused(tmp_path: Path) -> None:
    torch.save(published.filled(published.d2_resnet("", 50)), tmp_path / "R-50.pth")
    for weights, stride, remedy in (
        ("ResNet50_Weights.IMAGENET1K_V1", "1x1", "Set backbone.stride_in=3x3, or take weights of MSRA"),
        ("detectron2://ImageNetPretrained/MSRA/R-50.pkl", "3x3", "Set backbone.stride_in=1x1"),
        (str(tmp_path / "R-50.pth"), "3x3", "Set backbone.stride_in=1x1"),
    ):
        with pytest.raises(Exception, match=remedy):  # of an address before any download
            build("model=faster_rcnn", "tier=paper", f"backbone.weights={weights}", f"backbone.stride_in={stride}")


def test_addresses_of_detectron2_state_their_conventions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files of MSRA have Detectron's names, whose mean is Caffe's; detectron2 subtracts ImageNet's."""
    monkeypatch.setenv("LINEAGE_CACHE", str(tmp_path))
    assert resolve_url("catalog://ImageNetPretrained/FAIR/R-50-GN").endswith(
        "/detectron/ImageNetPretrained/47261647/R-50-GN.pkl"
    )
    blobs = published.filled(published.c2_resnet(50))
    monkeypatch.setattr(catalog, "HOST", tmp_path.as_uri())
    place = tmp_path / "detectron2" / "ImageNetPretrained" / "MSRA"
    place.mkdir(parents=True)
    torch.save(blobs, place / "R-50.pkl")
    address = "detectron2://ImageNetPretrained/MSRA/R-50.pkl"
    body = load_backbone_state(address, UNSCALED, "1x1")
    assert torch.equal(body["stem.0.weight"], blobs["conv1_w"].flip(1))
    scaled = load_backbone_state(address, IMAGENET, "1x1")["stem.0.weight"]
    std = torch.tensor(IMAGENET.std)[:, None, None]
    torch.testing.assert_close(scaled, blobs["conv1_w"].flip(1) * std)
    with pytest.raises(WeightsError, match=r"no such weights in detectron2's catalog; it has catalog://"):
        load_backbone_state("catalog://ImageNetPretrained/FAIR/R-49")


def test_a_url_is_fetched_once_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINEAGE_CACHE", str(tmp_path / "cache"))
    served = tmp_path / "served"
    served.mkdir()
    torch.save({"weight": torch.ones(3)}, served / "body.pth")
    digest = hashlib.sha256((served / "body.pth").read_bytes()).hexdigest()
    handler = partial(SimpleHTTPRequestHandler, directory=str(served))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/body.pth"
        path = locate(url, digest)
        with pytest.raises(WeightsError, match="published is sha256:0000"):
            locate(f"{url}#sha256=0000", None)
        server.shutdown()
    assert locate(f"{url}#sha256={digest}") == path  # from the cache: the server is gone
    assert load_backbone_state(f"{path.as_uri()}")["weight"].tolist() == [1, 1, 1]
    with pytest.raises(WeightsError, match="expected is 0000"):
        locate(f"{path}#sha256=0000")
    with pytest.raises(WeightsError, match=r"(?s)could not be downloaded.*Without a network"):
        locate(url.replace("body", "other"))
