"""Downloads: resumed after a broken connection, checked, unpacked safely; against a server on this machine."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest
from codecbench.bench.cli import main
from codecbench.corpora import Corpus, CorpusError, Download, Item, registry
from codecbench.corpora import _fetch as fetching
from codecbench.corpora._scan import folder_items
from file_server import Server

CLIP = registry.get("speech").items(None)[0].path


def offer(server: Server, name: str, data: bytes) -> Download:
    return Download(server.offer(name, data), f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))


def tar(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as pack:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            pack.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def items(root: Path | None) -> list[Item]:
    assert root is not None
    return folder_items(root, "toy", "speech")


def toy(*downloads: Download) -> Corpus:
    return Corpus("toy", "Toy", "speech", "CC0-1.0", "nobody", items, "*.flac", "https://example.org", downloads)


DATA = bytes(range(256)) * 20_000  # 5 MB, several blocks


def test_download_goes_on_where_it_broke(server: Server, tmp_path: Path) -> None:
    download, calls = offer(server, "data.bin", DATA), []
    server.drops = 2
    path = fetching.fetch(download, tmp_path, lambda done, total: calls.append((done, total)), pause=0.01)
    assert path.read_bytes() == DATA
    assert server.seen[0] is None
    starts = [int(asked[6:-1]) for asked in server.seen[1:] if asked]
    assert len(starts) == 2
    assert 0 < starts[0] < starts[1] < len(DATA), "each attempt asks for the rest only"
    assert calls[-1] == (len(DATA), len(DATA))
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert [p.name for p in tmp_path.iterdir()] == ["data.bin"]


def test_download_goes_on_in_another_process(server: Server, tmp_path: Path) -> None:
    download = offer(server, "data.bin", DATA)
    (tmp_path / "data.bin.part").write_bytes(DATA[:1_000_000])
    assert fetching.fetch(download, tmp_path).read_bytes() == DATA
    assert server.seen == ["bytes=1000000-"]


def test_server_without_ranges_starts_again(server: Server, tmp_path: Path) -> None:
    download = offer(server, "data.bin", DATA)
    server.drops, server.ranges = 1, False
    assert fetching.fetch(download, tmp_path, pause=0.01).read_bytes() == DATA


def test_wrong_checksum_is_refused(server: Server, tmp_path: Path) -> None:
    good = offer(server, "data.bin", DATA)
    server.files["/data.bin"] = DATA[:-1] + b"x"
    with pytest.raises(CorpusError, match="not the published checksum"):
        fetching.fetch(good, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_missing_file_is_told_at_once(server: Server, tmp_path: Path) -> None:
    gone = offer(server, "data.bin", DATA)
    server.files.clear()
    with pytest.raises(CorpusError, match="404"):
        fetching.fetch(gone, tmp_path)
    assert len(server.seen) == 1


def test_network_that_never_holds_keeps_what_came(server: Server, tmp_path: Path) -> None:
    download = offer(server, "data.bin", DATA)
    server.drops = 100
    with pytest.raises(CorpusError, match="same command again"):
        fetching.fetch(download, tmp_path, pause=0)
    assert (tmp_path / "data.bin.part").stat().st_size > len(DATA) // 2


def test_get_unpacks_and_verifies(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODECBENCH_DATA", str(tmp_path))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as pack:
        pack.writestr("more/b.flac", CLIP.read_bytes())
    corpus = toy(
        offer(server, "a.tar.gz", tar({"set/a.flac": CLIP.read_bytes()})), offer(server, "b.zip", buffer.getvalue())
    )
    assert not fetching.downloaded(corpus)
    with pytest.raises(CorpusError, match="not downloaded"):
        fetching.verify(corpus)
    folder = fetching.get(corpus)
    assert [item.id for item in corpus.items(folder)] == ["more/b", "set/a"]
    assert fetching.verify(corpus) == []
    assert sorted(p.name for p in folder.iterdir()) == ["SHA256SUMS", "more", "set"]
    fetching.get(corpus)
    assert len(server.seen) == 2, "what is there is not downloaded again"
    (folder / "set/a.flac").write_bytes(b"damaged")
    (folder / "more/b.flac").unlink()
    assert len(fetching.verify(corpus)) == 2


@pytest.mark.parametrize("name", ["../escape.flac", "/tmp/codecbench-escape.flac"])
def test_archives_stay_in_their_folder(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    (tmp_path / "a.tar.gz").write_bytes(tar({name: b"x"}))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as pack:
        pack.writestr(name, b"x")
    with pytest.raises(CorpusError, match="would be written outside"):
        fetching.unpack(tmp_path / "a.zip", folder)
    if name.startswith(".."):
        with pytest.raises(CorpusError, match="cannot be unpacked"):
            fetching.unpack(tmp_path / "a.tar.gz", folder)
    else:
        fetching.unpack(tmp_path / "a.tar.gz", folder)  # tarfile's data filter strips the leading slash
    assert not (tmp_path / "escape.flac").exists()
    assert not Path("/tmp/codecbench-escape.flac").exists()


def test_archive_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(b"no archive")
    with pytest.raises(CorpusError, match="cannot be unpacked"):
        fetching.unpack(tmp_path / "a.tar.gz", tmp_path)


def test_corpus_without_an_address() -> None:
    with pytest.raises(CorpusError, match="no public address"):
        fetching.get(toy())


def test_published_downloads_are_well_formed() -> None:
    lengths = {"sha256": 64, "sha1": 40, "md5": 32}
    offered = [download for corpus in registry for download in corpus.downloads]
    assert offered
    for download in offered:
        algorithm, _, digest = download.checksum.partition(":")
        assert len(digest) == lengths[algorithm]
        assert download.url.startswith("https://")
        assert download.bytes > 1_000_000


def test_command_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["corpora", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["speech"]["here"] is True
    assert rows["librispeech"]["download_bytes"] == 684_590_270
    assert main(["corpora", "list"]) == 0
    assert "bench corpora get librispeech" in capsys.readouterr().out


def test_command_verify_and_get(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CODECBENCH_DATA", str(tmp_path))
    corpus = toy(offer(server, "a.tar.gz", tar({"a.flac": CLIP.read_bytes()})))
    monkeypatch.setitem(registry._things, "toy", corpus)
    assert main(["corpora", "get", "toy"]) == 0
    captured = capsys.readouterr()
    assert captured.out.strip() == str(tmp_path / "toy")
    assert "CC0-1.0" in captured.err
    assert main(["corpora", "verify", "speech", "toy"]) == 0
    assert capsys.readouterr().out.count("all files are whole") == 2
    (tmp_path / "toy/a.flac").write_bytes(b"x")
    assert main(["corpora", "verify"]) == 1
    assert "toy: 1 problems" in capsys.readouterr().out
    assert main(["corpora", "get", "ears"]) == 1
    assert main(["corpora", "verify", "ears"]) == 1
    assert main(["corpora", "get"]) == 2
    assert main(["corpora", "get", "toyy"]) == 2
