"""Hostile suites: what loading them and planning a run gives."""

from __future__ import annotations

import os
import re
import sys

import pytest
from codecbench.bench.api import resolve
from codecbench.bench.cli import main
from codecbench.bench.suite import SuiteError, load_suite
from codecbench.codecs._load import LoadError
from codecbench.corpora import CorpusError
from faults.hostile import Case

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="files of Linux")

TITLE = "Suites"
ABOUT = "`bench run --suite FILE` ends with exit code 2 and the message before anything is computed."
BASE = 'extends = "speech"\ncodecs = ["opus@12"]\nmetrics = ["stoi"]\n[limits]\nclips = 1\n'


def toml(text, name="x.toml", **others):
    """A suite, and others beside it."""

    def make(folder):
        for other, content in others.items():
            (folder / f"{other}.toml").write_text(content, encoding="utf-8")
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(folder / name)

    return make


def with_line(line):
    """A good suite with a line more, in front of its tables."""
    return toml(f"{line}\n" + "".join(f"{row}\n" for row in BASE.splitlines() if row.split()[0] != line.split()[0]))


def limits(line):
    return toml(BASE.replace("clips = 1", line))


def chain(length):
    """Suites that each extend the next."""

    def make(folder):
        for number in range(length):
            (folder / f"{number}.toml").write_text(f'extends = "{number + 1}.toml"\n')
        (folder / f"{length}.toml").write_text(BASE)
        return str(folder / "0.toml")

    return make


def spelled_anew(folder):
    """A loop whose path is another one each time."""
    (folder / "d").mkdir()
    (folder / "d/x.toml").write_text('extends = "../d/../d/x.toml"\n')
    return str(folder / "d/x.toml")


def fifo(folder):
    os.mkfifo(folder / "x.toml")
    return str(folder / "x.toml")


def device(folder):
    (folder / "x.toml").symlink_to("/dev/zero")
    return str(folder / "x.toml")


def folder_of_that_name(folder):
    (folder / "x.toml").mkdir()
    return str(folder / "x.toml")


DEEP = ".a" * 3000

