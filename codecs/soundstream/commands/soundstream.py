"""Code audio files with SoundStream: encode, decode, and cut a stream to a lower bitrate.

Streams are `.sstr` files (docs/bitstream.md). Audio comes from WAV or whatever FFmpeg reads, at any sample rate, and
is coded at 24 kHz; stereo is coded as two channels apart. "-" is stdin or stdout. Long files need little memory.

A bitrate counts all channels: --kbps 6 is 8 stages of 0.75 kbit/s for mono, 4 for each channel of stereo.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..bitstream import Header
    from ..model import SoundStream

EPILOG = """\
examples:
  bench soundstream encode in.wav out.sstr --kbps 6
  bench soundstream decode out.sstr out.wav
  bench soundstream info out.sstr
  bench soundstream truncate out.sstr low.sstr --kbps 3    a lower bitrate, without coding again
  bench soundstream encode in.wav out.sstr --stages 8 --model my.safetensors
  arecord -f cd -t wav | bench soundstream encode - - --kbps 6 | bench soundstream decode - - | aplay

exit codes: 0 all well, 1 a file cannot be read, coded or written, 2 usage
"""


class UsageError(Exception):
    """Arguments that do not fit each other or the file."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, help: str, does: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
        one = actions.add_parser(name, help=help, description=help)
        one.set_defaults(does=does)
        return one

    encode = action("encode", "code an audio file", _encode)
    encode.add_argument("input", metavar="IN", help="WAV or anything that FFmpeg reads, mono or stereo; - for stdin")
    encode.add_argument("output", metavar="OUT.sstr", help="the stream; - for stdout")
    decode = action("decode", "decode a stream to a 16-bit WAV file at 24 kHz", _decode)
    decode.add_argument("input", metavar="IN.sstr", help="the stream; - for stdin")
    decode.add_argument("output", metavar="OUT.wav", help="- for stdout")
    info = action("info", "say what a stream holds, and whether it is whole", _info)
    info.add_argument("input", metavar="IN.sstr", help="the stream; - for stdin")
    info.add_argument("--json", action="store_true", help="as JSON")
    truncate = action("truncate", "cut a stream to a lower bitrate without decoding it", _truncate)
    truncate.add_argument("input", metavar="IN.sstr", help="the stream; - for stdin")
    truncate.add_argument("output", metavar="OUT.sstr", help="- for stdout")
    for one in (encode, truncate):
        rate = one.add_mutually_exclusive_group(required=True)
        rate.add_argument("--kbps", type=float, help="bitrate of all channels together: 1.5 to 18 a channel")
        rate.add_argument("--stages", type=int, metavar="N", help="stages a channel, 2 to 24, 0.75 kbit/s each")
    for one in (encode, decode):
        one.add_argument("--model", type=Path, metavar="FILE", help="weights (.safetensors) other than the packaged")


def run(args: argparse.Namespace) -> int:
    from ....bench.audio import AudioError
    from ....bench.cli._console import err
    from ..bitstream import BitstreamError

    def fail(message: object, code: int) -> int:
        err.print(f"bench soundstream {args.action}: {message}", markup=False)
        return code

    try:
        args.does(args)
    except UsageError as error:
        return fail(error, 2)
    except BitstreamError as error:
        return fail(f"{args.input}: {error}", 1)
    except BrokenPipeError:
        raise
    except OSError as error:
        return fail(f"{error.filename}: {error.strerror}" if error.filename else error, 1)
    except (AudioError, ValueError, ImportError) as error:
        return fail(error, 1)
    return 0


def _encode(args: argparse.Namespace) -> None:
    import numpy as np

    from ..bitstream import DELAY, RATE, Header, write
    from ..packaged import model_id
    from ..streaming import StreamingEncoder
    from ._audio import sink, source

    _check_output(args)
    with source(args.input) as audio:
        if audio.channels > 2:
            raise UsageError(
                f"{args.input}: {audio.channels} channels; SoundStream codes mono or stereo: mix it down first, "
                "ffmpeg -i IN -ac 2 OUT.wav"
            )
        stages = _stages(args, audio.channels)
        model = _load(args.model)
        if stages > model.config.stages:
            raise UsageError(f"{stages} stages; the model has {model.config.stages}")
        header = Header(model_id(args.model), stages, audio.channels)
        encoders = [StreamingEncoder(model, stages) for _ in range(audio.channels)]
        samples = 0

        def codes() -> Iterator[NDArray[Any]]:
            nonlocal samples
            for block in audio.at(RATE):
                samples += block.shape[1]
                yield np.stack([encoder.push(x) for encoder, x in zip(encoders, block, strict=True)], axis=1)
                advance(block.shape[1] / RATE)
            end = np.zeros(DELAY, np.float32)  # silence, until the last sample has come out of the decoder
            yield np.stack([np.concatenate([one.push(end), one.finish()]) for one in encoders], axis=1)

        with sink(args.output) as file, _progress("encoding", audio.seconds) as advance:
            write(file, header, codes())
            if file is not sys.stdout.buffer:
                file.seek(0)
                file.write(replace(header, samples=samples).to_bytes())


