"""Digests beside files: `weights.pt.sha256` holds the sha256 of weights.pt, as `sha256sum` writes and checks it.

A flipped byte loads without an error and trains to a loss that is not finite. A file without a digest, of an earlier
lineage or of somebody else, is checked by the checksums of its own format where it has some (zip, npz, torch).
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from pathlib import Path

from lineage.results.atomic import atomic_write

LARGE, RATIO = 10**9, 100  # bytes, and times the size of the file, which weights and arrays do not unpack to


def digest_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def compute_sha256(path: Path) -> str:
    """Return the sha256 of the bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_digest(path: Path) -> None:
    """Write the digest of a file beside it."""
    atomic_write(digest_path(path), f"{compute_sha256(path)}  {path.name}\n", durable=True)


def remove(path: Path) -> None:
    """Remove a file and its digest, if they exist. A file is never left with the digest of another."""
    digest_path(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def find_damage(path: Path) -> str | None:
    """Return what is wrong with the bytes of a file, or None if nothing is or it holds no checksum."""
    beside = digest_path(path)
    if beside.is_file():
        expected = beside.read_text(encoding="utf-8", errors="replace").split()[:1]
        return None if expected == [compute_sha256(path)] else f"its bytes differ from {beside.name}"
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            return None
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if (unpacked := sum(member.file_size for member in members)) > max(LARGE, RATIO * path.stat().st_size):
                return f"it unpacks to {unpacked / 1e9:.1f} GB, {RATIO} times its size or more: a decompression bomb"
            for member in members:
                if member.CRC:  # 0 where the writer computed none, as torch may be told to
                    _read_through(archive, member)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, ValueError, EOFError, OSError) as error:
        return f"{error}"
    return None


def _read_through(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    with archive.open(member) as file:
        while file.read(1 << 20):
            pass
