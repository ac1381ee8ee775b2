"""Tracks between corrected frames: forwards from the one and backwards from the next, fused by their uncertainties."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.tracking.corrections.corrections import CorrectedFrames

_LEAST_CONFIDENCE = 0.05


@dataclass(frozen=True)
class FusionConfig:
    """Settings; lengths in pixels of a frame whose longer side has 256.

    Attributes:
        measured_px: standard deviation of a tracked position of full confidence.
        drift_px: standard deviation that each frame since the correction adds to it.
        hidden_px: standard deviation that each frame out of the tracker's sight, or marked as lost, adds to it.
        agree_px: difference of the two tracks that lowers the confidence to 0.6.
        visible_above: confidence under which a point is marked not visible because the two tracks differ.
    """

    measured_px: float = 0.5
    drift_px: float = 0.1
    hidden_px: float = 1.0
    agree_px: float = 4.0
    visible_above: float = 0.3


@dataclass(frozen=True, eq=False)
class Pass:
    """Tracks of one direction: positions_px (T, N, 2), NaN where there is none; confidence and visible (T, N)."""

    positions_px: np.ndarray
    confidence: np.ndarray
    visible: np.ndarray

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> Pass:
        """Makes tracks (T, N) that are nowhere."""
        return cls(np.full((*shape, 2), np.nan), np.zeros(shape), np.zeros(shape, dtype=bool))

    def between(self, start: int, stop: int, point: int) -> Pass:
        """Returns the frames [start, stop) of one point as (L, 1)."""
        return Pass(
            self.positions_px[start:stop, point : point + 1],
            self.confidence[start:stop, point : point + 1],
            self.visible[start:stop, point : point + 1],
        )


@dataclass(frozen=True, eq=False)
class Fused(Pass):
    """Fused tracks, and the distance of the two directions (T, N), NaN where there is only one."""

    disagreement_px: np.ndarray


def fuse_passes(frames: CorrectedFrames, forward: Pass, backward: Pass, unit: float, config: FusionConfig) -> Fused:
    """Fuses forward and backward tracks (T, N) between the corrected frames of each point.

    A track's error is taken for a random walk that starts at the correction, where it is zero: its variance after the
    frames s = 1 ... t is

        V(t) = sum of drift^2 + measured^2 (1 / c(s) - 1) + hidden^2 h(s)

    with the tracker's confidence c and h = 1 where the point is out of sight or marked as lost. V is then scaled by
    1 + e^2 / (2 V(L)), with e the distance from the next correction at which the track arrives there: the forward-
    backward error, measured where the truth is known. The fused position is the mean weighted by the inverse variances,
    which is the two-filter form of the Rauch-Tung-Striebel smoother (Fraser and Potter, AIAA J. 1969) for such a walk;
    at a corrected frame one variance is zero, and the position is the correction.

    Args:
        frames: the corrections.
        forward, backward: from each correction to the next, at least.
        unit: pixels for one pixel of a frame whose longer side has 256.
    """
    placed = frames.placed
    fused = Fused(
        np.where(np.isfinite(forward.positions_px), forward.positions_px, backward.positions_px),
        np.where(np.isfinite(forward.positions_px[..., 0]), forward.confidence, backward.confidence),
        np.where(np.isfinite(forward.positions_px[..., 0]), forward.visible, backward.visible),
        np.full(placed.shape, np.nan),
    )
    for point in range(len(frames.labels)):
        corrected = frames.frames_of(point)
        for start, stop in zip(corrected.tolist(), corrected[1:].tolist(), strict=False):
            part = slice(start, stop + 1), point
            ends = frames.positions_px[[start, stop], point]
            passes = forward.between(start, stop + 1, point), backward.between(start, stop + 1, point)
            position, confidence, visible, apart = _fuse_gap(passes, ends, frames.lost[part], unit=unit, config=config)
            fused.positions_px[part], fused.confidence[part] = position, confidence
            fused.visible[part], fused.disagreement_px[part] = visible, apart
    fused.positions_px[placed], fused.confidence[placed] = frames.positions_px[placed], 1.0
    fused.visible[placed] = True
    fused.confidence[frames.lost], fused.visible[frames.lost] = 0.0, False
    return fused


def _fuse_gap(
    passes: tuple[Pass, Pass], ends: np.ndarray, lost: np.ndarray, *, unit: float, config: FusionConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Fuses the tracks of one point, forwards and backwards, between two corrections (2, 2): positions (L, 2), and
    confidence, visibility and disagreement (L,).
    """
    forward, backward = passes
    there, back = forward.positions_px[:, 0], backward.positions_px[:, 0]
    there_variance = _scaled(_walk(forward, lost, unit, config), there[-1] - ends[1])
    back_variance = _scaled(_walk(_reversed(backward), lost[::-1], unit, config), back[0] - ends[0])[::-1]
    share = back_variance / (there_variance + back_variance)
    position = share[:, None] * there + (1 - share)[:, None] * back
    apart = np.linalg.norm(there - back, axis=1)
    seen = forward.visible[:, 0], backward.visible[:, 0]
    agreement = np.where(seen[0] & seen[1], np.exp(-0.5 * (apart / (config.agree_px * unit)) ** 2), 1.0)
    surer = share >= 0.5
    confidence = np.where(surer, forward.confidence[:, 0], backward.confidence[:, 0]) * agreement
    visible = np.where(surer, *seen) & (agreement > config.visible_above)
    return position, confidence, visible, apart


def _walk(track: Pass, lost: np.ndarray, unit: float, config: FusionConfig) -> np.ndarray:
    """The variance (L,) in pixels squared of a track that starts at its first frame."""
    confidence = np.clip(track.confidence[:, 0], _LEAST_CONFIDENCE, 1.0)
    hidden = ~track.visible[:, 0] | lost
    steps = config.drift_px**2 + config.measured_px**2 * (1 / confidence - 1) + config.hidden_px**2 * hidden
    steps[0] = 0.0
    return np.cumsum(steps) * unit**2


def _scaled(variance: np.ndarray, closing_error: np.ndarray) -> np.ndarray:
    """The variance (L,) scaled so that it expects the error (2,) with which the track arrives at its last frame."""
    return variance * (1 + float(closing_error @ closing_error) / (2 * variance[-1]))


def _reversed(track: Pass) -> Pass:
    return Pass(track.positions_px[::-1], track.confidence[::-1], track.visible[::-1])
