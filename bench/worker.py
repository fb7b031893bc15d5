"""A worker's life: it runs tasks of codecs and metrics that may do anything to the process they run in.

What a task changes does not reach the next one: working directory, environment, locale, file mode mask, signal
handlers, standard streams, warning filters, numpy's error handling and the seeds of the global random generators are
as at the start whenever a task begins; the seeds, whenever a stage begins. What cannot be put back (open files,
threads, child processes) makes a worker say that it is worn, and the driver then takes another.

A worker leads a process group of its own, so that what its codecs start ends with it; and the kernel ends that group
when the driver is gone, however that went and whatever hangs.
"""

from __future__ import annotations

import fcntl
import locale
import os
import random
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from .board import Board

#: threads or child processes of a worker that is worn
MANY = 64


class Surroundings:
    """What tasks may change, as it was at the start. `output` is where standard output and error go."""

    def __init__(self, output: int) -> None:
        self._output, self._null = output, os.open(os.devnull, os.O_RDONLY)
        self._folder, self._environment = os.getcwd(), dict(os.environ)
        self._locale = locale.setlocale(locale.LC_ALL)
        self._mask = os.umask(0)
        self._handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
        self.restore()

    def restore(self) -> None:
        """Put it back."""
        os.umask(self._mask)
        for stream, number in ((self._null, 0), (self._output, 1), (self._output, 2)):
            os.dup2(stream, number)
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is not getattr(self, name, None) or getattr(sys, name).closed:
                setattr(self, name, open(2, "w", buffering=1, errors="backslashreplace", closefd=False))  # noqa: SIM115
                setattr(sys, name, getattr(self, name))
        with suppress(OSError):  # the folder has gone
            os.chdir(self._folder)
        if os.environ != self._environment:
            os.environ.clear()
            os.environ.update(self._environment)
        if locale.setlocale(locale.LC_ALL) != self._locale:
            locale.setlocale(locale.LC_ALL, self._locale)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._handlers.items():
            if handler is not None and signal.getsignal(number) != handler:
                signal.signal(number, handler)


def seed() -> None:
    """Start the global random generators anew: a codec that draws from them gives the same whatever went before."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the global one is what codecs may use
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


def worn() -> str:
    """What tasks have left behind in this process, empty if that is little."""
    with suppress(OSError):
        files, limit = len(os.listdir("/dev/fd")), resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if limit != resource.RLIM_INFINITY and files > limit / 2:
            return f"{files} open files"
    with suppress(OSError):
        threads = list(Path("/proc/self/task").iterdir())
        if len(threads) > MANY:
            return f"{len(threads)} threads"
        children = sum(len((thread / "children").read_text().split()) for thread in threads)
        if children > MANY:
            return f"{children} child processes"
    return ""


def end_with(driver: Connection) -> None:
    """Let the kernel end this process and its children when the other end of a pipe, which the driver holds and never
    writes to, is closed. No thread could: a codec may hold the interpreter for ever."""
    os.setpgid(0, 0)
    fcntl.fcntl(driver, fcntl.F_SETOWN, -os.getpgrp())
    if hasattr(fcntl, "F_SETSIG"):  # elsewhere it is SIGIO, which ends a process, too
        fcntl.fcntl(driver, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(driver, fcntl.F_SETFL, fcntl.fcntl(driver, fcntl.F_GETFL) | os.O_ASYNC)


def told(error: BaseException) -> str:
    """An exception in a line, and its traceback."""
    return "".join(traceback.format_exception_only(error)).strip() + "\n" + "".join(traceback.format_exception(error))


def serve(
    pipe: Connection, driver: Connection, output: Connection, board: Board, sources: Sequence[str], device: str
) -> None:
    """Receive a task; send its value or what it raised; until the driver is gone.

    Parameters
    ----------
    pipe : tasks come, (kind, value) goes: "worn", then "value" or "raised"; "broken" instead of all.
    driver : see `end_with`.
    output : what codecs print goes there.
    board : the stages of a task go there.
    sources, device : see `pool.Pool`.
    """
    end_with(driver)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to handle
    with suppress(OSError):  # where memory runs out, the kernel should not choose the driver
        Path("/proc/self/oom_score_adj").write_text("500")
    me = os.getpid()

    def only_parent() -> None:
        if os.getpid() != me:  # a codec forked, and the child came back here: the task is its parent's
            os._exit(0)

    def send(kind: str, value: Any) -> None:
        only_parent()
        pipe.send((kind, value))

    def stage(name: str) -> None:
        only_parent()
        seed()
        board.write(name)

    surroundings = Surroundings(output.fileno())
    try:
        from ..codecs import registry
        from ..codecs._device import choose
        from ..codecs._load import LoadError, load

        choose(device)
        registry.names()
        try:
            for source in sources:
                load(source)
        except LoadError as error:  # the file of a user, and no fault of ours: without a traceback
            send("broken", str(error))
            return
    except Exception as error:
        send("broken", told(error))
        return
    with suppress(BrokenPipeError, ConnectionResetError):  # the driver is gone
        while True:
            try:
                task = pipe.recv()
            except EOFError:
                return
            except Exception as error:  # a task that cannot be unpickled here
                send("raised", told(error))
                continue
            surroundings.restore()
            try:
                with warnings.catch_warnings(), np.errstate():
                    seed()
                    outcome = "value", task.run(stage)
            except BaseException as error:  # codecs exit and interrupt, too
                outcome = "raised", told(error)
            if left := worn():
                send("worn", left)
            try:
                send(*outcome)
            except OSError:
                return
            except Exception as error:  # a value that cannot be pickled
                send("raised", told(error))
