"""The scatterers of a phantom: positions in the material, amplitudes, and their changes over time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from UltrasoundMotionLib.simulation.degradation import Degradation, complex_normal
from UltrasoundMotionLib.simulation.imaging import Imaging
from UltrasoundMotionLib.simulation.motion import TissueMotion, extreme_times
from UltrasoundMotionLib.simulation.scanner import SIGMA_PER_WIDTH, Scanner
from UltrasoundMotionLib.simulation.texture import Canvas

_NEAR_DEPTH_MM = 25.0  # scatterers above this depth are distributed per area, not per beam, to limit their number
_DARK_FRACTION = 0.35  # fraction of the scatterers kept in dark regions
_DARK_DB = -20.0
_SECTOR_MARGIN_MM = 6.0

Paint = Callable[[np.ndarray, np.ndarray, np.random.Generator], Canvas]


def scatter_positions(
    imaging: Imaging, scanner: Scanner, margin_mm: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draws scatterers over the sector and a margin around it that motion may bring into the sector.

    Returns:
        positions_mm: (N, 2) float64 in the probe frame, a jittered grid in the beam domain.
        amplitudes: (N,) float32, so that the scanner gives uniform tissue a mean power of 1 (0 dB) at every depth.
    """
    depth = np.arange(-margin_mm, imaging.depth_mm + margin_mm, scanner.depth_step)
    radius = np.maximum(depth + imaging.probe_radius_mm, 1.0)
    effective = (np.sqrt(2) / 2.5) * 0.9  # fraction of the scatterers after the slice's Gaussian weight (see Slice)
    depth_at_focus = min(imaging.focus_mm, imaging.depth_mm)
    cell_samples = (
        3
        * float(imaging.beam_width_mm(np.array(depth_at_focus)) / (depth_at_focus + imaging.probe_radius_mm))
        / scanner.angle_step
    )
    per_sample = imaging.scatterers_per_cell / cell_samples / effective
    half_width = radius * imaging.half_angle + margin_mm
    half_angle = np.minimum(half_width / radius, np.pi)
    thinning = np.clip(radius / (_NEAR_DEPTH_MM + imaging.probe_radius_mm), 0, 1)
    counts = rng.poisson(per_sample * thinning * 2 * half_angle / scanner.angle_step)
    row = np.repeat(np.arange(len(depth)), counts)
    sample_depth = depth[row] + scanner.depth_step * rng.random(len(row))
    angle = half_angle[row] * rng.uniform(-1, 1, len(row))
    mean_square_weight = np.sqrt(np.pi) * SIGMA_PER_WIDTH / Slice.RANGE_WIDTHS
    amplitude = 1 / np.sqrt(per_sample * thinning[row] * mean_square_weight)
    keep = sample_depth + imaging.probe_radius_mm > 0.5
    return imaging.mm_from_polar(sample_depth, angle)[keep], amplitude[keep].astype(np.float32)


