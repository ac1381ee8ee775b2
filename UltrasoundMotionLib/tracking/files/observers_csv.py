"""Tracks of several observers as one CSV table."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

COLUMNS = ("observer", "frame", "time_s", "label", "x", "y", "confidence", "visible", "state")


@dataclass(frozen=True, eq=False)
class ObserverTracks:
    """Tracks of one observer, and masks (T, N): where they corrected, accepted or marked a point as lost."""

    tracks: PointTracks
    corrected: np.ndarray
    accepted: np.ndarray
    lost: np.ndarray

    @property
    def placed(self) -> np.ndarray:
        """(T, N) bool, where the observer stated a position."""
        return self.corrected | self.accepted

    def state(self, frame: int, point: int) -> str:
        """`corrected`, `accepted`, `lost`, or `tracked` where the observer said nothing."""
        for name in ("lost", "accepted", "corrected"):
            if getattr(self, name)[frame, point]:
                return name
        return "tracked"


def write_observers_csv(path: str | Path, observers: Mapping[str, ObserverTracks]) -> None:
    """Writes `observer,frame,time_s,label,x,y,confidence,visible,state`: the columns of tracks, who made them, and
    whether the position was corrected, accepted, marked as lost, or only tracked.

    Raises:
        OutputError: the file cannot be written; nothing is left under its name.
    """
    with atomic_output(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for name, one in observers.items():
            tracks = one.tracks
            for frame, point in np.argwhere(np.isfinite(tracks.positions_px).all(axis=2)).tolist():
                time = "" if tracks.times_s is None else round(float(tracks.times_s[frame]), 9)
                x, y = (round(value, 6) for value in tracks.positions_px[frame, point].tolist())
                confidence = round(float(tracks.confidence[frame, point]), 6)
                seen = int(tracks.visible[frame, point])
                label = tracks.labels[point]
                writer.writerow((name, frame, time, label, x, y, confidence, seen, one.state(frame, point)))
