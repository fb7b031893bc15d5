"""Hostile plug-ins: what loading them and asking them about themselves gives. What a codec does in a run is in
test_workers.py."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading

import pytest
from codecbench.bench.cli import main
from codecbench.codecs import _load, registry
from codecbench.codecs._load import LoadError, load, load_module, loaded
from faults.hostile import Case

pytestmark = [pytest.mark.usefixtures("forget_codecs"), pytest.mark.skipif(sys.platform != "linux", reason="Linux")]

TITLE = "Plug-ins (`--codec-module FILE`) and weights (`--codecs NAME:PATH`)"
ABOUT = """
Exit code 2 and the message before anything is computed; what the file registered before its error is taken back. A file
that is accepted but cannot describe its codec leaves the codec unavailable, with the reason. The module runs in the
process of `bench`, with the user's rights: a file that ends the process by `os._exit` ends it.
"""

GOOD = """
from codecbench.bench.audio import Clip
from codecbench.codecs import Codec, CodecError, Encoded, Packet, Point, register

class Mine(Codec):
    name, family, licence, about = "mine", "Mine", "none", "nothing"
    points = (Point("6", 6.0),)
    rates = (16000,)
    def encode(self, clip, point): raise CodecError("no")
    def decode(self, encoded, point): raise CodecError("no")
    def delay(self, rate, point): return 0
    def frame(self, rate, point): return 320
"""


def module(text, name="mine.py"):
    def make(folder):
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return folder / name

    return make


def with_(*lines):
    """A good codec with other attributes."""
    return module(GOOD + "".join(f"    {line}\n" for line in lines) + "register(Mine())\n")


def ends(line):
    """A good codec that is registered, and a line behind it."""
    return module(f"{GOOD}\nregister(Mine())\n{line}\n")


def folder_of_that_name(folder):
    (folder / "mine.py").mkdir()
    return folder / "mine.py"


def fifo(folder):
    os.mkfifo(folder / "mine.py")
    return folder / "mine.py"


def link(target):
    def make(folder):
        (folder / "mine.py").symlink_to(target)
        return folder / "mine.py"

    return make


def weights(make, takes="soundstream"):
    """What `make` makes, as weights of the user's own."""
    return lambda folder: f"{takes}:{make(folder)}"


def folder_with_fifo(folder):
    os.mkfifo(folder / "config.json")
    return folder


