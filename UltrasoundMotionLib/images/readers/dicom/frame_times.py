"""Frame times of a clip in a DICOM file (PS3.3 C.7.6.5, Cine)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.images.readers.dicom.functional_groups import number
from UltrasoundMotionLib.images.readers.header_fields import increasing_times

if TYPE_CHECKING:
    import pydicom

_SLOWEST_HZ, _FASTEST_HZ = 0.01, 50_000.0


def frame_times(dataset: pydicom.Dataset, frames: int) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Returns frame times (T,) in seconds from the first frame, or None if the file has no usable ones, and notes.

    From the first usable attribute of FrameTimeVector, FrameTime (both in ms), CineRate, RecommendedDisplayFrameRate
    (both in frames per second). A time of zero, a repeated time or an impossible rate is not used, and noted.
    """
    notes: list[str] = []
    if frames < 2:
        return None, ()
    vector = dataset.get("FrameTimeVector")
    if vector not in (None, ""):
        steps = np.atleast_1d(np.array(vector, dtype=np.float64))
        if len(steps) in (frames, frames - 1):
            times, vector_notes = increasing_times(
                np.concatenate([[0.0], np.cumsum(steps[len(steps) - frames + 1 :])]) / 1000.0, "FrameTimeVector"
            )
            if times is not None:
                return times, ()
            notes += vector_notes
        else:
            notes.append(f"FrameTimeVector has {len(steps)} values for {frames} frames, so it was not used")
    for name, unit in (("FrameTime", "ms"), ("CineRate", "Hz"), ("RecommendedDisplayFrameRate", "Hz")):
        value = number(dataset, name)
        if value is None:
            continue
        rate = (1000.0 / value if value else 0.0) if unit == "ms" else value
        if _SLOWEST_HZ <= rate <= _FASTEST_HZ:
            if notes:
                notes.append(f"frame rate {rate:.4g} Hz taken from {name}")
            return np.arange(frames) / rate, tuple(notes)
        notes.append(f"frame rate unknown from {name}: it is {value:g} {unit}")
    return None, (*notes, "frame rate unknown: give it if it is known")
