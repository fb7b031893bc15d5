"""Time SoundStream beside EnCodec's 24 kHz architecture and Lyra V2: one thread, in turns, as ratios.

    python tools/bench_soundstream.py [--model FILE] [--repeats 7] [--seconds 10] [--json]

SoundStream is timed with the packaged weights or FILE; also in eager PyTorch, which is what ONNX Runtime was chosen
over. EnCodec needs `pip install transformers`; its weights are random, which changes no time. Lyra V2 needs its
weights, `bench models get lyra_v2`. What is absent is named and left out.

The codecs take turns, so that a busy machine slows all; figures are medians, ratios are to SoundStream's. All run at
about 6 kbit/s: SoundStream 8 stages, EnCodec 8, Lyra 30. Lyra works on 16 kHz, in frames of 20 ms, and its networks
only frame by frame; EnCodec's implementation does not stream.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

for name in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{name}_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402
import torch  # noqa: E402
from codecbench.codecs import lyra_v2  # noqa: E402
from codecbench.codecs import registry as codecs  # noqa: E402
from codecbench.codecs.soundstream import streaming  # noqa: E402
from codecbench.codecs.soundstream.engine import engine  # noqa: E402
from codecbench.codecs.soundstream.model import SoundStream, load  # noqa: E402
from codecbench.codecs.soundstream.postfilter import postfilter  # noqa: E402

STAGES, LYRA_STAGES = 8, 30
Parts = dict[str, Callable[[], object]]


@dataclass(frozen=True)
class Subject:
    """A codec to time.

    Attributes
    ----------
    parts : calls that process the whole signal: encoder, quantiser (encoding) and decoder.
    frame : codes and decodes frame number i; None if the codec does not stream here.
    """

    name: str
    parts: Parts
    frame: Callable[[int], object] | None = None


def ours(model: SoundStream, x: np.ndarray) -> list[Subject]:
    made, hop = engine(model), model.config.hop
    z, _ = made.encoder.step(x[None, None], made.encoder.start())
    latents, codes = torch.from_numpy(z[0].T.copy()), streaming.encode(model, x, STAGES)
    encoder, decoder = streaming.StreamingEncoder(model, STAGES), streaming.StreamingDecoder(model)
    parts: Parts = {
        "encoder": lambda: made.encoder.step(x[None, None], made.encoder.start()),
        "quantiser": lambda: made.coder(latents, STAGES, None),
        "decoder": lambda: streaming.decode(model, codes),
        "encode, all": lambda: streaming.encode(model, x, STAGES),
    }
    yield_frame = lambda i: decoder.push(encoder.push(x[i * hop : (i + 1) * hop]))  # noqa: E731
    whole, tensor = torch.from_numpy(x)[None, None], torch.from_numpy(codes.astype(np.int64)).T[None]
    eager: Parts = {
        "encoder": lambda: model.encoder(whole),
        "quantiser": lambda: made.coder.codes(torch.from_numpy(z), STAGES),
        "decoder": lambda: model.decode(tensor),
        "encode, all": lambda: made.coder.codes(model.encoder(whole), STAGES),
    }
    return [Subject("SoundStream", parts, yield_frame), Subject("  in eager torch", eager, _eager_frames(model, x))]


def _eager_frames(model: SoundStream, x: np.ndarray) -> Callable[[int], object]:
    from codecbench.codecs.soundstream.conv import StreamState

    up, down, hop, coder = StreamState(), StreamState(), model.config.hop, engine(model).coder
    before = after = memory = None  # of the encoder's and the decoder's prediction, and of the postfilter

    def frame(i: int) -> object:
        nonlocal before, after, memory
        z = model.encoder(torch.from_numpy(x[i * hop : (i + 1) * hop])[None, None], up)
        codes, before = coder(z[0].T, STAGES, before)
        z, after = model.quantizer.decode(torch.from_numpy(codes.astype(np.int64)).T[None], after)
        y, memory = postfilter(model.decoder(z, down)[:, 0], torch.tensor([[STAGES]]), memory)
        return y

    return frame


def encodec(x: np.ndarray) -> Subject:
    from transformers import EncodecConfig, EncodecModel

    model = EncodecModel(EncodecConfig()).eval()
    wave = torch.from_numpy(x)[None, None]
    latents = model.encoder(wave)
    codes = model.quantizer.encode(latents, 6.0)
    assert len(codes) == STAGES
    return Subject(
        "EnCodec 24 kHz",
        {
            "encoder": lambda: model.encoder(wave),
            "quantiser": lambda: model.quantizer.encode(latents, 6.0),
            "decoder": lambda: model.decoder(model.quantizer.decode(codes)),
            "encode, all": lambda: model.quantizer.encode(model.encoder(wave), 6.0),
        },
    )


def lyra(x: np.ndarray) -> Subject:
    from codecbench.bench.audio import Clip, resample

    analyse, synthesise = lyra_v2.encoder(), lyra_v2.generator()
    frames = lyra_v2.frames_of(resample(Clip(x[None], 24000), lyra_v2.RATE))

    def quantise(latents: np.ndarray) -> np.ndarray:
        return lyra_v2.quantise(latents, LYRA_STAGES)

    def synth(codes: np.ndarray) -> np.ndarray:
        return synthesise(lyra_v2.dequantise(codes))

    latents = analyse(frames)
    codes = quantise(latents)
    return Subject(
        "Lyra V2, 16 kHz",
        {
            "encoder": lambda: analyse(frames),
            "quantiser": lambda: quantise(latents),
            "decoder": lambda: synth(codes),
            "encode, all": lambda: quantise(analyse(frames)),
        },
        lambda i: synth(quantise(analyse(frames[i % len(frames)][None]))),
    )


def measure(subjects: list[Subject], seconds: float, repeats: int) -> list[dict[str, Any]]:
    """Seconds a second of audio of each part, ms of a frame; in turns, after one round of warming up."""
    times: list[dict[str, list[float]]] = [{part: [] for part in s.parts} for s in subjects]
    frames: list[list[float]] = [[] for _ in subjects]
    count = int(seconds * 50)  # frames a round: as many as the codec with the longest frames has
    for turn in range(repeats + 1):
        for subject, taken, each in zip(subjects, times, frames, strict=True):
            for part, call in subject.parts.items():
                spent = _clock(call) / seconds
                if turn:
                    taken[part].append(spent)
            if frame := subject.frame:
                new = [1e3 * _clock(partial(frame, i)) for i in range(count)]
                each.extend(new if turn else [])
    rows = []
    for subject, taken, each in zip(subjects, times, frames, strict=True):
        row: dict[str, Any] = {"codec": subject.name.strip()}
        row |= {part: statistics.median(values) for part, values in taken.items()}
        row["encode and decode"] = row["encode, all"] + row["decoder"]
        row |= {f"frame p{p} ms": float(np.percentile(each, p)) if each else None for p in (50, 99)}
        rows.append(row)
    for row in rows:
        row["ratio"] = row["encode and decode"] / rows[0]["encode and decode"]
    return rows


def _clock(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def signal(seconds: float) -> np.ndarray:
    """The embedded speech corpus, as far as it goes and again."""
    from codecbench.bench.audio import resample
    from codecbench.bench.remote import read_clip
    from codecbench.corpora import registry

    clips = [resample(read_clip(i.path, i.start, 5.0), 24000).samples[0] for i in registry.get("speech").items(None)]
    return np.resize(np.concatenate(clips), round(seconds * 75) * 320)


def show(rows: list[dict[str, Any]]) -> None:
    heads = [head for head in rows[0] if head != "codec"]
    print(" " * 16, *(f"{head:>{max(9, len(head))}}" for head in heads))
    for row in rows:
        cells = [
            "–" if row[h] is None else f"{row[h]:.2f}" if "ms" in h or h == "ratio" else f"{row[h]:.4f}" for h in heads
        ]
        print(f"{row['codec']:<16}", *(f"{cell:>{max(9, len(head))}}" for cell, head in zip(cells, heads, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="weights other than the packaged ones")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=10.0, help="of audio in each call")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    x, absent = signal(args.seconds), []
    with torch.inference_mode():
        subjects = ours(load(args.model), x)
        if importlib.util.find_spec("transformers"):
            subjects.append(encodec(x))
        else:
            absent.append("EnCodec: pip install transformers")
        if reason := codecs.get("lyra_v2").available():
            absent.append(f"Lyra V2: {reason}")
        else:
            subjects.append(lyra(x))
        rows = measure(subjects, len(x) / 24000, args.repeats)
    if args.json:
        json.dump({"seconds a second of audio": rows, "absent": absent}, sys.stdout, indent=1)
        return
    print("Seconds a second of audio, one thread; a frame through encoder and decoder, ms.")
    show(rows)
    for line in absent:
        print(f"left out: {line}")


if __name__ == "__main__":
    main()
