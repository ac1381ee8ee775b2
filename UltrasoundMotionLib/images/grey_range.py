"""The grey levels of a clip that are shown as black and white."""

from __future__ import annotations

import numpy as np

from UltrasoundMotionLib.images.image_sequence import ImageSequence

_FRAMES_FOR_GREY_RANGE = 8


def grey_range(sequence: ImageSequence) -> tuple[float, float]:
    """Returns the grey levels to show as black and white, from the pixels that change: bright text is left out.

    Black is 0 for uint8 and the 0.5th percentile otherwise; white is the 99.7th percentile, and at least 64 for uint8.
    A still uint8 clip is shown from 0 to 255.
    """
    chosen = np.unique(np.linspace(0, len(sequence) - 1, _FRAMES_FOR_GREY_RANGE).astype(int))
    frames = np.stack([sequence.frame(int(index)) for index in chosen])
    changing = np.ptp(frames, axis=0) > 0
    tissue = frames[:, changing] if changing.any() else frames
    low, high = (float(level) for level in np.percentile(tissue, (0.5, 99.7)))
    if np.dtype(sequence.frames.dtype) == np.uint8:
        return 0.0, max(high, 64.0) if changing.any() else 255.0
    return (low, high) if high > low else (low, low + 1.0)
