"""State of a live session after a frame, for whoever watches it, and as JSON for other programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from UltrasoundMotionLib.live.frame import LiveFrame
from UltrasoundMotionLib.live.latency import LatencySummary
from UltrasoundMotionLib.live.live_strain import StrainState
from UltrasoundMotionLib.live.live_tracker import LivePoints
from UltrasoundMotionLib.live.source import SourceState


@dataclass(frozen=True, eq=False)
class LiveUpdate:
    """State of a session after a frame, or while no frame comes.

    Attributes:
        frame: the frame; None while none comes.
        points: the points on it; None where they are not tracked.
        state: "tracking", "lost", "waiting for points", "waiting for images" or "image changed".
        text: the state as one line.
        source: state of the source.
        tracked: number of frames tracked so far.
        recorded: number of frames recorded so far; None while nothing is recorded.
        latency: latency so far.
        strain: strain of the wall, where a contour is followed.
    """

    frame: LiveFrame | None
    points: LivePoints | None
    state: str
    text: str
    source: SourceState
    tracked: int
    recorded: int | None
    latency: LatencySummary
    strain: StrainState | None = None


def state_of(update: LiveUpdate) -> dict[str, Any]:
    """Returns an update as what JSON holds, for other programs; what is not known is null."""
    latency, strain, frame = update.latency, update.strain, update.frame
    return {
        "state": update.state,
        "text": update.text,
        "frame": None if frame is None else frame.index,
        "time_s": None if frame is None else round(frame.time_s, 6),
        "lost": [] if update.points is None else list(update.points.lost),
        "received": update.source.received,
        "dropped": update.source.dropped,
        "tracked": update.tracked,
        "recorded": update.recorded,
        "latency_p50_ms": _milliseconds(latency.recent_p50_s),
        "latency_p95_ms": _milliseconds(latency.recent_p95_s),
        "since_stamp_p50_ms": _milliseconds(latency.source_p50_s),
        "since_stamp_p95_ms": _milliseconds(latency.source_p95_s),
        "strain": None if strain is None else _strain_of(strain),
    }


def _strain_of(strain: StrainState) -> dict[str, Any]:
    beat = strain.beat
    return {
        "length": round(strain.length, 3),
        "unit": strain.unit,
        "percent": _rounded(strain.strain_percent),
        "low_percent": _rounded(strain.low_percent),
        "high_percent": _rounded(strain.high_percent),
        "beat": None
        if beat is None
        else {
            "number": beat.number,
            "percent": _rounded(beat.strain_percent),
            "low_percent": _rounded(beat.low_percent),
            "high_percent": _rounded(beat.high_percent),
            "drift_percent": _rounded(beat.drift_percent),
            "heart_rate_bpm": _rounded(beat.heart_rate_bpm),
            "reason": beat.reason,
        },
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 3)


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(1e3 * seconds, 2)
