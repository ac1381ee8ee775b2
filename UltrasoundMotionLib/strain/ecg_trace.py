"""ECG traces and their R peaks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.errors import InputError

_PASS_BAND_HZ = (5.0, 15.0)
_WINDOW_S = 0.15
_REFRACTORY_S = 0.25


@dataclass(frozen=True)
class EcgTrace:
    """An ECG recorded with the clip.

    Attributes:
        times_s: (M,) evenly spaced sample times, on the clip's time axis.
        values: (M,) samples of one lead, in any unit.

    Raises:
        InputError: shapes that differ, values that are not finite, times that do not increase evenly, fewer than 50
            samples a second.
    """

    times_s: np.ndarray
    values: np.ndarray

    def __post_init__(self) -> None:
        times, values = np.array(self.times_s, dtype=np.float64), np.array(self.values, dtype=np.float64)
        if times.ndim != 1 or times.shape != values.shape or len(times) < 2:
            raise InputError(f"ECG: times {times.shape} and values {values.shape} must be two rows of equal length")
        if not (np.isfinite(times).all() and np.isfinite(values).all()):
            raise InputError("ECG: times and values must be finite")
        step = np.diff(times)
        if step.min() <= 0 or step.max() - step.min() > 0.05 * step.mean():
            raise InputError("ECG: times must increase in even steps")
        if 1 / step.mean() < 50:
            raise InputError(f"ECG: {1 / step.mean():.3g} samples a second are too few to see R waves; 50 are needed")
        for name, value in (("times_s", times), ("values", values)):
            value.setflags(write=False)
            object.__setattr__(self, name, value)

    def r_peaks_s(self) -> np.ndarray:
        """Returns the times (K,) of the R peaks (Pan and Tompkins 1985).

        Band pass, squared slope, moving mean and threshold; then the extremum of the band-passed trace.

        Raises:
            InputError: no R peak is found.
        """
        from scipy.signal import butter, find_peaks, sosfiltfilt

        rate = 1 / float(np.mean(np.diff(self.times_s)))
        band = (_PASS_BAND_HZ[0], min(_PASS_BAND_HZ[1], 0.45 * rate))
        sections = butter(2, band, btype="bandpass", fs=rate, output="sos")
        passed = sosfiltfilt(
            sections, self.values - np.median(self.values), padlen=min(len(self.values) - 1, int(rate))
        )
        window = np.ones(max(1, round(_WINDOW_S * rate)))
        energy = np.convolve(np.gradient(passed) ** 2, window / len(window), mode="same")
        if energy.max() <= 0:
            raise InputError("ECG: the trace is flat; no R peak can be found")
        peaks, _ = find_peaks(
            np.pad(energy, 1), height=0.25 * np.percentile(energy, 99), distance=max(1, int(_REFRACTORY_S * rate))
        )
        reach = max(1, round(_WINDOW_S / 2 * rate))
        found = []
        for peak in peaks - 1:
            first = max(0, peak - reach)
            found.append(first + int(np.argmax(np.abs(passed[first : peak + reach + 1]))))
        if not found:
            raise InputError("ECG: no R peak was found in the trace; give their times")
        return self.times_s[np.unique(found)]
