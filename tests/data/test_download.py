"""`lineage data prepare` against a local server: fetched, checked, unpacked, and nothing trusted that is not right."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lineage.cli.data.main import main
from lineage.data.annotations.validate import DatasetError
from lineage.data.download import SOURCES, Archive, DatasetSource, prepare, unpack
from lineage.data.export import penn_fudan as write_penn_fudan
from lineage.data.formats import penn_fudan
from lineage.data.shapes.dataset import Shapes
from lineage.weights import download


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    folder = tmp_path / "server"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def zipped(folder: Path, path: Path) -> str:
    with zipfile.ZipFile(path, "w") as file:
        for one in sorted(folder.rglob("*.png")):
            file.write(one, one.relative_to(folder))
    return f"md5:{hashlib.md5(path.read_bytes()).hexdigest()}"


def test_fetched_unpacked_and_read(
    served: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, url = served
    for split in ("train", "val"):
        write_penn_fudan.write(Shapes(seed=1, length=2, size=[64, 64]), tmp_path / "made", split)
    digest = zipped(tmp_path / "made", folder / "PennFudanPed.zip")
    source = DatasetSource("free", (Archive(f"{url}/PennFudanPed.zip", digest, "1 kB", makes="PennFudanPed"),))
    root = tmp_path / "root"
    assert prepare("penn_fudan", root, source, dry_run=True) == 0
    assert not root.exists()
    assert prepare("penn_fudan", root, source) == 0
    assert len(penn_fudan.load(image_set="val", held_out=2, root=str(root))) == 2
    assert [one.name for one in root.iterdir()] == ["PennFudanPed"]
    (folder / "PennFudanPed.zip").unlink()
    capsys.readouterr()
    assert prepare("penn_fudan", root, source) == 0
    told = capsys.readouterr().out
    assert "is there" in told
    assert f"lineage data check penn_fudan --root {root}" in told


def test_another_file_than_published_is_not_unpacked(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, url = served
    (folder / "a.zip").write_bytes(b"not what was published")
    source = DatasetSource("free", (Archive(f"{url}/a.zip", "md5:" + "0" * 32, "1 kB", makes="a"),))
    with pytest.raises(DatasetError, match=r"published is md5:0000.*thrown away[\s\S]*it resumes the download"):
        prepare("a", tmp_path / "root", source)
    source = DatasetSource("free", (Archive(f"{url}/a.zip", None, "1 kB", makes="a"),))
    with pytest.raises(DatasetError, match="cannot be unpacked"):
        prepare("a", tmp_path / "root", source)


def test_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "WAIT", 0.0)
    source = DatasetSource("free", (Archive("http://nowhere.invalid/a.zip", None, "1 kB", makes="a"),))
    with pytest.raises(DatasetError, match=r"could not be downloaded[\s\S]*put it here as .*a\.zip"):
        prepare("a", tmp_path, source)


@pytest.mark.parametrize("name", ["cityscapes", "cityscapes_coco", "deepfashion2"])
def test_what_needs_a_registration_is_explained(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", name, str(tmp_path / "root")]) == 1
    told = capsys.readouterr().out
    assert f"Unpack both in {tmp_path / 'root'}" in told
    assert "https://" in told
    assert f"dataset={name.partition('_')[0]} dataset.root=<root>" in told


def test_an_archive_cannot_write_elsewhere(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as file:
        file.writestr("../outside", "x")
    with pytest.raises(DatasetError, match="outside"):
        unpack(tmp_path / "bad.zip", tmp_path / "in")
    with tarfile.open(tmp_path / "bad.tar", "w") as tar:
        about = tarfile.TarInfo("../outside")
        about.size = 1
        tar.addfile(about, io.BytesIO(b"x"))
    with pytest.raises(DatasetError):
        unpack(tmp_path / "bad.tar", tmp_path / "in")
    assert not (tmp_path / "outside").exists()


def test_every_source_is_of_a_dataset_and_a_name_without_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A dataset of one's own has no source."""
    conf = Path(__file__).parents[2] / "conf" / "dataset"
    assert {path.stem for path in conf.glob("*.yaml")} >= set(SOURCES)
    assert len(SOURCES) > 15
    with pytest.raises(SystemExit):
        main(["prepare", "coc", "root"])
    assert "coc is not to be fetched; these are: cityscapes, " in capsys.readouterr().err
    assert all(one.digest is None or len(one.digest) == 36 for source in SOURCES.values() for one in source.archives)
