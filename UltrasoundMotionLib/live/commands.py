"""Commands to a running session, as words: from the terminal, from another program's STRING message, from a panel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError

DEVICE = "LiveCommand"
"""Name of the STRING messages that are taken as commands."""
USAGE = "commands: again, again POINTS.csv, record FILE.seq.nhdr, record off, stop"


@dataclass(frozen=True, eq=False)
class LiveCommand:
    """A command.

    Attributes:
        kind: "place" (follow points from the newest image on), "record" or "stop".
        points_path: of "place": a file of points; None: those given here, or else the first ones of the session.
        labels, points_px, points_ras: of "place": the points, in pixels (N, 2) or RAS mm (N, 3).
        record_path: of "record": the file; None ends the recording.
    """

    kind: str
    points_path: Path | None = None
    labels: tuple[str, ...] | None = None
    points_px: np.ndarray | None = None
    points_ras: np.ndarray | None = None
    record_path: Path | None = None


def parse_command(text: str) -> LiveCommand:
    """Parses the words of a command.

    Raises:
        InputError: it is none; the message lists them.
    """
    word, _, rest = text.strip().partition(" ")
    rest = rest.strip()
    if word == "again":
        return LiveCommand("place", points_path=Path(rest) if rest else None)
    if word == "record" and rest:
        return LiveCommand("record", record_path=None if rest == "off" else Path(rest))
    if word in ("stop", "quit", "q") and not rest:
        return LiveCommand("stop")
    raise InputError(f"{text.strip()[:60]!r} is no command; {USAGE}")
