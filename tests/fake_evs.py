"""A stand-in for EVS_cod and EVS_dec in tests: their command line, their G.192 files, their delay, another codec.

Each frame holds a scale and its lowest DCT coefficients in 4 bits each, in as many bits as EVS would use. It says
nothing of EVS's quality and is installed nowhere: tests write a wrapper that calls it.

    fake_evs.py EVS_cod [-q] [-no_delay_cmp] [-max_band B] R_bps Fs_kHz in.pcm out.192
    fake_evs.py EVS_dec [-q] [-no_delay_cmp] Fs_kHz in.192 out.pcm
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BITRATES = (5900, 7200, 8000, 9600, 13200, 16400, 24400, 32000, 48000, 64000, 96000, 128000)
BANDS = {"NB": 8, "WB": 16, "SWB": 32, "FB": 48}
VBR = (56, 144, 154)  # 5.9 kbit/s on average


def shift(rate: int, nanoseconds: int) -> int:
    return rate // 100 * (nanoseconds // 100) // 100000


def cosines(kept: int, step: int) -> NDArray[np.float64]:
    """The first rows of the orthonormal DCT-II of `step` samples."""
    rows = np.cos(np.pi / step * np.outer(np.arange(kept), np.arange(step) + 0.5)) * np.sqrt(2 / step)
    rows[0] /= np.sqrt(2)
    return np.asarray(rows, np.float64)


def encode(bps: int, rate: int, pcm: NDArray[np.int16], compensate: bool) -> bytes:
    ahead = shift(rate, 9687500)
    signal = pcm[ahead:] if compensate else np.concatenate([np.zeros(ahead, np.int16), pcm])[: len(pcm)]
    step = rate // 50
    signal = np.pad(signal, (0, -len(signal) % step)).reshape(-1, step)
    out = []
    for number, block in enumerate(signal):
        count = VBR[number % 3] if bps == 5900 else bps // 50
        kept = min((count - 8) // 4, step)
        spectrum = cosines(kept, step) @ block
        exponent = int(np.ceil(np.log2(max(1.0, np.abs(spectrum).max()))))
        codes = np.clip(np.rint(spectrum / 2.0**exponent * 7), -7, 7).astype(int) + 8
        text = f"{exponent:08b}" + "".join(f"{code:04b}" for code in codes)
        bits = [0x81 if bit == "1" else 0x7F for bit in text.ljust(count, "0")]
        out.append(np.array([0x6B21, count, *bits], "<u2").tobytes())
    return b"".join(out)


def decode(rate: int, stream: bytes, compensate: bool) -> bytes:
    words, step, at = np.frombuffer(stream, "<u2"), rate // 50, 0
    parts = [np.zeros(shift(rate, 1250000 if rate == 8000 else 2312500))]
    while at < len(words):
        count = int(words[at + 1])
        if count not in {bps // 50 for bps in BITRATES} | set(VBR):
            sys.exit(f"Error: {count} bits are no frame of EVS")
        text = "".join("1" if word == 0x81 else "0" for word in words[at + 2 : at + 2 + count])
        kept = min((count - 8) // 4, step)
        codes = np.array([int(text[8 + 4 * k : 12 + 4 * k], 2) - 8 for k in range(kept)], float)
        scale = 2.0 ** min(int(text[:8], 2), 24) / 7 if words[at] == 0x6B21 else 0.0
        parts.append((codes * scale) @ cosines(kept, step))
        at += 2 + count
    signal = np.concatenate(parts)[: step * (len(parts) - 1)]
    signal = signal[len(parts[0]) :] if compensate else signal
    return np.clip(np.rint(signal), -32768, 32767).astype("<i2").tobytes()


def main(program: str, arguments: list[str]) -> None:
    flags, place = set(), 0
    while arguments[place].startswith("-"):
        flag = arguments[place].lower()
        if flag == "-max_band":
            place += 1
            if arguments[place] not in BANDS:
                sys.exit(f"Error: unknown bandwidth {arguments[place]}")
        elif flag not in {"-q", "-no_delay_cmp"}:
            sys.exit(f"Error: unknown option {flag}")
        flags.add(flag)
        place += 1
    *numbers, source, target = arguments[place:]
    rate = int(numbers[-1]) * 1000
    if rate not in {1000 * band for band in BANDS.values()}:
        sys.exit(f"Error: {rate} Hz is not supported")
    data = Path(source).read_bytes()
    compensate = "-no_delay_cmp" not in flags
    if program == "EVS_cod":
        if len(numbers) != 2 or int(numbers[0]) not in BITRATES:
            sys.exit(f"Error: bitrate {numbers[0]} is not supported")
        Path(target).write_bytes(encode(int(numbers[0]), rate, np.frombuffer(data, "<i2").astype(np.int16), compensate))
    else:
        Path(target).write_bytes(decode(rate, data, compensate))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
