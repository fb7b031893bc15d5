"""A file server on this machine that can be slow, silent or break off, for tests of downloads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Serves `files`; the first `drops` answers to a GET stop in the middle; while `held` is cleared none is given;
    `pause` seconds lie between two blocks."""

    daemon_threads = True
    drops = 0
    pause = 0.0
    ranges = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.seen: list[str | None] = []  # the Range of each GET
        self.sent = 0  # bytes of bodies
        self.held = threading.Event()
        self.held.set()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def offer(self, name: str, data: bytes) -> str:
        """Serve a file from now on; its address."""
        self.files[f"/{name}"] = data
        return f"{self.address}/{name}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.seen.append(asked)
        self.server.held.wait(30)
        data = self.server.files.get(self.path)
        if data is None:
            self.send_error(404)
            return
        first = int(asked[6:-1]) if asked and self.server.ranges else 0
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(data) - first))
        self.end_headers()
        body = data[first:]
        if self.server.drops > 0:
            self.server.drops -= 1
            body = body[: len(body) // 2]
        self.server.sent += len(body)
        for at in range(0, len(body), 1 << 16):
            self.wfile.write(body[at : at + (1 << 16)])
            time.sleep(self.server.pause)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield running
        finally:
            running.held.set()
            running.shutdown()
            thread.join()
