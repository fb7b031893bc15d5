"""Hostile manifests and folders of clips: what listing them gives."""

from __future__ import annotations

import os
import re
import sys

import pytest
from codecbench.bench import files
from codecbench.bench.cli import main
from codecbench.corpora import CorpusError
from codecbench.corpora._open import open_corpus
from faults.hostile import Case

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="files of Linux")

TITLE = "Manifests and folders"
ABOUT = "`bench run --corpus FILE` ends with exit code 2 and the message before anything is computed."
GIVES = "the clips {}"


def csv(text, encoding="utf-8"):
    return named("set.csv", text.encode(encoding))


def toml(text):
    return named("set.toml", text.encode())


def named(name, data):
    def make(folder):
        (folder / name).write_bytes(data)
        return folder / name

    return make


def fifo(folder):
    os.mkfifo(folder / "set.csv")
    return folder / "set.csv"


def device(folder):
    (folder / "set.toml").symlink_to("/dev/zero")
    return folder / "set.toml"


def folder_of_that_name(folder):
    (folder / "set.csv").mkdir()
    return folder / "set.csv"


def large(folder):
    with (folder / "set.csv").open("wb") as file:
        file.truncate(files.TEXT_LIMIT + 1)
    return folder / "set.csv"


def tree(*paths, links=()):
    """A folder with empty files, and links (name, target)."""

    def make(folder):
        for path in paths:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).touch()
        for name, target in links:
            (folder / name).symlink_to(target)
        return folder / "c"

    return make


