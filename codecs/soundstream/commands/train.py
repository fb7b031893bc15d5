"""Train SoundStream on folders of audio, or export a run's weights.

`bench train soundstream` reads any folders of audio files. Folders named music... count as music, all others as speech.
A run stops at Ctrl-C, SIGTERM or after --minutes, and the same command goes on from where it stopped.

exit codes: 0 all well, 1 training or export failed, 2 usage
"""

from __future__ import annotations

import argparse
from pathlib import Path

EPILOG = """\
examples:
  bench train soundstream --data speech --data music --out runs/a
  bench train soundstream --data speech --data music --out runs/a --minutes 30    goes on for half an hour
  bench train soundstream --data speech --out runs/b --init model.safetensors     starts from trained weights
  bench train export runs/a model.safetensors
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    one = what.add_parser("soundstream", help="train, or go on training")
    one.add_argument("--data", action="append", type=Path, required=True, metavar="DIR", help="folder of audio files")
    one.add_argument(
        "--out", type=Path, required=True, metavar="RUN", help="folder of the run, resumed if there is one"
    )
    one.add_argument("--preset", help="cpu, gpu, paper or tiny; gpu where there is one, else cpu")
    one.add_argument("--minutes", type=_positive, metavar="N", help="end after this time")
    one.add_argument("--steps", type=int, metavar="N", help="end after this many steps in all; the rate falls to it")
    one.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    one.add_argument("--init", type=Path, metavar="WEIGHTS", help="start a new run from these weights")
    one.add_argument("--fresh", action="store_true", help="delete what the run's folder holds of an earlier run")
    one.add_argument("--seed", type=int, default=0, help="of a new run")
    one.add_argument("--cache-gb", type=_positive, default=20.0, help="disk for decoded audio (default 20)")
    two = what.add_parser("export", help="write the weights of a run for `bench soundstream` and the codec")
    two.add_argument("run_folder", type=Path, metavar="RUN")
    two.add_argument("file", type=Path, metavar="FILE", help="such as model.safetensors")
    two.add_argument("--last", action="store_true", help="the latest weights, not those of the best validation")


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def run(args: argparse.Namespace) -> int:
    from ....bench.audio import AudioError
    from ....bench.cli._console import err
    from ..train.checkpoint import CheckpointError
    from ..train.data import DataError
    from ..train.run import RunError
    from ..train.trainer import TrainingError

    try:
        return _export(args) if args.what == "export" else _train(args)
    except (RunError, DataError) as error:
        err.print(f"bench train: {error}", style="red", markup=False)
        return 2
    except (TrainingError, CheckpointError, AudioError, OSError) as error:
        err.print(f"bench train: {error}", style="red", markup=False)
        return 1


def _export(args: argparse.Namespace) -> int:
    from ....bench.cli._console import out
    from ..train.run import export

    out.print(export(args.run_folder, args.file, args.last), markup=False, soft_wrap=True)
    return 0


def _train(args: argparse.Namespace) -> int:
    from ....bench.cli._console import err
    from ....bench.cli._progress import Reporter
    from ..train.data import ArrayCache, collect
    from ..train.run import clear, open_run, pick_device, settings

    def say(line: str) -> None:
        err.print(line, markup=False)

    device = pick_device(args.device)
    if args.fresh:
        clear(args.out)
    with Reporter(err) as reporter:
        cache = ArrayCache(limit=int(args.cache_gb * 1e9))
        sources = collect(args.data, cache, say, lambda done, total: reporter.update("decoding", done, total))
    chosen = settings(args.out, args.preset, args.seed, args.steps, device)
    trainer = open_run(args.out, chosen, sources, device, args.init, say)
    reason = trainer.train(args.minutes)
    say(f"{reason}; saved at step {trainer.step} in {args.out}")
    return 0
