"""What all tests share: no test touches the network or a user's own store of models."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

# Worker processes import what tests give them by name, so the helpers' folder must be on the path that they inherit.
sys.path.insert(0, str(Path(__file__).parent))

# Before anything is imported: huggingface_hub reads its variables only then. Worker processes inherit them.
os.environ.update(CODECBENCH_OFFLINE="1", HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")
_store = tempfile.TemporaryDirectory(prefix="codecbench-models-")
os.environ.setdefault("CODECBENCH_MODELS", _store.name)


def pytest_unconfigure() -> None:
    _store.cleanup()
