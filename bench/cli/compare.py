"""Compare two runs: paired differences with intervals, and a gate for releases.

BASE and NEW are run folders. Every operating point that both have is compared on the clips that both have; --map
compares others, also two codecs of one run. --fail-if makes it a gate: docs/compare.md says what a regression is.

exit codes: 0 no regression (without --fail-if: compared), 1 a regression, 2 usage, or the runs cannot be compared or
nothing was measured, with the reason
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ._console import emit_json, err, out

if TYPE_CHECKING:
    from ...reports.compare import Comparison
    from ...reports.gate import Rule, Verdict

EPILOG = """\
examples:
  bench compare runs/main runs/mine
  bench compare runs/main runs/mine --fail-if "pesq_wb<-0.05" --fail-if "kbps>1%"
  bench compare runs/main runs/mine --map my_codec            only this codec
  bench compare runs/main runs/mine --map my_codec=my_codec2  under a new name, point by point
  bench compare runs/speech runs/speech --map opus@12=my_codec@6 --fail-if "stoi<0"
  bench compare runs/main runs/mine --fail-if "stoi<-0.01" --markdown comment.md --junit junit.xml
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("base", metavar="BASE", type=Path, help="a run folder: what was")
    parser.add_argument("new", metavar="NEW", type=Path, help="a run folder: what is")
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="A[@P][=B[@Q]]",
        help="compare codec A (at point P) of BASE with B (at Q) of NEW, and nothing else; may be given again",
    )
    parser.add_argument(
        "--fail-if",
        action="append",
        default=[],
        metavar="BOUND",
        help="METRIC<-DELTA, METRIC>DELTA or kbps>1%%, on NEW - BASE; may be given again",
    )
    parser.add_argument("--markdown", metavar="FILE", help="write it for a pull request; - prints that instead")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    from ...reports.compare import CompareError, compare
    from ...reports.gate import RuleError, judge, parse
    from ..store import StoreError

    if args.json and args.markdown == "-":
        err.print("bench compare: --json and --markdown - both print; give --markdown a file", style="red")
        return 2
    try:
        comparison = compare(args.base, args.new, args.map)
        rules = [parse(text, comparison.metrics) for text in args.fail_if]
    except (StoreError, CompareError, RuleError) as error:
        err.print(f"bench compare: {error}", style="red", markup=False)
        return 2
    verdict = judge(comparison, rules)
    try:
        return _write(args, comparison, rules, verdict)
    except OSError as error:
        err.print(f"bench compare: {error.filename} cannot be written: {error.strerror}", style="red", markup=False)
        return 2


def _write(args: argparse.Namespace, comparison: Comparison, rules: list[Rule], verdict: Verdict) -> int:
    from ...reports.compare_views import junit, markdown, show

    if args.junit:
        args.junit.write_bytes(junit(comparison, verdict))
    if args.markdown and args.markdown != "-":
        Path(args.markdown).write_text(markdown(comparison, verdict), encoding="utf-8")
    if args.json:
        emit_json(_plain(comparison, rules, verdict))
    elif args.markdown == "-":
        out.file.write(markdown(comparison, verdict))
    else:
        show(comparison, verdict, out)
    return verdict.exit_code


def _plain(comparison: Comparison, rules: list[Rule], verdict: Verdict) -> dict[str, object]:
    """The comparison and its verdict as JSON has them; a finding names its condition by its place."""
    from dataclasses import asdict

    places = {id(condition): i for i, condition in enumerate(comparison.conditions)}
    findings = [
        {"level": f.level, "what": f.what, "text": f.text, "condition": places.get(id(f.condition))}
        for f in verdict.findings
    ]
    return {
        "exit_code": verdict.exit_code,
        "verdict": verdict.text,
        "rules": [rule.text for rule in rules],
        "findings": findings,
        **asdict(comparison),
    }
