"""Check that codec adapters keep the contract: delay, bitrate, odd input, damage, other processes.

What each adapter declares is measured: delay to a sample, constant bitrates to the bit. Then come silence, single
samples, full scale, NaN, mono and stereo, 8 to 48 kHz, a fresh process, and damaged packets.

exit codes: 0 every check passed, 1 some failed or a codec cannot run here, 2 usage
"""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING, Any

from ._arguments import add_codec_modules
from ._console import emit_json, err, out

if TYPE_CHECKING:
    from ..conformance import Check

EPILOG = """\
examples:
  bench check codec opus
  bench check codec my_codec --codec-module my_codec.py
  bench check codec soundstream:model.safetensors
  bench check codec --all
  bench check codec --all --json > conformance.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=["codec"], help="what to check")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="names of codecs, or NAME:PATH for weights of your own"
    )
    parser.add_argument("--all", action="store_true", help="every codec that can run here; shows only what failed")
    add_codec_modules(parser)
    parser.add_argument("--json", action="store_true", help="every check, as JSON")


def run(args: argparse.Namespace) -> int:
    from ...codecs import registry
    from ...codecs._declared import unavailable
    from ...codecs._load import LoadError, load, load_module
    from ..conformance import check

    try:
        loaded = [name for path in args.codec_module for name in load_module(path)]
        named = [load(name)[0] if ":" in name else name for name in args.names]
        names = named or (registry.names() if args.all else loaded)
        codecs = [registry.get(name) for name in dict.fromkeys(names)]
    except (LoadError, KeyError) as error:
        message = error.args[0] if isinstance(error, KeyError) else error
        err.print(f"bench check: {message}", style="red", markup=False, soft_wrap=True)
        return 2
    if not codecs:
        err.print("bench check: name a codec, or give --all; `bench list codecs` shows what there is", style="red")
        return 2
    found: list[dict[str, Any]] = []
    for codec in codecs:
        reason = unavailable(codec) or None
        checks = [] if reason else check(codec)
        # With --all a codec that cannot run here is no failure: its absence is shown and it is not judged.
        failed = any(not one.passed for one in checks) or bool(reason and not args.all)
        found.append({"codec": codec.name, "unavailable": reason, "failed": failed, "checks": checks})
        if not args.json:
            _show(codec.name, reason, checks, only_failed=args.all)
    if args.json:
        emit_json([one | {"checks": [dataclasses.asdict(c) for c in one["checks"]]} for one in found])
    return 1 if any(one["failed"] for one in found) else 0


def _show(name: str, reason: str | None, checks: list[Check], only_failed: bool) -> None:
    if reason:
        out.print(f"{name}: not available here: {reason}", style="yellow", markup=False, soft_wrap=True)
        return
    bad = sum(not one.passed for one in checks)
    for one in checks:
        if one.passed and only_failed:
            continue
        mark, style = ("ok  ", None) if one.passed else ("FAIL", "red")
        out.print(f"  {mark} {one.name:<28} {one.point:<22} {one.detail}", style=style, markup=False, soft_wrap=True)
    verdict = f"{bad} of {len(checks)} checks failed" if bad else f"all {len(checks)} checks passed"
    out.print(f"{name}: {verdict}", style="bold red" if bad else "bold green", markup=False)
