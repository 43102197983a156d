"""Downloads from a local server that cuts connections, knows no ranges, or sends the wrong file."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lineage.weights import download
from lineage.weights.download import DownloadError

CONTENT = bytes(range(256)) * 4000
DIGEST = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


class Server:
    """A server that follows `plan`, one word per request, in place of a normal answer.

    "cut" sends half; "whole" ignores ranges; "other range" sends partial content from byte 0; "no length" closes early
    and sends no length; "empty" sends nothing; 404 is an error.
    """

    def __init__(self) -> None:
        self.plan: list[str | int] = []
        self.ranges: list[str | None] = []
        self.content = CONTENT
        self.etag: str | None = None
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/file.bin"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        what = self.plan.pop(0) if self.plan else ""
        asked = handler.headers.get("Range")
        self.ranges.append(asked)
        if isinstance(what, int):
            handler.send_error(what)
            return
        is_current = handler.headers.get("If-Range") in (None, self.etag)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and what != "whole" and is_current else 0
        if start >= len(self.content):
            handler.send_error(416)
            return
        body = b"" if what == "empty" else self.content[0 if what == "other range" else start :]
        handler.send_response(206 if start else 200)
        if what != "no length":
            handler.send_header("Content-Length", str(len(body)))
        if self.etag:
            handler.send_header("ETag", self.etag)
        if start:
            first = 0 if what == "other range" else start
            handler.send_header("Content-Range", f"bytes {first}-{len(self.content) - 1}/{len(self.content)}")
        handler.end_headers()
        handler.wfile.write(body[: len(body) // 2] if what in ("cut", "no length") else body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download, "WAIT", 0.0)
    one = Server()
    yield one
    one.http.shutdown()


def test_a_cut_connection_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.plan = ["cut", "cut"]
    seen: list[int] = []
    path = download.download(server.url, tmp_path / "new" / "file.bin", DIGEST, lambda got, total: seen.append(got))
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={len(CONTENT) // 2}-", f"bytes={len(CONTENT) * 3 // 4}-"]
    assert seen[-1] == len(CONTENT)
    assert [one.name for one in path.parent.iterdir()] == ["file.bin"]


def test_a_later_call_continues_what_an_earlier_one_left(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    assert download.download(server.url, tmp_path / "file.bin", DIGEST).read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-"]


def test_a_server_without_ranges_starts_anew(server: Server, tmp_path: Path) -> None:
    server.plan = ["whole"]
    (tmp_path / "file.bin.part").write_bytes(b"something else")
    assert download.download(server.url, tmp_path / "file.bin", DIGEST).read_bytes() == CONTENT


def test_a_part_that_was_complete_is_used(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    assert download.download(server.url, tmp_path / "file.bin", DIGEST).read_bytes() == CONTENT


def test_what_is_there_is_not_fetched_but_checked(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(CONTENT)
    download.download(server.url, path, DIGEST)
    assert not server.ranges
    path.write_bytes(b"damaged")
    with pytest.raises(DownloadError, match="delete it and start again"):
        download.download(server.url, path, DIGEST)


def test_the_wrong_file_is_thrown_away(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="published is md5:00000000"):
        download.download(server.url, tmp_path / "file.bin", "md5:" + "0" * 32)
    assert not list(tmp_path.iterdir())


def test_a_server_that_fails_for_a_while_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.plan = [503, 500]
    assert download.download(server.url, tmp_path / "file.bin", DIGEST).stat().st_size == len(CONTENT)


def test_a_missing_page_is_not_asked_for_twice(server: Server, tmp_path: Path) -> None:
    server.plan = [404]
    with pytest.raises(DownloadError, match="answers 404"):
        download.download(server.url, tmp_path / "file.bin")
    assert len(server.ranges) == 1


def test_without_a_network_the_message_says_where_to_put_the_file(tmp_path: Path) -> None:
    with pytest.raises(DownloadError) as caught:
        download.download("http://nowhere.invalid/data.zip", tmp_path / "data.zip")
    assert "could not be downloaded" in str(caught.value)
    assert f"put it here as {tmp_path / 'data.zip'}" in str(caught.value)


def test_a_file_url_is_copied(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(CONTENT)
    copied = download.download((tmp_path / "source").as_uri(), tmp_path / "copy", DIGEST)
    assert copied.read_bytes() == CONTENT


def test_a_file_that_changes_between_the_halves_is_fetched_anew(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.plan, server.etag = ["cut"], '"first"'
    monkeypatch.setattr(download, "TRIES", 1)
    with pytest.raises(DownloadError, match="512,000 bytes are kept"):
        download.download(server.url, tmp_path / "file.bin")
    server.content, server.etag = CONTENT[::-1], '"second"'
    assert download.download(server.url, tmp_path / "file.bin").read_bytes() == server.content
    assert server.ranges == [None, "bytes=512000-"]


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_digest_and_version_nothing_is_resumed(server: Server, tmp_path: Path, etag: str | None) -> None:
    server.plan, server.etag = ["cut"], etag
    assert download.download(server.url, tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.ranges == [None, None]


def test_with_a_version_it_is_resumed_and_its_digest_recorded(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.plan, server.etag = ["cut"], '"first"'
    assert download.download(server.url, tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=512000-"]
    assert (tmp_path / "file.bin.sha256").read_text() == f"{DIGEST.removeprefix('sha256:')}  file.bin\n"
    assert "no checksum is published" in caplog.text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.bin", "file.bin.sha256"]


def test_partial_content_from_another_byte_is_not_appended(server: Server, tmp_path: Path) -> None:
    server.plan, server.etag = ["cut", "other range"], '"first"'
    assert download.download(server.url, tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=512000-", None]


def test_a_body_without_length_or_checksum_is_refused(server: Server, tmp_path: Path) -> None:
    server.plan = ["no length"]
    with pytest.raises(DownloadError, match="sends no length and no checksum is published"):
        download.download(server.url, tmp_path / "file.bin")
    assert not list(tmp_path.iterdir())


def test_an_empty_file_is_refused(server: Server, tmp_path: Path) -> None:
    server.plan = ["empty"]
    with pytest.raises(DownloadError, match="sends an empty file"):
        download.download(server.url, tmp_path / "file.bin")
    assert not list(tmp_path.iterdir())


def test_two_processes_fetch_once(server: Server, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        paths = list(threads.map(lambda _: download.download(server.url, tmp_path / "file.bin", DIGEST), range(4)))
    assert paths[0].read_bytes() == CONTENT
    assert server.ranges == [None]
    assert [path.name for path in tmp_path.iterdir()] == ["file.bin"]
