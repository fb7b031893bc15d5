"""Codecs that FFmpeg's libraries hold, called in process by PyAV: exact packets, no container, one thread.

A subclass names its encoder and decoder and says which options a point means; all else is here.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from ..bench.audio import Clip, Samples, from_pcm16, to_pcm16
from ._codec import Codec, CodecError, Encoded, Packet, Point

if TYPE_CHECKING:
    from av import AudioCodecContext, AudioFrame

_INSTALL = "pip install --force-reinstall --only-binary=:all: av"


@functools.cache
def missing(encoder: str, decoder: str) -> str | None:
    """None, or why PyAV cannot offer this encoder and decoder here and the command that mends it."""
    try:
        import av
    except ImportError as error:
        return f"PyAV cannot be imported ({error}); {_INSTALL}"
    modes: tuple[tuple[str, Literal["w", "r"]], ...] = ((encoder, "w"), (decoder, "r"))
    for name, mode in modes:
        try:
            av.Codec(name, mode)
        except ValueError:
            what = "encoder" if mode == "w" else "decoder"
            return f"PyAV {av.__version__} was built without the {what} {name}; its wheels on PyPI have it: {_INSTALL}"
    return None


@functools.cache
def library_version(stem: str, function: str) -> str | None:
    """What `function` of a library inside PyAV's wheel says of its version; None where PyAV was built otherwise."""
    import av

    package = Path(av.__file__).parent
    for folder in (package.parent / "av.libs", package / ".dylibs"):
        for path in sorted(folder.glob(f"{stem}[-.]*")):
            try:
                call = getattr(ctypes.CDLL(str(path)), function)
            except (OSError, AttributeError):
                continue
            call.restype = ctypes.c_char_p
            return str(call().decode())
    return None


