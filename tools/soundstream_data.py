"""Gather free speech and music for training SoundStream from Debian packages.

    python tools/soundstream_data.py OUT                         # downloads, converts, prints a table
    python tools/soundstream_data.py OUT --only klettres-data    # these packages alone
    python tools/soundstream_data.py OUT --packages DIR          # takes .deb files from DIR and keeps them there

Each package becomes a folder `OUT/speech-PACKAGE` or `OUT/music-PACKAGE` of 24 kHz mono FLAC, 16 bits; training takes a
folder whose name begins with `music` for music. A package whose folder is there already is not done again. The folder's
`source.json` says what was kept and what was left out. Nothing is installed: needs Debian's apt-get and dpkg-deb alone.

No package that evaluation draws on is in the table, nor any with a licence that forbids selling or changing.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import re
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile as sf
import soxr

Samples = npt.NDArray[np.float32]  # [n], mono, 24 kHz

RATE = 24000
PIECE = 60.0  # seconds of speech in a file: many clips are single words
GAP = 0.3  # seconds of silence between two clips of a voice
EFFECT = 2.0  # seconds; a shorter file of a music package is a sound effect
SOURCE_RATES = range(16000, 96001)  # Hz; 128 kHz in klettres-data is a wrong header
NARROW = 6000.0  # Hz; of speech, for music can be a bass alone
QUIET = 10 ** (-50 / 20)  # RMS
CLIPPED = 0.003  # share of samples at full scale
ARCHIVES = (".wz", ".pk3")  # zip files by other names
SOUNDS = (".ogg", ".opus", ".wav", ".flac")


@dataclass(frozen=True)
class Package:
    """Where a package's recordings lie.

    Attributes
    ----------
    languages : of speech; the label "en" is for files that name no language.
    files : pattern that a path must contain. Its groups name the voice: only clips of one voice share a file.
    seconds : the longest passage that is taken of a piece, from its middle: a little of many pieces teaches more than
        much of a few.
    """

    name: str
    kind: str
    languages: str
    licence: str
    files: str
    seconds: float = 600.0


PACKAGES = (
    # two actors in dialogue, -m- and -v-; the minor roles are left out, for they mix with sound effects
    Package("fillets-ng-data-cs", "speech", "cs", "GPL-2", r"/(cs)/(?:[^/]*-)?([mv])-[^/]*$"),
    Package("fillets-ng-data-nl", "speech", "nl", "GPL-2", r"/(nl)/(?:[^/]*-)?([mv])-[^/]*$"),
    # names of pictures, read by volunteers; files without _desc are the sounds of things
    Package(
        "tuxpaint-stamps-default",
        "speech",
        "be bg ca da el en fr lt ml nl ro ru",
        "GPL-2",
        r"/[^/]*_desc(?:_([a-z]+))?\.ogg$",
    ),
    Package(
        "klettres-data",
        "speech",
        "ar cs da de en es fr he hu it lt ml nb nds nl pt ru tn uk",
        "GPL-2+",
        r"/klettres/([^/]+)/(?:alpha|syllab)/",
    ),
    Package(
        "ktuberling-data", "speech", "ca da de el en fr ga gl lt nn ro ru sl sr uk wa", "GPL-2+", r"/sounds/([^/@]+)/"
    ),
    # two voices that read the syllables of Mandarin, each under its licence
    Package("gcin-voice", "speech", "zh", "GPL-3 or LGPL-3, CC BY 3.0", r"/([35])\.ogg$"),
    Package("nexuiz-data", "speech", "en", "GPL-2+", r"::sound/(tutorial|announcer/male)/"),
    Package("unknown-horizons", "speech", "de en fr", "CC BY-SA 3.0", r"/voice/([a-z]+)/"),
    Package("naev-data", "music", "", "CC BY 3.0, CC BY-SA 3.0, GPL-2+", r"/snd/music/", 44),
    Package("wesnoth-1.16-music", "music", "", "GPL-2+", r"/music/", 59),
    # evaluation has this piece too, in supertuxkart-data
    Package("supertux-data", "music", "", "GPL-2+", r"/music/(?!.*beneath_the_rabbit_hole)", 50),
    Package("warzone2100-music", "music", "", "GPL-2+", r"/music/", 80),
    Package("ufoai-music", "music", "", "CC BY 3.0, CC BY-SA 3.0, GPL-2+", r"::music/", 40),
    Package("hedgewars-data", "music", "", "GPL-2", r"/Data/Music/", 96),
    Package("widelands-data", "music", "", "GPL-2+, CC BY-SA 3.0", r"/data/music/", 78),
    Package("colobot-common-sounds", "music", "", "GPL-3+", r"/colobot/music/", 115),
    Package("nexuiz-music", "music", "", "GPL-2+", r"::sound/cdtracks/(?!thunder)", 141),
    Package("marsshooter-data", "music", "", "CC BY-SA 3.0", r"/audio/music/", 200),
    Package("unknown-horizons", "music", "", "CC BY-SA 3.0", r"/audio/music/", 165),
    Package("freedroidrpg-data", "music", "", "GPL-2+", r"/sound/music/", 150),
    Package("pushover-data", "music", "", "GPL-3+", r"/themes/"),
    Package("megaglest-data", "music", "", "CC BY-SA 3.0", r"/music/"),
    Package("redeclipse-data", "music", "", "CC BY-SA 3.0", r"/sounds/music/track_"),
    Package("hyperrogue-music", "music", "", "CC BY-SA 3.0", r"/hyperrogue/music/"),
    # metal; guitar.ogg is the same piece without the rest
    Package("fretsonfire-songs-muldjord", "music", "", "CC BY-SA 3.0", r"/song\.ogg$"),
    Package("fretsonfire-songs-sectoid", "music", "", "MIT", r"/song\.ogg$"),
    Package("enigma-data", "music", "", "GPL-2", r"/enigma/music/"),
    Package("fillets-ng-data", "music", "", "GPL-2", r"/fillets-ng/music/"),
    Package("extremetuxracer-data", "music", "", "GPL-2+", r"/etr/music/"),
    Package("lincity-ng-data", "music", "", "GPL-2+", r"/music/"),
    Package("sonic-pi-samples", "music", "", "CC0", r"/samples/"),
)


def package_file(name: str, folder: Path) -> Path:
    """The package's archive in the folder, downloaded if it is not there."""
    if not any(folder.glob(f"{name}_*.deb")):
        subprocess.run(["apt-get", "download", "-qq", name], cwd=folder, check=True)
    return next(folder.glob(f"{name}_*.deb"))


