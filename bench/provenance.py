"""What a number needs to be believed and made again: versions, machine, command, commit."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .. import __version__
from ..codecs import Codec
from ..codecs._device import label_of
from .fingerprint import version_of
from .metrics import Metric

#: distributions whose version can change a number
PACKAGES = (
    "av",
    "ai-edge-litert",
    "ffmpeg-python",
    "imageio-ffmpeg",
    "lc3py",
    "numba",
    "numpy",
    "onnxruntime",
    "pandas",
    "pesq",
    "pycodec2",
    "pyloudnorm",
    "pystoi",
    "scipy",
    "snac",
    "soundfile",
    "soxr",
    "torch",
    "transformers",
    "visqol-python",
)


def packages() -> dict[str, str]:
    """Versions of the installed packages that can change a number, codecbench first."""
    versions = {name: version_of(name) for name in PACKAGES}
    return {"codecbench": __version__, **{name: v for name, v in versions.items() if v != "absent"}}


def machine() -> dict[str, Any]:
    """CPU model, cores, frequency governor if known, memory, system, Python, and the load at this moment."""
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        match = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        cpu = match.group(1) if match else cpu
    governor = None
    with contextlib.suppress(OSError):
        governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").read_text().strip()
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "governor": governor,
        "system": platform.platform(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def git_commit() -> str | None:
    """The commit of codecbench's own checkout, with "+" where it was changed; None when it is installed."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        run = ["git", "-C", str(root)]
        commit = subprocess.run([*run, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10)
        dirty = subprocess.run([*run, "status", "--porcelain"], capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return commit.stdout.strip() + ("+" if dirty.stdout.strip() else "")


def changed(info: Mapping[str, Any]) -> list[str]:
    """What is not as it was when a run was made, of what can change a number; `info` is its table `run`."""
    then, now = info.get("packages") or {}, packages()
    versions = [(name, then.get(name, "absent"), now.get(name, "absent")) for name in sorted({*then, *now})]
    made, here = info.get("machine") or {}, machine()
    versions += [(what, made.get(what), here[what]) for what in ("python", "cpu", "system")]
    commit = git_commit()
    versions += [("commit", info.get("git") or "none", commit or "none")]
    return [f"{name}: {was} then, {is_now} now" for name, was, is_now in versions if was != is_now]


def modules_wanted(info: Mapping[str, Any], given: Sequence[Path]) -> str:
    """The options that load the codec modules of a run that were not given, by their file names; empty if all were."""
    names = {path.name for path in given}
    modules = [Path(source) for source in info.get("sources") or [] if Path(source).is_absolute()]
    return " ".join(shlex.join(["--codec-module", str(path)]) for path in modules if path.name not in names)


def weights_used(info: Mapping[str, Any]) -> list[str]:
    """The users' own weights that a run used, as `codecs/_load.py` names them."""
    return [source for source in info.get("sources") or [] if not Path(source).is_absolute()]


def versions_of(codec: Codec) -> str:
    """The versions of what a codec runs, as the store keeps them."""
    versions = codec.versions()
    device = label_of(codec)
    if versions and device != "cpu":  # its numbers differ from the CPU's
        versions = versions | {"device": device}
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))


def describe(metric: Metric, fingerprint: str) -> dict[str, Any]:
    """A metric's declaration as the store keeps it."""
    version = version_of(metric.package) if metric.package else __version__
    kept = asdict(metric)
    for key in ("function", "prepare", "available"):
        kept.pop(key)
    return {**kept, "version": version, "fingerprint": fingerprint}


def rerun(command: str) -> str:
    """The command that computes a run anew, and keeps what it decodes."""
    words = [word for word in shlex.split(command) if word not in ("--no-cache", "--no-resume")]
    return shlex.join([*words, "--no-resume"])
