"""SIGTERM and SIGHUP end a command as Ctrl-C (SIGINT) does: it tidies up, keeps what is done and says how to go on."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}


class Ended(KeyboardInterrupt):
    """A signal came; `number` is which."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def exit_code(error: KeyboardInterrupt) -> int:
    """128 and the signal's number, as shells give it."""
    return 128 + (error.number if isinstance(error, Ended) else signal.SIGINT)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Raise Ended at the first such signal, and let no further one disturb the tidying up. One that is ignored, as
    under nohup, stays so."""

    def end(number: int, frame: FrameType | None) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise Ended(number)

    before = {number: usual for number, usual in ENDING.items() if signal.getsignal(number) == usual}
    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, usual in before.items():
            signal.signal(number, usual)
