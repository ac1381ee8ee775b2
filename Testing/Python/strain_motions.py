"""Walls that move in closed form: what the tests of strain recompute their numbers from."""

import numpy as np

from UltrasoundMotionLib.tracking import PointTracks

POINT_COUNT = 49  # 48 pieces: eight in each of six segments


def half_ellipse(count: int = POINT_COUNT, angle_deg: float = 96.0) -> np.ndarray:
    """(count, 2) px: base left, apex up, base right, as an apical view shows it; pieces of equal length."""
    angle = np.deg2rad(np.linspace(-angle_deg, angle_deg, 4001))
    dense = np.stack([120 + 45 * np.sin(angle), 190 - 140 * np.cos(angle)], axis=1)
    arc = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(dense, axis=0).T))])
    wanted = np.linspace(0, arc[-1], count)
    return np.stack([np.interp(wanted, arc, dense[:, axis]) for axis in range(2)], axis=1)


def ring(count: int = 48, radius: float = 60.0) -> np.ndarray:
    """(count, 2) px around a circle from the top left, counter-clockwise as seen (y down)."""
    angle = np.deg2rad(120) + 2 * np.pi * np.arange(count) / count
    return 128 + radius * np.stack([np.cos(angle), -np.sin(angle)], axis=1)


def beat(frame_count: int = 41, end_systole: int = 16) -> np.ndarray:
    """(T,) 0 at both ends, 1 at end-systole: half cosines up and down."""
    up = np.arange(end_systole + 1) / end_systole
    down = np.arange(1, frame_count - end_systole) / (frame_count - 1 - end_systole)
    return np.concatenate([(1 - np.cos(np.pi * up)) / 2, (1 + np.cos(np.pi * down)) / 2])


def stretched(points: np.ndarray, stretch: np.ndarray) -> np.ndarray:
    """(T, N, 2): every piece of the polyline keeps its direction and gets (T, N-1) times its length."""
    moved = np.cumsum(stretch[..., None] * np.diff(points, axis=0), axis=1)
    start = np.broadcast_to(points[0], (len(stretch), 1, 2))
    return np.concatenate([start, points[0] + moved], axis=1)


def tracks_of(
    positions: np.ndarray, times_s: np.ndarray | None = None, spacing_mm=(0.5, 0.5), **changes
) -> PointTracks:
    """Tracks that are sure of everything; `times_s` None is 50 frames a second, an empty array unknown."""
    shape = positions.shape[:2]
    times = np.arange(shape[0]) / 50 if times_s is None else times_s
    values = {
        "positions_px": positions,
        "confidence": np.ones(shape),
        "visible": np.ones(shape, dtype=bool),
        "labels": tuple(f"P{index + 1}" for index in range(shape[1])),
        "query_frame": 0,
        "times_s": times if len(times) else None,
        "spacing_mm": spacing_mm,
        "model": "closed form",
    }
    return PointTracks(**{**values, **changes})
