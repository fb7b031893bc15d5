"""What all tests share: no test touches the network or a user's own store of models."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Worker processes import what tests give them by name, so the helpers' folder must be on the path that they inherit.
sys.path.insert(0, str(Path(__file__).parent))

from file_server import Server, serving

# Before anything is imported: huggingface_hub reads its variables only then. Worker processes inherit them.
os.environ.update(CODECBENCH_OFFLINE="1", HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")
# pytest-xdist gives its processes a width of 80; tables are then tested as a pipe sees them.
os.environ.pop("COLUMNS", None)
_store = tempfile.TemporaryDirectory(prefix="codecbench-models-")
os.environ.setdefault("CODECBENCH_MODELS", _store.name)
os.environ.setdefault("HF_HUB_CACHE", str(Path(_store.name) / "hub"))


def pytest_unconfigure() -> None:
    _store.cleanup()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server on this machine, which alone the test may download from."""
    monkeypatch.delenv("CODECBENCH_OFFLINE")
    with serving() as running:
        yield running


@pytest.fixture
def forget_codecs() -> Iterator[None]:
    """Codecs that a test registers or loads are gone after it."""
    from codecbench.codecs import registry
    from codecbench.codecs._load import loaded

    registry.names()  # finds those of the package, whichever test comes first
    things, sources = dict(registry._things), dict(loaded)
    yield
    registry._things.clear()
    registry._things.update(things)
    loaded.clear()
    loaded.update(sources)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium that plays without being clicked first; for modules that skip where it is missing."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        flags = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        chromium = driver.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        yield chromium
        chromium.close()
