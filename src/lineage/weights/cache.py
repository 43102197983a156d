"""The cache of downloaded weights: a URL becomes a local file with a verified digest."""

from __future__ import annotations

import hashlib
import os
import re
import urllib.parse
import urllib.request
from pathlib import Path

from lineage.results.file_digest import compute_sha256
from lineage.weights.download import DownloadError, download

NAMED_DIGEST = re.compile(r"-([0-9a-f]{8,64})\.[a-z0-9]+$")  # torchvision, timm: the first digits of sha256


def cache_folder() -> Path:
    """Return $LINEAGE_CACHE/weights; a run sets the variable to its `paths.cache`."""
    return Path(os.environ.get("LINEAGE_CACHE") or Path.home() / ".cache" / "lineage", "weights")


def fetch(url: str, sha256: str | None = None) -> Path:
    """Return the local file of a http, https or file URL.

    sha256: expected digest or its beginning; None: the one that the file's name ends in, if any.
    """
    parsed = urllib.parse.urlparse(url)
    if parsed.scheme not in ("http", "https", "file"):
        raise DownloadError(f"{url}: {parsed.scheme}:// is not supported; give a http, https or file URL, or a path")
    expected = sha256 or "".join(NAMED_DIGEST.findall(parsed.path)[:1])
    if parsed.scheme == "file":
        return verify_digest(Path(urllib.request.url2pathname(parsed.path)), expected)
    name = Path(urllib.parse.unquote(parsed.path)).name or "weights"
    # a folder per URL: equal names from two servers are two files
    path = cache_folder() / hashlib.sha256(url.encode()).hexdigest()[:10] / name
    return download(url, path, f"sha256:{expected}" if expected else None)


def verify_digest(path: Path, sha256: str | None) -> Path:
    """Return the path. Raises DownloadError if the file is missing or has another digest than `sha256`."""
    if not path.is_file():
        raise DownloadError(f"{path}: no such file")
    if sha256 and not (actual := compute_sha256(path)).startswith(sha256.lower()):
        raise DownloadError(
            f"{path}: its sha256 is {actual}, expected is {sha256}: the file is damaged or another one; "
            "fetch it again, or correct weights_sha256"
        )
    return path
