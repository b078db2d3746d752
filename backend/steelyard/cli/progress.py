"""A progress bar on stderr, drawn only on a terminal."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from steelyard.cli.output import Output
from steelyard.cli.units import format_size

_INTERVAL = 0.1


class Progress:
    """One bar, written here because importing a library for it costs more than a read takes."""

    def __init__(
        self, output: Output, what: str = "", *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Nothing is drawn yet; ``what`` stands before the bar, or else what each call names."""
        self._output = output
        self._what = what
        self._clock = clock
        self._last = clock() - _INTERVAL
        self._begun = ("", 0.0, 0)
        self._drawn = 0

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wipe the bar, so that what follows starts on a clean line."""
        if self._drawn:
            self._output.err.write("\r" + " " * self._drawn + "\r")
            self._output.err.flush()
            self._drawn = 0

    def __call__(self, what: str, done: int, total: int) -> None:
        """Draw that ``done`` of ``total`` bytes are ``what``, at most ten times a second.

        The rate is of what was done since it began; what was there before, after an interruption, does not count.
        """
        now = self._clock()
        if self._begun[0] != what:
            self._begun = (what, now, done)
        if not self._output.live or (now - self._last < _INTERVAL and done < total):
            return
        self._last = now
        label = self._what or f"{what:5}"
        _, start, before = self._begun
        speed = int((done - before) / max(now - start, 0.001))
        share = done / total if total else 1.0
        tail = f" {share:4.0%}  {format_size(done)} of {format_size(total)}  {format_size(speed)}/s"
        if speed and done < total:
            tail += f"  {_clock_text((total - done) // speed)} left"
        columns = min(shutil.get_terminal_size().columns - 1, 79)
        room = columns - len(label) - len(tail) - 3
        filled = int(share * room)
        bar = f" [{'#' * filled}{'.' * (room - filled)}]" if room >= 5 else ""
        line = f"{label}{bar}{tail}"[:columns]
        self._output.err.write("\r" + line.ljust(self._drawn))
        self._output.err.flush()
        self._drawn = max(self._drawn, len(line))


def _clock_text(seconds: int) -> str:
    """Return a time as ``0:42`` or ``1:05:00``."""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
