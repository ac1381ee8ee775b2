"""Rendering of a phantom's frames, and visibility of points in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.progress import Progress
from UltrasoundMotionLib.simulation.degradation import Clutter, Shadow
from UltrasoundMotionLib.simulation.imaging import Imaging
from UltrasoundMotionLib.simulation.scanner import Scanner
from UltrasoundMotionLib.simulation.texture import random_field, random_line

_HIDDEN_DB = 9.0  # loss above which a point is not visible

_Source = Callable[[float], tuple[np.ndarray, np.ndarray]]
"""A function from time to (N, 2) positions in mm and (N,) complex amplitudes."""


@dataclass(frozen=True)
class Contact:
    """Acoustic contact of the probe.

    Attributes:
        unevenness_db: standard deviation of the beams' loss, which varies smoothly over the sector.
        window: fraction of the half angle within which contact is good.
        edge_db: loss at the sector's border.
    """

    unevenness_db: float = 2.5
    window: float = 0.6
    edge_db: float = 14.0


class BeamLoss:
    """Loss over the beam domain: uneven contact, weak outer beams, and moving shadows."""

    def __init__(self, scanner: Scanner, contact: Contact, shadows: Sequence[Shadow], rng: np.random.Generator) -> None:
        self._contact, self._shadows, self._imaging = contact, tuple(shadows), scanner.imaging
        depth, angle = (part.ravel() for part in np.meshgrid(scanner.depths_mm, scanner.angles, indexing="ij"))
        patches = random_field(np.stack([depth, angle], axis=1), (120.0, 0.5), rng)
        streaks = random_line(angle, 0.14, rng)
        self._fixed = (contact.unevenness_db * np.sqrt(0.5) * (patches + streaks)).reshape(
            scanner.shape
        ) + self._edge_db(scanner.angles)
        self._depth, self._angle = scanner.depths_mm[:, None], scanner.angles[None, :]

    def _edge_db(self, angle: np.ndarray) -> np.ndarray:
        part = (np.abs(angle) / self._imaging.half_angle - self._contact.window) / (1 - self._contact.window)
        return self._contact.edge_db * np.clip(part, 0, None) ** 1.5

    def _shadow_db(self, depth_mm: np.ndarray, angle: np.ndarray, time_s: float) -> np.ndarray:
        loss = np.zeros(np.broadcast_shapes(np.shape(depth_mm), np.shape(angle)))
        for shadow in self._shadows:
            loss = loss + shadow.loss_db(depth_mm, angle, time_s)
        return loss

    def factor(self, time_s: float) -> np.ndarray:
        """Returns the factor on the echo at a time, (R, B) float32."""
        return (10 ** (-(self._fixed + self._shadow_db(self._depth, self._angle, time_s)) / 20)).astype(np.float32)

    def hides(self, points_mm: np.ndarray, time_s: float) -> np.ndarray:
        """Returns True for the points (N, 2) hidden by a shadow or missing contact; (N,) bool."""
        depth, angle = self._imaging.polar_from_mm(points_mm)
        return self._shadow_db(depth, angle, time_s) + self._edge_db(angle) >= _HIDDEN_DB


def render(
    scanner: Scanner,
    sources: Sequence[_Source],
    loss: BeamLoss,
    clutter: Clutter,
    *,
    times_s: np.ndarray,
    progress: Progress,
) -> np.ndarray:
    """Renders (T, H, W) uint8 frames; each source is called once per frame, in order."""
    frames = np.empty((len(times_s), *scanner.sector_mask.shape), dtype=np.uint8)
    for index, time in enumerate(times_s):
        positions, amplitudes = zip(*(source(float(time)) for source in sources), strict=True)
        looks = scanner.focus(scanner.place(np.concatenate(positions), np.concatenate(amplitudes)))
        factor = loss.factor(float(time))
        received = [
            scanner.receive(factor * look + haze) + noise
            for look, (haze, noise) in zip(looks, clutter.next(), strict=True)
        ]
        frames[index] = scanner.display(scanner.decibels(received))
        progress(index + 1, len(times_s), "simulating frames")
    return frames


def visible_points(imaging: Imaging, loss: BeamLoss, positions_mm: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """Returns True for positions (T, N, 2) inside the sector and not hidden; (T, N) bool."""
    hidden = np.stack(
        [loss.hides(positions, float(time)) for positions, time in zip(positions_mm, times_s, strict=True)]
    )
    return imaging.in_sector(positions_mm) & ~hidden
