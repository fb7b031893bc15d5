"""A small real run that several test files look at, made once a session: two codecs, six clips of six speakers."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from unittest import mock

import pytest
from codecbench.bench.cli import main


def small_run(factory: pytest.TempPathFactory) -> Path:
    """The run folder; `cache` beside it holds the decoded clips. Do not change it: `copy` it."""
    root = factory.getbasetemp() / "small_run"
    if not root.exists():
        args = ["--codecs", "opus@6+24,lowpass@3.5k", "--metrics", "stoi,si_sdr", "--limit", "6", "--jobs", "2"]
        with mock.patch.dict(os.environ, CODECBENCH_CACHE=str(root / "cache")):
            assert main(["run", *args, "--no-timing", "--quiet", "--out", str(root / "run")]) == 0
    return root / "run"


def copy(run: Path, folder: Path, *statements: str) -> Path:
    """A copy of a run folder, its store changed by SQL statements."""
    shutil.copytree(run, folder)
    with closing(sqlite3.connect(folder / "results.sqlite")) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()
    return folder
