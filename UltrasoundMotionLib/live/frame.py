"""A frame that arrived: its pixels, its place in space, and the times at which it was made and received."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.images.image_sequence import ImageSequence

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_UNIT_TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class LiveFrame:
    """One received frame.

    Attributes:
        pixels: (H, W) uint8, or float32 for any other type of pixels; colour has become luminance.
        ijk_to_ras: (4, 4), from (column, row, 0, 1) to RAS mm.
        index: counts the received frames from 0, also those that were not tracked.
        time_s: time of the frame on the session's time axis, strictly increasing; see `FrameClock`.
        source_time_s: the source's own time stamp in seconds since 1970 as it was sent, None where it sent none.
        received_s: time at which the last byte arrived, on this computer's clock in seconds since 1970.
        received_monotonic_s: the same on the clock that is never set.
        device: name of the image at the source.
    """

    pixels: np.ndarray
    ijk_to_ras: np.ndarray
    index: int
    time_s: float
    source_time_s: float | None
    received_s: float
    received_monotonic_s: float
    device: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """The size (W, H) in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def spacing_mm(self) -> tuple[float, float] | None:
        """The size (x, y) of a pixel, None where the source says 1 x 1 mm, which stands for an unknown size."""
        spacing = np.linalg.norm(self.ijk_to_ras[:3, :2], axis=0)
        if np.allclose(spacing, 1.0, atol=_UNIT_TOLERANCE):
            return None
        return float(spacing[0]), float(spacing[1])

    def pixels_to_ras(self, points_px: np.ndarray) -> np.ndarray:
        """Converts points (N, 2) in pixels to RAS mm (N, 3)."""
        return np.asarray(points_px, dtype=np.float64) @ self.ijk_to_ras[:3, :2].T + self.ijk_to_ras[:3, 3]

    def ras_to_pixels(self, points_ras: np.ndarray) -> np.ndarray:
        """Converts points (N, 3) in RAS mm to pixels (N, 2), along the normal of the image plane."""
        offsets = np.asarray(points_ras, dtype=np.float64) - self.ijk_to_ras[:3, 3]
        return np.linalg.lstsq(self.ijk_to_ras[:3, :2], offsets.T, rcond=None)[0].T

    def as_sequence(self, name: str = "live") -> ImageSequence:
        """Returns a sequence of this frame alone, in LPS, for readers of points.

        Raises:
            InputError: axes that are not at right angles.
        """
        axes = (LPS_FROM_RAS @ self.ijk_to_ras)[:3]
        steps = axes[:, :2] / np.linalg.norm(axes[:, :2], axis=0)
        normal = np.cross(steps[:, 0], steps[:, 1])
        x, y, z = axes[:, 3].tolist()
        return ImageSequence(
            frames=self.pixels[None],
            spacing_mm=self.spacing_mm,
            origin_mm=(x, y, z),
            direction=np.column_stack((steps, normal)),
            name=name,
        )


class FrameClock:
    """Makes one strictly increasing time axis, from 0, of the source's time stamps.

    Where a stamp is missing or does not increase (a source that was started again), the axis goes on by the time of
    receipt, and with the stamps again from there.

    Attributes:
        jumps: number of stamps that did not increase or were missing.
    """

    def __init__(self) -> None:
        self.jumps = 0
        self._last: tuple[float | None, float, float] | None = None

    def time(self, source_time_s: float | None, received_monotonic_s: float) -> float:
        """Returns the time of the next frame."""
        if self._last is None:
            self._last = source_time_s, received_monotonic_s, 0.0
            return 0.0
        last_source, last_received, last_time = self._last
        step = None if source_time_s is None or last_source is None else source_time_s - last_source
        if step is None or step <= 0 or step > _LONGEST_STEP_S:
            self.jumps += 1
            step = max(received_monotonic_s - last_received, _SHORTEST_STEP_S)
        time_s = last_time + step
        self._last = source_time_s, received_monotonic_s, time_s
        return time_s


_SHORTEST_STEP_S = 1e-6
_LONGEST_STEP_S = 24 * 3600.0
"""A larger step of the source's stamps is another clock, not a pause."""
