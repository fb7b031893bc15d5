"""Progress of a run: bars with rate and time left on a terminal, one line a phase elsewhere."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


class _Rate(ProgressColumn):
    """Steps a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f}/s" if speed else "", style="progress.data.speed")


class Reporter:
    """Shows (phase, done, total) as it comes. With `quiet` it shows nothing."""

    def __init__(self, console: Console, quiet: bool = False) -> None:
        self._console, self._quiet = console, quiet
        self._bars: dict[str, int] = {}
        self._said: set[tuple[str, bool]] = set()
        self._progress = Progress(
            TextColumn("{task.description:<30}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
        )

    def __enter__(self) -> Reporter:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def update(self, phase: str, done: int, total: int) -> None:
        """Show how far a phase is; a total of 0 is a phase without steps."""
        if self._quiet:
            return
        if not self._console.is_terminal:
            ended = done >= total
            if (phase, ended) not in self._said and (total == 0 or done in (0, total)):
                self._said.add((phase, ended))
                self._console.print(f"{phase}: {done} of {total}" if total else phase, markup=False)
            return
        if phase not in self._bars:
            self._bars[phase] = self._progress.add_task(phase, total=total or None)
        self._progress.update(self._bars[phase], completed=done, total=total or None)  # type: ignore[arg-type]
