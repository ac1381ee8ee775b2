"""Analytic breathing motion of the liver, with hysteresis, irregular breaths, drift and smooth deformation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.simulation.imaging import Imaging
from UltrasoundMotionLib.simulation.texture import soft_step


@dataclass(frozen=True)
class Breathing:
    """Parameters of breathing.

    Attributes:
        amplitude_mm: excursion of the liver from end-expiration to end-inspiration.
        period_s: mean length of a breath.
        direction_deg: direction of inspiration in the image; 0 is to the right, 90 is away from the probe.
        irregularity: standard deviation of each breath's amplitude and period, relative to their means.
        hysteresis: distance between the paths of inspiration and expiration, relative to the amplitude.
        deformation: variation of the motion over the liver, relative to the amplitude.
        heartbeat_mm: amplitude of the heart's motion of the liver near the diaphragm.
        drift_mm_per_s: constant motion (x, y), as of a slipping probe or a relaxing patient.
        start: fraction of the first breath at time 0.
    """

    amplitude_mm: float = 12.0
    period_s: float = 4.0
    direction_deg: float = 20.0
    irregularity: float = 0.12
    hysteresis: float = 0.15
    deformation: float = 0.2
    heartbeat_mm: float = 0.3
    drift_mm_per_s: tuple[float, float] = (0.0, 0.0)
    start: float = 0.0

    def __post_init__(self) -> None:
        limits = {
            "amplitude_mm": (0, 40),
            "period_s": (0.5, 60),
            "irregularity": (0, 0.4),
            "hysteresis": (0, 0.5),
            "deformation": (0, 0.5),
        }
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} must lie between {low} and {high}, got {getattr(self, name)}")


class BreathingMotion:
    """The map from the material (the liver at end-expiration) to the probe frame; a `TissueMotion`.

    A breath of amplitude a and period p moves the liver by a sin^4(pi t / p) along the direction of breathing (Lujan et
    al. 1999), at rest at end-expiration, and by a h sin(2 pi t / p) sin^2(pi t / p) across it. The body wall, to a
    depth of `wall_mm`, does not move, and the liver slides beneath it.
    """

    def __init__(
        self,
        breathing: Breathing,
        imaging: Imaging,
        duration_s: float,
        rng: np.random.Generator,
        *,
        wall_mm: float,
        elevation: tuple[float, float],
    ) -> None:
        """`elevation` is the cyclic motion and the slow drift out of the plane, in mm."""
        self.breathing, self.wall_mm = breathing, wall_mm
        self._imaging = imaging
        count = 3 + int(2.5 * duration_s / breathing.period_s)
        vary = np.clip(1 + breathing.irregularity * rng.standard_normal((2, count)), 0.4, 1.8)
        self._periods = breathing.period_s * vary[0]
        self._amplitudes = breathing.amplitude_mm * vary[1]
        self._starts = np.concatenate([[0.0], np.cumsum(self._periods)])[:-1]
        self._waves = rng.uniform(0, 2 * np.pi, 4)
        self._heart_rate = rng.uniform(0.95, 1.4)
        self._drift_phase = rng.uniform(0, 2 * np.pi)
        self._elevation_cyclic, self._elevation_drift = elevation
        angle = np.deg2rad(breathing.direction_deg)
        self._along, self._across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])

    def excursion(self, time_s: float) -> tuple[float, float]:
        """Returns the displacement along and across the direction of breathing, in mm, before its spatial variation."""
        time = time_s + self.breathing.start * self._periods[0]
        index = int(np.clip(np.searchsorted(self._starts, time, side="right") - 1, 0, len(self._starts) - 1))
        part = np.pi * (time - self._starts[index]) / self._periods[index]
        amplitude = self._amplitudes[index]
        return float(amplitude * np.sin(part) ** 4), float(
            amplitude * self.breathing.hysteresis * np.sin(2 * part) * np.sin(part) ** 2
        )

    def sliding_weight(self, positions_mm: np.ndarray) -> np.ndarray:
        """Returns (N,) weights for (N, 2) material positions: 0 in the static body wall, 1 in the moving liver."""
        depth, _ = self._imaging.polar_from_mm(positions_mm)
        return soft_step(depth - self.wall_mm, 7.0)

    def carry(self, material_mm: np.ndarray) -> Callable[[float], np.ndarray]:
        """Returns a function of time for the positions of material points, in mm."""
        positions = np.asarray(material_mm, dtype=np.float64)
        x, y = positions.T
        weight = self.sliding_weight(positions)
        waves, deformation = self._waves, self.breathing.deformation
        along = weight * (
            1
            - deformation
            * (0.5 + 0.35 * np.sin(2 * np.pi * x / 130 + waves[0]) + 0.4 * np.sin(2 * np.pi * y / 150 + waves[1]))
        )
        bend = weight * deformation * 0.5 * np.sin(2 * np.pi * x / 150 + waves[2])
        across = weight * (1 + 0.4 * np.sin(2 * np.pi * y / 140 + waves[3]))
        beat = weight * np.clip(y / self._imaging.depth_mm, 0, 1.2) ** 2
        drift = np.asarray(self.breathing.drift_mm_per_s)

        def at(time_s: float) -> np.ndarray:
            """Returns the positions at a time, (N, 2)."""
            excursion, offset = self.excursion(time_s)
            pulse = self.breathing.heartbeat_mm * np.sin(2 * np.pi * self._heart_rate * time_s + waves[0])
            displacement = (excursion * along)[:, None] * self._along
            displacement += (excursion * bend + offset * across + pulse * beat)[:, None] * self._across
            return positions + displacement + weight[:, None] * drift * time_s

        return at

    def elevation(self, material_mm: np.ndarray) -> Callable[[float], np.ndarray]:
        """Returns a function of time for the distances of material points from the image plane, in mm."""
        weight = self.sliding_weight(material_mm)
        scale = self._elevation_cyclic / max(self.breathing.amplitude_mm, 1e-6)
        start = np.sin(self._drift_phase)

        def at(time_s: float) -> np.ndarray:
            drift = self._elevation_drift * (np.sin(2 * np.pi * time_s / 30.0 + self._drift_phase) - start)
            return weight * (scale * self.excursion(time_s)[0] + drift)

        return at
