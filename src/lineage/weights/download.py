"""Download a URL to a given path: an interrupted transfer is resumed, and the file is verified.

An incomplete download stays beside its target as `<name>.part`, with the server's name for this version of the file
(ETag or Last-Modified, RFC 9110 section 8.8) in `<name>.part.json`. It is resumed by a Range request, also by a later
call; If-Range (section 13.1.5) makes the server send a file that has changed meanwhile from its beginning. The file
gets its name only if it is complete and has the published digest. If no digest is published, the digest of what arrived
is written to `<name>.sha256` and logged.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from lineage.results.atomic import atomic_write, publish

log = logging.getLogger(__name__)

BLOCK = 1 << 20
TRIES = 5
WAIT = 0.5  # seconds before the second try, doubled for each further one
TIMEOUT = 30.0  # seconds without a byte

Report = Callable[[int, int | None], None]  # bytes so far, bytes in all if the server sends their number


class DownloadError(OSError):
    """A file that could not be fetched, or has another digest than expected; the message names the remedy."""


@dataclass(frozen=True, slots=True)
class Part:
    """An incomplete download: the bytes so far, and the server's name for the version of the file they belong to."""

    path: Path

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    @property
    def _version_file(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def read_version(self, url: str) -> str | None:
        """Return the validator for If-Range; None if none was sent or the bytes come from another URL."""
        try:
            record = json.loads(self._version_file.read_text())
            return str(record["version"]) if record["url"] == url else None
        except (OSError, ValueError, RecursionError, KeyError, TypeError):
            return None

    def write_version(self, url: str, response: HTTPResponse) -> None:
        version = validator(response)
        if version is None:
            self._version_file.unlink(missing_ok=True)
        else:
            atomic_write(self._version_file, json.dumps({"url": url, "version": version}))

    def empty(self) -> None:
        """Throw the bytes away. The file stays, for it carries the lock."""
        self.path.write_bytes(b"")
        self._version_file.unlink(missing_ok=True)

    def publish(self, path: Path) -> None:
        publish(self.path, path)
        self._version_file.unlink(missing_ok=True)


def download(url: str, path: Path, digest: str | None = None, report: Report | None = None) -> Path:
    """Fetch `url` (http, https, file) to `path`, unless that exists. Of several processes one fetches, the others wait.

    digest: "md5:..." or "sha256:...", or the beginning of one.
    report: called with the bytes so far and in all.
    Raises DownloadError; the bytes so far are kept, and the next call resumes after them.
    """
    if path.is_file():
        return _check_existing(path, digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = Part(path.with_name(path.name + ".part"))
    with _lock(part.path):
        if path.is_file():  # another process has fetched it meanwhile
            part.empty()
            return _check_existing(path, digest)
        _download_with_retries(url, part, digest, report or (lambda received, total: None))
        _verify(url, part, path, digest)
        part.publish(path)
    return path


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold the advisory lock of the file, created empty if need be; it ends with the process that holds it."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            if path.is_file() and not path.stat().st_size:  # nothing arrived
                path.unlink()


def _check_existing(path: Path, digest: str | None) -> Path:
    if digest and (actual := digest_of(path, digest)) != digest.lower():
        raise DownloadError(
            f"{path}: has {actual}, published is {digest}. It is damaged or another file: delete it and start again."
        )
    return path


def _verify(url: str, part: Part, path: Path, digest: str | None) -> None:
    """Compare with the published digest; if there is none, record the digest of what arrived."""
    if digest is None:
        actual = digest_of(part.path, "sha256:" + 64 * "0").partition(":")[2]
        atomic_write(path.with_name(path.name + ".sha256"), f"{actual}  {path.name}\n")  # as sha256sum -c reads it
        log.warning("%s: no checksum is published; what arrived has sha256 %s", url, actual)
    elif (actual := digest_of(part.path, digest)) != digest.lower():
        part.empty()
        raise DownloadError(f"{url}: what arrived has {actual}, published is {digest}; it was thrown away.")


def digest_of(path: Path, like: str) -> str:
    """Return the file's digest in the notation and length of `like`, e.g. "md5:c52e"."""
    algorithm, _, expected = like.partition(":")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, algorithm).hexdigest()
    return f"{algorithm}:{digest[: len(expected)]}"


def _download_with_retries(url: str, part: Part, digest: str | None, report: Report) -> None:
    for attempt in range(TRIES):
        try:
            return _resume(url, part, digest, report)
        except urllib.error.HTTPError as error:
            if error.code == 416:  # Range Not Satisfiable: there are no bytes after those received
                if _size_in_range(error.headers.get("Content-Range", "")) in (part.size, None) and digest:
                    return None  # complete, or its digest is wrong
                part.empty()
            elif error.code < 500 or attempt == TRIES - 1:
                raise DownloadError(f"{url}: the server answers {error.code} {error.reason}") from error
        except DownloadError:
            raise
        except (OSError, HTTPException, ValueError) as error:
            if attempt == TRIES - 1 or is_permanent(error):
                raise DownloadError(_format_failure(url, part.path, error)) from error
        time.sleep(WAIT * 2**attempt)
    raise DownloadError(f"{url}: the server refuses to send this file ({TRIES} tries); fetch it elsewhere")


def _resume(url: str, part: Part, digest: str | None, report: Report) -> None:
    """Append the missing bytes, or start from the beginning if the file on the server may be another version."""
    version = part.read_version(url)
    if version is None and digest is None:
        part.empty()  # nothing would show that the two halves belong together
    size = part.size
    headers = {"Range": f"bytes={size}-"} if size else {}
    if size and version:
        headers["If-Range"] = version
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT) as response:
        resumed = getattr(response, "status", None) == 206
        if resumed:
            _check_range(response, size, part)
        total = _total_size(response)
        if total is None and digest is None and response.headers.get("Transfer-Encoding") != "chunked":
            raise DownloadError(_format_unverifiable(url, part.path))
        part.write_version(url, response)
        received = _append(response, part.path, size if resumed else 0, total, report)
    if total is not None and received != total:
        raise ConnectionError(f"{received} of {total} bytes arrived")
    if not received:
        part.empty()
        raise DownloadError(f"{url}: the server sends an empty file")


