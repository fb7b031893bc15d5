"""Build the clips of `corpora/embedded` again from the packages they come from.

    python tools/build_embedded.py --packages DIR            # writes the clips and fills in the manifests
    python tools/build_embedded.py --packages DIR --check    # builds in a scratch folder and compares

The manifests `speech.csv` and `music.csv` are the recipe: `package`, `version` and `source` name the recording (parts
joined by " | " are put one after the other), `source_start` and `seconds` the passage, `render` how a score is played.
A new clip is a new row with `sha256`, `rate` and `channels` left empty (`seconds` too, for a whole recording). Packages
that DIR lacks are downloaded with `apt-get download` and `pip download`. Needs Debian's dpkg-deb and tar, and
fluidsynth and music21 for the scores.

Nothing is normalised, filtered or resampled. Vorbis and rendered scores are computed in floating point, so another
version of a library may round a sample differently: `--check` then tells the greatest difference.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import av
import numpy as np
import soundfile as sf

HOME = Path(__file__).parents[1] / "corpora" / "embedded"
MANIFESTS = (HOME / "speech.csv", HOME / "music.csv")
SOUNDFONT = ("fluid-soundfont-gm", "3.1-5.3", "usr/share/sounds/sf2/FluidR3_GM.sf2")
EDGE = 0.01  # seconds of raised-cosine fade where a cut would click
Audio = tuple[np.ndarray, int]  # float64 [n, channels], Hz


class Packages:
    """A folder of .deb and .whl files, filled on demand; what is needed of them is unpacked in a scratch folder."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self.folder, self.scratch = folder, scratch

    def archive(self, package: str, version: str) -> Path:
        """The package's file in exactly this version, downloaded if it is not there."""
        wheel = package == "music21"
        pattern = f"{package}-{version}-*.whl" if wheel else f"{package}_*.deb"
        if not any(self.folder.glob(pattern)):
            pip = [sys.executable, "-m", "pip", "download", "--no-deps", f"{package}=={version}"]
            subprocess.run(
                pip if wheel else ["apt-get", "download", f"{package}={version}"], cwd=self.folder, check=True
            )
        found = next(self.folder.glob(pattern))
        if not wheel:
            field = subprocess.run(["dpkg-deb", "-f", found, "Version"], check=True, capture_output=True, text=True)
            if field.stdout.strip() != version:
                sys.exit(f"{found}: version {field.stdout.strip()}, the manifest asks for {version}")
        return found

    def unpack(self, package: str, version: str, sources: set[str]) -> None:
        """Take these files out of a package, all in one pass; "outer.zip::inner" reaches into an archive of it."""
        archive, target = self.archive(package, version), self.scratch / package
        target.mkdir()
        paths = sorted({source.partition("::")[0] for source in sources})
        if archive.suffix == ".whl":
            zipfile.ZipFile(archive).extractall(target, paths)
        else:
            with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as tar:
                names = [f"./{path}" for path in paths]
                subprocess.run(["tar", "-x", "-C", target, *names], stdin=tar.stdout, check=True)
        for source in sources:
            outer, _, inner = source.partition("::")
            if inner:
                zipfile.ZipFile(target / outer).extract(inner, target)

    def file(self, package: str, source: str) -> Path:
        """A file that was unpacked."""
        return self.scratch / package / source.rpartition("::")[2]


def unpack_all(rows: list[dict[str, str]], packages: Packages) -> None:
    """Unpack what the rows need, one package after the other."""
    needed: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        needed.setdefault((row["package"], row["version"]), set()).update(row["source"].split(" | "))
        if row["render"]:
            needed.setdefault(SOUNDFONT[:2], set()).add(SOUNDFONT[2])
    for (package, version), sources in needed.items():
        packages.unpack(package, version, sources)


def decode(path: Path) -> Audio:
    """A recording at its own rate; head-less raw files are 16 kHz, as their packages say."""
    if path.suffix == ".g722":
        with av.open(str(path), format="g722") as container:
            pcm = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
        return pcm.T.astype(np.float64) / 32768, 16000
    return sf.read(path, dtype="float64", always_2d=True)


