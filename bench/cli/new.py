"""Write a codec adapter that runs, to start one's own from.

The file is a whole codec (8-bit logarithmic PCM in numpy) with what to change in comments. It works as
`--codec-module FILE.py` from anywhere, and unchanged as a file in the package's `codecs/`.
"""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

from ._console import err, out

EPILOG = """\
examples:
  bench new codec my_codec
  bench new codec my_codec --dir ~/experiments
"""

_TEMPLATE = '''\
"""{name}: one sentence on what this codec is.

What is here is 8-bit logarithmic PCM (mu = 255), so that the file runs as it is. Change what the comments say.
The whole contract is in the docstring of codecbench/codecs/_codec.py.
"""

from __future__ import annotations

import numpy as np

from codecbench.bench.audio import Clip
from codecbench.codecs import Codec, CodecError, Encoded, Packet, Point, register

MU = 255.0


class {title}(Codec):
    """Say here what is fixed and what the points vary."""

    name = "{name}"
    family = "{title}"  # heading in tables; codecs of one family are one curve
    licence = "unknown"
    about = "8-bit logarithmic PCM, a skeleton"
    # One point an operating point: label, nominal kbit/s, what encode needs to select it, "cbr" or "vbr".
    # Here 8 bits a sample at 16 kHz. `content=("speech",)` keeps a point away from music.
    points = (Point("128", 128.0, {{"bits": 8}}, "cbr"),)
    # The harness resamples to the smallest of these that is not below the clip's rate, and back.
    rates = (16000,)
    # Channel counts coded as one stream; with (1,) the harness codes left and right apart.
    channels = (1,)

    def available(self) -> str | None:
        # None if it can run here, else the reason and the command that mends it:
        # "needs the package foo: pip install foo".
        return None

    def versions(self) -> dict[str, str]:
        # Of every library beneath, and the hash of a program or checkpoint: results are cached by them.
        return {{"numpy": np.__version__}}

    def delay(self, rate: int, point: Point) -> int:
        # How many samples at `rate` the decoder's output is late; `bench check` measures it.
        return 0

    def frame(self, rate: int, point: Point) -> int:
        # Samples that a packet covers; 0 if that varies. Here 20 ms.
        return rate // 50

    def encode(self, clip: Clip, point: Point) -> Encoded:
        self.check(clip, point)  # refuses NaN, other rates and other channel counts
        frame = self.frame(clip.rate, point)
        samples = np.pad(clip.samples[0], (0, -clip.length % frame)).clip(-1, 1)
        squeezed = np.sign(samples) * np.log1p(MU * np.abs(samples)) / np.log1p(MU)
        codes = (np.rint(squeezed * 127) + 128).astype(np.uint8)
        # A packet's bits are the exact payload: side information counted, file headers not.
        packets = [
            Packet(codes[i : i + frame].tobytes(), frame * point.params["bits"]) for i in range(0, len(codes), frame)
        ]
        return Encoded(tuple(packets), clip.rate, clip.channels)

    def decode(self, encoded: Encoded, point: Point) -> Clip:
        # The raw decoder output, delay included; damaged packets raise CodecError or are concealed.
        if not encoded.packets:
            raise CodecError(f"{{self.name}}: no packets")
        codes = np.frombuffer(b"".join(packet.data for packet in encoded.packets), np.uint8)
        squeezed = (codes.astype(np.float32) - 128) / 127
        samples = np.sign(squeezed) * np.expm1(np.abs(squeezed) * np.log1p(MU)) / MU
        return Clip(samples[None].astype(np.float32), encoded.rate)


register({title}())
'''


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=["codec"], help="what to write")
    parser.add_argument(
        "name", metavar="NAME", help="lower case letters, digits and _; the codec's and the file's name"
    )
    parser.add_argument("--dir", type=Path, default=Path(), help="where to write NAME.py (here)")


def run(args: argparse.Namespace) -> int:
    from ...codecs import registry

    name, path = args.name, args.dir.expanduser() / f"{args.name}.py"
    problem = None
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        problem = f"{name!r} is no name for a codec: lower case letters, digits and _, a letter first"
    elif name in registry:
        problem = f"there is a codec {name!r} already; choose another name"
    elif not args.dir.expanduser().is_dir():
        problem = f"{args.dir}: no such folder; make it first"
    elif path.exists():
        problem = f"{path} exists and is not overwritten; choose another name, or --dir"
    if problem:
        err.print(f"bench new: {problem}", style="red", markup=False, soft_wrap=True)
        return 2
    title = "".join(part.capitalize() for part in name.split("_"))
    path.write_text(_TEMPLATE.format(name=name, title=title), encoding="utf-8")
    file = shlex.quote(str(path))
    out.print(f"wrote {path}: it runs as it is. Next:", markup=False, soft_wrap=True)
    for command in (
        f"bench check codec {name} --codec-module {file}",
        f"bench run --suite quick --codec-module {file} --codecs {name},opus",
        f"bench run --suite speech --codec-module {file}",
    ):
        out.print(f"  {command}", markup=False, soft_wrap=True)
    return 0
