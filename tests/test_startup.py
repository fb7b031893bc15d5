"""What commands that only tell something must not import: each of these takes longer than the command may."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: in listings too
HEAVY = {
    "bokeh", "constriction", "dask", "distributed", "fsspec", "jinja2", "matplotlib", "numba", "onnx", "onnxruntime",
    "pandas", "pesq", "pyarrow", "pystoi", "torch", "transformers", "visqol",
}  # fmt: skip
#: what a listing needs, and help does not
LISTING = {"av", "numpy", "rich", "scipy", "soundfile", "soxr"}

CODE = """
import sys
from codecbench.bench.cli import main
try:
    main({arguments})
except SystemExit:
    pass
print(*sorted({forbidden} & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "forbidden", "shown"),
    [
        ("--help", HEAVY | LISTING, "leaderboard"),
        ("--version", HEAVY | LISTING, "codecbench"),
        ("run --help", HEAVY | LISTING - {"rich"}, "--executor"),
        ("list codecs", HEAVY, "Opus at constant bitrate"),
        ("list metrics", HEAVY | {"av", "scipy"}, "ViSQOL speech"),
        ("list corpora", HEAVY | {"av", "scipy"}, "librispeech"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_imports_nothing_heavy(arguments, forbidden, shown):
    code = CODE.format(arguments=arguments.split(), forbidden=forbidden)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown in " ".join(done.stdout.split())
    assert done.stderr.split() == []


def test_the_check_notices():
    code = CODE.format(arguments=["list", "codecs"], forbidden={"numpy"})
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.split() == ["numpy"]
