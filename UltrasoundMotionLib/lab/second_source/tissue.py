"""Tissue as a cloud of point scatterers that its motion carries along, seen in a slice of the beam's thickness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage


@dataclass(frozen=True)
class Tissue:
    """Scatterers where they are when nothing moves.

    Attributes:
        points_mm: (N, 2) in the image's plane.
        across_mm: (N,) beside the plane; the cloud repeats there with `period_mm`, so that it never ends.
        strength: (N,) reflected amplitude.
        flow: (N,) True for blood, which is drawn anew all the time.
        period_mm: thickness of the cloud.
    """

    points_mm: np.ndarray
    across_mm: np.ndarray
    strength: np.ndarray
    flow: np.ndarray
    period_mm: float

    def seen_strength(self, shift_mm: np.ndarray | float, slice_mm: float) -> np.ndarray:
        """Returns (N,) amplitudes when the tissue has moved by so much across a Gaussian slice of that deviation."""
        across = self.across_mm + shift_mm
        across = across - self.period_mm * np.rint(across / self.period_mm)
        return self.strength * np.exp(-0.5 * (across / slice_mm) ** 2)


def smooth_field(
    rng: np.random.Generator, extent_mm: tuple[float, float, float, float], grain_mm: float
) -> SmoothField:
    """Draws a random field of zero mean and unit deviation over (left, right, top, bottom)."""
    left, right, top, bottom = extent_mm
    step = grain_mm / 2
    shape = (int((bottom - top) / step) + 4, int((right - left) / step) + 4)
    values = ndimage.gaussian_filter(rng.normal(size=shape), 1.0, mode="wrap")
    return SmoothField(values / values.std(), (left, top), step)


@dataclass(frozen=True)
class SmoothField:
    """A random field on a grid."""

    values: np.ndarray
    corner_mm: tuple[float, float]
    step_mm: float

    def at(self, points_mm: np.ndarray) -> np.ndarray:
        """Values (N,) at points (N, 2)."""
        columns, rows = ((points_mm - self.corner_mm) / self.step_mm).T
        return ndimage.map_coordinates(self.values, [rows, columns], order=1, mode="nearest")


class Renewal:
    """Strengths that drift: a part of each scatterer's amplitude is drawn anew over time, as tissue that leaves the
    plane, and blood, do.
    """

    def __init__(self, rng: np.random.Generator, flow: np.ndarray, share: float, memory_frames: float) -> None:
        self._rng, self._keep = rng, float(np.exp(-1 / memory_frames))
        self._fixed = rng.normal(size=len(flow))
        self._drifting = rng.normal(size=len(flow))
        self._share = np.where(flow, 1.0, share)
        self._keep_each = np.where(flow, 0.35, self._keep)

    def next(self) -> np.ndarray:
        """Returns the next frame's (N,) factors, of unit variance."""
        fresh = self._rng.normal(size=len(self._fixed))
        self._drifting = self._keep_each * self._drifting + np.sqrt(1 - self._keep_each**2) * fresh
        return np.sqrt(1 - self._share) * self._fixed + np.sqrt(self._share) * self._drifting