CASES = (
    Case("empty file", toml(""), r"suite .*x\.toml: 'corpora' is missing; give it, or extends"),
    Case("no TOML", toml("codecs = ["), r"not valid TOML"),
    Case("binary", toml(bytes(range(256))), r"cannot be read: not UTF-8 at byte 128; save it as UTF-8"),
    Case("UTF-16", toml(BASE.encode("utf-16")), r"not UTF-8 at byte 0"),
    Case("a byte order mark", toml(b"\xef\xbb\xbf" + BASE.encode()), r"not valid TOML"),
    Case("CRLF line ends", toml(BASE.replace("\n", "\r\n")), gives="a plan of 1 clip"),
    Case("a key twice", with_line("seed = 1\nseed = 2"), r"not valid TOML: .*line 2"),
    Case("an unknown key", with_line('codec = ["opus"]'), r"unknown key 'codec'; there are: title, extends"),
    Case("an unknown table", toml(BASE + "[limit]\nclips = 1\n"), r"unknown key 'limit'"),
    Case("an unknown key in a table", limits("clip = 1"), r"unknown key limits\.clip; there are: clips, max_seconds"),
    Case("title is a number", with_line("title = 3"), r"title is 3, not a str"),
    Case("corpora is text", with_line('corpora = "speech"'), r"corpora is 'speech', not a list"),
    Case("codecs holds a number", with_line("codecs = [3]"), r"codecs must be a list of names"),
    Case("codecs holds an empty name", with_line('codecs = [" "]'), r"codecs must be a list of names"),
    Case("codecs is empty", with_line("codecs = []"), r"codecs must be a list of names that is not empty"),
    Case("metrics is empty", with_line("metrics = []"), r"metrics must be a list of names that is not empty"),
    Case("seed is text", with_line('seed = "1"'), r"seed is '1', not a int"),
    Case("seed is true", with_line("seed = true"), r"seed is True, not a int"),
    Case("seed is negative", with_line("seed = -1"), r"seed is -1; it must be 0 or more, and below 2\^63"),
    Case("seed has 30 digits", with_line("seed = " + "9" * 30), r"seed is 9{30}; it must be"),
    Case("seed has 5000 digits", with_line("seed = " + "9" * 5000), r"not valid TOML"),
    Case("content is noise", with_line('content = "noise"'), r"content is 'noise', not one of speech, music"),
    Case("limits is a list", toml('extends = "speech"\nlimits = [1]\n'), r"limits is \[1\], not a dict"),
    Case("clips = 0", limits("clips = 0"), r"limits\.clips is 0, not a whole number >= 1"),
    Case("clips = 2.5", limits("clips = 2.5"), r"limits\.clips is 2\.5, not a whole number >= 1"),
    Case("clips = nan", limits("clips = nan"), r"limits\.clips is nan, not a whole number"),
    Case("clips = 10^18", limits("clips = 1_000_000_000_000_000_000"), gives="a plan of 30 clips"),
    Case("max_seconds = nan", limits("max_seconds = nan"), r"limits\.max_seconds is nan, not a number > 0"),
    Case("max_seconds = inf", limits("max_seconds = inf"), r"limits\.max_seconds is inf, not a number > 0"),
    Case("max_seconds = 0", limits("max_seconds = 0"), r"limits\.max_seconds is 0, not a number > 0"),
    Case("max_seconds = 1e300", limits("max_seconds = 1e300"), r"limits\.max_seconds is 1e\+300"),
    Case("max_seconds is a list", limits("max_seconds = [1]"), r"limits\.max_seconds is \[1\], not a number"),
    Case("timing repeats = 1.5", toml(BASE + "[timing]\nrepeats = 1.5\n"), r"timing\.repeats is 1\.5, not a whole"),
    Case("a codec that is none", with_line('codecs = ["opsu"]'), r"no codec named 'opsu'; did you mean opus"),
    Case("a point that is none", with_line('codecs = ["opus@7"]'), r"no operating point '7'; there are: 6, 9, 12"),
    Case("all codecs left out", with_line('codecs = ["opus", "-opus"]'), r"no operating point is left"),
    Case("weights that are not there", with_line('codecs = ["soundstream:/no/x"]'), r"there is no such file"),
    Case("weights for a codec that takes none", with_line('codecs = ["opus:/dev/null"]'), r"takes weights as 'opus'"),
    Case("a metric that is none", with_line('metrics = ["peskq"]'), r"no metric named 'peskq'"),
    Case("a corpus that is none", with_line('corpora = ["/no/such"]'), r"neither a corpus nor a path that exists"),
    Case("a corpus with a NUL", with_line('corpora = ["a\\u0000b"]'), r"neither a corpus nor a path that exists"),
    Case("a corpus twice", with_line('corpora = ["speech", "speech"]'), r"two clips .* in corpora named 'speech'"),
    Case("a metric twice", with_line('metrics = ["stoi", "stoi"]'), gives="a plan of 1 clip"),
    Case("a title with escapes", with_line('title = "\\u001b[31mred\\n\U0001f3b5"'), gives="a plan of 1 clip"),
    Case("a name that is not ASCII", toml(BASE, "caf\xe9 \U0001f3b5.toml"), gives="a plan of 1 clip"),
    Case("extends itself", toml('extends = "x.toml"'), r"extends itself"),
    Case("two that extend each other", toml('extends = "y.toml"', y='extends = "x.toml"'), r"extends itself"),
    Case("a loop of ever longer paths", spelled_anew, r"extends itself"),
    Case("100 that extend one another", chain(100), r"more than 16 suites extend one another"),
    Case("ten that extend one another", chain(10), gives="a plan of 1 clip"),
    Case(
        "extends a suite that is none", toml('extends = "spech"'), r"no suite named .*spech.*; there are: music, quick"
    ),
    Case("extends ../../etc/passwd", toml('extends = "../../etc/passwd"'), r"no suite named .*or give a \.toml file"),
    Case(
        "extends a file that is not there", toml('extends = "none.toml"'), r"none\.toml: cannot be read: No such file"
    ),
    Case("extends a path with a NUL", toml('extends = "a\\u0000.toml"'), r"cannot be read: .*null"),
    Case("10,000 arrays in one another", toml("codecs = " + "[" * 10_000 + "]" * 10_000), r"nested too deep|not valid"),
    Case("a key of 3000 parts", toml(f"limits{DEEP} = 1"), r"unknown key limits\.a|nested too deep|not valid TOML"),
    Case("a seed of 3000 tables", toml(f"seed{DEEP} = 1"), r"seed is \{'a': .*, not a int|nested too deep|not valid"),
    Case("a key of a million characters", toml(f"{'k' * 1_000_000} = 1"), r"unknown key 'k+\.\.\.k+'"),
    Case("a FIFO", fifo, r"cannot be read: a FIFO, not a file"),
    Case("a link to /dev/zero", device, r"cannot be read: a device, not a file"),
    Case("a folder named x.toml", folder_of_that_name, r"cannot be read: a folder, not a file"),
    Case("another suffix", toml(BASE, "x.json"), r"no suite named .*x\.json"),
    Case(
        "a name that no suite has", lambda folder: "spech", r"no suite named 'spech'; there are: music, quick, speech"
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_suite(case, tmp_path):
    name = case.make(tmp_path)
    if case.refused:
        with pytest.raises((SuiteError, CorpusError, LoadError)) as error:
            resolve(name, offline=True)
        assert re.search(case.refused, str(error.value)), error.value
        assert len(str(error.value)) < 1500
    else:
        plan = resolve(name, offline=True)
        assert len(plan.clips) == int(case.gives.split()[3])
        assert load_suite(name).metrics == plan.suite.metrics


@pytest.mark.parametrize("case", [c for c in CASES if c.refused][::9], ids=str)
def test_the_command_says_the_same(case, tmp_path, capsys):
    assert main(["run", "--suite", case.make(tmp_path), "--offline", "--dry-run"]) == 2
    assert re.search(case.refused, capsys.readouterr().err.replace("\n", " "))


@pytest.mark.parametrize(("option", "message"), [("--seed=-1", "seed is -1"), (f"--seed={2**63}", "it must be")])
def test_a_seed_of_the_command_line_too(option, message, capsys):
    assert main(["run", "--suite", "quick", option, "--offline", "--dry-run"]) == 2
    assert message in capsys.readouterr().err
