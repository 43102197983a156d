"""A site that follows its runs: served on this machine alone, written again when the store or a curve has changed."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from lineage.report.site.folders import find_run_folders
from lineage.results import store
from lineage.results.run_folder import RunFolder

LOOPBACK = "127.0.0.1"
NAMES = (LOOPBACK, "localhost")  # of this machine; a page of another name must not read the site


class Handler(SimpleHTTPRequestHandler):
    """Handler of requests for files of the site, which may have changed since the last one."""

    def do_GET(self) -> None:
        if self.headers.get("Host", "").rpartition(":")[0] not in NAMES:
            self.send_error(403, "this site is for this machine alone")
            return
        super().do_GET()

    do_HEAD = do_GET

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def list_directory(self, path: Any) -> None:
        self.send_error(404)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


def serve_site(folder: Path, port: int, write: Callable[[], object], watch: Callable[[], str], seconds: float) -> None:
    """Serve a folder on the loopback until Ctrl-C, and call `write` when what `watch` returns has changed."""
    server = ThreadingHTTPServer((LOOPBACK, port), partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"site     http://{LOOPBACK}:{server.server_port}/   (Ctrl-C ends it)", flush=True)
    state, pause = watch(), threading.Event()
    try:
        while not pause.wait(seconds):
            state = _follow(state, write, watch)
    except KeyboardInterrupt:
        print()
    finally:
        server.shutdown()
        server.server_close()


def _follow(state: str, write: Callable[[], object], watch: Callable[[], str]) -> str:
    """Write the site if the state is another, and return the state that it shows; an error is for the next look."""
    try:
        if (now := watch()) != state:
            write()
        return now
    except (OSError, ValueError) as error:  # a file that is being written, or was removed between two looks
        print(f"not read yet: {error}", file=sys.stderr)
        return state


def describe_state(results: Path, runs: Path) -> str:
    """Return what changes when an entry is added, or a run logs a row."""
    entries = sorted(path.name for path in store.files(results))
    curves = [RunFolder(folder).metrics for folder in find_run_folders(runs)]
    sizes = [path.stat().st_size for path in curves if path.is_file()]
    return f"{len(entries)} {entries[-1:]} {len(curves)} {sizes}"
