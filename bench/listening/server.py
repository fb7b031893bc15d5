"""The local web server of a listening test: on 127.0.0.1, for whoever knows the token in its address.

Addresses, all below /TOKEN/, all answers but files in JSON:

GET  (nothing), page.css, page.js, ...    the page
GET  test                                 method, notes, sessions that can go on
GET  session/ID                           where a session stands: its trials without what they hide, ratings so far
GET  audio/ID/TRIAL/ref|0|1|...|x         a WAV file of a trial
POST session/ID  {listener, consent}      begin a session; the page makes up the ID
POST rating/ID/TRIAL/CONDITION  {...}     a judgement
POST finish/ID/TRIAL  {seconds}           a trial is done

A request without the token, or with another Host than this server's (DNS rebinding), gets 403 whatever it asks. Every
POST may come twice: the second changes nothing.
"""

from __future__ import annotations

import functools
import json
import re
import secrets
import sqlite3
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from .session import Test
from .store import ListeningError

LARGEST_BODY = 10_000
_FILES = {
    "": ("page.html", "text/html; charset=utf-8"),
    "page.css": ("page.css", "text/css; charset=utf-8"),
    "page.js": ("page.js", "text/javascript; charset=utf-8"),
    "trial.js": ("trial.js", "text/javascript; charset=utf-8"),
    "dom.js": ("dom.js", "text/javascript; charset=utf-8"),
    "player.js": ("player.js", "text/javascript; charset=utf-8"),
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_ID = re.compile(r"[0-9a-f]{16}")


class Refused(Exception):
    """A request that gets an error."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class Server(ThreadingHTTPServer):
    """Serves one test until it is shut down.

    Parameters
    ----------
    port : 0 for any free one.

    Attributes
    ----------
    url : the address of the page, token included.
    """

    daemon_threads = True

    def __init__(self, test: Test, port: int = 0) -> None:
        self.test = test
        self.token = secrets.token_urlsafe(24)
        super().__init__(("127.0.0.1", port), _Handler)
        self.hosts = {f"{name}:{self.server_port}" for name in ("127.0.0.1", "localhost")}
        self.url = f"http://127.0.0.1:{self.server_port}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that left is no error."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "codecbench"
    sys_version = ""
    timeout = 60

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def _not_allowed(self) -> None:
        self._answer(self._no_method)

    do_HEAD = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _not_allowed

    def log_message(self, *args: Any) -> None:
        """Nothing: the terminal belongs to the command."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server itself refuses, such as another method."""
        self.close_connection = True
        self._send(HTTPStatus(code), {"error": message or HTTPStatus(code).phrase})

    def _answer(self, method: Any) -> None:
        try:
            parts = self._parts()
            status, body = HTTPStatus.OK, method(parts)
        except Refused as refused:
            self.close_connection = True  # what it sent may not have been read
            status, body = refused.status, {"error": str(refused)}
        except ListeningError as error:
            status, body = HTTPStatus.CONFLICT, {"error": str(error)}
        except (sqlite3.Error, OSError) as error:
            status, body = HTTPStatus.INTERNAL_SERVER_ERROR, {"error": f"the server cannot read or write: {error}"}
        self._send(status, body)

    def _parts(self) -> list[str]:
        """The address below the token, in parts."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        token, _, rest = self.path.partition("?")[0].removeprefix("/").partition("/")
        known = secrets.compare_digest(token.encode("utf-8", "surrogateescape"), self.server.token.encode())
        foreign = origin is not None and origin.removeprefix("http://") not in self.server.hosts
        if host not in self.server.hosts or foreign or not known:
            raise Refused(HTTPStatus.FORBIDDEN, "open the address that `bench listen` printed")
        return rest.split("/")

    def _get(self, parts: list[str]) -> Any:
        test = self.server.test
        if len(parts) == 1 and parts[0] in _FILES:
            return _file(parts[0])
        if parts == ["test"]:
            return test.about()
        if parts[0] == "session" and len(parts) == 2:
            return test.state(_session_id(parts[1]))
        if parts[0] == "audio" and len(parts) == 4:
            name = parts[3] if parts[3] in ("ref", "x") else _number(parts[3])
            return test.audio(_session_id(parts[1]), _number(parts[2]), name), "audio/wav"
        raise Refused(HTTPStatus.NOT_FOUND, "there is nothing here")

    def _no_method(self, parts: list[str]) -> Any:
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "GET and POST only")

    def _post(self, parts: list[str]) -> Any:
        test, body = self.server.test, self._body()
        try:
            if parts[0] == "session" and len(parts) == 2:
                return test.begin(_session_id(parts[1]), body)
            if parts[0] == "rating" and len(parts) == 4:
                return test.rate(_session_id(parts[1]), _number(parts[2]), _number(parts[3]), body)
            if parts[0] == "finish" and len(parts) == 3:
                return test.finish(_session_id(parts[1]), _number(parts[2]), body)
        except ValueError as error:
            raise Refused(HTTPStatus.BAD_REQUEST, str(error)) from error
        raise Refused(HTTPStatus.NOT_FOUND, "there is nothing here")

    def _body(self) -> dict[str, Any]:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit():
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "a Content-Length is needed")
        if len(length) > 9 or int(length) > LARGEST_BODY:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {LARGEST_BODY} bytes")
        if self.headers.get_content_type() != "application/json":
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send application/json")
        try:
            body = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError) as error:
            raise Refused(HTTPStatus.BAD_REQUEST, f"not JSON: {error}") from error
        if not isinstance(body, dict):
            raise Refused(HTTPStatus.BAD_REQUEST, "an object is wanted")
        return body

    def _send(self, status: HTTPStatus, body: Any) -> None:
        kind = "application/json"
        if isinstance(body, tuple):
            data, kind = body
        else:
            data = json.dumps(body, allow_nan=False).encode()
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": kind, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@functools.cache
def _file(name: str) -> tuple[bytes, str]:
    file, kind = _FILES[name]
    return (Path(__file__).parent / file).read_bytes(), kind


def _session_id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise Refused(HTTPStatus.NOT_FOUND, "there is no such session")
    return text


def _number(text: str) -> int:
    if not re.fullmatch(r"\d{1,4}", text, re.ASCII):
        raise Refused(HTTPStatus.NOT_FOUND, "there is nothing here")
    return int(text)
