"""Download a URL to a given path: an interrupted transfer is resumed, and the digest is verified.

An incomplete download stays beside its target as `<name>.part` and is resumed by an HTTP Range request, also by a later
call. The file gets its name only when it is complete and has the published digest.
"""

from __future__ import annotations

import hashlib
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from lineage.results.atomic import publish

BLOCK = 1 << 20
TRIES = 5
WAIT = 0.5  # seconds before the second try, doubled for each further one
TIMEOUT = 30.0  # seconds without a byte

Report = Callable[[int, int | None], None]  # bytes so far, bytes in all if the server sends their number


class DownloadError(OSError):
    """A file that could not be fetched, or has another digest than expected; the message names the remedy."""


def download(url: str, path: Path, digest: str | None = None, report: Report | None = None) -> Path:
    """Fetch `url` (http, https, file) to `path`, unless that exists.

    digest: "md5:..." or "sha256:...", or the beginning of one.
    report: called with the bytes so far and in all.
    Raises DownloadError; the bytes so far are kept, and the next call resumes after them.
    """
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        _download_with_retries(url, part, report or (lambda received, total: None))
        if digest and (actual := digest_of(part, digest)) != digest.lower():
            part.unlink()
            raise DownloadError(f"{url}: what arrived has {actual}, published is {digest}; it was thrown away.")
        publish(part, path)
    elif digest and (actual := digest_of(path, digest)) != digest.lower():
        raise DownloadError(
            f"{path}: has {actual}, published is {digest}. It is damaged or another file: delete it and start again."
        )
    return path


def digest_of(path: Path, like: str) -> str:
    """Return the file's digest in the notation and length of `like`, e.g. "md5:c52e"."""
    algorithm, _, expected = like.partition(":")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, algorithm).hexdigest()
    return f"{algorithm}:{digest[: len(expected)]}"


def _download_with_retries(url: str, part: Path, report: Report) -> None:
    for attempt in range(TRIES):
        try:
            return _resume(url, part, report)
        except urllib.error.HTTPError as error:
            if error.code == 416:  # no bytes after those received: it is complete, or its digest is wrong
                return None
            if error.code < 500 or attempt == TRIES - 1:
                raise DownloadError(f"{url}: the server answers {error.code} {error.reason}") from error
        except (OSError, HTTPException, ValueError) as error:
            if attempt == TRIES - 1 or is_permanent(error):
                raise DownloadError(_format_failure(url, part, error)) from error
        time.sleep(WAIT * 2**attempt)


def _resume(url: str, part: Path, report: Report) -> None:
    """Append the missing bytes; if the server does not support ranges, start from the beginning."""
    size = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={size}-"} if size else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        resumed = getattr(response, "status", None) == 206
        received, total = size if resumed else 0, _total_size(response)
        with part.open("ab" if resumed else "wb") as file:
            while block := response.read(BLOCK):
                file.write(block)
                received += len(block)
                report(received, total)
        if total is not None and received < total:
            raise ConnectionError(f"cut off after {received} of {total} bytes")


def _total_size(response: HTTPResponse) -> int | None:
    """Return the size of the whole file, if the server sends it."""
    headers = response.headers
    size = headers.get("Content-Range", "").rpartition("/")[2] or headers.get("Content-Length", "")
    return int(size) if size.isdigit() else None


def is_permanent(error: BaseException) -> bool:
    """Return whether a retry is useless: unknown host, missing file, full disk, refused connection."""
    reason = getattr(error, "reason", error)
    interrupted = isinstance(reason, ConnectionError | TimeoutError | HTTPException) and not isinstance(
        reason, ConnectionRefusedError
    )
    return not interrupted


def _format_failure(url: str, part: Path, error: BaseException) -> str:
    partial = f" {part.stat().st_size:,} bytes are kept and will be continued." if part.is_file() else ""
    return (
        f"{url} could not be downloaded: {getattr(error, 'reason', error)}.{partial}\n"
        f"Without a network, fetch it elsewhere and put it here as {part.with_suffix('')}"
    )
