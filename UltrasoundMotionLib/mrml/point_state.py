"""How sure a tracker was of a point, as the control point's description: people read it in Slicer, and it reads back without loss."""

from __future__ import annotations

import re

import numpy as np

from UltrasoundMotionLib.tracks import PointTracks

NOT_REACHED = "not reached"
CONFIDENCE = re.compile(r"confidence (\d(?:\.\d+)?)")
BEST_GUESS = re.compile(r"perhaps at x (\S+) y (\S+) px")


def describe_point(tracks: PointTracks, frame: int, point: int) -> str:
    """`confidence 0.87`; of a lost point also the tracker's best guess, which the markups node itself cannot keep."""
    x, y = tracks.positions_px[frame, point]
    if not np.isfinite(x + y):
        return NOT_REACHED
    confidence = f"confidence {round(float(tracks.confidence[frame, point]), 6):.6g}"
    return confidence if tracks.visible[frame, point] else f"not visible, {confidence}, perhaps at x {x:.6f} y {y:.6f} px"


def confidence_in(description: str) -> float | None:
    """The confidence that a description states, or None where it states none."""
    found = CONFIDENCE.search(description)
    return float(found.group(1)) if found else None


def best_guess_in(description: str) -> tuple[float, float] | None:
    """The (x, y) in pixels that the description of a lost point states, or None."""
    found = BEST_GUESS.search(description)
    return (float(found.group(1)), float(found.group(2))) if found else None
