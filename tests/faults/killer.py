"""What the kill tests load with --codec-module: two small codecs, and kill -9 at chosen moments of driver and workers.

CODECBENCH_TEST_KILL   where:moment:count, comma-separated: the process of that kind kills itself at that moment's
                       count-th time. Moments end in "+" where the thing has just been done, else it is about to be.
CODECBENCH_TEST_MARKS  folder; a kill leaves a file of its name there and so happens once
CODECBENCH_TEST_LOG    file; every unit that a worker begins is a line
"""

import functools
import multiprocessing
import os
import signal
import sqlite3
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from codecbench.bench.audio import Clip, from_pcm16, to_pcm16
from codecbench.bench.work import Unit
from codecbench.codecs import Codec, Encoded, Packet, Point, register

HERE = "worker" if multiprocessing.parent_process() else "driver"
KILLS = [kill.split(":") for kill in os.environ.get("CODECBENCH_TEST_KILL", "").split(",") if kill]
MINE = {(moment, int(count)) for where, moment, count in KILLS if where == HERE}
seen: Counter[str] = Counter()


def strikes(moment):
    """Whether this is the moment to die at; true once over all processes."""
    seen[moment] += 1
    if (moment, seen[moment]) not in MINE:
        return False
    try:
        mark = Path(os.environ["CODECBENCH_TEST_MARKS"]) / f"{HERE}:{moment}:{seen[moment]}"
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def at(moment):
    if strikes(moment):
        die()


class Watched(sqlite3.Connection):
    """Kills around BEGIN, INSERT, DELETE and COMMIT of store and index."""

    def execute(self, sql, *values):
        verb = sql.split()[0].lower()
        at(verb)
        result = super().execute(sql, *values)
        at(f"{verb}+")
        return result


def write_bytes(self, data, original=Path.write_bytes):
    """Kills with half of the file written."""
    if strikes("file"):
        original(self, data[: len(data) // 2])
        die()
    return original(self, data)


def move(self, target, original=Path.replace):
    at("move")
    moved = original(self, target)
    at("move+")
    return moved


def send(self, buf, original=Connection._send):
    """Kills before, in the middle of and after a message from a worker."""
    at("message")
    if strikes("half message"):
        os.write(self.fileno(), bytes(buf)[: len(buf) // 2])
        die()
    original(self, buf)
    at("message+")


def run(self, stage, original=Unit.run):
    with open(os.environ["CODECBENCH_TEST_LOG"], "a") as log:
        log.write(f"{self.clip} {self.codec} {self.point}\n")
    at("unit")
    return original(self, stage)


sqlite3.connect = functools.partial(sqlite3.connect, factory=Watched)
Path.write_bytes, Path.replace, Unit.run = write_bytes, move, run
if HERE == "worker":
    Connection._send = send


class Rounds(Codec):
    """16-bit PCM with the low bits dropped, in frames of 20 ms."""

    name, family, licence, about = "k_rounds", "Test", "none", "rounds"
    points = (Point("10", 160.0, {"bits": 10}), Point("12", 192.0, {"bits": 12}), Point("14", 224.0, {"bits": 14}))
    rates = (16000,)

    def encode(self, clip, point):
        at("encode")
        step = 1 << (16 - point.params["bits"])
        pcm = (to_pcm16(clip.samples[0]).astype(np.int32) // step * step).astype(np.int16)
        frames = [pcm[i : i + 320].tobytes() for i in range(0, len(pcm), 320)]
        return Encoded(tuple(Packet(f, len(f) // 2 * point.params["bits"]) for f in frames), clip.rate, 1)

    def decode(self, encoded, point):
        at("decode")
        pcm = np.frombuffer(b"".join(p.data for p in encoded.packets), np.int16)
        return Clip(from_pcm16(pcm)[None], encoded.rate)

    def delay(self, rate, point):
        return 0

    def frame(self, rate, point):
        return 320

    def versions(self):
        return {"test": "1"}


class Halves(Rounds):
    name, about = "k_halves", "rounds, and halves"
    points = (Point("10", 160.0, {"bits": 10}), Point("14", 224.0, {"bits": 14}))

    def decode(self, encoded, point):
        whole = super().decode(encoded, point)
        return Clip(whole.samples / np.float32(2), whole.rate)


for codec in (Rounds(), Halves()):
    register(codec)
