"""Simulation of a B-mode frame from scatterers: interference, envelope, log compression, scan conversion.

The linear model of pulse-echo imaging (Meunier and Bertrand 1995; fast variants: Gao et al., COLE, 2009): each
scatterer adds a complex echo a exp(i 2 k r) at its position in the beam (polar) domain, and the sum is convolved with a
point-spread function that is separable at each depth: a pulse envelope along the beam, and across it a Gaussian whose
width varies with depth. At baseband, sub-sample motion is in the phase.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import fft, ndimage

from UltrasoundMotionLib.simulation.imaging import Imaging

SIGMA_PER_WIDTH = 1 / (2 * np.sqrt(2 * np.log(2)))
WHITE_ABOVE_TISSUE_DB = 24.0  # fully developed speckle of 0 dB is then slightly below the middle of a 60 dB grey map


class Scanner:
    """Simulates B-mode frames from scatterers on the grid of an `Imaging`.

    Attributes:
        depths_mm: (R,) samples along a beam, with a margin above and below the sector.
        angles: (B,) beams in radians, with a margin on both sides.
        depth_step, angle_step: distance between samples and between beams.
        lateral_responses: transfer function (R, B) across the beams for each look.
        axial_response: transfer function (R, 1) along the beam.
        sector_mask: (H, W) bool, pixels that the beams reach.
        polar_index: (2, P) fractional row and beam of each pixel of the mask.
    """

    def __init__(self, imaging: Imaging) -> None:
        self.imaging = imaging
        self.depth_step = imaging.axial_resolution_mm / 3
        margin = 3 * imaging.axial_resolution_mm
        rows = fft.next_fast_len(int(np.ceil((imaging.depth_mm + 2 * margin) / self.depth_step)) + 1)
        self.depths_mm = -margin + self.depth_step * np.arange(rows)
        depth = np.maximum(self.depths_mm, 1.0)
        # the kernel is applied to amplitudes; the envelope of one scatterer has the stated width
        sigma_angle = SIGMA_PER_WIDTH * imaging.beam_width_mm(depth) / (depth + imaging.probe_radius_mm)
        self.angle_step = float(sigma_angle.min()) / SIGMA_PER_WIDTH / 3
        margin_beams = int(np.ceil(4 * np.median(sigma_angle) / self.angle_step))
        beams = fft.next_fast_len(int(np.ceil(2 * imaging.half_angle / self.angle_step)) + 1 + 2 * margin_beams)
        self.angles = self.angle_step * (np.arange(beams) - (beams - 1) / 2)
        self.lateral_responses = [
            self._lateral_response(sigma_angle[:, None], shift) for shift in _look_shifts(imaging.looks)
        ]
        axial_frequency = 2 * np.pi * fft.fftfreq(rows) / self.depth_step
        axial = np.exp(-0.5 * (axial_frequency * SIGMA_PER_WIDTH * imaging.axial_resolution_mm) ** 2)
        self.axial_response = (axial / np.sqrt(np.mean(axial**2)))[:, None].astype(np.float32)
        self._prepare_scan_conversion()

    def _lateral_response(self, sigma: np.ndarray, shift: float) -> np.ndarray:
        """Returns the transfer function (R, B) across the beams of one look.

        Its sub-aperture is `shift` standard deviations from the middle of the aperture.
        """
        frequency = 2 * np.pi * fft.fftfreq(len(self.angles)) / self.angle_step
        main = np.exp(-0.5 * (frequency * sigma - shift) ** 2)
        pedestal = np.exp(-0.5 * (frequency * 8 * sigma) ** 2)
        response = main + 8 * 10 ** (self.imaging.side_lobe_db / 20) * pedestal
        # unit energy at every depth, the effect of time gain compensation on uniform tissue
        return (response / np.sqrt(np.mean(response**2, axis=1, keepdims=True))).astype(np.float32)

    def _prepare_scan_conversion(self) -> None:
        pixels = self.imaging.pixel_grid_mm()
        self.sector_mask = self.imaging.in_sector(pixels)
        depth, angle = self.imaging.polar_from_mm(pixels[self.sector_mask])
        self.polar_index = np.stack(
            [(depth - self.depths_mm[0]) / self.depth_step, (angle - self.angles[0]) / self.angle_step]
        )

    @property
    def shape(self) -> tuple[int, int]:
        """The size (R, B) of the beam-domain grid."""
        return len(self.depths_mm), len(self.angles)

    def place(self, positions_mm: np.ndarray, amplitudes: np.ndarray) -> np.ndarray:
        """Sums scatterers on the beam-domain grid, before the point-spread function.

        Args:
            positions_mm: (N, 2) in the probe frame.
            amplitudes: (N,) complex.

        Returns:
            (R, B) complex64; each echo has the phase of its exact depth, distributed bilinearly over four samples.
        """
        rows, beams = self.shape
        depth, angle = self.imaging.polar_from_mm(positions_mm)
        row = (depth - self.depths_mm[0]) / self.depth_step
        beam = (angle - self.angles[0]) / self.angle_step
        inside = (row >= 0) & (row < rows - 1) & (beam >= 0) & (beam < beams - 1)
        row, beam, depth = row[inside], beam[inside], depth[inside]
        phase = np.remainder(2 * self.imaging.wave_number * depth, 2 * np.pi).astype(np.float32)
        amplitude = amplitudes[inside]
        cosine, sine = np.cos(phase), np.sin(phase)
        real, imaginary = (
            amplitude.real * cosine - amplitude.imag * sine,
            amplitude.real * sine + amplitude.imag * cosine,
        )
        first_row, first_beam = row.astype(np.int64), beam.astype(np.int64)
        index = first_row * beams + first_beam
        row_part, beam_part = row - first_row, beam - first_beam
        total = np.zeros((2, rows * beams))
        for offset, weight in (
            (0, (1 - row_part) * (1 - beam_part)),
            (1, (1 - row_part) * beam_part),
            (beams, row_part * (1 - beam_part)),
            (beams + 1, row_part * beam_part),
        ):
            samples = index + offset
            total[0] += np.bincount(samples, weights=weight * real, minlength=rows * beams)
            total[1] += np.bincount(samples, weights=weight * imaginary, minlength=rows * beams)
        return (total[0] + 1j * total[1]).astype(np.complex64).reshape(rows, beams)

    def focus(self, field: np.ndarray) -> list[np.ndarray]:
        """Convolves each row of (R, B) with the lateral beam profile at its depth; returns one (R, B) per look."""
        spectrum = fft.fft(field, axis=1)
        return [fft.ifft(spectrum * response, axis=1) for response in self.lateral_responses]

    def receive(self, field: np.ndarray) -> np.ndarray:
        """Convolves each column of (R, B), a beam, with the pulse envelope."""
        return fft.ifft(fft.fft(field, axis=0) * self.axial_response, axis=0)

    @staticmethod
    def decibels(looks: Sequence[np.ndarray]) -> np.ndarray:
        """Returns the mean envelope of the looks' complex (R, B) in dB, float32."""
        envelope = sum(np.sqrt(look.real**2 + look.imag**2) for look in looks) / np.float32(len(looks))
        return 20 * np.log10(np.maximum(envelope, np.float32(1e-6)))

    def display(self, decibels: np.ndarray) -> np.ndarray:
        """Applies gain, dynamic range and scan conversion to (R, B) dB, 0 for tissue; returns a uint8 frame (H, W)."""
        imaging = self.imaging
        black = WHITE_ABOVE_TISSUE_DB - imaging.dynamic_range_db
        level = np.clip((decibels + np.float32(imaging.gain_db - black)) / np.float32(imaging.dynamic_range_db), 0, 1)
        # pixels larger than the pulse would alias it: smooth along the beam
        level = ndimage.gaussian_filter1d(level, 0.4 * imaging.spacing_mm[1] / self.depth_step, axis=0, truncate=3)
        level **= np.float32(imaging.grey_exponent)
        frame = np.zeros(self.sector_mask.shape, dtype=np.uint8)
        frame[self.sector_mask] = np.rint(
            255 * ndimage.map_coordinates(level, self.polar_index, order=1, mode="nearest")
        )
        return frame


def _look_shifts(looks: int) -> np.ndarray:
    """Returns the positions of the looks in the aperture, in standard deviations.

    Adjacent looks 1.6 apart have nearly independent speckle (correlation 0.28).
    """
    return 1.6 * (np.arange(looks) - (looks - 1) / 2)
