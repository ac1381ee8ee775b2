"""The path of an image from the beamformer to the screen: gain, compression, persistence, edges, scan conversion,
and the codec of the stored clip.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage

from UltrasoundMotionLib.lab.second_source.probe import Probe


@dataclass(frozen=True)
class Console:
    """Settings of a scanner's back end.

    Attributes:
        dynamic_range_db: from black to white.
        reference_percentile: of the envelope that becomes `reference_gray`.
        reference_gray: between 0 and 1.
        gamma: of the gray curve.
        persistence: weight of the frame before.
        adaptive_gain: how much of a frame's own brightness the gain makes up for, 0 to 1.
        edge_enhancement: weight of the unsharp mask.
        smoothing: deviation in samples of a smoothing of the lines.
        gain_slope_db: of the depth gain's error, at least and greatest range.
        gain_drift_db: of the whole, once over the clip.
        jpeg_quality: of the stored frames; None stores them without loss.
        size: of the image, (width, height).
    """

    dynamic_range_db: float = 60.0
    reference_percentile: float = 97.0
    reference_gray: float = 0.72
    gamma: float = 1.0
    persistence: float = 0.1
    adaptive_gain: float = 0.5
    edge_enhancement: float = 0.3
    smoothing: float = 0.6
    gain_slope_db: tuple[float, float] = (0.0, 0.0)
    gain_drift_db: float = 0.0
    jpeg_quality: int | None = 80
    size: tuple[int, int] = (256, 256)


class Screen:
    """Turns one beamformed frame after the other into an image, with the memory that a scanner has."""

    def __init__(self, probe: Probe, console: Console, frame_count: int) -> None:
        self.probe, self.console, self._frame_count = probe, console, frame_count
        self._done = 0
        self._reference_db: float | None = None
        self._kept: np.ndarray | None = None

    @cached_property
    def spacing_mm(self) -> float:
        """Size of a pixel."""
        width, height = self.console.size
        corners = self.probe.image_points_mm
        # A wide sector loses its lower corners, as on most screens.
        across = 0.76 * np.ptp(corners[..., 0]) / (width - 5)
        return float(max(across, (corners[..., 1].max() - min(corners[..., 1].min(), 0)) / (height - 5)))

    @cached_property
    def origin_mm(self) -> tuple[float, float]:
        """Position of the first pixel's centre."""
        width, _ = self.console.size
        top = min(float(self.probe.image_points_mm[..., 1].min()), 0.0)
        return (-(width - 1) / 2 * self.spacing_mm, top - 2 * self.spacing_mm)

    def pixels(self, points_mm: np.ndarray) -> np.ndarray:
        """Positions (..., 2) in pixels of points in mm."""
        return (points_mm - np.asarray(self.origin_mm)) / self.spacing_mm

    def show(self, lines: np.ndarray) -> np.ndarray:
        """Returns the image (H, W) uint8 of beamformed lines (L, S)."""
        console = self.console
        envelope = ndimage.gaussian_filter(np.abs(lines), (0.5 * console.smoothing, console.smoothing))
        level = 20 * np.log10(np.maximum(envelope, 1e-7))
        level = level + np.linspace(*console.gain_slope_db, level.shape[1])
        bright = float(np.percentile(level, console.reference_percentile))
        if self._reference_db is None:
            self._reference_db = bright
        # The automatic gain follows slowly, and only in part.
        self._reference_db += 0.3 * console.adaptive_gain * (bright - self._reference_db)
        drift = console.gain_drift_db * np.sin(2 * np.pi * self._done / self._frame_count)
        gray = console.reference_gray + (level - self._reference_db + drift) / console.dynamic_range_db
        gray = np.clip(gray, 0, 1) ** console.gamma
        if self._kept is not None:
            gray = console.persistence * self._kept + (1 - console.persistence) * gray
        self._kept = gray
        sharp = gray + console.edge_enhancement * (gray - ndimage.gaussian_filter(gray, (1.5, 3)))
        self._done += 1
        image = ndimage.map_coordinates(np.clip(sharp, 0, 1), self._places, order=1, mode="nearest")
        image = np.where(self._inside, 255 * image, 0)
        return _stored(np.clip(np.rint(image), 0, 255).astype(np.uint8), console.jpeg_quality)

    @cached_property
    def _pixel_points(self) -> np.ndarray:
        width, height = self.console.size
        x, y = np.meshgrid(np.arange(width), np.arange(height))
        return np.stack([x, y], axis=2) * self.spacing_mm + np.asarray(self.origin_mm)

    @cached_property
    def _inside(self) -> np.ndarray:
        return self.probe.sees(self._pixel_points)

    @cached_property
    def _places(self) -> np.ndarray:
        angle, distance = self.probe.polar(self._pixel_points)
        angles, ranges = self.probe.line_angles, self.probe.ranges_mm
        return np.stack(
            [(angle - angles[0]) / (angles[1] - angles[0]), (distance - ranges[0]) / (ranges[1] - ranges[0])]
        )


def _stored(image: np.ndarray, quality: int | None) -> np.ndarray:
    if quality is None:
        return image
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))
