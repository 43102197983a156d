"""Every flipped byte of our files is noticed, and those of other zip files that their checksums cover."""

import subprocess
import zipfile
from pathlib import Path

import pytest

from lineage.results.file_digest import digest_path, find_damage, remove, write_digest


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0x10
    path.write_bytes(content)


@pytest.mark.parametrize("position", [0, 1, 500, 999])
def test_a_flipped_byte_is_noticed(tmp_path: Path, position: int) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(bytes(range(250)) * 4)
    write_digest(path)
    assert find_damage(path) is None
    flip(path, position)
    assert find_damage(path) == "its bytes differ from weights.pt.sha256"


def test_the_digest_is_that_of_sha256sum(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"abc")
    write_digest(path)
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert digest_path(path).read_text() == f"{expected}  weights.pt\n"
    done = subprocess.run(["sha256sum", "-c", "weights.pt.sha256"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "weights.pt: OK\n"


def test_a_zip_file_without_a_digest_is_checked_by_its_checksums(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", bytes(1000))
    assert find_damage(path) is None
    flip(path, 500)
    assert find_damage(path) == "Bad CRC-32 for file 'data'"
    path.write_bytes(path.read_bytes()[:700])
    assert find_damage(path) == "File is not a zip file"


def test_a_decompression_bomb_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """2 MB of zeros in 2 kB, with a limit of 1 MB in place of 1 GB."""
    monkeypatch.setattr("lineage.results.file_digest.LARGE", 10**6)
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data", bytes(2 * 10**6))
    assert find_damage(path) == "it unpacks to 0.0 GB, 100 times its size or more: a decompression bomb"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", bytes(2 * 10**6))
    assert find_damage(path) is None


def test_other_files_hold_no_checksum(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x04.")
    assert find_damage(path) is None


def test_a_digest_is_removed_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"abc")
    write_digest(path)
    remove(path)
    assert list(tmp_path.iterdir()) == []