CASES = (
    Case("empty file", module(""), r"mine\.py: registers no codec; end it with register\(MyCodec\(\)\)"),
    Case("a class that is not registered", module(GOOD), r"registers no codec"),
    Case("not Python", module("def (:\n"), r"mine\.py:1: SyntaxError"),
    Case("bytes that are not UTF-8", module(b"x = '\xff'\n"), r"mine\.py.*: SyntaxError"),
    Case("a NUL", module(b"x = 1\0\n"), r"mine\.py.*: (SyntaxError|ValueError)"),
    Case("a binary", module(bytes(range(256))), r"mine\.py.*: (SyntaxError|ValueError)"),
    Case("an import of what is not there", module("import nothing_of_that_name\n"), r"mine\.py:1: ModuleNotFoundError"),
    Case("an exception", ends("1 / 0"), r"mine\.py:15: ZeroDivisionError"),
    Case("sys.exit", ends("import sys; sys.exit(3)"), r"mine\.py:15: ends the program \(exit 3\) when imported"),
    Case("raise SystemExit", ends("raise SystemExit"), r"ends the program \(exit None\) when imported"),
    Case("a loop without an end", ends("while True: pass"), r"no end of importing it after 0\.3 s"),
    Case("recursion without an end", ends("def f(): f()\nf()"), r"RecursionError"),
    Case(
        "a thousand nested brackets",
        module("x = " + "(" * 1000 + ")" * 1000),
        r"mine\.py.*: (SyntaxError|Memory|Recur)",
    ),
    Case("a warning that is an error", ends("import warnings; warnings.warn('old')"), r"UserWarning: old"),
    Case(
        "the class instead of an object",
        module(GOOD + "register(Mine)\n"),
        r"register an object, not the class: register\(Mine\(\)\)",
    ),
    Case("something that is no codec", module(GOOD + "register(3)\n"), r"int is no Codec; subclass"),
    Case(
        "a method is missing",
        module(GOOD.replace("def frame", "def fame") + "register(Mine())\n"),
        r"TypeError: .*frame",
    ),
    Case("registered twice", ends("register(Mine())"), r"codec 'mine' is registered twice"),
    Case("a name that is taken", with_("name = 'opus'"), r"codec 'opus' is registered twice"),
    Case("no name", module(GOOD.replace("name, ", "nume, ") + "register(Mine())\n"), r"name is None; it must be text"),
    Case("an empty name", with_("name = ''"), r"name is ''; it must be text that is not empty"),
    Case("a name that is a number", with_("name = 3"), r"name is 3; it must be text"),
    Case("a name with a path", with_("name = '../mine'"), r"codec name '\.\./mine': letters, digits"),
    Case("a name with a line end", with_(r"name = 'mi\nne'"), r"codec name 'mi\\nne': letters"),
    Case("a name with terminal escapes", with_(r"name = '\033[31mine'"), r"codec name '\\x1b\[31mine': letters"),
    Case("a name with a comma", with_("name = 'a,b'"), r"codec name 'a,b': letters"),
    Case("a name with points", with_("name = 'a@6'"), r"codec name 'a@6': letters"),
    Case("a name like weights", with_("name = 'encodec:x'"), r"codec name 'encodec:x': letters"),
    Case("a name that begins with a hyphen", with_("name = '-mine'"), r"codec name '-mine': letters.*digit first"),
    Case("a name that is *", with_("name = '*'"), r"codec name '\*': letters"),
    Case("no licence", with_("licence = ' '"), r"codec Mine: licence is ' '; it must be text that is not empty"),
    Case("no points", with_("points = ()"), r"codec mine: points is \(\); it must be a tuple of at least one Point"),
    Case("a point that is text", with_("points = ('6',)"), r"codec mine: '6' is no Point"),
    Case(
        "a point twice", with_("points = (Point('6', 6.0), Point('6', 7.0))"), r"the point 6 is there twice for speech"
    ),
    Case("a point with a comma", with_("points = (Point('6,7', 6.0),)"), r"a point's label is '6,7'; letters, digits"),
    Case("a point with an empty label", with_("points = (Point('', 6.0),)"), r"a point's label is ''"),
    Case(
        "a bitrate that is NaN",
        with_("points = (Point('6', float('nan')),)"),
        r"point 6: kbps is nan; it must be a number",
    ),
    Case("a bitrate that is text", with_("points = (Point('6', '6'),)"), r"point 6: kbps is '6'; it must be a number"),
    Case(
        "a bitrate of 0",
        with_("points = (Point('6', 0),)"),
        r"point 6: kbps is 0; it must be a number above 0, or None",
    ),
    Case("parameters that are a list", with_("points = (Point('6', 6.0, [1]),)"), r"point 6: params is \[1\]"),
    Case(
        "an unknown mode", with_("points = (Point('6', 6.0, mode='abr'),)"), r"point 6: mode is 'abr'; it must be cbr"
    ),
    Case(
        "unknown content", with_("points = (Point('6', 6.0, content=('noise',)),)"), r"point 6: content is \('noise',\)"
    ),
    Case(
        "content that is text", with_("points = (Point('6', 6.0, content='speech'),)"), r"point 6: content is 'speech'"
    ),
    Case("no sample rate", with_("rates = ()"), r"codec mine: rates is \(\); it must be a tuple of whole numbers"),
    Case("a sample rate of 0", with_("rates = (0,)"), r"codec mine: rates is \(0,\)"),
    Case("a sample rate that is text", with_("rates = ('16k',)"), r"codec mine: rates is \('16k',\)"),
    Case("channels that are no tuple", with_("channels = 1"), r"codec mine: channels is 1; it must be a tuple"),
    Case("an unknown kind", with_("kind = 'neural'"), r"codec mine: kind is 'neural'; it must be codec or anchor"),
    Case("an unknown route", with_("encode_route = 'gpu'"), r"codec mine: encode_route is 'gpu'"),
    Case(
        "available() raises",
        with_("def available(self): raise OSError('no card')"),
        gives="unavailable: available() raised OSError: no card",
    ),
    Case(
        "available() gives True",
        with_("def available(self): return True"),
        gives="unavailable: available() gave True, not a reason",
    ),
    Case(
        "versions() raises",
        with_("def versions(self): return {'x': 1 / 0}"),
        gives="unavailable: versions() raised ZeroDivisionError: division by zero",
    ),
    Case(
        "versions() gives text",
        with_("def versions(self): return '1.0'"),
        gives="unavailable: versions() gave '1.0', not a dictionary",
    ),
    Case(
        "config() refers to itself",
        with_("def config(self): a = {}; a['a'] = a; return a"),
        gives="unavailable: config() raised ValueError: Circular reference detected",
    ),
    Case("note() gives nothing", with_("def note(self): return None"), gives="unavailable: note() gave None, not text"),
    Case("another suffix", module(GOOD, "mine.txt"), r"mine\.txt: not a Python file; a codec module is a FILE\.py"),
    Case("a folder named mine.py", folder_of_that_name, r"not a Python file \(a folder, not a file\)"),
    Case("a FIFO", fifo, r"not a Python file \(a FIFO, not a file\)"),
    Case("a link to /dev/zero", link("/dev/zero"), r"not a Python file"),
    Case("a link to itself", link("mine.py"), r"not a Python file \(Too many levels of symbolic links\)"),
    Case("nothing there", lambda folder: folder / "none.py", r"not a Python file \(No such file or directory\)"),
    Case(
        "a path of 5000 characters",
        lambda folder: folder / ("x" * 5000 + ".py"),
        r"not a Python file \(File name too long\)",
    ),
    Case("weights: nothing there", weights(lambda folder: folder / "none"), r"there is no such file or folder"),
    Case("weights: empty file", weights(module("", "x.safetensors")), r"is not a SoundStream model of this version"),
    Case("weights: text", weights(module("text" * 99, "x.safetensors")), r"is not a SoundStream model of this version"),
    Case(
        "weights: a header of 2^63 bytes",
        weights(module(b"\xff" * 7 + b"\x7f{}", "x.safetensors")),
        r"not a SoundStream",
    ),
    Case("weights: a FIFO", weights(fifo), r"mine\.py: a FIFO, not a file"),
    Case("weights: a link to /dev/zero", weights(link("/dev/zero")), r"/dev/zero: a device, not a file"),
    Case("weights: a folder for a codec of one file", weights(folder_of_that_name), r"mine\.py: Is a directory"),
    Case("weights: a folder with a FIFO", weights(folder_with_fifo, "encodec"), r"config\.json: a FIFO, not a file"),
    Case("weights: a file for a codec of a folder", weights(module(""), "encodec"), r"no config\.json"),
    Case("weights: for a codec that takes none", weights(module(""), "opus"), r"no codec takes weights as 'opus'"),
)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(_load, "LIMIT", 0.3)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_plugin(case, tmp_path, capsys):
    path, before = case.make(tmp_path), registry.names()
    if case.refused:
        with pytest.raises(LoadError) as error:
            load(path) if isinstance(path, str) else load_module(path)
        assert re.search(case.refused, str(error.value)), error.value
        file = str(path)[str(path).index("/") :]
        assert any(part in str(error.value) for part in (os.path.basename(file), os.path.realpath(file)))
        assert registry.names() == before
        assert str(path) not in loaded
    else:
        assert main(["run", "--codec-module", str(path), "--codecs", "mine", "--metrics", "stoi", "--offline"]) == 1
        assert f"mine: {case.gives.removeprefix('unavailable: ')}" in capsys.readouterr().err
        assert main(["list", "codecs"]) == 0
        assert main(["check", "codec", "mine"]) == 1


