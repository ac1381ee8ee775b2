"""An ultrasound probe and its image formation: echoes of point scatterers are summed at every element with their true
delays, and beamformed by delay and sum.

Nothing here knows a point spread function: its width, side lobes and change with depth follow from the aperture.
Positions are (x, z) in mm: x along the probe, z the depth from the middle of its surface.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from UltrasoundMotionLib.lab.second_source.obstacles import NO_OBSTACLES, Obstacles

SOUND_SPEED_MM_US = 1.54
_SAMPLES_PER_PERIOD = 7.0
_PULSE_ZONES = 4
"""Depth zones with a pulse of their own, as attenuation lowers its frequency with depth."""


@dataclass(frozen=True)
class Probe:
    """A phased (flat) or curved array that sends diverging waves and receives with all elements.

    Attributes:
        element_count: of the array.
        pitch_mm: distance of neighbouring elements.
        radius_mm: of curvature; infinite for a flat array.
        frequency_mhz: centre frequency of the echoes that are received.
        bandwidth: of the two-way pulse at -6 dB, as a part of the centre frequency.
        wave_count: diverging waves per image, from virtual sources side by side; their echoes are added.
        harmonic: receive the second harmonic, whose amplitude is the square of the transmitted one's and grows on the
            way.
        f_number: least depth divided by the aperture that receives.
        window_power: of the cosine that weighs the receiving aperture; 0 weighs all elements alike.
        attenuation: in dB/cm/MHz, one way.
        half_angle: of the sector, in radians.
        depth_mm: of the image.
        line_count, sample_count: of the beamformed image.
    """

    element_count: int = 40
    pitch_mm: float = 0.4
    radius_mm: float = np.inf
    frequency_mhz: float = 2.6
    bandwidth: float = 0.6
    wave_count: int = 3
    harmonic: bool = False
    f_number: float = 1.2
    window_power: float = 1.0
    attenuation: float = 0.5
    half_angle: float = 0.6
    depth_mm: float = 150.0
    line_count: int = 104
    sample_count: int = 420

    @cached_property
    def elements_mm(self) -> np.ndarray:
        """Centres of the elements, (E, 2)."""
        along = (np.arange(self.element_count) - (self.element_count - 1) / 2) * self.pitch_mm
        if np.isinf(self.radius_mm):
            return np.stack([along, np.zeros_like(along)], axis=1)
        angle = along / self.radius_mm
        return self.radius_mm * np.stack([np.sin(angle), np.cos(angle) - 1], axis=1)

    @cached_property
    def sources_mm(self) -> np.ndarray:
        """Virtual sources of the diverging waves, (W, 2), behind the surface."""
        aperture = self.element_count * self.pitch_mm
        if np.isinf(self.radius_mm):
            behind = 0.5 * aperture / np.tan(self.half_angle * 1.1)
            across = np.linspace(-0.3, 0.3, self.wave_count) * aperture if self.wave_count > 1 else np.zeros(1)
            return np.stack([across, np.full(self.wave_count, -behind)], axis=1)
        across = np.linspace(-0.25, 0.25, self.wave_count) * aperture if self.wave_count > 1 else np.zeros(1)
        return np.stack([across, np.full(self.wave_count, -0.9 * self.radius_mm)], axis=1)

    @cached_property
    def line_angles(self) -> np.ndarray:
        """Angles of the image's lines, (L,), in radians from the middle one."""
        return np.linspace(-self.half_angle, self.half_angle, self.line_count)

    @cached_property
    def ranges_mm(self) -> np.ndarray:
        """Distances of a line's samples from the probe's surface, (S,)."""
        return np.linspace(2.0, self.depth_mm, self.sample_count)

    @property
    def apex_depth_mm(self) -> float:
        """Depth of the point in which all lines meet: 0 for a flat array, negative for a curved one."""
        return 0.0 if np.isinf(self.radius_mm) else -self.radius_mm

    @cached_property
    def image_points_mm(self) -> np.ndarray:
        """Positions of the beamformed samples, (L, S, 2)."""
        distance = self.ranges_mm - self.apex_depth_mm
        return np.stack(
            [
                np.sin(self.line_angles)[:, None] * distance,
                np.cos(self.line_angles)[:, None] * distance + self.apex_depth_mm,
            ],
            axis=2,
        )

    def polar(self, points_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the angle in radians and the range in mm of points (..., 2)."""
        x, z = points_mm[..., 0], points_mm[..., 1] - self.apex_depth_mm
        return np.arctan2(x, z), np.hypot(x, z) + self.apex_depth_mm

    def sees(self, points_mm: np.ndarray) -> np.ndarray:
        """Returns True for points (..., 2) inside the sector."""
        angle, distance = self.polar(points_mm)
        return (np.abs(angle) <= self.half_angle) & (distance >= self.ranges_mm[0]) & (distance <= self.depth_mm)

    @property
    def sampling_mhz(self) -> float:
        """Sampling rate of the echoes."""
        return _SAMPLES_PER_PERIOD * self.frequency_mhz

    @cached_property
    def echo_samples(self) -> int:
        """Samples of each element's echo."""
        longest = 2 * (self.depth_mm + self.element_count * self.pitch_mm) / SOUND_SPEED_MM_US
        return int(np.ceil(longest * self.sampling_mhz))

    def transmitted(self, points_mm: np.ndarray, wave: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns how far a wave has come (mm, from the middle of the surface) and its amplitude at points (N, 2)."""
        source = self.sources_mm[wave]
        away = points_mm - source
        far = np.hypot(away[:, 0], away[:, 1])
        angle = np.arctan2(away[:, 0], away[:, 1])
        ends = self.elements_mm[[0, -1]] - source
        low, high = np.arctan2(ends[:, 0], ends[:, 1])
        soft = 0.05
        low, high = min(low, -self.half_angle), max(high, self.half_angle)
        amplitude = 0.25 * (1 + np.tanh((angle - low) / soft)) * (1 + np.tanh((high - angle) / soft))
        path = far - float(np.hypot(*source))
        if self.harmonic:
            amplitude = amplitude**2 * (1 - np.exp(-np.maximum(path, 0) / 30.0))
        return path, amplitude

    def receiving_weights(self, points_mm: np.ndarray) -> np.ndarray:
        """Weights (E, N) with which the elements are summed for points (N, 2)."""
        depth = np.maximum(points_mm[:, 1], 4.0)
        offset = (self.elements_mm[:, :1] - np.clip(points_mm[:, 0], *self.elements_mm[[0, -1], 0])) / (
            depth / self.f_number
        )
        inside = np.abs(offset) < 0.5
        middle = self.elements_mm[:, :1] / (self.element_count * self.pitch_mm)
        window = np.cos(np.pi * np.clip(middle, -0.5, 0.5)) ** self.window_power
        return inside * np.cos(np.pi * np.clip(offset, -0.5, 0.5)) * window

    def echoes(self, points_mm: np.ndarray, amplitudes: np.ndarray, obstacles: Obstacles = NO_OBSTACLES) -> np.ndarray:
        """Returns the elements' echoes of point scatterers, demodulated, (W, E, samples) complex64.

        Args:
            points_mm: (N, 2).
            amplitudes: (N,) reflected amplitude.
            obstacles: what stands between the probe and the scatterers.
        """
        length = self.echo_samples
        points = np.asarray(points_mm, dtype=np.float32)
        wavenumber = np.float32(2 * np.pi * self.frequency_mhz / SOUND_SPEED_MM_US)
        per_mm = np.float32(self.sampling_mhz / SOUND_SPEED_MM_US)
        loss = np.float32(self.attenuation * self.frequency_mhz * np.log(10) / 200)
        waves = []
        for wave in range(self.wave_count):
            path, amplitude = self.transmitted(points, wave)
            amplitude = amplitude * amplitudes * obstacles.passed(points, self.sources_mm[wave])
            amplitude *= np.exp(-loss * path) / np.sqrt(1 + np.maximum(path, 0))
            waves.append((path, _turned(path, wavenumber, amplitude)))
        sums = np.zeros((self.wave_count, self.element_count, length), dtype=np.complex64)
        for index, element in enumerate(self.elements_mm.astype(np.float32)):
            away = points - element
            path = np.hypot(away[:, 0], away[:, 1])
            amplitude = self._directivity(away, path, index) * obstacles.passed(points, element)
            amplitude *= np.exp(-loss * path) / np.sqrt(1 + path)
            received = _turned(path, wavenumber, amplitude)
            for wave, (sent_path, sent) in enumerate(waves):
                sample = np.rint((sent_path + path) * per_mm).astype(np.int32)
                np.clip(sample, 0, length - 1, out=sample)
                value = sent * received
                sums[wave, index] = np.bincount(sample, value.real, length) + 1j * np.bincount(
                    sample, value.imag, length
                )
        sums[..., 0] = 0
        sums[..., -1] = 0
        return self._pulsed(sums)

    def beamform(self, echoes: np.ndarray) -> np.ndarray:
        """Delays and sums the elements' echoes; returns the complex image (L, S), its gain made up for attenuation."""
        lines = sum(matrix @ echoes[wave].ravel() for wave, matrix in enumerate(self._delay_and_sum))
        lines = np.asarray(lines).reshape(self.line_count, self.sample_count)
        gain = 10 ** (self.attenuation * self.frequency_mhz * 2 * self.ranges_mm / 200)
        return lines * (gain * np.sqrt(1 + self.ranges_mm)).astype(np.float32)

    @cached_property
    def _delay_and_sum(self) -> list[sparse.csr_matrix]:
        points = self.image_points_mm.reshape(-1, 2)
        weights = self.receiving_weights(points)
        weights /= np.maximum(np.sqrt((weights**2).sum(axis=0)), 1e-6)
        rows = np.arange(len(points))
        wavenumber = 2 * np.pi * self.frequency_mhz / SOUND_SPEED_MM_US
        matrices = []
        for wave in range(self.wave_count):
            sent, _ = self.transmitted(points, wave)
            columns, values, at = [], [], []
            for index, element in enumerate(self.elements_mm):
                path = sent + np.hypot(*(points - element).T)
                sample = np.rint(path * self.sampling_mhz / SOUND_SPEED_MM_US).astype(np.int64)
                used = (weights[index] > 1e-4) & (sample >= 0) & (sample < self.echo_samples)
                at.append(rows[used])
                columns.append(index * self.echo_samples + sample[used])
                values.append((weights[index] * np.exp(1j * wavenumber * path))[used])
            shape = (len(points), self.element_count * self.echo_samples)
            placed = (np.concatenate(at), np.concatenate(columns))
            matrices.append(sparse.csr_matrix((np.concatenate(values).astype(np.complex64), placed), shape))
        return matrices

    def _directivity(self, away: np.ndarray, path: np.ndarray, index: int) -> np.ndarray:
        """Amplitude with which an element receives from a direction: a flat strip's, in a soft baffle."""
        normal = np.array([0.0, 1.0], dtype=np.float32)
        if not np.isinf(self.radius_mm):
            normal = (self.elements_mm[index] + [0, self.radius_mm]).astype(np.float32) / np.float32(self.radius_mm)
        cosine = np.clip((away @ normal) / np.maximum(path, 1e-3), 0, 1)
        sine = np.sqrt(1 - cosine**2)
        return cosine * np.sinc(0.85 * self.pitch_mm * self.frequency_mhz / SOUND_SPEED_MM_US * sine)

    def _pulsed(self, sums: np.ndarray) -> np.ndarray:
        """Gives every arrival the form of the pulse, lower and longer with depth."""
        length = self.echo_samples
        spectrum = np.fft.fft(sums, axis=2)
        frequency = np.fft.fftfreq(length, 1 / self.sampling_mhz)
        depth = np.arange(length) / self.sampling_mhz * SOUND_SPEED_MM_US / 2
        width = self.bandwidth * self.frequency_mhz / 2.355
        centres = np.linspace(0, self.depth_mm, _PULSE_ZONES)
        pulsed = np.zeros_like(sums)
        for centre in centres:
            # A Gaussian spectrum keeps its width and moves down, as attenuation grows in proportion to frequency.
            shift = self.attenuation * np.log(10) / 100 * 2 * centre / 2 * width**2
            filter_ = np.exp(-((frequency + shift) ** 2) / (2 * width**2))
            blend = np.clip(1 - np.abs(depth - centre) / (centres[1] - centres[0]), 0, 1)
            if centre == centres[-1]:
                blend[depth > centre] = 1
            pulsed += blend.astype(np.float32) * np.fft.ifft(spectrum * filter_.astype(np.float32), axis=2)
        return pulsed


def _turned(path: np.ndarray, wavenumber: np.float32, amplitude: np.ndarray) -> np.ndarray:
    """Phasor of an arrival after a path."""
    phase = (wavenumber * path).astype(np.float32)
    turned = np.empty(len(phase), dtype=np.complex64)
    turned.real, turned.imag = np.cos(phase), -np.sin(phase)
    return turned * amplitude.astype(np.float32)
