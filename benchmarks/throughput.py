"""What the harness costs above the floor, and what it saves against a script; side by side, taking turns.

    python benchmarks/throughput.py [--clips 30] [--script-clips 6] [--small-clips 2] [--json FILE]
    python benchmarks/throughput.py --repeat [--clips 30] [--json FILE]

The first compares `bench run` with the two other programs of `sides.py` on the embedded speech, 17 operating points a
clip. All scores of the harness must equal the floor's to the last bit, else it ends with an error. Every program is
stopped while another one runs, one second at a time, and the cache is empty at the start of each run.

The second runs the harness again and again: the same command, the same in another folder, with another metric and with
another codec, each compared with the first run in CPU.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from figures import fill
from turns import Program, take_turns

HERE = Path(__file__).parent


def side(name: str, clips: int, folder: Path, jobs: int = 1) -> Program:
    """A program of `sides.py` that writes FOLDER/out.json, with a cache of its own."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, str(HERE / "sides.py"), name, str(clips), str(folder / "out.json")]
    if name == "harness":
        command += [str(folder / "run"), str(jobs)]
    return Program(command, {"CODECBENCH_CACHE": str(folder / "cache")})


def output(program: Program) -> Any:
    return json.loads(Path(program.command[4]).read_text())


def compare(clips: int, script_clips: int, small_clips: int, root: Path) -> dict[str, Any]:
    floor = side("floor", clips, root / "floor")
    script = side("script", script_clips, root / "script")
    one, two = side("harness", clips, root / "one"), side("harness", clips, root / "two", jobs=2)
    small = side("harness", small_clips, root / "small")
    take_turns([floor, script, one, two, small])

    cost = {name: cpu for name, cpu, _ in output(floor)}
    scripted = {name: cpu for name, cpu, _ in output(script)}
    for program in (one, two, small):
        check_equal(output(floor), output(program)["units"])
    floor_of_script = sum(cost[name] for name in scripted)
    floor_of_small = sum(cost[name] for name, _, _ in output(small)["units"])
    total, phases = sum(cost.values()), phases_of(output(one)["marks"])
    units, few = len(cost), len(output(small)["units"])
    slope = (one.cpu - small.cpu) / (total - floor_of_small)
    # The script's wall time a unit of floor, as if it had run all of them; it computes one thing at a time.
    script_all = sum(scripted.values()) / floor_of_script * total
    script_wall = script_all * script.wall / script.cpu
    return {
        "units": units,
        "floor": {"cpu": total},
        "script": {"units": len(scripted), "cpu_all": script_all, "wall_all": script_wall},
        "harness": {
            "cpu": one.cpu,
            "wall": one.wall,
            "phases": phases,
            "wall_units": one.wall * phases["units"] / one.cpu,
        },
        "harness_two": {"cpu": two.cpu, "wall": two.wall, "phases": phases_of(output(two)["marks"])},
        "small": {"units": few, "cpu": small.cpu, "floor": floor_of_small},
        "ratios": {
            "units phase over floor": phases["units"] / total,
            "per further unit over floor": slope,
            "whole run over floor": one.cpu / total,
            "whole small run over floor": small.cpu / floor_of_small,
            "script over units phase, CPU": script_all / phases["units"],
            "script over whole run, CPU": script_all / one.cpu,
            "script over whole run, wall, one worker": script_wall / one.wall,
            "script over whole run, wall, two workers": script_wall / two.wall,
        },
    }


def check_equal(floor: Any, harness: Any) -> None:
    """RuntimeError unless every score of the harness is the floor's."""
    expected = {name: scores for name, _, scores in floor}
    for name, _, scores in harness:
        if scores != expected[name]:
            raise RuntimeError(f"{name}: the harness has {scores}, the floor {expected[name]}")


def phases_of(marks: Any) -> dict[str, float]:
    """CPU seconds of each phase, driver and workers, and of the driver alone while units are computed."""
    names = {"self-checks": "self-checks", "clips x points": "units", "writing tables, plots and page": "outputs"}
    found = {"start-up": sum(marks[0][1].values())}
    for (phase, before), (_, after) in itertools.pairwise(marks):
        found[names.get(phase, phase)] = sum(after.values()) - sum(before.values())
        if phase == "clips x points":
            found["driver during units"] = after["driver"] - before["driver"]
    return found


def table(facts: dict[str, Any]) -> str:
    units, small = facts["units"], facts["small"]
    lines = ["| what | units | CPU s | wall s | CPU ms a unit |", "|---|---|---|---|---|"]

    def row(what: str, units: int, cpu: float, wall: float | None) -> None:
        lines.append(
            f"| {what} | {units} | {cpu:.1f} | {'' if wall is None else f'{wall:.1f}'} | {1e3 * cpu / units:.1f} |"
        )

    row("floor", units, facts["floor"]["cpu"], None)
    phases = facts["harness"]["phases"]
    row("harness, its units", units, phases["units"], None)
    row("harness, all, one worker", units, facts["harness"]["cpu"], facts["harness"]["wall"])
    row("harness, all, two workers", units, facts["harness_two"]["cpu"], facts["harness_two"]["wall"])
    row("harness, all, a small run", small["units"], small["cpu"], None)
    script = facts["script"]
    row(f"script (from {script['units']} units)", units, script["cpu_all"], script["wall_all"])
    lines += ["", "| ratio | |", "|---|---|", *(f"| {name} | {value:.3f} |" for name, value in facts["ratios"].items())]
    lines += ["", "| CPU s of a run, one worker | |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {value:.2f} |" for name, value in phases.items())])


def repeat(clips: int, root: Path) -> dict[str, Any]:
    def run(folder: str, *changes: str) -> float:
        program = side("harness", clips, root / folder)
        program.command = [*program.command, *changes]
        program.environment = {"CODECBENCH_CACHE": str(root / "cache")}
        take_turns([program])
        return program.cpu

    fresh = run("first")
    again = {
        "the same command again": run("first"),
        "the same in another folder": run("second"),
        "one more metric (si_sdr)": run("metric", "--metrics", "pesq_wb,stoi,visqol_speech,si_sdr"),
        "one more codec (g722)": run(
            "codec", "--codecs", "opus@6+9+12+16+24+32+64,opus_vbr@12+24,mp3@16+32+64,aac,g722"
        ),
    }
    return {"fresh": fresh, "ratios": {name: cpu / fresh for name, cpu in again.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=30, help="of the embedded speech (30, all)")
    parser.add_argument("--script-clips", type=int, default=6, help="for the script, which is slow (6)")
    parser.add_argument("--small-clips", type=int, default=2, help="of the small run, for the fixed cost (2)")
    parser.add_argument("--repeat", action="store_true", help="what runs cost after the first")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="write the table into this Markdown file")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        if args.repeat:
            facts = repeat(args.clips, Path(root))
            lines = [
                f"The first run took {facts['fresh']:.1f} s of CPU.",
                "",
                "| then | CPU of the first run's |",
                "|---|---|",
            ]
            text = "\n".join([*lines, *(f"| {name} | {value:.1%} |" for name, value in facts["ratios"].items())])
        else:
            facts = compare(args.clips, args.script_clips, args.small_clips, Path(root))
            text = table(facts)
    print(text)
    if args.docs:
        fill(args.docs, "repeat" if args.repeat else "throughput", text)
    if args.json:
        args.json.write_text(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
