"""Tables for the entropy coding of SoundStream's codes, from folders of audio, and what they save:

python tools/soundstream_tables.py FOLDER [FOLDER] [--model FILE] [--out tables.npz] [--minutes 60]

Use audio that the model was trained on, speech and music as they will be coded, never the clips of a benchmark. Every
fifth file is held out: with it the smoothing is chosen and the table on stdout (Markdown) measured; the tables that
are written then count all files.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from codecbench.bench.audio import AudioError, read, resample
from codecbench.codecs.soundstream import entropy, packaged, streaming
from codecbench.codecs.soundstream.bitstream import RATE
from codecbench.codecs.soundstream.model import load
from numpy.typing import NDArray

Codes = NDArray[np.uint16]

SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3"}
#: seconds that are coded at once, spread evenly over a file
SECTION = 10
#: frames on which the measurement codes one by one: less than a minute of it
MEASURED = 4000


def codes_of(path: Path, net: Any, seconds: float) -> Codes:
    """Codes [F, stages] of so many seconds of a file, its channels mixed. Raises AudioError or LibsndfileError."""
    length = sf.info(path).duration
    sections = max(1, round(min(seconds, length) / SECTION))
    parts = []
    for start in np.arange(sections) * length / sections:
        clip = resample(read(path, float(start), SECTION), RATE)
        parts.append(streaming.encode(net, clip.samples.mean(0), net.config.stages))
    return np.concatenate(parts)


def gather(folders: Iterable[Path], net: Any, minutes: float) -> tuple[Codes, Codes]:
    """Codes of four fifths of the files and of the others, of each file as much."""
    files = sorted(p for folder in folders for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    random.Random(0).shuffle(files)
    sets: tuple[list[Codes], list[Codes]] = ([], [])
    for number, path in enumerate(files):
        try:
            sets[number % 5 == 4].append(codes_of(path, net, 60 * minutes / len(files)))
        except (AudioError, sf.LibsndfileError) as error:
            print(f"left out: {path}: {error}", file=sys.stderr)
    if not all(sets):
        sys.exit("too few files with audio: five at least")
    counted, held_out = np.concatenate(sets[0]), np.concatenate(sets[1])
    print(f"{(len(counted) + len(held_out)) / 75 / 60:.1f} minutes of {sum(map(len, sets))} files", file=sys.stderr)
    return counted, held_out


def measure(tables: NDArray[np.integer], codes: Codes) -> None:
    """Print bits a frame of each way to code: codes [F, n] that the tables have not counted."""
    import constriction

    coder = entropy.FrameCoder(tables)
    p = tables / tables.sum(1, keepdims=True)
    models = [constriction.stream.model.Categorical(row, perfect=False) for row in p]
    columns = "stages | fixed | information | range, a stream | range, a frame (bound) | its words | Huffman | in bytes"
    print(f"| {columns} |\n{'|---' * 8}|")
    for n in (4, 8, 12, 16, 24):
        if n > codes.shape[1]:
            break
        information = -np.log2(p[np.arange(n), codes[:, :n]]).sum(1)
        whole, words = constriction.stream.queue.RangeEncoder(), 0
        for frame in codes[:, :n].tolist():
            alone = constriction.stream.queue.RangeEncoder()
            for code, model in zip(frame, models, strict=False):
                whole.encode(code, model)
                alone.encode(code, model)
            words += alone.num_bits()
        bits = np.array([coder.pack(frame)[1] for frame in codes[:, :n]])
        cells = [
            information.mean(),
            whole.num_bits() / len(codes),
            # the shortest number whose every continuation lies in the interval: Shannon, Fano, Elias
            (np.ceil(information) + 1).mean(),
            words / len(codes),
            bits.mean(),
            (8 * np.ceil(bits / 8)).mean(),
        ]
        print(f"| {n} | {10 * n} | " + " | ".join(f"{cell:.1f}" for cell in cells) + " |")


def main() -> None:
    """Parse, code, count, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--model", type=Path, help="weights (.safetensors) other than the packaged")
    parser.add_argument("--out", type=Path, help="default: tables.npz beside the weights")
    parser.add_argument("--minutes", type=float, default=60, help="of audio to code, of each file as much")
    args = parser.parse_args()
    weights = args.model or packaged.WEIGHTS
    counted, held_out = gather(args.folders, load(weights), args.minutes)
    counts = entropy.count(counted), entropy.count(held_out)
    tables = entropy.fit(*counts)
    entropy.save(args.out or weights.with_name(entropy.TABLES.name), tables, packaged.model_id(weights))
    added = tables - counts[0] - counts[1]
    measure(counts[0] + added, np.random.default_rng(0).permutation(held_out)[:MEASURED])


if __name__ == "__main__":
    main()
