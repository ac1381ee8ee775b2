"""Smooth paths through uncertain positions (Rauch, Tung and Striebel, AIAA J. 1965)."""

from __future__ import annotations

import numpy as np

_UNKNOWN = 1e12
"""Variance of an unknown position or velocity, in pixels squared."""


def smooth_paths(positions: np.ndarray, variances: np.ndarray, acceleration: float) -> tuple[np.ndarray, np.ndarray]:
    """Runs a Kalman filter forwards and a Rauch-Tung-Striebel smoother backwards with nearly constant velocity.

    Args:
        positions: (T, N, 2) measured; not read where the variance is infinite.
        variances: (T, N) of each coordinate; infinite where there is no measurement.
        acceleration: standard deviation of the change of velocity from one frame to the next, in pixels a frame.

    Returns:
        (T, N, 2) smoothed positions and (T, N) their variances.
    """
    frame_count, count = variances.shape
    move = np.array([[1.0, 1.0], [0.0, 1.0]])
    noise = acceleration**2 * np.array([[0.25, 0.5], [0.5, 1.0]])  # constant acceleration within a frame
    state, spread = (
        np.zeros((count, 2, 2)),
        np.tile(_UNKNOWN * np.eye(2), (count, 1, 1)),
    )  # state: (N, [place, velocity], [x, y])
    filtered, spreads, expected, expected_spreads = [], [], [], []
    for frame in range(frame_count):
        if frame:
            state, spread = move @ state, move @ spread @ move.T + noise
        expected.append(state)
        expected_spreads.append(spread)
        measured = np.isfinite(variances[frame])
        variance = np.where(measured, variances[frame], 1.0)
        gain = np.where(measured[:, None], spread[:, :, 0] / (spread[:, :1, 0] + variance[:, None]), 0.0)
        error = np.where(measured[:, None], positions[frame] - state[:, 0], 0.0)
        state = state + gain[:, :, None] * error[:, None, :]
        keep = np.eye(2) - gain[:, :, None] * np.array([1.0, 0.0])
        # Joseph's form, which stays symmetric and positive when little is known.
        spread = keep @ spread @ keep.transpose(0, 2, 1) + variance[:, None, None] * gain[:, :, None] * gain[:, None, :]
        filtered.append(state)
        spreads.append(spread)
    smoothed, variance_of = [state], [spread]
    for frame in range(frame_count - 2, -1, -1):
        back = spreads[frame] @ move.T @ np.linalg.inv(expected_spreads[frame + 1])
        state = filtered[frame] + back @ (smoothed[-1] - expected[frame + 1])
        spread = spreads[frame] + back @ (variance_of[-1] - expected_spreads[frame + 1]) @ back.transpose(0, 2, 1)
        smoothed.append(state)
        variance_of.append(spread)
    return np.stack(smoothed[::-1])[:, :, 0], np.stack(variance_of[::-1])[:, :, 0, 0]
