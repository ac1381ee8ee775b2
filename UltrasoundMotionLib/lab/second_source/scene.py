"""A scene: tissue, its motion, and what stands in the beam's way, for one clip."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.lab.second_source.obstacles import Obstacles
from UltrasoundMotionLib.lab.second_source.tissue import Tissue


@dataclass(frozen=True)
class Haze:
    """Clutter and reverberation that stay with the probe while the tissue moves.

    Attributes:
        points_mm: (N, 2) of its scatterers.
        strength: (N,).
        pulse: by how much its strength comes and goes.
    """

    points_mm: np.ndarray
    strength: np.ndarray
    pulse: float = 0.0


@dataclass(frozen=True)
class Dropout:
    """Weak contact or a bad angle: lines in an interval of angles lose amplitude.

    Attributes:
        angle: its middle, radians.
        width: its half width.
        passes: amplitude that is left in the middle, both ways.
        sway: by how much its middle moves with the breath.
        from_mm: range at which it begins.
    """

    angle: float
    width: float
    passes: float
    sway: float = 0.0
    from_mm: float = 0.0

    def gain(self, angle: np.ndarray, range_mm: np.ndarray, breath: float) -> np.ndarray:
        """Returns the amplitude that is left at an angle and a range."""
        beside = np.abs(angle - self.angle - self.sway * breath) / self.width
        depth = 1 / (1 + np.exp(-(range_mm - self.from_mm) / 2.0))
        return 1 - (1 - self.passes) * depth / (1 + beside**6)


@dataclass(frozen=True, kw_only=True)
class Scene(ABC):
    """Everything before the probe.

    Attributes:
        tissue: where it is at rest.
        labels: of the points whose truth is known.
        rest_points_mm: (N, 2), where those are at rest.
        extents_mm: (N,), how far around each point the tissue reaches that it is known by.
        times_s: (T,) of the frames.
        haze: what stays with the probe.
        dropouts: where lines lose amplitude.
        slice_mm: standard deviation of the beam's thickness.
        renewed_share, memory_frames: see `Renewal`.
        breaths: (T,) between -1 and 1.
    """

    tissue: Tissue
    labels: tuple[str, ...]
    rest_points_mm: np.ndarray
    extents_mm: np.ndarray
    times_s: np.ndarray
    haze: Haze
    dropouts: tuple[Dropout, ...]
    slice_mm: float
    renewed_share: float
    memory_frames: float
    breaths: np.ndarray

    @abstractmethod
    def moved(self, rest_mm: np.ndarray, frame: int) -> np.ndarray:
        """Returns where the material at (N, 2) is on a frame, (N, 2) in mm: the exact motion."""

    @abstractmethod
    def across_mm(self, rest_mm: np.ndarray, frame: int) -> np.ndarray:
        """Returns by how much that material has moved across the image's plane, (N,)."""

    def obstacles(self, frame: int) -> Obstacles:
        """Returns what stands in the beam's way on a frame."""
        return Obstacles()

    def fade(self, rest_mm: np.ndarray, frame: int) -> np.ndarray | float:
        """Returns a factor of the reflected amplitude at rest positions, for what fades in and out."""
        return 1.0
