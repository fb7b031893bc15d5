"""Fuzz a parser with atheris (libFuzzer, guided by coverage): `python tests/fuzz/fuzz.py TARGET [--seconds N]`.

TARGET is one of `targets.py`, or all. Exit code 0: nothing found. What ends a target is written beside, as
TARGET-crash-...; give it to `--input` to run it again.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1])

try:
    import atheris
except ImportError:
    sys.exit("atheris is not here: pip install atheris (wheels for Linux on x86-64, Python 3.10 to 3.13)")

with atheris.instrument_imports(include=["codecbench"]):
    from fuzz.targets import TARGETS


def fuzz(name: str, seconds: int, corpus: Path) -> None:
    """Run one target; ends the process."""
    for number, seed in enumerate(TARGETS[name].seeds()):
        (corpus / f"seed{number}").write_bytes(seed)
    flags = [f"-max_total_time={seconds}", "-timeout=30", "-rss_limit_mb=3000", "-max_len=65536"]
    atheris.Setup([sys.argv[0], *flags, f"-artifact_prefix={name}-", str(corpus)], TARGETS[name].run)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=[*TARGETS, "all"])
    parser.add_argument("--seconds", type=int, default=60, help="for each target (%(default)s)")
    parser.add_argument("--input", type=Path, help="run a target on this file and stop")
    args = parser.parse_args()
    if args.input:
        TARGETS[args.target].run(args.input.read_bytes())
        return 0
    if args.target != "all":
        with tempfile.TemporaryDirectory() as corpus:
            fuzz(args.target, args.seconds, Path(corpus))
    found = 0
    for name in TARGETS:
        command = [sys.executable, __file__, name, "--seconds", str(args.seconds)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        runs = re.findall(r"Done (\d+) runs in (\d+) second", done.stdout)
        said = f"{' inputs in '.join(runs[-1])} s" if runs else f"found something\n{done.stdout[-3000:]}"
        sys.stdout.write(f"{name}: {said}\n")
        sys.stdout.flush()
        found += done.returncode != 0
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
