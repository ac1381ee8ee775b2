"""How sure a tracker was of a point, as the control point's description: people read it in Slicer, and it reads back
without loss.
"""

from __future__ import annotations

import re

import numpy as np

from UltrasoundMotionLib.tracking import PointTracks

NOT_REACHED = "not reached"
CONFIDENCE = re.compile(r"confidence (\d(?:\.\d+)?)")
BEST_GUESS = re.compile(r"perhaps at x (\S+) y (\S+) px")
TRACKED = re.compile(r"tracked to x (\S+) y (\S+) px")


def describe_point(tracks: PointTracks, frame: int, point: int) -> str:
    """`confidence 0.87, tracked to x 12.3 y 45.6 px`; of a lost point the tracker's best guess, which the markups node
    itself cannot keep.

    Where a point is elsewhere than its description says, a user has put it there.
    """
    x, y = tracks.positions_px[frame, point]
    if not np.isfinite(x + y):
        return NOT_REACHED
    confidence = f"confidence {round(float(tracks.confidence[frame, point]), 6):.6g}"
    if tracks.visible[frame, point]:
        return f"{confidence}, tracked to x {x:.6f} y {y:.6f} px"
    return f"not visible, {confidence}, perhaps at x {x:.6f} y {y:.6f} px"


def confidence_in(description: str) -> float | None:
    """The confidence that a description states, or None where it states none."""
    found = CONFIDENCE.search(description)
    return float(found.group(1)) if found else None


def best_guess_in(description: str) -> tuple[float, float] | None:
    """The (x, y) in pixels that the description of a lost point states, or None."""
    return _position(BEST_GUESS.search(description))


def tracked_position_in(description: str) -> tuple[float, float] | None:
    """The (x, y) in pixels to which the tracker followed a visible point, or None where the description does not state
    it.
    """
    return _position(TRACKED.search(description))


def _position(found: re.Match[str] | None) -> tuple[float, float] | None:
    return (float(found.group(1)), float(found.group(2))) if found else None
