"""How a curve looks: the same family has the same colour, marker and dash in every chart of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

#: Okabe and Ito's colours, told apart by colour-blind readers; their yellow is too faint for a line on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
#: their kin on a dark ground
DARK = ("#4CA6FF", "#FF8A3D", "#2FC79A", "#E79AC6", "#9AD7F7", "#F2B632", "#E6E9EC")
#: markers as matplotlib and as Bokeh name them
MARKERS = ("o", "s", "^", "D", "v", "h", "*", "P")
BOKEH_MARKERS = ("circle", "square", "triangle", "diamond", "inverted_triangle", "hex", "star", "square_pin")
DASHES = ("-", "--", ":")
BOKEH_DASHES = ("solid", "dashed", "dotted")


@dataclass(frozen=True)
class Style:
    """Indices into the tuples above: seven colours by eight markers, dashed from the second round on."""

    name: str
    colour: int
    marker: int
    dash: int


def curve_name(table: pd.DataFrame, family: str, codec: str) -> str:
    """A family is one curve; where it has several codecs, each is one."""
    same = table[(table["family"] == family) & (table["kind"] == "codec")]["codec"].nunique()
    return family if same == 1 else f"{family}: {codec}"


def styles(summary: pd.DataFrame) -> dict[str, Style]:
    """Codec -> its style, in the order of a run's summary; anchors have none."""
    codecs = summary[summary["kind"] == "codec"].drop_duplicates(["codec"])
    names = [curve_name(summary, f, c) for f, c in zip(codecs["family"], codecs["codec"], strict=True)]
    return {
        codec: Style(name, i % len(COLOURS), i % len(MARKERS), i // len(COLOURS) % len(DASHES))
        for i, (codec, name) in enumerate(zip(codecs["codec"], names, strict=True))
    }