def _append(response: HTTPResponse, path: Path, received: int, total: int | None, report: Report) -> int:
    """Write the body after the first `received` bytes and return the bytes in all."""
    with path.open("r+b") as file:
        file.seek(received)
        file.truncate()
        while block := response.read(BLOCK):
            file.write(block)
            received += len(block)
            report(received, total)
    return received


def _check_range(response: HTTPResponse, size: int, part: Part) -> None:
    """Raise ConnectionError if the partial content does not begin after the bytes so far; they are thrown away."""
    content_range = response.headers.get("Content-Range", "")
    start = re.match(r"bytes (\d+)-", content_range)
    if start is None or int(start[1]) != size:
        part.empty()
        raise ConnectionError(f"the server sends '{content_range}' in place of the bytes from {size} on")


def validator(response: HTTPResponse) -> str | None:
    """Return the strong ETag, else the Last-Modified date, of an answer; None if it has neither."""
    etag = response.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")


def _total_size(response: HTTPResponse) -> int | None:
    """Return the size of the whole file, if the server sends it."""
    length = response.headers.get("Content-Length", "")
    in_range = _size_in_range(response.headers.get("Content-Range", ""))
    return in_range if in_range is not None else int(length) if length.isdigit() else None


def _size_in_range(content_range: str) -> int | None:
    """Return 1234 of `bytes */1234`."""
    size = content_range.rpartition("/")[2]
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


def _format_unverifiable(url: str, part: Path) -> str:
    return (
        f"{url}: the server sends no length and no checksum is published, so that a cut transfer would look complete.\n"
        f"Fetch it with a browser, look at it, and put it here as {part.with_suffix('')}"
    )
