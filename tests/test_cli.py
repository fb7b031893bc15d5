"""The command: help of every subcommand, listings, doctor, cache."""

from __future__ import annotations

import json
import subprocess
import sys

import codecbench
import pytest
from codecbench import __version__
from codecbench.bench import cli
from codecbench.bench.cache import Files
from codecbench.bench.cli import commands, main
from codecbench.bench.cli._progress import Reporter
from codecbench.codecs import registry as codecs
from rich.console import Console


def test_commands_are_the_files():
    assert {"run", "list", "doctor", "show", "check", "new", "cache", "corpora"} <= set(commands())


def test_codecs_bring_commands(tmp_path, monkeypatch):
    (tmp_path / "mine" / "commands").mkdir(parents=True)
    for name in ("__init__", "hello", "_helper"):
        (tmp_path / "mine" / "commands" / f"{name}.py").write_text("raise RuntimeError('imported')")
    monkeypatch.setattr(cli, "_CODECS", tmp_path)
    found = commands()
    assert found["hello"] == "codecbench.codecs.mine.commands.hello"
    assert found["run"] == "codecbench.bench.cli.run"
    assert list(found) == sorted(found)
    assert "_helper" not in found
    (tmp_path / "mine" / "commands" / "run.py").touch()
    with pytest.raises(ValueError, match="two commands 'run'"):
        commands()


@pytest.mark.parametrize("command", commands())
def test_help_has_examples(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    text = capsys.readouterr().out
    assert "examples:" in text
    assert f"bench {command}" in text


def test_version_and_usage(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert __version__ in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main([])
    with pytest.raises(SystemExit, match="2"):
        main(["run", "--limit", "0"])
    assert "at least 1" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["codecs", "corpora", "metrics", "suites"])
def test_list(what, capsys):
    assert main(["list", what, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert all("unavailable" in row for row in rows)
    assert main(["list", what]) == 0
    text = capsys.readouterr().out
    for row in rows:
        assert row["name"] in text


def test_what_is_missing_is_listed_with_its_reason(monkeypatch, capsys):
    monkeypatch.setattr(codecs.get("opus"), "available", lambda: "no libopus: get it")
    assert main(["list", "codecs"]) == 0
    assert "opus: no libopus: get it" in capsys.readouterr().out
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "opus: no libopus: get it" in text
    assert "the suites can run" in text


def test_doctor_json_and_what_is_broken(monkeypatch, capsys):
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["packages"]["codecbench"] == __version__
    assert "opus" in report["codecs"]
    assert report["broken"] == {}
    monkeypatch.setitem(codecs.broken, "theirs", "ImportError: no such library")
    assert main(["doctor"]) == 1
    assert "entry point theirs: ImportError" in capsys.readouterr().out


def test_cache(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CODECBENCH_CACHE", str(tmp_path))
    Files(tmp_path).put_stream("aa", bytes(5000))
    assert main(["cache", "info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stages"]["stream"] == [1, 5000]
    assert main(["cache", "info"]) == 0
    assert "stream" in capsys.readouterr().out
    assert main(["cache", "prune", "--max-size", "1KB"]) == 0
    assert "removed 1 files" in capsys.readouterr().err
    assert main(["cache", "clear"]) == 0
    for wrong in ("many", "1TB", "GB"):
        with pytest.raises(SystemExit, match="2"):
            main(["cache", "prune", "--max-size", wrong])


def test_run_without_anything_available_says_so(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(codecs.get("opus"), "available", lambda: "no libopus: get it")
    assert main(["run", "--codecs", "opus"]) == 1
    assert "nothing can run" in capsys.readouterr().err
    assert main(["run", "--codecs", "opus", "--dry-run"]) == 0
    assert "opus: no libopus: get it" in capsys.readouterr().out


def test_module_and_pipe():
    done = subprocess.run(
        [sys.executable, "-m", "codecbench.bench", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"codecbench {__version__}"


@pytest.mark.parametrize("terminal", [True, False])
def test_progress(terminal):
    console = Console(force_terminal=terminal, width=100, file=None, record=True, quiet=False)
    with console.capture() as captured, Reporter(console) as reporter:
        for done in range(4):
            reporter.update("units", done, 3)
        reporter.update("writing", 0, 0)
    text = captured.get()
    assert "units" in text
    assert "writing" in text
    if not terminal:
        assert text.split("\n")[:3] == ["units: 0 of 3", "units: 3 of 3", "writing"]


def test_quiet_progress_says_nothing():
    console = Console(force_terminal=True)
    with console.capture() as captured, Reporter(console, quiet=True) as reporter:
        reporter.update("units", 0, 3)
    assert captured.get().strip() == ""


def test_public_names():
    assert {"run", "load", "list_codecs"} <= set(codecbench.__all__)
    assert callable(codecbench.run)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = codecbench.nothing