class AvCodec(Codec):
    """A codec of FFmpeg's, by PyAV.

    Attributes
    ----------
    encoder, decoder : FFmpeg's names.
    sample_format : what the encoder takes: packed 16-bit, packed float or planar float.
    sends_setup : whether the decoder needs the encoder's extradata. What FFmpeg puts there for a container's sake
        only, as with Opus, is not sent.
    libraries : what `versions` reports beside FFmpeg's: name -> (file stem in PyAV's wheel, version function).
    """

    encoder: str
    decoder: str
    sample_format: Literal["s16", "flt", "fltp"] = "s16"
    sends_setup: bool = False
    libraries: ClassVar[Mapping[str, tuple[str, str]]] = {}

    def settings(self, point: Point) -> dict[str, str]:
        """The encoder's options, every one of which it must accept. `b` is the bitrate in bit/s."""
        return {}

    def decoder_settings(self, point: Point) -> dict[str, str]:
        """The decoder's options, on the same terms."""
        return {}

    def payload_bits(self, data: bytes, point: Point) -> int:
        """Exact payload bits of a packet."""
        return 8 * len(data)

    def available(self) -> str | None:
        return missing(self.encoder, self.decoder)

    def versions(self) -> dict[str, str]:
        import av

        found = {"av": av.__version__, "libavcodec": ".".join(map(str, av.library_versions["libavcodec"]))}
        for name, (stem, function) in self.libraries.items():
            version = library_version(stem, function)
            if version:
                found[name] = version
        return found

    def config(self) -> dict[str, Any]:
        settings = {
            f"{point.label} {'+'.join(point.content)}": [self.settings(point), self.decoder_settings(point)]
            for point in self.points
        }
        return {"encoder": self.encoder, "decoder": self.decoder, "settings": settings}

    def encode(self, clip: Clip, point: Point) -> Encoded:
        context, blocks = self._prepare(clip, point)
        packets: list[bytes] = []
        for block in (*blocks, None):
            packets += self._encode_block(context, block)
        return self._pack(packets, clip, point, self._setup(context))

    def decode(self, encoded: Encoded, point: Point) -> Clip:
        import av

        context = self._open_decoder(encoded.rate, encoded.channels, encoded.setup, point)
        parts: list[Samples] = []
        rate = encoded.rate
        for index, packet in enumerate(encoded.packets):
            if not packet.data:
                # FFmpeg would take an empty packet for the end of the stream.
                raise CodecError(f"{self.name}: packet {index} of {len(encoded.packets)} is empty")
            try:
                frames = context.decode(av.Packet(packet.data))
            except (av.FFmpegError, ValueError) as error:
                raise CodecError(
                    f"{self.name}: packet {index} of {len(encoded.packets)} cannot be decoded: {error}"
                ) from error
            rate = frames[-1].sample_rate if frames else rate
            parts += [self._samples(frame, encoded.channels) for frame in frames]
        try:
            parts += [self._samples(frame, encoded.channels) for frame in context.decode(None)]
        except (av.FFmpegError, ValueError) as error:
            raise CodecError(f"{self.name}: the end of the stream cannot be decoded: {error}") from error
        if not parts:
            raise CodecError(f"{self.name}: nothing was decoded from {len(encoded.packets)} packets")
        return Clip(np.concatenate(parts, axis=1), rate)

    def frames(self, clip: Clip, point: Point) -> Iterator[object] | None:
        """Each step codes a frame and decodes what packets it gave; it yields these packets as bytes."""
        import av

        context, blocks = self._prepare(clip, point)
        decoder = self._open_decoder(clip.rate, clip.channels, self._setup(context), point)

        def steps() -> Iterator[list[bytes]]:
            for block in blocks:
                packets = self._encode_block(context, block)
                for data in packets:
                    decoder.decode(av.Packet(data))
                yield packets

        return steps()

    def _setup(self, context: AudioCodecContext) -> bytes:
        return (context.extradata or b"") if self.sends_setup else b""

    def _pack(self, packets: list[bytes], clip: Clip, point: Point, setup: bytes) -> Encoded:
        if not packets:
            raise CodecError(f"{self.name} {point.label}: the encoder gave no packet for {clip.length} samples")
        counted = tuple(Packet(data, self.payload_bits(data, point)) for data in packets)
        return Encoded(counted, clip.rate, clip.channels, setup)

    def _prepare(self, clip: Clip, point: Point) -> tuple[AudioCodecContext, list[AudioFrame]]:
        """An open encoder, and the clip cut to its frames, the last one filled with zeros."""
        import av

        self.check(clip, point)
        if clip.length == 0:
            raise CodecError(f"{self.name} was given an empty clip")
        context = self._open_encoder(clip.rate, clip.channels, point)
        frame = self.frame(clip.rate, point)
        step = context.frame_size or frame
        samples = np.pad(clip.samples, ((0, 0), (0, -clip.length % frame))).clip(-1, 1)
        pcm = to_pcm16(samples) if self.sample_format == "s16" else samples
        blocks = []
        for start in range(0, pcm.shape[1], step):
            part = pcm[:, start : start + step]
            if self.sample_format != "fltp":
                part = part.T.reshape(1, -1)
            block = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), self.sample_format, context.layout.name)
            block.sample_rate = clip.rate
            block.pts = start
            blocks.append(block)
        return context, blocks

    def _open_encoder(self, rate: int, channels: int, point: Point) -> AudioCodecContext:
        import av
        from av.codec.context import Flags

        context = av.CodecContext.create(self.encoder, "w")
        assert isinstance(context, av.AudioCodecContext)
        context.sample_rate = rate
        context.layout = "mono" if channels == 1 else "stereo"
        context.format = self.sample_format
        # Else FFmpeg's AAC encoder spends bits of the first packet on its own name.
        context.flags |= Flags.bitexact
        self._open(context, self.settings(point))
        return context

    def _open_decoder(self, rate: int, channels: int, setup: bytes, point: Point) -> AudioCodecContext:
        import av

        context = av.CodecContext.create(self.decoder, "r")
        assert isinstance(context, av.AudioCodecContext)
        context.sample_rate = rate
        context.layout = "mono" if channels == 1 else "stereo"
        if setup:
            context.extradata = setup
        self._open(context, self.decoder_settings(point))
        return context

    def _open(self, context: AudioCodecContext, options: dict[str, str]) -> None:
        import av

        context.thread_count = 1
        context.options = options
        try:
            context.open()
        except (av.FFmpegError, ValueError) as error:
            raise CodecError(f"{self.name}: FFmpeg's {context.name} does not open with {options}: {error}") from error
        if context.options:
            # PyAV leaves the options that nobody knew there and says nothing.
            raise CodecError(f"{self.name}: FFmpeg's {context.name} does not know the options {context.options}")

    def _encode_block(self, context: AudioCodecContext, block: AudioFrame | None) -> list[bytes]:
        import av

        try:
            return [bytes(packet) for packet in context.encode(block)]
        except (av.FFmpegError, ValueError) as error:
            raise CodecError(f"{self.name}: the encoder failed: {error}") from error

    def _samples(self, frame: AudioFrame, channels: int) -> Samples:
        count = frame.layout.nb_channels
        if count != channels:
            raise CodecError(f"{self.name}: a packet decodes to {count} channels in a stream of {channels}")
        array = frame.to_ndarray()
        if not frame.format.is_planar:
            array = array.reshape(-1, count).T
        return from_pcm16(array.astype(np.int16)) if array.dtype == np.int16 else array.astype(np.float32)
