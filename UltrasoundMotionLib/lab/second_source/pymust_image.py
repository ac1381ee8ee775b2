"""Image formation by PyMUST (the MUST toolbox of D. Garcia in Python, by G. Bernardino), a library by others: SIMUS
sums the pressure fields of the elements in the frequency domain, and PyMUST's own matrix delays and sums the echoes.

As it takes seconds a frame, few scatterers are given to it and one diverging wave is sent. Obstacles, which SIMUS does
not have, are a loss at the scatterer here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from UltrasoundMotionLib.errors import MissingPackageError
from UltrasoundMotionLib.lab.second_source.obstacles import Obstacles
from UltrasoundMotionLib.lab.second_source.probe import SOUND_SPEED_MM_US, Probe

SCATTERERS = 4000
_ELEMENTS = 32
_FAINTEST_DB = -24
"""Frequencies that are weaker than this part of the strongest are left out."""


def affordable_probe(probe: Probe) -> Probe:
    """Returns the probe with fewer, wider elements, a lower frequency and a single wave."""
    aperture = probe.element_count * probe.pitch_mm
    return replace(
        probe,
        element_count=_ELEMENTS,
        pitch_mm=aperture / _ELEMENTS,
        frequency_mhz=min(probe.frequency_mhz, 1.8),
        bandwidth=min(probe.bandwidth, 0.6),
        wave_count=1,
        harmonic=False,
    )


class PymustImage:
    """Forms images of one probe by PyMUST, whose matrix of delays it keeps.

    Args:
        probe: see `affordable_probe`.
        noise_db: level of the elements' noise against the late echoes of the first frame (a negative number).

    Raises:
        MissingPackageError: PyMUST is not installed.
    """

    def __init__(self, probe: Probe, noise_db: float) -> None:
        try:
            import pymust
        except ImportError as error:
            raise MissingPackageError(
                "PyMUST is not installed: `pip install pymust` brings it (LGPL-3.0; only this benchmark takes it)"
            ) from error
        self._must: Any = pymust
        self._probe, self._noise_db = probe, noise_db
        self._deviation: float | None = None
        self._matrix: Any = None

    def __call__(
        self,
        points_mm: np.ndarray,
        amplitudes: np.ndarray,
        obstacles: Obstacles,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Returns beamformed lines (L, S) of scatterers at (N, 2)."""
        must, probe = self._must, self._probe
        parameters, options = self._parameters(), must.utils.Options()
        options.dBThresh = _FAINTEST_DB
        amplitudes = amplitudes * obstacles.passed(points_mm, np.zeros(2)) ** 2
        x, z = self._metres(points_mm)
        echoes, _ = must.simus(x[None], z[None], amplitudes[None], self._delays, parameters, options)
        if self._deviation is None:
            late = echoes[int(0.7 * len(echoes)) : int(0.9 * len(echoes))]
            self._deviation = float(10 ** (self._noise_db / 20) * late.std())
        # Noise outside of the band is filtered out by the demodulation.
        echoes = echoes + self._deviation * rng.standard_normal(echoes.shape)
        demodulated = must.rf2iq(echoes, parameters)
        samples = int(np.ceil(2 * (probe.depth_mm + 20) / SOUND_SPEED_MM_US * 1e-6 * parameters.fs))
        whole = np.zeros((samples, demodulated.shape[1]), dtype=complex)
        whole[: min(samples, len(demodulated))] = demodulated[:samples]
        if self._matrix is None:
            at_x, at_z = self._metres(probe.image_points_mm.reshape(-1, 2))
            self._matrix = must.dasmtx(1j * np.array(whole.shape), at_x, at_z, self._delays, parameters, "linear")
        lines = (self._matrix @ whole.flatten(order="F")).reshape(probe.line_count, probe.sample_count)
        gain = 10 ** (probe.attenuation * probe.frequency_mhz * 2 * probe.ranges_mm / 200)
        return lines * gain * np.sqrt(1 + probe.ranges_mm)

    def _parameters(self) -> Any:
        probe = self._probe
        parameters = self._must.utils.Param()
        parameters.fc = 1e6 * probe.frequency_mhz
        parameters.fs = 4 * parameters.fc
        parameters.Nelements = probe.element_count
        parameters.pitch = 1e-3 * probe.pitch_mm
        parameters.kerf = 0.1e-3 * probe.pitch_mm
        parameters.radius = 1e-3 * probe.radius_mm
        parameters.bandwidth = 100 * probe.bandwidth
        parameters.attenuation = probe.attenuation
        parameters.c = 1e3 * SOUND_SPEED_MM_US
        parameters.fnumber = 0.0 if np.isinf(probe.radius_mm) else probe.f_number
        return parameters

    @property
    def _delays(self) -> np.ndarray:
        """Seconds after which each element sends (1, E), so that the wave seems to come from the virtual source."""
        if not np.isinf(self._probe.radius_mm):
            return np.zeros((1, self._probe.element_count))
        far = np.hypot(*(self._probe.elements_mm - self._probe.sources_mm[0]).T)
        return 1e-6 * (far - far.min())[None] / SOUND_SPEED_MM_US

    def _metres(self, points_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """PyMUST's coordinates: its depth begins at the chord of a curved array."""
        chord = float(self._probe.elements_mm[:, 1].min())
        return 1e-3 * points_mm[:, 0], 1e-3 * (points_mm[:, 1] - chord)
