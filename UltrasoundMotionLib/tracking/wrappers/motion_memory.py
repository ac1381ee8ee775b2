"""Memory of landmarks' motion, which predicts one that is out of sight from its companions, earlier breaths and
velocity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class MotionMemoryConfig:
    """Settings; lengths in pixels of a frame whose longer side has 256, times in frames.

    Attributes:
        frames: number of frames that are remembered.
        velocity_frames: number of frames over which the velocity is taken.
        velocity_decay: factor of the velocity after each frame that is predicted by it alone.
        cycle_distance: distance (in position, and velocity over `velocity_frames`) within which a remembered state
            predicts the next one.
        cycle_neighbours: number of remembered states that are averaged.
        companions: number of the nearest landmarks that a hidden one moves with.
        companion_prior: weight, in pixels squared, of the assumption that a landmark moves as its companions do.
    """

    frames: int = 600
    velocity_frames: int = 3
    velocity_decay: float = 0.9
    cycle_distance: float = 2.0
    cycle_neighbours: int = 4
    companions: int = 6
    companion_prior: float = 200.0


class MotionMemory:
    """A bounded memory of N landmarks' positions, and predictions from it."""

    def __init__(self, positions_px: np.ndarray, unit: float, config: MotionMemoryConfig | None = None) -> None:
        self.config = config or MotionMemoryConfig()
        self._unit = unit
        self._start = np.array(positions_px, dtype=np.float64)
        self._positions = self._start[None].copy()
        self._seen = np.ones((1, len(self._start)), dtype=bool)

    def add(self, positions_px: np.ndarray, seen: np.ndarray) -> None:
        """Remembers one more frame: positions (N, 2), and which of them (N,) were seen rather than predicted."""
        self._positions = np.concatenate(
            (self._positions[-self.config.frames + 1 :], np.asarray(positions_px, dtype=np.float64)[None])
        )
        self._seen = np.concatenate((self._seen[-self.config.frames + 1 :], np.asarray(seen, dtype=bool)[None]))

    def predict(self, frames: int = 1) -> np.ndarray:
        """Predicts positions (N, 2) so many frames after the last: by similar states before (breathing repeats), else
        by the velocity, which decays.
        """
        span = self.config.velocity_frames
        path = self._positions[-span - 1 :].copy()
        if len(path) <= span:
            path = np.concatenate((np.repeat(path[:1], span + 1 - len(path), axis=0), path))
        candidates = self._candidates()
        for ahead in range(frames):
            path = np.concatenate((path[1:], (path[-1] + self._step(path, candidates, ahead))[None]))
        return path[-1]

    def _candidates(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Remembered positions (K, N, 2), motions up to them, and the steps that followed; NaN where one of them was
        not seen.
        """
        span = self.config.velocity_frames
        # The newest states resemble the present one without telling what comes after it.
        last = len(self._positions) - 1 - 2 * span
        if last <= span:
            return None
        index = np.arange(span, last)
        seen = self._seen[index] & self._seen[index - span] & self._seen[index + 1]
        positions = np.where(seen[..., None], self._positions[index], np.nan)
        return positions, positions - self._positions[index - span], self._positions[index + 1] - positions

    def _step(
        self, path: np.ndarray, candidates: tuple[np.ndarray, np.ndarray, np.ndarray] | None, ahead: int
    ) -> np.ndarray:
        config, motion = self.config, path[-1] - path[0]
        step = motion / config.velocity_frames * config.velocity_decay ** (ahead + 1)
        if candidates is None:
            return step
        positions, motions, steps = candidates
        distance = np.sqrt(np.sum((positions - path[-1]) ** 2 + (motions - motion) ** 2, axis=2)) / self._unit
        distance = np.where(np.isfinite(distance), distance, np.inf)
        nearest = np.argsort(distance, axis=0)[: config.cycle_neighbours]
        distance = np.take_along_axis(distance, nearest, axis=0)
        followed = np.nan_to_num(np.take_along_axis(steps, nearest[..., None], axis=0))
        weight = np.where(distance < config.cycle_distance, 1 / (distance + 0.1), 0.0)
        total = weight.sum(axis=0)
        like_before = (weight[..., None] * followed).sum(axis=0) / np.maximum(total, 1e-9)[:, None]
        return np.where(total[:, None] > 0, like_before, step)

    def follow_companions(self, positions_px: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """Returns `positions_px` (N, 2) of the newest frame, not added yet, with those not `seen` moved along with
        those that were.

        A hidden landmark moves as the nearest few that are seen now and were in the frame before, by a linear map
        fitted to the frames in which all were seen, which starts at moving alike. Without companions it goes where
        `predict` says.
        """
        result = np.where(seen[:, None], positions_px, self.predict())
        moving = seen & self._seen[-1]
        for hidden in np.flatnonzero(~seen):
            others = np.flatnonzero(moving)
            if len(others) == 0:
                continue
            others = others[
                np.argsort(np.linalg.norm(self._start[others] - self._start[hidden], axis=1))[: self.config.companions]
            ]
            step = (positions_px[others] - self._positions[-1, others]).mean(axis=0)
            known = self._seen[:, hidden] & self._seen[:, others].all(axis=1)
            theirs = self._positions[known][:, others].mean(axis=1)
            own = self._positions[known, hidden]
            if len(own):  # none when it has been hidden for longer than the memory reaches
                theirs, own = theirs - theirs.mean(axis=0), own - own.mean(axis=0)
            prior = self.config.companion_prior * self._unit**2 * np.eye(2)
            result[hidden] = self._positions[-1, hidden] + step @ np.linalg.solve(
                theirs.T @ theirs + prior, theirs.T @ own + prior
            )
        return result
