"""Commands in this process and in their own: what they say, and the clip that they follow."""

import sys

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

COMMAND = [sys.executable, "-m", "UltrasoundMotionLib"]
SHIFT_PX = 0.75


def speckle(frame_count, size=96, shift=SHIFT_PX, dtype=np.uint8):
    """Smooth noise that moves right by `shift` pixels a frame."""
    noise = ndimage.gaussian_filter(np.random.default_rng(5).standard_normal((size, 2 * size)), 2)
    noise = 128 + 110 * noise / np.abs(noise).max()
    moved = (ndimage.shift(noise, (0, shift * frame), order=3, mode="wrap") for frame in range(frame_count))
    return np.stack([frame[:, size // 2 : size // 2 + size] for frame in moved]).astype(dtype)


def write_clip(path, frames):
    sitk.WriteImage(sitk.GetImageFromArray(frames), str(path))
    return path


def without_progress(error):
    """What was said on stderr but for the lines of progress, which a busy machine makes appear."""
    return "".join(
        line
        for line in error.splitlines(keepends=True)
        if not line.startswith(("tracking ", "registering ", "animation ", "scene "))
    )


def assert_refused(result, *words):
    code, _, error = result
    assert code == 2, error
    assert error.count("\n") == 1
    assert error.startswith("ultrasound-motion: error: ")
    for word in words:
        assert str(word) in error, error


def assert_nothing_written(folder):
    assert not [path for path in folder.rglob("*") if path.name == "t.csv" or path.name.startswith(".partial")]
