"""Where downloaded weights stay, and how a URL or a path becomes a file with the content that was asked for."""

from __future__ import annotations

import hashlib
import os
import re
import urllib.parse
import urllib.request
from pathlib import Path

from lineage.weights.download import DownloadError, download
from lineage.weights.readers import digest

PUBLISHED = re.compile(r"-([0-9a-f]{8,64})\.[a-z0-9]+$")  # torchvision, timm: a name ends in the first digits of sha256


def cache() -> Path:
    """$LINEAGE_CACHE/weights; a run sets the variable to its `paths.cache`."""
    return Path(os.environ.get("LINEAGE_CACHE", Path.home() / ".cache" / "lineage"), "weights")


def fetch(url: str, sha256: str | None = None) -> Path:
    """The local file of a http, https or file URL. `sha256` may be its beginning; one in the file's name counts too."""
    parsed = urllib.parse.urlparse(url)
    if parsed.scheme not in ("http", "https", "file"):
        raise DownloadError(f"{url}: {parsed.scheme}:// is not known here; give a http, https or file URL, or a path")
    expected = sha256 or "".join(PUBLISHED.findall(parsed.path)[:1])
    if parsed.scheme == "file":
        return checked(Path(urllib.request.url2pathname(parsed.path)), expected)
    # equal names from two places are two files
    place = hashlib.sha256(url.encode()).hexdigest()[:10]
    path = cache() / place / (Path(urllib.parse.unquote(parsed.path)).name or "weights")
    return download(url, path, f"sha256:{expected}" if expected else None)


def checked(path: Path, sha256: str | None) -> Path:
    """The path, if the file has that digest or none is asked for."""
    if not path.is_file():
        raise DownloadError(f"{path}: no such file")
    if sha256 and not (found := digest(path)).startswith(sha256.lower()):
        raise DownloadError(
            f"{path}: its sha256 is {found}, asked for is {sha256}: the file is damaged or another one; "
            "fetch it again, or correct weights_sha256"
        )
    return path
