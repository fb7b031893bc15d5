"""docs/conformance.md from what the kit measured:

bench check codec --all --json | python tools/conformance_table.py > docs/conformance.md
"""

from __future__ import annotations

import json
import re
import sys

HEAD = """\
# Declared and measured

`bench check codec --all --json | python tools/conformance_table.py` over every native sample rate of every operating
point. Delay in samples at the native rate; the difference is the largest over all rates. Bitrate in kbit/s, counted
from the packets of a probe of two seconds; a range where it depends on the sample rate. Codec2 keeps no phase and is
held to 20 ms by its envelope.

| codec | point | rates, kHz | delay declared | largest difference | kbit/s declared | counted | checks |
|---|---|---|---|---|---|---|---|"""


def spread(values: list[float], digits: int) -> str:
    """One value, or the lowest and the highest."""
    texts = [f"{value:.{digits}f}".rstrip("0").rstrip(".") for value in (min(values), max(values))]
    return texts[0] if texts[0] == texts[1] else " to ".join(texts)


def main() -> None:
    """Read the kit's JSON on stdin, write Markdown on stdout."""
    print(HEAD)
    for codec in json.load(sys.stdin):
        if codec["unavailable"]:
            print(f"| {codec['codec']} | - | | | | | | not here: {codec['unavailable'].split(':')[0]} |")
            continue
        passed = sum(check["passed"] for check in codec["checks"])
        total = f"{passed} of {len(codec['checks'])}"
        points: dict[str, dict[str, list[str]]] = {}
        for check in codec["checks"]:
            match = re.fullmatch(r"(.+) (\d+) Hz", check["point"])
            if match and check["name"] in ("delay", "rate"):
                entry = points.setdefault(match[1], {"hz": [], "delay": [], "rate": []})
                entry[check["name"]].append(check["detail"])
                entry["hz"] += [match[2]] if check["name"] == "delay" else []
        for point, entry in points.items():
            delays = [re.search(r"declared (\S+), measured (\S+)", detail) for detail in entry["delay"]]
            pairs = [(float(match[1]), float(match[2])) for match in delays if match]
            rates = [re.search(r"(?:declared (\S+), )?counted (\S+)", detail) for detail in entry["rate"]]
            declared = {match[1] for match in rates if match and match[1] and match[1] != "None"}
            counted = [float(match[2]) for match in rates if match]
            print(
                f"| {codec['codec']} | {point} | {spread([float(hz) / 1000 for hz in entry['hz']], 2)} "
                f"| {spread([a for a, _ in pairs], 2)} | {max(abs(a - b) for a, b in pairs):.2f} "
                f"| {', '.join(sorted(declared)) or '-'} | {spread(counted, 3) if counted else '-'} | {total} |"
            )
            total = ""


if __name__ == "__main__":
    main()