class Slice:
    """The elevation profile of the image slice: a Gaussian over scatterers in a periodic range (`range_mm`)."""

    RANGE_WIDTHS = 2.2  # the periodic range, in slice thicknesses; the weight at its ends is 0.035

    def __init__(self, thickness_mm: float) -> None:
        self.range_mm = self.RANGE_WIDTHS * thickness_mm
        self._sigma = SIGMA_PER_WIDTH * thickness_mm

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draws (N,) elevations in mm."""
        return rng.uniform(-0.5, 0.5, count) * self.range_mm

    def phase(self, elevation_mm: np.ndarray) -> np.ndarray:
        """Converts (N,) elevations to angles, 2 pi for the range."""
        return 2 * np.pi * elevation_mm / self.range_mm

    def weight(self, elevation_mm: np.ndarray) -> np.ndarray:
        """Returns the weight (N,) of scatterers at (N,) elevations."""
        elevation = elevation_mm - self.range_mm * np.rint(elevation_mm / self.range_mm)
        return np.exp(-0.5 * (elevation / self._sigma) ** 2)


class DecorrelatingSpeckle:
    """Complex amplitudes of scatterers over time: a constant part and a first-order autoregressive part.

    The autocorrelation of a scatterer after t seconds is (1 - f) + f exp(-t / tau).
    """

    def __init__(self, fraction: np.ndarray, time_s: np.ndarray, frame_step_s: float, rng: np.random.Generator) -> None:
        """`fraction` (N,) and `time_s` (N,): f and tau of each scatterer."""
        self._rng = rng
        self._changing = np.flatnonzero(fraction > 0)
        fraction = fraction[self._changing].astype(np.float32)
        # random phases model random depths; equal amplitudes give fully developed speckle with fewer scatterers than
        # Gaussian ones
        self._constant = np.exp(2j * np.pi * rng.random(len(time_s))).astype(np.complex64)
        self._kept = np.sqrt(1 - fraction) * self._constant[self._changing]
        self._scale = np.sqrt(fraction)
        self._memory = np.exp(-frame_step_s / time_s[self._changing]).astype(np.float32)
        self._renewal = np.sqrt(1 - self._memory**2)
        self._state = complex_normal(len(self._changing), rng)

    def next(self) -> np.ndarray:
        """Returns the amplitudes of the next frame, (N,) complex64 of unit mean power."""
        strength = self._constant.copy()
        strength[self._changing] = self._kept + self._scale * self._state
        self._state = self._memory * self._state + self._renewal * complex_normal(len(self._changing), self._rng)
        return strength


class Tissue:
    """The scatterers of moving tissue, frame by frame.

    Attributes:
        reference_amplitude: median amplitude of a scatterer in 0 dB tissue.
    """

    def __init__(
        self,
        motion: TissueMotion,
        paint: Paint,
        scanner: Scanner,
        degradation: Degradation,
        *,
        times_s: np.ndarray,
        margin_mm: float,
        rng: np.random.Generator,
    ) -> None:
        """Fills the sector with scatterers, and a margin from which motion brings them into the sector.

        Args:
            motion: the motion of the tissue.
            paint: the echogenicity, a function from (N, 2) material positions in mm, (N,) phases in elevation and a
                random generator to a `Canvas`.
            scanner: the probe.
            degradation: decorrelation of the speckle.
            times_s: the frame times.
            margin_mm: width of the margin.
            rng: source of random numbers.
        """
        imaging = scanner.imaging
        material, amplitude = scatter_positions(imaging, scanner, margin_mm, rng)
        imaged = _enters_sector(motion, material, imaging, times_s)
        material, amplitude = material[imaged], amplitude[imaged]
        self.reference_amplitude = float(np.median(amplitude))
        self._slice = Slice(imaging.slice_thickness_mm)
        elevation = self._slice.draw(len(material), rng)
        canvas = paint(material, self._slice.phase(elevation), rng)
        kept, amplitude = thin_dark(canvas.decibels, amplitude, rng)
        self._elevation_mm = elevation[kept]
        self._amplitude = (amplitude * 10 ** (canvas.decibels[kept] / 20)).astype(np.float32)
        self._carry, self._elevation = motion.carry(material[kept]), motion.elevation(material[kept])
        # blood is renewed within a few frames
        blood = canvas.blood[kept]
        fraction = np.where(blood, 1.0, degradation.decorrelated_fraction)
        self._speckle = DecorrelatingSpeckle(
            fraction, np.where(blood, 0.02, degradation.decorrelation_time_s), 1 / imaging.frame_rate_hz, rng
        )

    def next(self, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Returns (N, 2) positions in mm and (N,) complex amplitudes of the next frame, at `time_s`."""
        strength = (
            self._amplitude
            * self._slice.weight(self._elevation_mm + self._elevation(time_s)).astype(np.float32)
            * self._speckle.next()
        )
        return self._carry(time_s), strength


def _enters_sector(motion: TissueMotion, material_mm: np.ndarray, imaging: Imaging, times_s: np.ndarray) -> np.ndarray:
    """Returns True for scatterers that at any time are inside the sector or within a few mm of it; (N,) bool."""
    depth, angle = np.meshgrid(
        np.array([0.3, 0.6, 0.9]) * imaging.depth_mm, np.array([-0.6, 0.0, 0.6]) * imaging.half_angle
    )
    times = extreme_times(motion, imaging.mm_from_polar(depth.ravel(), angle.ravel()), times_s)
    carried = motion.carry(material_mm)
    entered = np.zeros(len(material_mm), dtype=bool)
    for time in times:
        depth, angle = imaging.polar_from_mm(carried(float(time)))
        beside_mm = (np.abs(angle) - imaging.half_angle) * (depth + imaging.probe_radius_mm)
        entered |= (
            (depth > -_SECTOR_MARGIN_MM)
            & (depth < imaging.depth_mm + _SECTOR_MARGIN_MM)
            & (beside_mm < _SECTOR_MARGIN_MM)
        )
    return entered


def thin_dark(echo_db: np.ndarray, amplitudes: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Drops most scatterers of dark regions and amplifies the others; returns the kept indices and their amplitudes."""
    dark = echo_db < _DARK_DB
    kept = np.flatnonzero(~dark | (rng.random(len(echo_db)) < _DARK_FRACTION))
    return kept, np.where(dark, amplitudes / np.sqrt(_DARK_FRACTION), amplitudes)[kept].astype(np.float32)
