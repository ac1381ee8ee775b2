"""A point's tracking state as the control point's description, readable for users and parsed without loss."""

from __future__ import annotations

import re

import numpy as np

from UltrasoundMotionLib.tracking.point_tracks import PointTracks

NOT_REACHED = "not reached"
_CONFIDENCE = re.compile(r"confidence (\d(?:\.\d+)?)")
_BEST_GUESS = re.compile(r"perhaps at x (\S+) y (\S+) px")
_TRACKED = re.compile(r"tracked to x (\S+) y (\S+) px")


def describe_point(tracks: PointTracks, frame: int, point: int) -> str:
    """Describes a point, as `confidence 0.87, tracked to x 12.3 y 45.6 px`; a lost point with the tracker's best guess.

    The markups node cannot store a guess for a missing point. A point that lies elsewhere than its description says was
    moved by a user.
    """
    x, y = tracks.positions_px[frame, point]
    if not np.isfinite(x + y):
        return NOT_REACHED
    confidence = f"confidence {round(float(tracks.confidence[frame, point]), 6):.6g}"
    if tracks.visible[frame, point]:
        return f"{confidence}, tracked to x {x:.6f} y {y:.6f} px"
    return f"not visible, {confidence}, perhaps at x {x:.6f} y {y:.6f} px"


def confidence_in(description: str) -> float | None:
    """Returns the confidence in a description, or None."""
    found = _CONFIDENCE.search(description)
    return float(found.group(1)) if found else None


def best_guess_in(description: str) -> tuple[float, float] | None:
    """Returns the best guess (x, y) in pixels in the description of a lost point, or None."""
    return _position(_BEST_GUESS.search(description))


def tracked_position_in(description: str) -> tuple[float, float] | None:
    """Returns the tracked position (x, y) in pixels in the description of a visible point, or None."""
    return _position(_TRACKED.search(description))


def _position(found: re.Match[str] | None) -> tuple[float, float] | None:
    return (float(found.group(1)), float(found.group(2))) if found else None
