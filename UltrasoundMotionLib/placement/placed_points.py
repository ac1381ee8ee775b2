"""Tracked points in the space of a volume, as a table."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.atomic_output import write_text_file
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.placement.placement import Placement
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

COLUMNS = ("frame", "time_s", "label", "r", "a", "s", "confidence", "visible")


def write_placed_points(path: str | Path, tracks: PointTracks, placement: Placement) -> int:
    """Writes `frame,time_s,label,r,a,s,confidence,visible`: RAS mm to 1e-4, a line for each point on each frame that
    both have a place, and returns how many positions were left out because their frame has none.

    Raises:
        InputError: the tracks have another number of frames than the placement.
        OutputError: the file cannot be written; nothing is left under its name.
    """
    if len(tracks.positions_px) != len(placement.pixel_to_ras):
        raise InputError(f"tracks of {len(tracks.positions_px)} frames for a clip of {len(placement.pixel_to_ras)}")
    points = placement.points_ras(tracks.positions_px)
    known = np.isfinite(tracks.positions_px).all(axis=2)
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for frame, point in np.argwhere(known & placement.placed[:, None]).tolist():
        time = "" if tracks.times_s is None else round(float(tracks.times_s[frame]), 9)
        position = (round(value, 4) for value in points[frame, point].tolist())
        sure, seen = round(float(tracks.confidence[frame, point]), 6), int(tracks.visible[frame, point])
        writer.writerow((frame, time, tracks.labels[point], *position, sure, seen))
    write_text_file(path, stream.getvalue())
    return int((known & ~placement.placed[:, None]).sum())