def play(score: Path, soundfont: Path, render: str, scratch: Path) -> Audio:
    """A score by FluidSynth at 44.1 kHz; `render` is "programs=40,41 bpm=120 gain=0.6" with one program a part."""
    import music21

    options = dict(word.split("=") for word in render.split())
    programs = [int(number) for number in options["programs"].split(",")]
    parsed = music21.converter.parse(score)
    if isinstance(parsed, music21.stream.Opus):
        parsed = parsed.scores[int(options.get("tune", 0))]
    for element in list(
        parsed.recurse().getElementsByClass((music21.tempo.TempoIndication, music21.instrument.Instrument))
    ):
        element.activeSite.remove(element)
    parts = list(parsed.parts) or [parsed]
    for part, program in zip(parts, programs * len(parts), strict=False):
        instrument = music21.instrument.Instrument()
        instrument.midiProgram = program
        part.insert(0, instrument)
    parts[0].insert(0, music21.tempo.MetronomeMark(number=float(options["bpm"])))
    midi, wave = scratch / "score.mid", scratch / "score.wav"
    parsed.write("midi", midi)
    command = ["fluidsynth", "-niq", "-g", options["gain"], "-r", "44100", "-O", "float", "-T", "wav"]
    subprocess.run([*command, "-F", wave, soundfont, midi], check=True, capture_output=True)
    return sf.read(wave, dtype="float64", always_2d=True)


def build(row: dict[str, str], packages: Packages) -> Audio:
    """The passage that a row describes; 16-bit samples [n, channels]."""
    parts = [packages.file(row["package"], source) for source in row["source"].split(" | ")]
    if row["render"]:
        samples, rate = play(parts[0], packages.file(SOUNDFONT[0], SOUNDFONT[2]), row["render"], packages.scratch)
    else:
        decoded = [decode(part) for part in parts]
        samples, rate = np.concatenate([samples for samples, _ in decoded]), decoded[0][1]
    first = round(float(row["source_start"]) * rate)
    last = first + round(float(row["seconds"]) * rate) if row["seconds"] else len(samples)
    if last > len(samples):
        sys.exit(f"{row['id']}: the source ends at {len(samples) / rate:g} s")
    cut = samples[first:last].copy()
    ramp = np.sin(np.linspace(0, np.pi / 2, round(EDGE * rate)))[:, None] ** 2
    if first > 0:
        cut[: len(ramp)] *= ramp
    if last < len(samples):
        cut[-len(ramp) :] *= ramp[::-1]
    return np.clip(np.rint(cut * 32768), -32768, 32767).astype(np.int16), rate


def write(row: dict[str, str], samples: np.ndarray, rate: int) -> bool:
    """Write the clip and complete its row."""
    path = HOME / row["file"]
    path.parent.mkdir(exist_ok=True)
    sf.write(path, samples, rate, format="FLAC", subtype="PCM_16", compression_level=1.0)
    row |= {"rate": str(rate), "channels": str(samples.shape[1]), "seconds": f"{len(samples) / rate:.6f}"}
    row["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    print(f"{row['id']}: {row['seconds']} s, {rate} Hz, {path.stat().st_size:,} bytes")
    return False


def check(row: dict[str, str], samples: np.ndarray, rate: int) -> bool:
    """Compare with the clip that is there; True if it differs."""
    flac = io.BytesIO()
    sf.write(flac, samples, rate, format="FLAC", subtype="PCM_16", compression_level=1.0)
    if hashlib.sha256(flac.getvalue()).hexdigest() == row["sha256"]:
        print(f"{row['id']}: equal")
        return False
    old = sf.read(HOME / row["file"], dtype="int16", always_2d=True)[0].astype(int)
    gap = f"samples by at most {np.abs(old - samples).max()}" if old.shape == samples.shape else "another length"
    print(f"{row['id']}: differs, {gap}")
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, required=True, metavar="DIR", help="folder of .deb and .whl files")
    parser.add_argument("--check", action="store_true", help="build in a scratch folder, compare, write nothing")
    args = parser.parse_args()
    different = 0
    with tempfile.TemporaryDirectory() as scratch:
        packages = Packages(args.packages.resolve(), Path(scratch))
        tables = {path: list(csv.DictReader(path.open(encoding="utf-8", newline=""))) for path in MANIFESTS}
        unpack_all([row for rows in tables.values() for row in rows], packages)
        for manifest, rows in tables.items():
            for row in rows:
                different += (check if args.check else write)(row, *build(row, packages))
            if not args.check:
                with manifest.open("w", encoding="utf-8", newline="") as file:
                    writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
                    writer.writeheader()
                    writer.writerows(rows)
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