@pytest.mark.parametrize("case", [c for c in CASES if c.refused and "weights" not in c.name][::12], ids=str)
def test_the_command_says_the_same(case, tmp_path, capsys):
    path = str(case.make(tmp_path))
    for command in (["run", "--dry-run"], ["check", "codec"]):
        assert main([*command, "--codec-module", path]) == 2
        assert re.search(case.refused, capsys.readouterr().err.replace("\n", " "))


def test_the_limit_leaves_no_alarm_and_a_thread_has_none(tmp_path):
    import signal

    path = with_()(tmp_path)
    handler = signal.getsignal(signal.SIGALRM)
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.extend(load_module(path)))
    thread.start()
    thread.join()
    assert found == ["mine"]
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is handler


def test_ctrl_c_while_it_is_imported(tmp_path):
    path = module("raise KeyboardInterrupt\n")(tmp_path)
    assert main(["run", "--dry-run", "--codec-module", str(path)]) == 130


def test_one_that_ends_the_process_ends_it(tmp_path):
    """Nothing can be said then; that it is the file's doing is on the page."""
    path = module("import os; os._exit(7)\n")(tmp_path)
    command = [sys.executable, "-m", "codecbench.bench", "run", "--dry-run", "--codec-module", str(path)]
    assert subprocess.run(command, timeout=60).returncode == 7


def test_one_that_fails_in_workers_only(tmp_path, capsys):
    """Its file was changed after the plan was made, say."""
    only = (
        "import multiprocessing\nif multiprocessing.current_process().name != 'MainProcess': raise ValueError('here')\n"
    )
    path = module(f"{only}{GOOD}register(Mine())\n")(tmp_path)
    args = ["--codecs", "mine", "--metrics", "stoi", "--limit", "1", "--no-timing", "--out", str(tmp_path / "run")]
    assert main(["run", "--codec-module", str(path), *args]) == 2
    said = capsys.readouterr().err
    assert "a worker could not start" in said
    assert "mine.py:2: ValueError: here" in said.replace("\n", "")
    assert "Traceback" not in said
