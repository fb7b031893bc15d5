"""A small run made by hand for the tests of `bench listen`: real speech, really coded, with its cache."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from codecbench.bench.audio import Clip, read, write_flac
from codecbench.bench.cache import Files
from codecbench.bench.listening.material import gather
from codecbench.bench.listening.server import Server
from codecbench.bench.listening.session import Test
from codecbench.bench.listening.store import Listening
from codecbench.bench.pipeline import code
from codecbench.bench.rows import ClipRow, PointRow, ResultRow
from codecbench.bench.store import Store
from codecbench.codecs import registry as codecs

NASTY = "<img src=x onerror=alert(1)>"
ID = "0123456789abcdef"
HELLO = {"listener": "me", "consent": True}
WHEN = {"position": 0.5, "seconds": 2.0}
POINTS = [("opus", "12"), ("opus", "24"), ("pcm", "8")]
SPEECH = sorted((Path(__file__).parents[1] / "corpora" / "embedded" / "speech").glob("*.flac"))


@dataclass(frozen=True)
class Made:
    folder: Path
    cache: Path


def build(root: Path, clips: int = 3, seconds: float = 1.5) -> Made:
    """A run of so many clips with the points above, and the cache that holds what they decoded to."""
    made = Made(root / "run", root / "cache")
    store, files = Store(made.folder, create=True), Files(made.cache)
    with store:
        store.set("command", "bench run --suite mine")
        for codec, point in POINTS:
            kind = codecs.get(codec).kind
            store.put([PointRow(codec, point, "speech", codec, kind, "cbr", float(point), "", "", "", "", "f", "")])
        for i in range(clips):
            name = NASTY if i == 0 else f"clip {i}"
            part = read(SPEECH[i], 0.5, seconds)
            path = root / f"{i}.flac"
            write_flac(path, part)
            reference = read(path)
            sha = hashlib.sha256(path.read_bytes()).hexdigest()
            store.put([clip_row(name, path, sha, reference, f"speaker {i}")])
            for codec, point in POINTS:
                key = hashlib.sha256(f"{i} {codec} {point}".encode()).hexdigest()
                files.put_wave(key, code(codecs.get(codec), codecs.get(codec).point(point), reference)[1])
                store.put([result_row(name, codec, point, key)])
    store.close()
    return made


def clip_row(name: str, path: Path, sha: str, clip: Clip, speaker: str) -> ClipRow:
    return ClipRow(
        corpus="hand", clip=name, content="speech", path=str(path), sha256=sha, seconds=clip.seconds, rate=clip.rate,
        channels=clip.channels, speaker=speaker, language="en", genre="", licence="", credit="", lossy=0, status="ok",
        reason="",
    )  # fmt: skip


def result_row(clip: str, codec: str, point: str, wave: str) -> ResultRow:
    return ResultRow(
        corpus="hand", clip=clip, codec=codec, point=point, status="ok", reason="", detail="", bits=1, setup_bits=0,
        coded_seconds=1.0, native_rate=16000, delay_samples=0, frame_samples=0, wave=wave, seconds=0.0,
    )  # fmt: skip


@contextlib.contextmanager
def servers(made: Made, folder: Path, clips: int) -> Iterator[Callable[..., Server]]:
    """A function that starts a server of a test, which stores into `folder`; all are stopped at the end."""
    with contextlib.ExitStack() as stack:

        def start(method: str, codecs: tuple[str, ...] = (), **options: int) -> Server:
            store = Listening(folder, create=True)
            material = gather(made.folder, method, made.cache, codecs, clips=clips)
            server = Server(Test(store, material, method, NASTY, made.cache, **options))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(store.close)
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            return server

        yield start


class Client:
    """Requests to a server of a test, with its token unless told otherwise."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.store = server.test.store

    def raw(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=20)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.headers), answer.read()
        finally:
            connection.close()

    def get(self, path: str) -> tuple[int, dict]:
        status, _, body = self.raw("GET", f"/{self.server.token}/{path}")
        return status, json.loads(body)

    def post(self, path: str, body: object) -> tuple[int, dict]:
        data = json.dumps(body).encode()
        status, _, answer = self.raw(
            "POST", f"/{self.server.token}/{path}", data, **{"Content-Type": "application/json"}
        )
        return status, json.loads(answer)

    def ratings(self) -> list[dict]:
        return self.store.rows("SELECT * FROM ratings ORDER BY trial, condition")
