"""A URL becomes a file at a given place: a cut connection goes on where it stopped, and what arrives is checked.

Half a download stays beside its target as `<name>.part` and is continued by an HTTP Range request, by a later call as
well. The file gets its name only when it is complete and its digest is the published one.
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
SECONDS = 30.0  # without a byte

Report = Callable[[int, int | None], None]  # bytes there, bytes in all if the server tells


class DownloadError(OSError):
    """A file that could not be fetched, or is not the one asked for; the message says what to do."""


def download(url: str, path: Path, digest: str | None = None, report: Report | None = None) -> Path:
    """Fetch `url` (http, https, file) to `path`, unless it is there. `digest` is "md5:..." or "sha256:...", maybe cut.

    Raises DownloadError; what has arrived by then is kept and continued by the next call.
    """
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        _persist(url, part, report or (lambda got, total: None))
        if digest and (found := digest_of(part, digest)) != digest.lower():
            part.unlink()
            raise DownloadError(f"{url}: what arrived has {found}, published is {digest}; it was thrown away.")
        publish(part, path)
    elif digest and (found := digest_of(path, digest)) != digest.lower():
        raise DownloadError(
            f"{path}: has {found}, published is {digest}. It is damaged or another file: delete it and start again."
        )
    return path


def digest_of(path: Path, like: str) -> str:
    """The file's digest in the notation, and cut to the length, of `like`: "md5:c52e..."."""
    algorithm, _, expected = like.partition(":")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    return f"{algorithm}:{found[: len(expected)]}"


def _persist(url: str, part: Path, report: Report) -> None:
    for attempt in range(TRIES):
        try:
            return _continue(url, part, report)
        except urllib.error.HTTPError as error:
            if error.code == 416:  # nothing beyond what is there: it is complete, or the digest will tell
                return None
            if error.code < 500 or attempt == TRIES - 1:
                raise DownloadError(f"{url}: the server answers {error.code} {error.reason}") from error
        except (OSError, HTTPException, ValueError) as error:
            if attempt == TRIES - 1 or hopeless(error):
                raise DownloadError(_told(url, part, error)) from error
        time.sleep(WAIT * 2**attempt)


def _continue(url: str, part: Path, report: Report) -> None:
    """Append what is missing; a server that knows no ranges starts anew."""
    there = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={there}-"} if there else {})
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        resumed = getattr(answer, "status", None) == 206
        got, total = there if resumed else 0, _total(answer)
        with part.open("ab" if resumed else "wb") as file:
            while block := answer.read(BLOCK):
                file.write(block)
                got += len(block)
                report(got, total)
        if total is not None and got < total:
            raise ConnectionError(f"cut off after {got} of {total} bytes")


def _total(answer: HTTPResponse) -> int | None:
    """The size of the whole file, if the server tells."""
    told = answer.headers.get("Content-Range", "").rpartition("/")[2] or answer.headers.get("Content-Length", "")
    return int(told) if told.isdigit() else None


def hopeless(error: BaseException) -> bool:
    """No name server, no such file, no room: another try in a second changes nothing."""
    reason = getattr(error, "reason", error)
    cut = isinstance(reason, ConnectionError | TimeoutError | HTTPException) and not isinstance(
        reason, ConnectionRefusedError
    )
    return not cut


def _told(url: str, part: Path, error: BaseException) -> str:
    kept = f" {part.stat().st_size:,} bytes are kept and will be continued." if part.is_file() else ""
    return (
        f"{url} could not be downloaded: {getattr(error, 'reason', error)}.{kept}\n"
        f"Without a network, fetch it elsewhere and put it here as {part.with_suffix('')}"
    )