def _decode(args: argparse.Namespace) -> None:
    import numpy as np

    from ....bench.audio import to_pcm16
    from ..bitstream import DELAY, HOP, RATE, BitstreamError, read
    from ..packaged import model_id
    from ..streaming import StreamingDecoder
    from ._audio import sink, wav_header

    _check_output(args)
    with _open_stream(args.input) as stream:
        header, blocks = read(stream)
        try:
            header.need(model_id(args.model))
        except BitstreamError as error:
            raise BitstreamError(f"{error}: give its weights with --model FILE") from None
        model = _load(args.model)
        decoders = [StreamingDecoder(model) for _ in range(header.channels)]
        early, written = DELAY, 0  # samples from before the start that are still to come, and those written
        with sink(args.output) as file, _progress("decoding", _seconds(header)) as advance:
            file.write(wav_header(RATE, header.channels, header.samples))
            for codes in blocks:
                try:
                    audio = np.stack([d.push(codes[:, c]) for c, d in enumerate(decoders)], axis=1)
                except ValueError as error:  # codes that the model does not have
                    raise BitstreamError(f"damaged: {error}") from error
                left = None if header.samples is None else early + header.samples - written
                pcm = to_pcm16(audio[early:left])
                early -= min(early, len(audio))
                written += len(pcm)
                file.write(pcm.astype("<i2").tobytes())
                advance(len(codes) * HOP / RATE)
            if header.samples is None and file is not sys.stdout.buffer:
                file.seek(0)
                file.write(wav_header(RATE, header.channels, written))


def _info(args: argparse.Namespace) -> None:
    from ....bench.cli._console import emit_json, out
    from ..bitstream import DELAY, HEADER_BYTES, HOP, RATE, VERSION, read

    with _open_stream(args.input) as stream:
        header, blocks = read(stream)
        packets = sum(len(codes) for codes in blocks)
    samples = max(0, packets * HOP - DELAY) if header.samples is None else header.samples
    facts = {
        "version": VERSION,
        "model": header.model,
        "sample_rate": RATE,
        "channels": header.channels,
        "stages": header.stages,
        "kbps": header.kbps,
        "samples": header.samples,
        "seconds": samples / RATE,
        "packets": packets,
        "packet_bits": header.packet_bits,
        "packet_bytes": header.packet_bytes,
        "bytes": HEADER_BYTES + packets * header.packet_bytes,
    }
    if args.json:
        emit_json(facts)
        return
    for name, value in facts.items():
        shown = "not in the header" if value is None else f"{value:.10g}" if isinstance(value, float) else value
        out.print(f"{name.replace('_', ' '):<13}{shown}", markup=False)


def _truncate(args: argparse.Namespace) -> None:
    from ..bitstream import lower, read, write
    from ._audio import sink

    _check_output(args)
    with _open_stream(args.input) as stream:
        header, blocks = read(stream)
        stages = _stages(args, header.channels)
        low = lower(header, stages)
        with sink(args.output) as file:
            write(file, low, (codes[:, :, :stages] for codes in blocks))


def _stages(args: argparse.Namespace, channels: int) -> int:
    """Stages a channel for --kbps or --stages; UsageError names the bitrates that there are."""
    from ..bitstream import MAX_STAGES, MIN_STAGES, STAGE_KBPS

    step = STAGE_KBPS * channels
    stages = args.stages if args.kbps is None else args.kbps / step
    if not MIN_STAGES <= stages <= MAX_STAGES or stages != int(stages):
        asked = f"--stages {args.stages}" if args.kbps is None else f"--kbps {args.kbps:g}"
        raise UsageError(
            f"{asked}: with {channels} channel{'s' * (channels - 1)} there are {MIN_STAGES} to {MAX_STAGES} stages, "
            f"which are {step * MIN_STAGES:g} to {step * MAX_STAGES:g} kbit/s in steps of {step:g}"
        )
    return int(stages)


def _load(path: Path | None) -> SoundStream:
    """The model, if this format can hold its codes."""
    from ..bitstream import BITS, HOP
    from ..model import load

    model = load(path)
    if model.config.hop != HOP or model.config.codebook_size > 1 << BITS:
        raise ValueError(
            f"{path}: a model of hop {model.config.hop} and {model.config.codebook_size} codes a stage; "
            f"a stream holds hop {HOP} and {1 << BITS} codes"
        )
    return model


def _check_output(args: argparse.Namespace) -> None:
    from ._audio import PIPE

    if args.output == PIPE:
        if sys.stdout.isatty():
            raise UsageError("stdout is a terminal: name a file or a pipe")
        return
    output = Path(args.output)
    if output.is_dir() or not output.parent.is_dir():
        raise UsageError(f"{output}: {'is a folder' if output.is_dir() else f'there is no folder {output.parent}'}")
    if args.input != PIPE and output.exists() and output.samefile(args.input):
        raise UsageError(f"{output}: is the input too")


@contextmanager
def _open_stream(name: str) -> Iterator[BinaryIO]:
    from ._audio import PIPE

    if name == PIPE:
        yield sys.stdin.buffer
        return
    with open(name, "rb") as file:
        yield file


def _seconds(header: Header) -> float | None:
    from ..bitstream import RATE

    return None if header.samples is None else header.samples / RATE


@contextmanager
def _progress(what: str, seconds: float | None) -> Iterator[Callable[[float], None]]:
    """A bar on stderr where that is a terminal; the function it yields is called with the seconds done."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from ....bench.cli._console import err

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f} s"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, disable=not err.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=seconds)
        yield lambda done: bar.advance(task, done)
