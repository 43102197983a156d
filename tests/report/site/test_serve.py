"""The served site: for this machine alone, and written again when something has changed."""

from __future__ import annotations

import http.client
import threading
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from lineage.report.site.serve import LOOPBACK, Handler, _follow, describe_state
from lineage.results.run_folder import RunFolder
from tests.report.site.conftest import SmallSite
from tests.report.site.stores import make_entry, write_curves, write_store


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [
        ("/", "127.0.0.1:1", 200),
        ("/parts/index.js", "localhost:1", 200),
        ("/parts/", "localhost:1", 404),  # no lists of files
        ("/../results", "localhost:1", 404),
        ("/", "evil.example:80", 403),  # a name that somebody points at this machine
    ],
)
def test_only_files_of_the_site_and_only_for_this_machine(
    small_site: SmallSite, path: str, host: str, status: int
) -> None:
    server = ThreadingHTTPServer((LOOPBACK, 0), partial(Handler, directory=str(small_site.folder.parent)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        connection = http.client.HTTPConnection(LOOPBACK, server.server_port, timeout=10)
        connection.request("GET", path, headers={"Host": host})
        reply = connection.getresponse()
        assert reply.status == status
        assert reply.getheader("Cache-Control") == "no-store"
    finally:
        server.shutdown()
        server.server_close()


def test_a_new_row_of_a_curve_and_a_new_entry_are_changes(tmp_path: Path) -> None:
    entry = make_entry(1)
    files = RunFolder(tmp_path / "runs" / "a")
    files.path.mkdir(parents=True)
    files.start.write_text("{}")
    states = [describe_state(tmp_path / "results", tmp_path / "runs")]
    write_curves(files.metrics, entry)
    states.append(describe_state(tmp_path / "results", tmp_path / "runs"))
    write_store(tmp_path / "results", [entry])
    states.append(describe_state(tmp_path / "results", tmp_path / "runs"))
    assert len(set(states)) == 3


def test_an_error_while_following_is_left_for_the_next_look(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise OSError("metrics.csv is being written")

    assert _follow("before", fail, lambda: "now") == "before"
    assert "not read yet" in capsys.readouterr().err
    assert _follow("before", lambda: None, lambda: "now") == "now"
