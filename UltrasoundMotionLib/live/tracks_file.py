"""The table of a live session's positions, written line by line, so that the memory does not grow with it."""

from __future__ import annotations

import csv
from contextlib import ExitStack
from pathlib import Path

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.live.frame import LiveFrame
from UltrasoundMotionLib.live.live_tracker import LivePoints
from UltrasoundMotionLib.tracking.files.tracks_csv import COLUMNS, TRACKER_COLUMN, table_row


class LiveTracksFile:
    """Writes the table of `write_tracks_csv`; the file appears under its name when it is closed.

    Frames are numbered as they were received, those of a recording from 0; frames that were not tracked have no lines.
    """

    def __init__(self, path: Path, model: str) -> None:
        """Opens the file.

        Raises:
            OutputError: the file cannot be written.
        """
        self._model, self._rows = model, 0
        self._stack = ExitStack()
        temporary = self._stack.enter_context(atomic_output(path))
        self._file = self._stack.enter_context(temporary.open("w", newline="", encoding="utf-8"))
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow((*COLUMNS, TRACKER_COLUMN))

    def add(self, frame: LiveFrame, points: LivePoints) -> None:
        """Writes the points of a frame."""
        found = points.found
        for label, place, confidence, visible in zip(
            points.labels, found.positions_px.tolist(), found.confidence.tolist(), found.visible.tolist(), strict=True
        ):
            row = table_row(frame.index, frame.time_s, label, place, confidence=confidence, visible=visible)
            self._writer.writerow((*row, self._model))

    def close(self) -> None:
        """Gives the file its name."""
        self._stack.close()
