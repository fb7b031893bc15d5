"""What codecs do to the process that they run in, by name, and a witness of what is left of it."""

from __future__ import annotations

import ctypes
import locale
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

_kept: list[Any] = []


def chdir():
    os.chdir("/")


def goes_to_a_folder_that_goes():
    os.makedirs("/tmp/codecbench-gone", exist_ok=True)
    os.chdir("/tmp/codecbench-gone")
    os.rmdir("/tmp/codecbench-gone")


def sets_locale():
    for name in ("C.UTF-8", "C", "POSIX"):
        locale.setlocale(locale.LC_ALL, name)


def seeds():
    random.seed(1234)
    np.random.seed(1234)  # noqa: NPY002


def draws():
    random.random()
    np.random.standard_normal(1000)  # noqa: NPY002


def sets_environment():
    os.environ["PATH"] = "/nowhere"
    os.environ["CODECBENCH_LEFT"] = "1"


def clears_environment():
    os.environ.clear()


def sets_umask():
    os.umask(0o777)


def sets_signals():
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 0.5)


def turns_warnings_into_errors():
    warnings.simplefilter("error")


def turns_numpy_errors_on():
    np.seterr(all="raise")


def prints():
    sys.stdout.write("bad codec here, {not json\n")
    sys.stderr.write("and here\n")
    os.write(1, b"from C\n")
    sys.stdout.write("x" * 300_000)


def closes_streams():
    sys.stdout.close()
    sys.stderr.close()
    for number in (0, 1, 2):
        os.close(number)


def replaces_streams():
    sys.stdout = sys.stderr = None


def reads_standard_input():
    assert os.read(0, 10) == b""


def exits():
    sys.exit(3)


def interrupts():
    raise KeyboardInterrupt


def raises_a_base_exception():
    raise BaseException("base")


class Nameless(Exception):
    def __str__(self):
        raise ValueError("no words")


def raises_without_words():
    raise Nameless


def recurses():
    recurses()


def runs_out_of_memory():
    np.zeros(1 << 60, np.uint8)


def raises_broken_pipe():
    raise BrokenPipeError("of a program that it started")


def starts_threads():
    for _ in range(3):
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()


def leaves_children():
    _kept.append(subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL))


def forks_and_returns():
    os.fork()


def forks_and_raises():
    if os.fork() == 0:
        raise ValueError("the child")


def forks_and_sleeps():
    if os.fork() == 0:
        time.sleep(600)


def forks_and_dies():
    if os.fork() == 0:
        time.sleep(600)
    os._exit(5)


def says_and_dies():
    os.write(2, b"assertion x > 0 failed in encoder.c\n")
    os._exit(7)


def returns_what_cannot_be_sent():
    return lambda: None


def opens_many_files():
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, limit[1]), limit[1]))
    _kept.extend(socket.socket() for _ in range(300))


def starts_many_threads():
    for _ in range(70):
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()


def leaves_many_children():
    _kept.extend(subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL) for _ in range(70))


def exits_at_once():
    os._exit(0)


def aborts():
    os.abort()


def reads_nowhere():
    ctypes.string_at(1)


def closes_all_files():
    os.closerange(0, 1000)


def kills_its_group():
    os.killpg(0, signal.SIGKILL)


def sleeps():
    time.sleep(600)


def holds_the_interpreter():
    ctypes.PyDLL(None).sleep(600)


def fills_memory():
    while True:
        _kept.append(np.ones(1 << 24, np.uint8))
        time.sleep(0.05)


def ignores_all_signals():
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    time.sleep(600)


#: what a task may do and the next one in the same worker finds no trace of; the kind of its outcome
HARMLESS = {
    "value": (
        *(chdir, goes_to_a_folder_that_goes, sets_locale, seeds, draws, sets_environment, clears_environment),
        *(sets_umask, sets_signals, turns_warnings_into_errors, turns_numpy_errors_on, prints, closes_streams),
        *(replaces_streams, reads_standard_input, starts_threads, leaves_children, forks_and_returns),
        *(forks_and_raises, opens_many_files, starts_many_threads, leaves_many_children),
    ),
    "raised": (
        *(exits, interrupts, raises_a_base_exception, raises_without_words, recurses, runs_out_of_memory),
        *(raises_broken_pipe, returns_what_cannot_be_sent),
    ),
}
#: what ends the worker
DEADLY = {
    "crashed": (exits_at_once, forks_and_dies, aborts, reads_nowhere, closes_all_files, kills_its_group, fills_memory),
    "timeout": (sleeps, holds_the_interpreter, ignores_all_signals),
}


@dataclass(frozen=True)
class Misdeed:
    """A task that does it. `group` keeps it in the worker that does the next one."""

    name: str
    group: str = "g"

    def run(self, stage):
        stage(f"doing {self.name}")
        return globals()[self.name]()


@dataclass(frozen=True)
class Witness:
    """A task that tells what it finds around it."""

    group: str = "g"

    def run(self, stage):
        stage("looking")
        with warnings.catch_warnings(record=True):
            warnings.warn("nothing", stacklevel=1)
        found = {
            "folder": os.getcwd(),
            "environment": {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")},
            "locale": locale.setlocale(locale.LC_ALL),
            "mask": os.umask(0),
            "signals": [str(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
            "timer": signal.getitimer(signal.ITIMER_REAL),
            "random": random.random(),
            "noise": np.random.standard_normal(3).tolist(),  # noqa: NPY002
            "numpy": np.geterr(),
            "filters": len(warnings.filters),
            "program": subprocess.run(["sh", "-c", "exit 7"]).returncode,
        }
        os.umask(found["mask"])
        sys.stdout.write("a line\n")
        return found


@dataclass(frozen=True)
class Lasts:
    """A task of several stages of so many seconds."""

    stages: tuple[float, ...]
    group: str = "g"

    def run(self, stage):
        for number, seconds in enumerate(self.stages):
            stage(f"stage {number}")
            time.sleep(seconds)
        return "done"


@dataclass(frozen=True)
class Grows:
    """A task that leaves so many bytes more in use."""

    size: int
    group: str = "g"

    def run(self, stage):
        _kept.append(np.ones(self.size, np.uint8))
        return os.getpid()


@dataclass(frozen=True)
class Where:
    """A task that tells its process and group."""

    group: str = "g"

    def run(self, stage):
        return os.getpid(), os.getpgrp()
