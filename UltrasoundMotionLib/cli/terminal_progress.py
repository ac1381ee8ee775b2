"""Progress of a long call: a bar on a terminal, a line now and then anywhere else; and notes for the user."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterable
from types import TracebackType
from typing import TextIO

BAR_WIDTH = 28


class TerminalProgress:
    """A `Progress` for a `with` block; silent during the first two seconds, and after them when `quiet`.

    On a terminal one line is redrawn ten times a second at most and wiped at the end; in a log file there is a line
    every 15 seconds.

    Args:
        title: what is being done, as "tracking".
        unit: what is counted, as "frames".
        stream: where to write; stderr when None.
    """

    def __init__(self, title: str, unit: str = "frames", *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self.title = title
        self.unit = unit
        self.quiet = quiet
        self.stream = stream or sys.stderr
        self.is_terminal = self.stream.isatty()
        self.wait_s = 2.0
        self.redraw_s = 0.1 if self.is_terminal else 15.0
        self._drawn_width = 0

    def __enter__(self) -> TerminalProgress:
        self._next_drawing = time.monotonic() + self.wait_s
        self._first: tuple[int, float] | None = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawn_width:
            self.stream.write("\r" + " " * self._drawn_width + "\r")
            self.stream.flush()

    def __call__(self, done: int, total: int, message: str) -> None:
        now = time.monotonic()
        self._first = self._first or (done, now)
        if self.quiet or now < self._next_drawing:
            return
        self._next_drawing = now + self.redraw_s
        line = f"{self.title} {self.describe(done, total, now) if total > 1 else message}"
        if self.is_terminal:
            line = line[: shutil.get_terminal_size().columns - 1]
            self.stream.write("\r" + line.ljust(self._drawn_width))
            self._drawn_width = max(self._drawn_width, len(line))
        else:
            self.stream.write(line + "\n")
        self.stream.flush()

    def describe(self, done: int, total: int, now: float) -> str:
        """Bar (on a terminal), count, and from the second report on the rate and the time left: what comes before the
        first is preparation.
        """
        share = done / total
        filled = round(BAR_WIDTH * share)
        bar = f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}] " if self.is_terminal else ""
        first_done, first_time = self._first or (done, now)
        if done == first_done or now == first_time:
            return f"{bar}{done}/{total} {self.unit} ({share:.0%})"
        rate = (done - first_done) / (now - first_time)
        return (
            f"{bar}{done}/{total} {self.unit} ({share:.0%}), {rate:.1f} {self.unit}/s, "
            f"{duration((total - done) / rate)} left"
        )


def duration(seconds: float) -> str:
    """Seconds in the shortest form that still says enough: 0.42 s, 12 s, 3:05 min, 1:02 h."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d} min"
    return f"{minutes // 60}:{minutes % 60:02d} h"


def print_notes(notes: Iterable[str], *, quiet: bool = False) -> None:
    """Prints what a user should know before looking at the result."""
    if not quiet:
        for note in notes:
            print(f"note: {note}", flush=True)
