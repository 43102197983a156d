"""Downloads from a local server that cuts connections, knows no ranges, or sends the wrong file."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lineage.weights import download
from lineage.weights.download import DownloadError

CONTENT = bytes(range(256)) * 4000
DIGEST = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


class Server:
    """What it does with the next requests: "cut" sends half, "whole" ignores ranges, 404 is an error, "" is normal."""

    def __init__(self) -> None:
        self.plan: list[str | int] = []
        self.ranges: list[str | None] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/file.bin"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        what = self.plan.pop(0) if self.plan else ""
        asked = handler.headers.get("Range")
        self.ranges.append(asked)
        if isinstance(what, int):
            handler.send_error(what)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and what != "whole" else 0
        if start >= len(CONTENT):
            handler.send_error(416)
            return
        body = CONTENT[start:]
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(body)))
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        handler.end_headers()
        handler.wfile.write(body[: len(body) // 2] if what == "cut" else body)


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
