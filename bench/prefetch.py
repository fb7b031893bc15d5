"""Before a run: get the weights that its codecs lack. What cannot be had leaves the codec unavailable, never an error.

Small models are fetched unasked, so no network may cost a run more than a moment: the download runs beside, and is
given up once it has stood still for `PATIENCE` seconds in all, whatever hangs (a name server, a connection).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from ..codecs import registry as codecs
from . import _hub, models
from .download import DownloadError, offline
from .models import Model, ModelError

PATIENCE = 5.0
Say = Callable[[str], None]  # a line for the user


def fetch_missing(names: Iterable[str], large: bool, say: Say) -> None:
    """Get the models that these codecs lack, the small ones, or all of them.

    Parameters
    ----------
    names : of codecs; those that do not exist, or run weights of a user's own, are passed over.
    large : also models above `models.SMALL`, and those of unknown size.
    say : called with one line for each model that is fetched, and one for each that could not be.
    """
    if offline():
        return
    chosen = [codecs.get(name) for name in names if name in codecs and ":" not in name]
    lacking = [model for model in dict.fromkeys(codec.model for codec in chosen) if model and not models.path(model)]
    patience = _Patience(PATIENCE)
    for model in lacking:
        if 0 < model.bytes <= models.SMALL:
            if patience.left > 0:
                _fetch(model, patience.get, say)
            else:
                say(f"the run goes on without {model.name} too; later: bench models get {model.name}")
        elif large and not (model.repo and _hub.offline()):
            _fetch(model, models.get, say)


def _fetch(model: Model, get: Callable[[Model], object], say: Say) -> None:
    say(f"fetching {model.name}: {model.title}, {model.size}, licence {model.licence}, from {model.address}")
    try:
        get(model)
    except ModelError as error:
        say(f"the run goes on without it: {error}")


class _Patience:
    """Downloads that together may stand still for so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds

    def get(self, model: Model) -> None:
        """As `models.get`. Raises ModelError, also when the patience is spent."""
        moved, given_up, failure = time.monotonic(), False, list[ModelError]()

        def progress(done: int, total: int) -> None:
            nonlocal moved
            if given_up:
                raise DownloadError("given up")
            moved = time.monotonic()

        def work() -> None:
            try:
                models.get(model, progress, pause=0.5, attempts=2)
            except ModelError as error:
                failure.append(error)

        # A daemon: a name server that hangs cannot be interrupted, and must not hold up the end of the process.
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        while thread.is_alive() and time.monotonic() - moved < self.left:
            thread.join(0.05)
        if thread.is_alive():
            given_up, self.left = True, 0.0
            raise ModelError(f"{model.name}: no answer from {model.address}; later: bench models get {model.name}")
        if failure:
            self.left -= time.monotonic() - moved
            raise failure[0]
