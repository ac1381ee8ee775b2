"""Peaks of a curve are those that scipy finds."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from UltrasoundMotionLib.strain.peaks import find_peaks, peak_prominences

CURVES = st.lists(st.integers(-6, 6), min_size=3, max_size=60)  # whole numbers make plateaus


@given(CURVES, st.floats(0.1, 6), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_peaks_and_prominences_are_those_of_scipy(levels, prominence, distance, seed):
    plateaus = np.array(levels, dtype=float)
    for values in (plateaus, plateaus + 1e-3 * np.random.default_rng(seed).random(len(levels))):
        expected, properties = signal.find_peaks(values, prominence=prominence, distance=distance)
        found = find_peaks(values, prominence=prominence, distance=distance)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(peak_prominences(values, found), properties["prominences"])


def test_strain_imports_no_package_that_takes_long():
    """They took half a second of the application's main thread when the first strain was measured."""
    pytest.importorskip("scipy")
    program = """
import sys
import numpy as np
from UltrasoundMotionLib.strain.find_events import find_contour_events
angle = np.linspace(0, np.pi, 20)
size = 10 + np.cos(np.linspace(0, 6 * np.pi, 90))
positions = size[:, None, None] * np.stack([np.cos(angle), -np.sin(angle)], axis=1)
print(find_contour_events(positions, np.arange(90) / 30).end_systole_frames)
print(*sorted(name for name in ("scipy.signal", "scipy.stats", "torch") if name in sys.modules))
"""
    lines = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    assert lines[0].startswith("(15,")
    assert lines[1] == ""
