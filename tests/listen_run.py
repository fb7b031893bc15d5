"""A small real run for the tests of the section Listen."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import soundfile as sf
from codecbench.bench.cli import main
from codecbench.corpora._open import open_corpus

HOSTILE = "<img src=x onerror=window.hacked=1>"
COMMAND = ["run", "--codecs", "opus@6+12,pcm@8", "--metrics", "stoi", "--no-timing", "--quiet", "--jobs", "1"]


def make_run(root: Path) -> tuple[Path, Path, Path]:
    """A run over two speech clips and two seconds of a stereo file, under a hostile name: (run, cache, corpus)."""
    corpus, cache = root / "corpus", root / "cache"
    corpus.mkdir()
    for item in open_corpus("speech", "speech")[:2]:
        shutil.copy(item.path, corpus / item.path.name)
    item = open_corpus("music", "music")[0]
    samples, rate = sf.read(item.path)
    sf.write(corpus / "long.wav", samples[: 4 * rate], rate, subtype="PCM_24")
    rows = [f"{path.name},{path.stem},," for path in sorted(corpus.glob("*.flac"))]
    manifest = "\n".join(["file,id,start,seconds", *rows, f"long.wav,{HOSTILE},1.5,2"])
    (corpus / "manifest.csv").write_text(manifest + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CODECBENCH_CACHE", str(cache))
        assert main([*COMMAND, "--corpus", str(corpus / "manifest.csv"), "--out", str(root / "run")]) == 0
    return root / "run", cache, corpus
