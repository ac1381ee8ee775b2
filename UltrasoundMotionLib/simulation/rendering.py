"""Renders the frames of a phantom, and tells which points can be seen in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from UltrasoundMotionLib.progress import Progress
from UltrasoundMotionLib.simulation.degradation import Clutter, Shadow
from UltrasoundMotionLib.simulation.imaging import Imaging
from UltrasoundMotionLib.simulation.scanner import Scanner
from UltrasoundMotionLib.simulation.texture import random_field

HIDDEN_DB = 9.0  # a point behind a shadow darker than this counts as not visible


class BeamLoss:
    """Loss in dB over the beam domain: uneven contact, weak outer beams, and shadows that move."""

    def __init__(self, half_angle: float, shadows: Sequence[Shadow], unevenness_db: float, edge_db: float, rng: np.random.Generator) -> None:
        self._half_angle, self._shadows, self._edge_db = half_angle, tuple(shadows), edge_db
        self._grid = np.linspace(-1.2, 1.2, 97)
        self._uneven = unevenness_db * random_field(np.stack([self._grid * half_angle, np.zeros(97)], axis=1), 0.12, rng)

    def fixed_db(self, angle: np.ndarray) -> np.ndarray:
        """The part that does not move."""
        part = angle / self._half_angle
        outer = self._edge_db * np.clip((np.abs(part) - 0.62) / 0.38, 0, None) ** 1.5
        return np.interp(part, self._grid, self._uneven) + outer

    def shadow_db(self, depth_mm: np.ndarray, angle: np.ndarray, time_s: float) -> np.ndarray:
        """The shadows' part."""
        loss = np.zeros(np.broadcast_shapes(np.shape(depth_mm), np.shape(angle)))
        for shadow in self._shadows:
            loss = loss + shadow.loss_db(depth_mm, angle, time_s)
        return loss


def render(
    scanner: Scanner,
    sources: Sequence[Callable[[float], tuple[np.ndarray, np.ndarray]]],
    loss: BeamLoss,
    clutter: Clutter,
    times_s: np.ndarray,
    progress: Progress,
) -> np.ndarray:
    """(T, H, W) uint8 frames. Each source gives, for a time, (N, 2) places in mm and (N,) complex amplitudes; called once per frame, in order."""
    frames = np.empty((len(times_s), *scanner.sector_mask.shape), dtype=np.uint8)
    depth, angle = scanner.depths_mm[:, None], scanner.angles[None, :]
    fixed = loss.fixed_db(angle)
    for index, time in enumerate(times_s):
        parts = [source(float(time)) for source in sources]
        echo = scanner.focus(scanner.place(np.concatenate([p for p, _ in parts]), np.concatenate([a for _, a in parts])))
        echo *= (10 ** (-(fixed + loss.shadow_db(depth, angle, float(time))) / 20)).astype(np.float32)
        frames[index] = scanner.display(scanner.decibels(scanner.receive(echo + clutter.next())))
        progress(index + 1, len(times_s), "simulating frames")
    return frames


def visible_points(imaging: Imaging, loss: BeamLoss, positions_mm: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """(T, N) bool for (T, N, 2) places: inside of the sector and not in a shadow."""
    visible = imaging.in_sector(positions_mm)
    for index, time in enumerate(times_s):
        depth, angle = imaging.polar_from_mm(positions_mm[index])
        visible[index] &= loss.shadow_db(depth, angle, float(time)) < HIDDEN_DB
    return visible
