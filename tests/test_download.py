"""One file from a public address: resumed, refused if wrong, one process at a time, nothing offline."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest
from codecbench.bench.download import BLOCK, FRUITLESS, DownloadError, fetch, offline
from file_server import Server

DATA = bytes(range(256)) * 20_000  # 5 MB, many blocks
SUM = f"sha256:{hashlib.sha256(DATA).hexdigest()}"


def test_goes_on_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.drops = 2
    path = fetch(server.offer("data.bin", DATA), SUM, len(DATA), tmp_path, pause=0.01)
    assert path.read_bytes() == DATA
    assert server.sent < len(DATA) + 2 * BLOCK, "nothing is sent twice but the block in which it broke"


def test_goes_on_in_another_process(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(DATA[:3_000_001])
    assert fetch(server.offer("data.bin", DATA), SUM, len(DATA), tmp_path).read_bytes() == DATA
    assert server.seen == ["bytes=3000001-"]
    assert server.sent == len(DATA) - 3_000_001


def test_what_is_there_is_not_downloaded(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(DATA)
    fetch(server.offer("data.bin", DATA), SUM, len(DATA), tmp_path)
    assert server.seen == []


@pytest.mark.parametrize("keep", [False, True])
def test_wrong_checksum(keep: bool, server: Server, tmp_path: Path) -> None:
    wrong = DATA[:-1] + b"x"
    with pytest.raises(DownloadError, match="not the published checksum") as caught:
        fetch(server.offer("data.bin", wrong), SUM, len(DATA), tmp_path, keep_refused=keep)
    refused = tmp_path / "data.bin.refused"
    assert list(tmp_path.iterdir()) == ([refused] if keep else [])
    if keep:
        assert refused.read_bytes() == wrong
        assert str(refused) in str(caught.value)
    server.offer("data.bin", DATA)
    assert fetch(f"{server.address}/data.bin", SUM, len(DATA), tmp_path).read_bytes() == DATA


def test_partial_file_of_something_else_is_refused_then_replaced(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(b"x" * 1000)
    with pytest.raises(DownloadError, match="not the published checksum"):
        fetch(server.offer("data.bin", DATA), SUM, len(DATA), tmp_path)
    assert fetch(f"{server.address}/data.bin", SUM, len(DATA), tmp_path).read_bytes() == DATA


def test_two_do_not_write_one_file(server: Server, tmp_path: Path) -> None:
    url = server.offer("data.bin", DATA)

    def second(done: int, total: int) -> None:
        with pytest.raises(DownloadError, match="another process is downloading it"):
            fetch(url, SUM, len(DATA), tmp_path)

    assert fetch(url, SUM, len(DATA), tmp_path, second).read_bytes() == DATA
    assert len(server.seen) == 1


def test_no_network_is_told_soon(tmp_path: Path, server: Server) -> None:
    waits = [0.1 * 2**n for n in range(FRUITLESS - 1)]
    began = time.monotonic()
    with pytest.raises(
        DownloadError, match=r"^http://127\.0\.0\.1:9/data\.bin: [^()]*Connection refused; run the same"
    ):
        fetch("http://127.0.0.1:9/data.bin", SUM, len(DATA), tmp_path, pause=0.1)
    assert sum(waits) < time.monotonic() - began < sum(waits) + 2
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DownloadError, match="cannot be written"):
        fetch(server.offer("data.bin", DATA), SUM, len(DATA), tmp_path / "file" / "below")


def test_failure_leaves_nothing_empty(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="404"):
        fetch(f"{server.address}/absent.bin", SUM, len(DATA), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("value", "forbidden"), [("1", True), ("yes", True), ("0", False), ("", False)])
def test_offline(value: str, forbidden: bool, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODECBENCH_OFFLINE", value)
    assert offline() is forbidden
    url = server.offer("data.bin", DATA)
    if forbidden:
        with pytest.raises(DownloadError, match="CODECBENCH_OFFLINE"):
            fetch(url, SUM, len(DATA), tmp_path)
        assert server.seen == []
        assert list(tmp_path.iterdir()) == []
    else:
        assert fetch(url, SUM, len(DATA), tmp_path).read_bytes() == DATA