def recordings(archive: Path) -> Iterator[tuple[str, io.BytesIO]]:
    """Every sound file of a package, as "path" or, in an archive of it, "path::inner path"; in the package's order."""
    with (
        subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as tar,
        tarfile.open(fileobj=tar.stdout, mode="r|") as members,
    ):
        for member in members:
            stream = members.extractfile(member) if member.isfile() else None
            if stream is None:
                continue
            if member.name.lower().endswith(SOUNDS):
                yield member.name, io.BytesIO(stream.read())
            elif member.name.endswith(ARCHIVES):
                with tempfile.TemporaryFile() as copy:
                    shutil.copyfileobj(stream, copy)
                    inner = zipfile.ZipFile(copy)
                    for name in sorted(inner.namelist()):
                        if name.lower().endswith(SOUNDS):
                            yield f"{member.name}::{name}", io.BytesIO(inner.read(name))


def passage(stream: io.BytesIO, seconds: float) -> tuple[Samples, int]:
    """The middle of a recording, at most so many seconds, mono at 24 kHz; and the recording's own rate."""
    with sf.SoundFile(stream) as sound:
        length = min(sound.frames, round(seconds * sound.samplerate))
        sound.seek((sound.frames - length) // 2)
        samples = sound.read(length, dtype="float32", always_2d=True).mean(axis=1)
        return np.asarray(soxr.resample(samples, sound.samplerate, RATE), np.float32), sound.samplerate


def bandwidth(samples: Samples) -> float:
    """The highest frequency [Hz] that sounds, in steps of 250 Hz.

    A band sounds if in every twentieth active frame it is within 60 dB of the loudest band: so a voice's hisses count,
    which its average would hide.
    """
    size = 960  # 40 ms, bins of 25 Hz
    if len(samples) < size:
        return 0.0
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[:: size // 2] * np.hanning(size)
    power = np.abs(np.fft.rfft(frames)[:, 1:]) ** 2
    bands = power.reshape(len(power), -1, 10).sum(axis=2)
    total = bands.sum(axis=1)
    active = bands[total >= np.quantile(total, 0.95) * 1e-3]
    level = np.quantile(active, 0.95, axis=0)
    return float(250 * (1 + np.flatnonzero(level > level.max() * 1e-6)[-1]))


def fault(samples: Samples, rate: int, kind: str) -> str:
    """Why a recording is left out; "" if it is not."""
    if rate not in SOURCE_RATES:
        return f"at {rate} Hz"
    if kind == "music" and len(samples) < EFFECT * RATE:
        return "sound effect"
    if len(samples) < RATE / 10 or np.sqrt(np.mean(samples**2)) < QUIET:
        return "silent"
    if np.mean(np.abs(samples) > 0.985) > CLIPPED:
        return "clipped"
    if kind == "speech" and bandwidth(samples) < NARROW:
        return "narrowband"
    return ""


def write(samples: Samples, path: Path) -> None:
    """Write 24 kHz FLAC. Only what would clip is made softer: lossy decoders and resampling overshoot."""
    peak = float(np.abs(samples).max())
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, samples * min(1.0, 0.999 / peak), RATE, format="FLAC", subtype="PCM_16")


def convert(package: Package, archive: Path, out: Path) -> dict[str, object]:
    """Write a package's recordings below `out` and tell of them."""
    left_out: Counter[str] = Counter()
    seconds: defaultdict[str, float] = defaultdict(float)
    pending: dict[str, list[Samples]] = {}
    written: Counter[str] = Counter()
    widths: list[float] = []
    rates: Counter[int] = Counter()
    seen: set[bytes] = set()

    def flush(voice: str) -> None:
        clips = pending.pop(voice)
        write(np.concatenate(clips[:-1]), out / f"{voice}-{written[voice]:03}.flac")
        written[voice] += 1

    for name, stream in recordings(archive):
        found = re.search(package.files, name)
        if found is None:
            continue
        # packages hold the same clip under many names
        digest = hashlib.sha256(stream.getbuffer()).digest()
        if digest in seen:
            left_out["duplicate"] += 1
            continue
        seen.add(digest)
        try:
            samples, rate = passage(stream, package.seconds)
        except sf.LibsndfileError:
            left_out["unreadable"] += 1
            continue
        why = fault(samples, rate, package.kind)
        if why:
            left_out[why] += 1
            continue
        label = "-".join(group for group in found.groups() if group) or ("en" if package.kind == "speech" else "")
        voice = label.replace("/", "-") or Path(name.rpartition("::")[2]).stem
        pending.setdefault(voice, []).extend((samples, np.zeros(round(GAP * RATE), np.float32)))
        seconds[voice] += len(samples) / RATE
        widths.append(bandwidth(samples))
        rates[rate] += 1
        if package.kind == "music" or sum(map(len, pending[voice])) >= PIECE * RATE:
            flush(voice)
    for voice in list(pending):
        flush(voice)
    return {
        "package": archive.name,
        "kind": package.kind,
        "languages": package.languages,
        "licence": package.licence,
        "minutes": round(sum(seconds.values()) / 60, 1),
        "clips": sum(rates.values()),
        "bandwidth": float(np.median(widths)) if widths else 0.0,
        "rates": dict(rates),
        "left out": dict(left_out),
        "minutes by voice": {voice: round(length / 60, 2) for voice, length in sorted(seconds.items())},
    }


def gather(package: Package, out: Path, debs: Path | None) -> dict[str, object]:
    """What `source.json` of a package's folder says; the folder is made if it is not there, whole or not at all."""
    folder = out / f"{package.kind}-{package.name}"
    if not (folder / "source.json").exists():
        with tempfile.TemporaryDirectory(prefix=".making-", dir=out) as scratch:
            archive = package_file(package.name, debs or Path(scratch))
            made = Path(scratch) / folder.name
            made.mkdir()
            told = convert(package, archive, made)
            (made / "source.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            made.rename(folder)
    return dict(json.loads((folder / "source.json").read_text(encoding="utf-8")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of training audio")
    parser.add_argument("--only", nargs="+", metavar="PACKAGE", help="these packages (default: all)")
    parser.add_argument("--packages", type=Path, metavar="DIR", help="folder of .deb files (default: keep none)")
    args = parser.parse_args()
    for folder in (args.out, args.packages):
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
    total: defaultdict[str, float] = defaultdict(float)
    print(f"{'package':28} {'kind':6} {'minutes':>7} {'kHz':>5}  {'licence':32} languages")
    for package in PACKAGES:
        if args.only and package.name not in args.only:
            continue
        told = gather(package, args.out.resolve(), args.packages and args.packages.resolve())
        minutes, width = float(str(told["minutes"])), float(str(told["bandwidth"])) / 1000
        total[package.kind] += minutes
        line = (
            f"{package.name:28} {package.kind:6} {minutes:7.1f} {width:5.1f}  {package.licence:32} {package.languages}"
        )
        print(line.rstrip(), flush=True)
    print(", ".join(f"{kind} {minutes:.1f} min" for kind, minutes in total.items()))


if __name__ == "__main__":
    main()
