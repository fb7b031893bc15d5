"""Tasks that workers of the pool's tests import: good ones and bad ones."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass

from codecbench.bench.pool import THREADS


@dataclass(frozen=True)
class Task:
    what: str
    group: str = "g"

    def run(self, stage):
        stage(f"doing {self.what}")
        if self.what == "raise":
            raise ValueError("no good")
        if self.what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.what == "exit":
            os._exit(7)
        if self.what == "hang":
            time.sleep(600)
        if self.what == "threads":
            return {name: os.environ.get(name) for name in THREADS}
        return self.what
