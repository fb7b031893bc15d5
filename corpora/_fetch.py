"""Downloading corpora that have a public address: resumed, checked, unpacked, and checked again on demand.

A corpus lands in `data_dir() / NAME`. Its file `SHA256SUMS` is written last, from the unpacked files: it marks the
corpus as complete, and `verify` compares with it.
"""

from __future__ import annotations

import csv
import os
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from ..bench.download import DownloadError, Progress, file_name, sha256
from ..bench.download import fetch as download_file
from ._corpus import Corpus, CorpusError, Download

SUMS = "SHA256SUMS"


def data_dir() -> Path:
    """Where downloaded corpora are kept: $CODECBENCH_DATA, or the platform's folder for user data."""
    import platformdirs

    chosen = os.environ.get("CODECBENCH_DATA")
    return Path(chosen).expanduser() if chosen else platformdirs.user_data_path("codecbench") / "corpora"


def get(corpus: Corpus, progress: Progress = lambda done, total: None, pause: float = 2.0) -> Path:
    """Download and unpack a corpus, unless it is there; returns its folder.

    Parameters
    ----------
    progress : called with the bytes that are there and the bytes in all, for each file of the corpus.
    pause : seconds before the second attempt after a broken connection; doubled each time.

    Raises
    ------
    CorpusError : no public address, the network gave up, a wrong checksum, an archive with unsafe paths.
    """
    if not corpus.downloads:
        raise CorpusError(f"{corpus.name} has no public address to download from; see {corpus.homepage}")
    target = data_dir() / corpus.name
    if downloaded(corpus):
        return target
    target.mkdir(parents=True, exist_ok=True)
    for download in corpus.downloads:
        unpack(fetch(download, target, progress, pause), target)
    sums = [f"{sha256(path)}  {path.relative_to(target).as_posix()}\n" for path in _files(target)]
    part = target / f"{SUMS}.part"
    part.write_text("".join(sums), encoding="utf-8")
    part.replace(target / SUMS)
    for download in corpus.downloads:
        (target / file_name(download.url)).unlink()
    return target


def fetch(download: Download, folder: Path, progress: Progress = lambda done, total: None, pause: float = 2.0) -> Path:
    """One file of a corpus, by `codecbench.bench.download.fetch`. Raises CorpusError."""
    try:
        return download_file(download.url, download.checksum, download.bytes, folder, progress, pause)
    except DownloadError as error:
        raise CorpusError(str(error)) from error


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a .tar.gz or .zip; members that would leave the folder are refused."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as pack:
                for name in pack.namelist():
                    if not (folder / name).resolve().is_relative_to(folder.resolve()):
                        raise CorpusError(f"{archive}: {name} would be written outside {folder}")
                pack.extractall(folder)
        elif not hasattr(tarfile, "data_filter"):
            raise CorpusError(
                f"{archive}: Python before 3.10.12 or 3.11.4 cannot unpack it safely; update, or unpack it"
            )
        else:
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
    except (tarfile.TarError, zipfile.BadZipFile) as error:
        raise CorpusError(f"{archive}: cannot be unpacked ({error})") from error


def downloaded(corpus: Corpus) -> bool:
    """True if `get` has completed."""
    return (data_dir() / corpus.name / SUMS).exists()


def verify(corpus: Corpus) -> list[str]:
    """What is wrong with a corpus that ships or was downloaded, one line a file; empty if every file is whole.

    Raises
    ------
    CorpusError : it is neither.
    """
    manifest = Path(__file__).parent / "embedded" / f"{corpus.name}.csv"
    if manifest.exists():
        with manifest.open(encoding="utf-8", newline="") as table:
            expected = {manifest.parent / row["file"]: row["sha256"] for row in csv.DictReader(table)}
    elif downloaded(corpus):
        target = data_dir() / corpus.name
        lines = (target / SUMS).read_text(encoding="utf-8").splitlines()
        expected = {target / line[66:]: line[:64] for line in lines}
    else:
        raise CorpusError(f"{corpus.name} is not downloaded; `bench corpora get {corpus.name}` fetches it")
    return [problem for path, sum in expected.items() for problem in check(path, sum)]


def check(path: Path, expected: str) -> list[str]:
    """Nothing if the file has that SHA-256, else one line that says what is wrong."""
    try:
        return [] if sha256(path) == expected else [f"{path}: changed (its SHA-256 is not the recorded one)"]
    except OSError as error:
        return [f"{path}: {error.strerror}"]


def _files(folder: Path) -> Iterator[Path]:
    archives = (".part", ".zip", ".gz")
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.endswith(archives))
