"""The driver's connection to a Dask scheduler: made anew where that dies and comes back at its address."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

from . import ClusterError, ClusterLost

#: what a scheduler or worker that does not answer raises; TimeoutError is not one class before Python 3.11
AWAY = (OSError, TimeoutError, asyncio.TimeoutError)

#: seconds that one question to the scheduler may take
ANSWER = 30.0


class Connection:
    """A client of the scheduler at an address.

    say : called with a line when the cluster changes; patience : seconds to wait for a scheduler that is gone.

    Raises ClusterError if there is no scheduler.
    """

    def __init__(self, address: str, say: Callable[[str], None], patience: float) -> None:
        for name in ("distributed", "distributed.client", "distributed.scheduler", "distributed.nanny"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what happens is said here, once
        self.address, self._say, self._patience = address, say, patience
        self._threads = 0
        try:
            self.client = self._connect(10.0)
        except ClusterLost as error:
            raise ClusterError(f"{error}; start one with: dask scheduler") from error

    def ask(self, question: Any, **arguments: Any) -> Any:
        """The answer of a coroutine of the client or its scheduler. Raises one of AWAY if there is none."""
        return self.client.sync(question, callback_timeout=ANSWER, **arguments)

    def workers(self) -> dict[str, int]:
        """Threads by worker's address."""
        threads: dict[str, int] = self.ask(self.client.scheduler.ncores)
        return threads

    def look(self) -> bool:
        """Look after the cluster; False if the scheduler was gone, and all that it knew with it.

        Raises ClusterLost if it stays away.
        """
        before, there = self._threads, True
        try:
            if self.client.status != "running":
                raise OSError(self.client.status)
            self._threads = sum(self.workers().values())
        except AWAY:
            there = False
            self._say(f"the scheduler at {self.address} is gone; trying again for {self._patience:g} s")
            self.close()
            self.client = self._connect(self._patience)
            self._threads = sum(self.workers().values())
            self._say(f"the scheduler at {self.address} is back")
        if before and not self._threads:
            self._say(f"no worker is left; waiting for one, started by: dask worker {self.address}")
        return there

    @property
    def threads(self) -> int:
        """Of all workers, when it was looked last."""
        return self._threads

    def wait_for_workers(self) -> None:
        """Wait for the first one, however long that takes."""
        if not self.workers():
            self._say(f"waiting for the first worker of {self.address}")
        while not self.workers():
            time.sleep(0.2)

    def find(self, wanted: str, seconds: float) -> str:
        """The address of the worker of this name, address or host; waits so long for one that restarts.

        Raises ClusterLost if it is not there.
        """
        end = time.monotonic() + seconds
        while True:
            info = self.ask(self.client.scheduler.identity, n_workers=-1)["workers"]
            for address, one in info.items():
                if wanted in (address, str(one["name"]), one["host"]):
                    return str(address)
            if time.monotonic() >= end:
                there = ", ".join(sorted(f"{one['name']} ({address})" for address, one in info.items()))
                raise ClusterLost(f"no worker has the name, address or host {wanted}; there are: {there or 'none'}")
            time.sleep(0.5)

    def send_away(self, worker: str) -> None:
        """Close a worker; its tasks go to others."""
        with contextlib.suppress(Exception):  # it may be gone already
            self.ask(self.client.scheduler.retire_workers, workers=[worker], close_workers=True)

    def close(self) -> None:
        with contextlib.suppress(Exception):  # a scheduler that is gone
            self.client.close(timeout=2)

    def _connect(self, seconds: float) -> Any:
        from distributed import Client

        end = time.monotonic() + seconds
        while True:
            try:
                return Client(self.address, timeout=min(10.0, seconds), set_as_default=False)  # type: ignore[no-untyped-call]
            except ValueError as error:  # not an address
                raise ClusterError(f"{self.address} is no address of a scheduler: {error}") from error
            except AWAY as error:
                if time.monotonic() > end:
                    raise ClusterLost(f"no Dask scheduler answers at {self.address}") from error
                time.sleep(0.5)
