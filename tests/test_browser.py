"""The page in a real browser: headless Chromium, where Debian's is installed."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from codecbench.bench.cli import main

CHROMIUM = shutil.which("chromium")


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
def test_the_page_of_a_run_opens_and_shows_its_table(tmp_path, monkeypatch):
    monkeypatch.setenv("CODECBENCH_CACHE", str(tmp_path / "cache"))
    run = ["run", "--codecs", "opus@12,pcm@16", "--limit", "1", "--metrics", "stoi", "--quiet", "--out"]
    assert main([*run, str(tmp_path / "r")]) == 0
    page = (tmp_path / "r" / "index.html").as_uri()
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    flags += ["--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        [str(CHROMIUM), *flags, "--enable-logging=stderr", "--dump-dom", page],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "Complete; all 2 self-checks passed" in done.stdout
    assert "opus 12" in done.stdout
    assert "<table" in done.stdout
    assert "CONSOLE" not in done.stderr