CASES = (
    Case("empty file", csv(""), r"set\.csv: lists no clips"),
    Case("a header and no row", csv("file,speaker\n"), r"lists no clips"),
    Case(
        "no column `file`",
        csv("path,speaker\na.wav,anna\n"),
        r"no column `file`.*the columns are \['path', 'speaker'\]",
    ),
    Case("semicolons between the columns", csv("file;speaker\na.wav;anna\n"), r"no column `file`, separated by commas"),
    Case("a column twice", csv("file,speaker,speaker\na.wav,x,y\n"), r"a column is there twice"),
    Case("spaces around the column names", csv("file , speaker\na.wav,anna\n"), gives="a"),
    Case("a row without a file", csv("file,speaker\n,anna\n"), r"clip 1 has no file"),
    Case("an id twice", csv("file\na.wav\nb.wav\na.flac\n"), r"the id 'a' is there twice"),
    Case(
        "a row with too many cells",
        csv("file,speaker\na,b.wav,anna\n"),
        r"line 2 has more cells than columns.*needs quotes",
    ),
    Case("a row with too few cells", csv("file,speaker\na.wav\n"), gives="a"),
    Case("a quote that is not closed", csv('file,speaker\na.wav,"anna\nb.wav,bob\n'), r"unexpected end of data"),
    Case("text behind a quoted cell", csv('file\n"a.wav"x\n'), r"',' expected after"),
    Case("a line end in a quoted cell", csv('file,speaker\n"a\nb.wav",anna\n'), gives="a\nb"),
    Case("U+2028 and U+0085 in a name", csv("file\na\u2028b\x85c.wav\nd.wav\n"), gives="a\u2028b\x85c d"),
    Case("byte order mark", csv("\ufefffile\na.wav\n"), gives="a"),
    Case("CRLF line ends", csv("file,speaker\r\na.wav,anna\r\n"), gives="a"),
    Case("CR line ends", csv("file,speaker\ra.wav,anna\r"), gives="a"),
    Case("Latin-1", csv("file\ncaf\xe9.wav\n", "latin-1"), r"not UTF-8 at byte 8; save it as UTF-8"),
    Case("UTF-16", csv("file\na.wav\n", "utf-16"), r"not UTF-8 at byte 0; save it as UTF-8"),
    Case("UTF-16 without its mark", csv("file\na.wav\n", "utf-16-le"), r"no column `file`|line contains NUL"),
    Case("a NUL in a name", csv("file\na\0b.wav\n"), r"it must be one text|line contains NUL"),
    Case("a cell of 10 MB", csv("file,speaker\na.wav," + "x" * 10_000_000 + "\n"), r"field larger than field limit"),
    Case(
        "a name of 5000 characters",
        toml(f'[[clip]]\nfile = "{"x" * 5000}"\n'),
        r"5000 characters long; a path has at most 4096",
    ),
    Case(
        "start is no number",
        csv("file,start\na.wav,soon\n"),
        r"clip 1: start is 'soon'; it must be a number of seconds",
    ),
    Case("negative seconds", csv("file,seconds\na.wav,-1\n"), r"seconds is '-1'"),
    Case("seconds NaN", csv("file,seconds\na.wav,nan\n"), r"seconds is 'nan'"),
    Case("seconds 1e300", csv("file,seconds\na.wav,1e300\n"), r"seconds is '1e300'"),
    Case("unknown content", csv("file,content\na.wav,noise\n"), r"content is 'noise'; it must be speech or music"),
    Case("lossy is maybe", csv("file,lossy\na.wav,maybe\n"), r"lossy is 'maybe'; it must be yes or no"),
    Case("no CSV at all", named("set.csv", bytes(range(1, 128)) * 9), r"set\.csv: "),
    Case("a path outside, ../x.wav", csv("file\n../x.wav\n"), gives="../x"),
    Case("an absolute path", csv("file\n/data/x.wav\n"), gives="/data/x"),
    Case("TOML: clip is a number", toml("clip = 3"), r"clips are listed as \[\[clip\]\] tables"),
    Case("TOML: a list of numbers", toml("clip = [1, 2]"), r"clips are listed as \[\[clip\]\] tables"),
    Case("TOML: [[clips]] instead of [[clip]]", toml('[[clips]]\nfile = "a.wav"\n'), r"lists no clips.*\[\[clip\]\]"),
    Case(
        "TOML: file is a list",
        toml('[[clip]]\nfile = ["a.wav"]\n'),
        r"clip 1: file is \['a\.wav'\]; it must be one text",
    ),
    Case("TOML: speaker is a table", toml('[[clip]]\nfile = "a.wav"\nspeaker = {a = 1}\n'), r"speaker is \{'a': 1\}"),
    Case("TOML: start is true", toml('[[clip]]\nfile = "a.wav"\nstart = true\n'), r"start is 'True'"),
    Case("TOML: not closed", toml("[[clip"), r"not valid TOML"),
    Case("TOML: a key twice", toml('[[clip]]\nfile = "a"\nfile = "b"\n'), r"not valid TOML"),
    Case(
        "TOML: 10,000 arrays in one another",
        toml("clip = " + "[" * 10_000 + "]" * 10_000),
        r"nested too deep|not valid TOML",
    ),
    Case("TOML: a number of 5000 digits", toml("clip = " + "9" * 5000), r"not valid TOML|listed as"),
    Case("a FIFO", fifo, r"a FIFO, not a file"),
    Case("a link to /dev/zero", device, r"a device, not a file"),
    Case("a folder named set.csv without audio", folder_of_that_name, r"no audio file here or below"),
    Case("256 MB of nothing", large, r"256 MB, which is more than 256 MB of text"),
    Case("another suffix", named("set.txt", b"file\na.wav\n"), r"a single file must be a manifest"),
    Case("a single audio file", named("a.wav", b""), r"a single file must be a manifest.*for audio give its folder"),
    Case("nothing there", lambda folder: folder / "none", r"neither a corpus nor a path that exists"),
    Case("a path of 5000 characters", lambda folder: folder / ("x" * 5000), r"neither a corpus nor a path that exists"),
    Case("a path with a NUL", lambda folder: "a\0b", r"neither a corpus nor a path that exists"),
    Case("a home that nobody has", lambda folder: "~nobody-here/x", r"neither a corpus nor a path that exists"),
    Case("folder: a link to another folder", tree("c/a.wav", "d/b.wav", links=[("c/l", "../d")]), gives="a l/b"),
    Case("folder: a link to a folder within", tree("c/d/a.wav", links=[("c/l", "d")]), gives="d/a"),
    Case("folder: a link to itself", tree("c/a.wav", links=[("c/l", "l")]), gives="a"),
    Case("folder: a link to the folder above", tree("c/a.wav", "b.wav", links=[("c/l", "..")]), gives="a"),
    Case(
        "folder: two that link to each other",
        tree("c/a.wav", "d/b.wav", links=[("c/l", "../d"), ("d/m", "../c")]),
        gives="a l/b",
    ),
    Case("folder: files of one name and two suffixes", tree("c/a.wav", "c/a.flac"), gives="a.flac a.wav"),
    Case("folder: no audio", tree("c/a.txt"), r"no audio file here or below"),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_manifest(case, tmp_path):
    path = case.make(tmp_path)
    if case.refused:
        with pytest.raises(CorpusError) as error:
            open_corpus(str(path))
        assert str(path) in str(error.value)
        assert re.search(case.refused, str(error.value)), error.value
        assert len(str(error.value)) < 800 + 2 * len(str(path))
    else:
        ids = [item.id for item in open_corpus(str(path))]
        assert " ".join(ids) == case.gives


@pytest.mark.parametrize("case", [c for c in CASES if c.refused and "NUL" not in c.name][::6], ids=str)
def test_the_command_says_the_same(case, tmp_path, capsys):
    path = case.make(tmp_path)
    assert main(["run", "--corpus", str(path), "--codecs", "opus", "--metrics", "stoi", "--dry-run"]) == 2
    assert re.search(case.refused, capsys.readouterr().err.replace("\n", " "))


def test_two_corpora_of_one_name_would_share_their_rows(tmp_path, capsys):
    for folder in ("one/wavs", "two/wavs"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.wav").touch()
    folders = [str(tmp_path / folder / "wavs") for folder in ("one", "two")]
    for given in (folders, [folders[0], folders[0]]):
        options = [option for spec in given for option in ("--corpus", spec)]
        assert main(["run", *options, "--codecs", "opus", "--metrics", "stoi", "--dry-run"]) == 2
        assert "two clips 'a' in corpora named 'wavs'" in capsys.readouterr().err.replace("\n", " ")
