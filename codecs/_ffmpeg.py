"""Codecs whose encoder only an ffmpeg program has, called through ffmpeg-python.

A new one is a declaration: subclass `FfmpegCodec`, name the encoder, the decoder and the container that the program
writes, the options of each point and the delay. The container serves only to cut the stream into packets, by PyAV in
process; its bytes are not counted. PyAV also decodes where it has the decoder; else the program does, from Ogg.

The program is the first of these that has the encoder: what the environment variable CODECBENCH_FFMPEG names, the
binary that the package imageio-ffmpeg brings, `ffmpeg` on the PATH.
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np

from ..bench.audio import Clip, from_pcm16, to_pcm16
from . import _ogg
from ._av import AvCodec
from ._codec import CodecError, Encoded, Point

VARIABLE = "CODECBENCH_FFMPEG"


def _candidates() -> list[str]:
    found = [os.environ.get(VARIABLE)]
    try:
        import imageio_ffmpeg

        found.append(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        pass
    found.append(shutil.which("ffmpeg"))
    return [path for path in dict.fromkeys(found) if path]


def _ask(path: str, *arguments: str) -> str:
    done = subprocess.run(
        [path, "-hide_banner", *arguments], stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=60
    )
    return done.stdout.decode(errors="replace")


@functools.cache
def _coders(path: str, kind: Literal["encoders", "decoders"]) -> frozenset[str]:
    """Names of the encoders or decoders that the program has. Raises OSError or SubprocessError."""
    lines = _ask(path, f"-{kind}").partition("------")[2].splitlines()
    return frozenset(line.split()[1] for line in lines if len(line.split()) > 1)


@functools.cache
def _identity(path: str) -> dict[str, str]:
    """The program's version, and a hash of its build: its configuration and its libraries' versions."""
    said = _ask(path, "-version")
    first = said.partition("\n")[0].removeprefix("ffmpeg version ").partition(" Copyright")[0]
    return {"ffmpeg": first, "ffmpeg-build": hashlib.sha256(said.encode()).hexdigest()[:16]}


def find(encoder: str, decoder: str | None = None) -> str:
    """Path of the first program that has the encoder, and the decoder if one is asked for.

    Raises CodecError with the reason and the command that gets one.
    """
    looked = []
    for path in _candidates():
        try:
            has = encoder in _coders(path, "encoders") and (decoder is None or decoder in _coders(path, "decoders"))
        except (OSError, subprocess.SubprocessError) as error:
            if path == os.environ.get(VARIABLE):
                raise CodecError(f"{VARIABLE}={path} cannot be run: {error}; correct or unset it") from error
            has = False
        if has:
            return path
        looked.append(path)
    where = f"not in {', '.join(looked)}" if looked else "and no ffmpeg was found"
    raise CodecError(
        f"needs an ffmpeg with {encoder}, {where}; `pip install imageio-ffmpeg==0.6.0`, or `apt install ffmpeg "
        f"libavcodec-extra`, or point {VARIABLE} at one"
    )


class FfmpegCodec(AvCodec):
    """A codec encoded by an ffmpeg program.

    Attributes
    ----------
    encoder, decoder : FFmpeg's names.
    container : the format to have the program write.
    program_decodes : True where PyAV has no such decoder; packets then have a constant `frame`, in Ogg.
    """

    container: str
    program_decodes: bool = False
    encode_route = "subprocess"
    #: options for the program's reproducible output: no stamp, no random stream number
    _exact: ClassVar[dict[str, str]] = {"fflags": "+bitexact", "flags:a": "+bitexact", "map_metadata": "-1"}

    def encode(self, clip: Clip, point: Point) -> Encoded:
        import ffmpeg

        self.check(clip, point)
        if clip.length == 0:
            raise CodecError(f"{self.name} {point.label}: the clip is empty")
        pcm = np.ascontiguousarray(to_pcm16(clip.samples).T).astype("<i2").tobytes()
        source = ffmpeg.input("pipe:", format="s16le", ar=clip.rate, ac=clip.channels)
        options = {"c:a": self.encoder, "threads": 1, **self._exact, **self.settings(point)}
        data = self._run(source.output("pipe:", format=self.container, **options), pcm)
        packets, setup = self._split(data, clip, point)
        return self._pack(packets, clip, point, setup if self.sends_setup else b"")

    def decode(self, encoded: Encoded, point: Point) -> Clip:
        if not self.program_decodes:
            return super().decode(encoded, point)
        import ffmpeg

        step = self.frame(encoded.rate, point)
        stream = _ogg.mux(encoded.setup, [packet.data for packet in encoded.packets], step)
        source = ffmpeg.input("pipe:", format="ogg", threads=1, **{"c:a": self.decoder, **self.decoder_settings(point)})
        pcm = np.frombuffer(self._run(source.output("pipe:", format="s16le", **{"c:a": "pcm_s16le"}), stream), "<i2")
        samples = pcm.reshape(-1, encoded.channels).T
        expected = len(encoded.packets) * step
        if samples.shape[1] != expected:
            raise CodecError(f"{self.name} {point.label}: decoded {samples.shape[1]} samples, not {expected}")
        return Clip(np.ascontiguousarray(from_pcm16(samples.astype(np.int16))), encoded.rate)

    def frames(self, clip: Clip, point: Point) -> Iterator[object] | None:
        return None

    def available(self) -> str | None:
        try:
            find(self.encoder, self.decoder if self.program_decodes else None)
            import av

            if not self.program_decodes:
                av.Codec(self.decoder, "r")
        except (CodecError, ImportError) as error:
            return str(error)
        except ValueError:
            return f"PyAV {av.__version__} has no decoder {self.decoder}; pip install --upgrade av"
        return None

    def versions(self) -> dict[str, str]:
        if self.available():
            return super().versions()
        return {**super().versions(), **_identity(find(self.encoder, self.decoder if self.program_decodes else None))}

    def config(self) -> dict[str, Any]:
        return {**super().config(), "container": self.container}

    def _run(self, output: Any, data: bytes) -> bytes:
        """What the program writes to stdout when it is fed `data`. Raises CodecError with its message."""
        import ffmpeg

        program = find(self.encoder, self.decoder if self.program_decodes else None)
        command = ffmpeg.compile(output, cmd=[program, "-hide_banner", "-nostdin", "-xerror", "-loglevel", "warning"])
        limit = 60 + len(data) / 10_000
        try:
            done = subprocess.run(command, input=data, capture_output=True, timeout=limit)
        except subprocess.TimeoutExpired as error:
            raise CodecError(f"{self.name}: ffmpeg did not end within {limit:.0f} s and was stopped") from error
        except OSError as error:
            raise CodecError(f"{self.name}: {program} cannot be run: {error}") from error
        said = done.stderr.decode(errors="replace").strip()
        # ffmpeg warns, and goes on, when an option is known to another encoder only.
        if done.returncode or "has not been used for any stream" in said:
            raise CodecError(f"{self.name}: ffmpeg failed (exit code {done.returncode}): {said[:500]}")
        return done.stdout

    def _split(self, data: bytes, clip: Clip, point: Point) -> tuple[list[bytes], bytes]:
        """The container's packets and the stream's setup."""
        import av

        try:
            with av.open(io.BytesIO(data), format=self.container) as container:
                stream = container.streams.audio[0]
                context = stream.codec_context
                # ffmpeg resamples in silence where the encoder does not take what it was given.
                if (context.sample_rate, context.channels) != (clip.rate, clip.channels):
                    raise CodecError(
                        f"{self.name} {point.label}: {self.encoder} coded {context.channels} channels at "
                        f"{context.sample_rate} Hz, not {clip.channels} at {clip.rate}"
                    )
                packets = [bytes(packet) for packet in container.demux(stream) if packet.size]
                return packets, context.extradata or b""
        except (av.FFmpegError, IndexError) as error:
            raise CodecError(f"{self.name}: ffmpeg's {self.container} output cannot be read: {error}") from error
