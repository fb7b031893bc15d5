"""The server of a listening test over plain HTTP: who gets in, what is refused, what is stored."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request

import listening_run
import pytest
from codecbench.bench.listening.server import LARGEST_BODY
from listening_run import ID, Client, servers


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return listening_run.build(tmp_path_factory.mktemp("listening"), clips=2, seconds=0.8)


@pytest.fixture
def serve(made, tmp_path):
    with servers(made, tmp_path, clips=1) as start:
        yield lambda *args, **options: Client(start(*args, **options))


def test_the_address_has_a_token_of_its_own(serve):
    client, other = serve("mushra"), serve("mushra")
    assert len(client.server.token) >= 32
    assert client.server.token != other.server.token
    assert client.server.server_address[0] == "127.0.0.1"
    status, headers, body = client.raw("GET", f"/{client.server.token}/")
    assert status == 200
    assert body.startswith(b"<!doctype html>")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/", "/test", "/page.js", "//test", "/TOKEN", "/{almost}/test", "/%00/"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
def test_without_the_token_everything_is_forbidden(serve_once, path, method):
    path = path.replace("{almost}", serve_once.server.token[:-1])
    status, _, body = serve_once.raw(method, path)
    assert status == 403
    assert serve_once.server.token.encode() not in body


@pytest.fixture(scope="module")
def serve_once(made, tmp_path_factory):
    with servers(made, tmp_path_factory.mktemp("run"), clips=1) as start:
        yield Client(start("mushra"))


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.1.evil.example:{port}", ""]
)
def test_another_host_is_forbidden(serve_once, host):
    host = host.format(port=serve_once.server.server_port)
    assert serve_once.raw("GET", f"/{serve_once.server.token}/test", Host=host)[0] == 403


def test_a_token_that_is_not_ascii_is_forbidden(serve_once):
    with socket.create_connection(("127.0.0.1", serve_once.server.server_port), timeout=20) as line:
        line.sendall(f"GET /é/ HTTP/1.1\r\nHost: 127.0.0.1:{serve_once.server.server_port}\r\n\r\n".encode())
        assert line.recv(4096).startswith(b"HTTP/1.1 403 ")


def test_localhost_is_this_host_and_other_origins_are_not(serve_once):
    port, path = serve_once.server.server_port, f"/{serve_once.server.token}/test"
    assert serve_once.raw("GET", path, Host=f"localhost:{port}")[0] == 200
    assert serve_once.raw("GET", path, Origin=f"http://127.0.0.1:{port}")[0] == 200
    assert serve_once.raw("GET", path, Origin="http://evil.example")[0] == 403
    assert serve_once.raw("GET", path, Origin="null")[0] == 403


@pytest.mark.parametrize(
    "path",
    [
        "nothing", "server.py", "../server.py", "..%2fserver.py", "%2e%2e/server.py", "./page.css", "page.css/",
        "/etc/passwd", "audio", "audio/x/0/0", f"audio/{ID}/0/../../page.css", f"audio/{ID}/0/-1",
        f"audio/{ID}/99999/0", f"audio/{ID}/0/y", "session/", "session/..", f"session/{ID}0",
        f"session/{ID.upper()}", "rating/x",
    ],
)  # fmt: skip
def test_there_is_nothing_else_to_get(serve_once, path):
    status, answer = serve_once.get(path)
    assert status == 404
    assert set(answer) == {"error"}


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"", {}, 400),
        (b"[]", {}, 400),
        (b"\xff\xfe", {}, 400),
        (b"[" * 9000, {}, 400),
        (b'{"listener": "me"}', {}, 400),
        (b'{"listener": "me", "consent": 1}', {}, 400),
        (b'{"listener": 5, "consent": true}', {}, 400),
        (b'{"listener": "a\\nb", "consent": true}', {}, 400),
        (json.dumps({"listener": "x" * 81, "consent": True}).encode(), {}, 400),
        (b" " * (LARGEST_BODY + 1), {}, 413),
        (b"{}", {"Content-Length": "99999999999999999999"}, 413),
        (b"{}", {"Content-Length": "-1"}, 411),
        (b"{}", {"Content-Length": "two"}, 411),
        (b"{}", {"Content-Type": "text/plain"}, 415),
    ],
)
def test_bad_bodies_are_refused(serve_once, body, headers, status):
    headers = {"Content-Type": "application/json"} | headers
    path = f"/{serve_once.server.token}/session/{ID}"
    got, _, answer = serve_once.raw("POST", path, body, **headers)
    assert got == status
    assert json.loads(answer)["error"]
    assert serve_once.store.session(ID) is None


def test_other_methods_are_refused(serve_once):
    path = f"/{serve_once.server.token}/test"
    assert serve_once.raw("PUT", path)[0] == 405
    assert serve_once.raw("HEAD", path)[2] == b""
    assert serve_once.raw("POST", path, b"{}", **{"Content-Type": "application/json"})[0] == 404


def test_the_command_serves_until_it_is_interrupted(made):
    command = [sys.executable, "-m", "codecbench.bench", "listen", str(made.folder), "--method", "abx", "--no-browser"]
    env = {**os.environ, "CODECBENCH_CACHE": str(made.cache)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        with urllib.request.urlopen(url + "test", timeout=20) as answer:
            assert json.load(answer)["method"] == "abx"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "speech: 2 operating points on 2 clips" in err
    assert f"bench listen results {made.folder}" in err
