"""Imaging geometry and display: probe, beam, slice, grey map, and the sector in the image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from UltrasoundMotionLib.errors import InputError

_SPEED_OF_SOUND_MM_PER_US = 1.54


@dataclass(frozen=True)
class Imaging:
    """Probe, beam profile and display.

    The probe frame is in mm: x to the right, y downwards (depth), origin at the middle of the probe's face, in the
    image plane.

    Attributes:
        image_size: (W, H) of a frame in pixels. It contains the whole sector; pixels are square.
        frame_rate_hz: frames per second.
        depth_mm: distance from the probe's face to the bottom of the sector.
        opening_angle_deg: full angle of the sector.
        probe_radius_mm: radius of the face's curvature; a few mm for a phased array, 40 to 60 for a curved array.
        centre_frequency_mhz: centre frequency of the received pulse (of the harmonic for harmonic imaging).
        axial_resolution_mm: full width at half maximum of the pulse-echo envelope.
        lateral_resolution_deg: full width at half maximum of the two-way beam at the focus, seen from the probe's face.
        focus_mm: depth f of the transmit focus.
        defocus: widening of the beam away from the focus, by sqrt(1 + (defocus (z / f - f / z) / 2)^2) at depth z.
        slice_thickness_mm: full width at half maximum of the beam in elevation.
        side_lobe_db: level of a pedestal under the main lobe, eight beams wide.
        dynamic_range_db: range from black to white.
        gain_db: added to the echo before the grey map; at 0, fully developed speckle of the brightest wall is about
            middle grey.
        grey_exponent: exponent of the grey map; above 1 darkens dark areas.
        looks: number of compounded sub-aperture looks; 1 gives pure Rayleigh speckle.
        scatterers_per_cell: effective number of scatterers in a resolution cell (>= 8 is fully developed speckle).

    Raises:
        InputError: a value out of range, naming it.
    """

    image_size: tuple[int, int] = (256, 256)
    frame_rate_hz: float = 50.0
    depth_mm: float = 155.0
    opening_angle_deg: float = 84.0
    probe_radius_mm: float = 4.0
    centre_frequency_mhz: float = 2.8
    axial_resolution_mm: float = 1.1
    lateral_resolution_deg: float = 2.0
    focus_mm: float = 75.0
    defocus: float = 0.8
    slice_thickness_mm: float = 4.0
    side_lobe_db: float = -38.0
    dynamic_range_db: float = 60.0
    gain_db: float = 0.0
    grey_exponent: float = 1.2
    looks: int = 2
    scatterers_per_cell: float = 10.0

    def __post_init__(self) -> None:
        limits = {
            "frame_rate_hz": (1, 2000), "depth_mm": (20, 400), "opening_angle_deg": (10, 150),
            "probe_radius_mm": (0.5, 200), "centre_frequency_mhz": (0.5, 30), "axial_resolution_mm": (0.05, 5),
            "lateral_resolution_deg": (0.1, 10), "focus_mm": (5, 400), "defocus": (0, 5),
            "slice_thickness_mm": (0.2, 30), "side_lobe_db": (-120, -10), "dynamic_range_db": (20, 120),
            "gain_db": (-40, 40), "grey_exponent": (0.3, 3), "looks": (1, 8), "scatterers_per_cell": (0.5, 64),
        }  # fmt: skip
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} must lie between {low} and {high}, got {getattr(self, name)}")
        if len(self.image_size) != 2 or not all(16 <= int(size) <= 4096 for size in self.image_size):
            raise InputError(f"image_size must be (W, H), each 16 to 4096 pixels, got {self.image_size}")

    @cached_property
    def half_angle(self) -> float:
        """Half the opening angle, in radians."""
        return np.deg2rad(self.opening_angle_deg) / 2

    @cached_property
    def spacing_mm(self) -> tuple[float, float]:
        """The size (x, y) of a square pixel; the sector fills the image in one direction."""
        width, height = self.image_size
        sector_width = 2 * (self.probe_radius_mm + self.depth_mm) * np.sin(min(self.half_angle, np.pi / 2))
        size = float(max(sector_width / (width - 2), (self.depth_mm - self._top_mm) / (height - 2)))
        return size, size

    @cached_property
    def origin_mm(self) -> tuple[float, float]:
        """The centre of the first pixel in the probe frame."""
        width, height = self.image_size
        size = self.spacing_mm[0]
        middle = (self._top_mm + self.depth_mm) / 2
        return -size * (width - 1) / 2, middle - size * (height - 1) / 2

    @cached_property
    def _top_mm(self) -> float:
        return min(0.0, self.probe_radius_mm * (np.cos(self.half_angle) - 1))

    @property
    def wave_number(self) -> float:
        """The wave number, 2 pi / wavelength, in 1/mm."""
        return 2 * np.pi * self.centre_frequency_mhz / _SPEED_OF_SOUND_MM_PER_US

    def pixels_from_mm(self, points_mm: np.ndarray) -> np.ndarray:
        """Converts (..., 2) mm in the probe frame to pixels."""
        return (np.asarray(points_mm) - self.origin_mm) / self.spacing_mm

    def mm_from_pixels(self, points_px: np.ndarray) -> np.ndarray:
        """Converts (..., 2) pixels to mm in the probe frame."""
        return np.asarray(points_px) * self.spacing_mm + self.origin_mm

    def polar_from_mm(self, points_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Converts (..., 2) mm to depth along the beam (mm from the face) and beam angle.

        Angles are in radians, 0 straight down, positive to the right.
        """
        x, y = points_mm[..., 0], points_mm[..., 1] + self.probe_radius_mm
        return np.hypot(x, y) - self.probe_radius_mm, np.arctan2(x, y)

    def mm_from_polar(self, depth_mm: np.ndarray, angle: np.ndarray) -> np.ndarray:
        """Converts depth and angle to (..., 2) mm; the inverse of `polar_from_mm`."""
        radius = np.asarray(depth_mm) + self.probe_radius_mm
        return np.stack([radius * np.sin(angle), radius * np.cos(angle) - self.probe_radius_mm], axis=-1)

    def in_sector(self, points_mm: np.ndarray) -> np.ndarray:
        """Returns True for the points that the beams reach; (...) bool."""
        depth, angle = self.polar_from_mm(np.asarray(points_mm))
        return (depth >= 0) & (depth <= self.depth_mm) & (np.abs(angle) <= self.half_angle)

    def pixel_grid_mm(self) -> np.ndarray:
        """Returns the centre of every pixel in the probe frame, (H, W, 2)."""
        width, height = self.image_size
        x, y = np.meshgrid(np.arange(width), np.arange(height))
        return self.mm_from_pixels(np.stack([x, y], axis=-1).astype(np.float64))

    def beam_width_mm(self, depth_mm: np.ndarray) -> np.ndarray:
        """Returns the lateral full width at half maximum of the two-way beam at a depth."""
        depth = np.maximum(np.asarray(depth_mm, dtype=np.float64), 5.0)
        widening = np.sqrt(1 + (self.defocus * (depth / self.focus_mm - self.focus_mm / depth) / 2) ** 2)
        return np.deg2rad(self.lateral_resolution_deg) * depth * widening
