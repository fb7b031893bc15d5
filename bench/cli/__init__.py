"""The command `bench`: one file a subcommand.

A subcommand is a public module of this folder, or of the folder `commands` of a codec that is a package
(`codecs/<codec>/commands/<subcommand>.py`), so that a codec brings its own commands and nothing here names it.
A subcommand's module is imported when that subcommand is used, and for no other one; `bench --help` imports none. What
is slow to import belongs inside `run`, so that `bench COMMAND --help` is fast too.

A subcommand's file has a docstring (its first line is the help line), `EPILOG` with examples, and the functions
`add_arguments(parser)` and `run(args) -> exit code`. Exit codes: 0 all well, 1 something failed, 2 usage,
3 a self-check of a run failed, 130 interrupted.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

EPILOG = """\
examples:
  bench run --suite quick                  a first look, half a minute
  bench run --suite speech                 the main job: every available codec on speech
  bench list codecs                        what can run here, and what is missing for the rest
  bench doctor                             how to get what is missing
  bench check codec opus                   does an adapter keep the contract?
  bench compare runs/base runs/new         has my codec become worse?
  bench score reference.wav decoded.wav    files that were decoded elsewhere
"""


_CODECS = Path(__file__).parents[2] / "codecs"


def commands() -> dict[str, str]:
    """Subcommands in alphabetical order: name -> dotted name of its module, found without importing any.

    Raises
    ------
    ValueError : two modules of one name.
    """
    root = __name__.removesuffix(".bench.cli")
    folders = {Path(folder): __name__ for folder in __path__}
    folders |= {f: f"{root}.codecs.{f.parent.name}.commands" for f in sorted(_CODECS.glob("*/commands"))}
    found: dict[str, str] = {}
    for folder, package in folders.items():
        for module in pkgutil.iter_modules([str(folder)]):
            if module.name.startswith("_"):
                continue
            if module.name in found:
                raise ValueError(f"two commands {module.name!r}: {found[module.name]} and {package}.{module.name}")
            found[module.name] = f"{package}.{module.name}"
    return dict(sorted(found.items()))


class _Command(argparse.ArgumentParser):
    """The parser of a subcommand, which its module fills when the subcommand is used."""

    def __init__(self, module: str = "", **settings: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **settings)
        self._module = module

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        name, self._module = self._module, ""
        if name:
            module = importlib.import_module(name)
            self.description, self.epilog = (module.__doc__ or "").strip(), module.EPILOG
            module.add_arguments(self)
            self.set_defaults(run=module.run)
        return super().parse_known_args(args, namespace)


def _help_line(module: str) -> str:
    """The first line of a module's docstring; nothing is imported."""
    file = Path(__file__).parents[2].joinpath(*module.split(".")[__name__.count(".") - 1 :]).with_suffix(".py")
    return (ast.get_docstring(ast.parse(file.read_bytes())) or "").partition("\n")[0].rstrip(".")


def build_parser() -> argparse.ArgumentParser:
    """The whole parser."""
    from ... import __version__

    parser = argparse.ArgumentParser(
        prog="bench",
        description="Benchmark audio codecs: measured bitrates, PESQ, STOI, ViSQOL, timing.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"codecbench {__version__}")
    sub = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Command)
    for name, module in commands().items():
        sub.add_parser(name, help=_help_line(module), module=module)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the command; returns the exit code."""
    args = build_parser().parse_args(argv)
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `bench list codecs | head`
        sys.stderr.close()
        return 0
