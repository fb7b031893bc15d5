"""A corpus and the shared cache on S3, on a server of this machine; needs s3fs and moto with flask (see tox.ini)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from codecbench.bench import shared
from codecbench.bench.api import resolve
from codecbench.bench.cache import Files
from codecbench.bench.remote import local
from codecbench.bench.runner import Settings, execute
from codecbench.bench.store import Store
from codecbench.corpora import CorpusError, registry
from codecbench.corpora._open import open_corpus

for package in ("s3fs", "moto", "flask_cors"):
    pytest.importorskip(package, reason="S3 is tested with s3fs and moto[s3], flask, flask-cors")

SPEECH = [item.path for item in registry.get("speech").items(None)[:2]]


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """An S3 with an empty bucket, reached by the environment alone, as users reach theirs."""
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("CODECBENCH_OFFLINE")
    monkeypatch.setenv("CODECBENCH_CACHE", str(tmp_path / "cache"))
    s3fs.S3FileSystem.clear_instance_cache()
    shared._opened.cache_clear()
    files = s3fs.S3FileSystem()
    files.makedirs("bucket", exist_ok=True)  # the server keeps what it has for the process
    yield files
    server.stop()
    s3fs.S3FileSystem.clear_instance_cache()
    shared._opened.cache_clear()


def test_a_run_from_s3_into_a_shared_cache_on_s3(bucket, tmp_path, monkeypatch):
    here = tmp_path / "LibriSpeech" / "84" / "1"
    here.mkdir(parents=True)
    for n, path in enumerate(SPEECH):
        (here / f"84-1-000{n}.flac").write_bytes(path.read_bytes())
    bucket.put(str(tmp_path / "LibriSpeech"), "bucket/LibriSpeech", recursive=True)
    monkeypatch.setenv(shared.VARIABLE, "s3://bucket/cache")
    scores = []
    for machine, root in (("one", "s3://bucket/LibriSpeech"), ("two", str(tmp_path / "LibriSpeech"))):
        plan = resolve("speech", corpora=[f"librispeech:{root}"], codecs=["lowpass@3.5k"], metrics=["si_sdr"])
        assert {clip.item.speaker for clip in plan.clips} == {"84"}
        execute(plan, tmp_path / machine, Settings(jobs=1, cache=tmp_path / f"cache of {machine}"))
        store = Store(tmp_path / machine)
        scores.append(store.rows("SELECT * FROM scores ORDER BY corpus, clip"))
        waves = [row["wave"] for row in store.rows("SELECT wave FROM results")]
        store.close()
    assert scores[0] == scores[1]
    assert len(scores[0]) == 2
    assert Files(tmp_path / "third").kept_waves(waves) == set(waves)
    assert Files(tmp_path / "third").get_wave(waves[0]).seconds > 1
    assert {os.path.basename(path) for path in bucket.find("bucket/cache/wave")} == {f"{wave}.flac" for wave in waves}


def test_an_object_that_changes_and_what_is_not_there(bucket, tmp_path):
    bucket.pipe_file("bucket/c/1.wav", b"first")
    [item] = open_corpus("s3://bucket/c")
    assert local(item.path).read_bytes() == b"first"
    bucket.pipe_file("bucket/c/1.wav", b"other")
    [item] = open_corpus("s3://bucket/c")
    assert local(item.path).read_bytes() == b"other"
    for spec in ("s3://bucket/none", "s3://nobucket/c", "s3://bucket/none.csv"):
        with pytest.raises(CorpusError, match=rf"{spec}: (no such file or folder|NoSuchBucket)"):
            open_corpus(spec)


def test_no_credentials_are_told(bucket, monkeypatch):
    import s3fs

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(Path("/nowhere")))
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(CorpusError, match="redential"):
        open_corpus("s3://bucket/c")
