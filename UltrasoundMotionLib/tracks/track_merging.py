"""Tracks that were made again from some frame on, put into those there were before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.tracks.point_tracks import PointTracks


def merge_tracks(before: PointTracks, again: PointTracks) -> PointTracks:
    """The tracks `before`, with every point of `again` replaced on the frames that `again` reached; all else stays as it was.

    Args:
        before: tracks of the whole sequence.
        again: some or all of the same points, followed anew from a corrected frame on (NaN on the frames left out).

    Returns:
        PointTracks with the query frame, times, spacing and tracker of `before`.

    Raises:
        InputError: another number of frames, or a point that `before` does not have.
    """
    if len(before.positions_px) != len(again.positions_px):
        raise InputError(f"tracks of {len(again.positions_px)} frames cannot go into tracks of {len(before.positions_px)}")
    unknown = [label for label in again.labels if label not in before.labels]
    if unknown:
        raise InputError(f"there is no point called {unknown[0]!r} in the tracks; there are {', '.join(before.labels)}")
    columns = [before.labels.index(label) for label in again.labels]
    place = np.ix_(np.flatnonzero(again.reached), columns)
    merged = {}
    for name in ("positions_px", "confidence", "visible"):
        merged[name] = getattr(before, name).copy()
        merged[name][place] = getattr(again, name)[again.reached]
    return replace(before, **merged)
