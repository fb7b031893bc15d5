"""Say what is installed, what is missing for which codec or metric, and the command that gets it."""

from __future__ import annotations

import argparse

from ._console import emit_json, out

EPILOG = """\
examples:
  bench doctor
  bench doctor --json

exit codes: 0 the suites can run (optional codecs may be missing), 1 something that they need is broken
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    from ...codecs import registry as codecs
    from ...corpora import registry as corpora
    from ..cache import cache_folder, size_limit, stage_sizes
    from ..listing import list_codecs, list_corpora, list_metrics
    from ..metrics import registry as metrics
    from ..provenance import machine, packages

    found, scores, data = list_codecs(), list_metrics(), list_corpora()
    missing_codecs = {row["name"]: row["unavailable"] for row in found if row["unavailable"]}
    broken = {row["name"]: row["unavailable"] for row in [*scores, *data] if row["unavailable"]}
    for registry in (codecs, corpora, metrics):
        broken.update({f"entry point {name}": why for name, why in registry.broken.items()})
    sizes = stage_sizes(cache_folder())
    computer, installed = machine(), packages()
    report = {
        "machine": computer,
        "packages": installed,
        "codecs": {row["name"]: row["versions"] for row in found if not row["unavailable"]},
        "missing codecs": missing_codecs,
        "broken": broken,
        "cache": {
            "folder": str(cache_folder()),
            "bytes": sum(size for _, size in sizes.values()),
            "limit": size_limit(),
        },
    }
    if args.json:
        emit_json(report)
        return 1 if broken else 0
    out.print("machine", style="bold")
    for key, value in computer.items():
        out.print(f"  {key}: {value if value is not None else 'unknown'}", markup=False, soft_wrap=True)
    out.print("packages", style="bold")
    out.print(
        "  " + ", ".join(f"{name} {version}" for name, version in installed.items()), markup=False, soft_wrap=True
    )
    out.print(f"codecs that run here: {len(found) - len(missing_codecs)} of {len(found)}", style="bold")
    for row in found:
        if not row["unavailable"]:
            versions = ", ".join(f"{name} {version}" for name, version in row["versions"].items())
            out.print(f"  {row['name']}{': ' + versions if versions else ''}", markup=False, soft_wrap=True)
    if missing_codecs:
        out.print("optional, not here", style="bold")
        for name, why in missing_codecs.items():
            out.print(f"  {name}: {why}", markup=False, soft_wrap=True)
    if broken:
        out.print("broken", style="bold red")
        for name, why in broken.items():
            out.print(f"  {name}: {why}", markup=False, soft_wrap=True)
    else:
        out.print("the suites can run: bench run --suite speech", style="green")
    return 1 if broken else 0
