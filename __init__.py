"""codecbench: benchmark audio codecs, neural and classic, on speech and music.

    import codecbench

    if __name__ == "__main__":
        outcome = codecbench.run("speech", codecs=["opus@6+12", "amr_wb"], limit=8)
        frame = codecbench.load(outcome.folder)  # pandas, one row a (clip, codec, operating point)

`list_codecs()` says what there is and what is missing for the rest. To add a codec, subclass `Codec` of
`codecbench.codecs`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from .bench.api import run as run

__version__ = "0.1.0"
__all__ = ["__version__", "list_codecs", "load", "run"]


def __getattr__(name: str) -> Any:
    # Importing the package stays fast: the harness is imported when it is used.
    if name == "run":
        from .bench.api import run

        return run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load(run_dir: str | os.PathLike[str]) -> pd.DataFrame:
    """The results of a run folder: one row a (corpus, clip, codec, point), a column a metric.

    A score that could not be had is NaN, with its reason in the column `<metric>_reason`.
    """
    from pathlib import Path

    from .reports.frame import load as load_frame

    return load_frame(Path(run_dir))


def list_codecs() -> list[dict[str, Any]]:
    """Every registered codec: its name, family, points, rates, versions, and `unavailable`: why, or None."""
    from .bench.listing import list_codecs as found

    return found()
