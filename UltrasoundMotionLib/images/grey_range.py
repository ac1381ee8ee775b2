"""The grey levels of a clip that are shown as black and white."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from UltrasoundMotionLib.images.image_sequence import FrameSource, ImageSequence

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


_LEAST_RANGE, _LARGEST_RANGE = 2.0, 1e6
_GREY_LEVELS = 255.0


class _ScaledFrames:
    """Frames whose grey levels are scaled, a `FrameSource`."""

    def __init__(self, frames: FrameSource, low: float, factor: float) -> None:
        self._frames, self._low, self._factor = frames, low, factor
        self.shape, self.dtype = frames.shape, np.dtype(np.float32)

    def __getitem__(self, index: int) -> np.ndarray:
        return ((np.asarray(self._frames[index], dtype=np.float64) - self._low) * self._factor).astype(np.float32)


def in_usual_range(sequence: ImageSequence) -> ImageSequence:
    """Returns a clip of numbers far below or above grey levels, such as an envelope from 0 to 1, scaled to 0..255.

    The limits of trackers are in grey levels. Other clips, and one without contrast, are returned as they are.
    """
    if np.dtype(sequence.frames.dtype) == np.uint8:
        return sequence
    chosen = np.unique(np.linspace(0, len(sequence) - 1, _FRAMES_FOR_GREY_RANGE).astype(int))
    parts = [np.percentile(sequence.frame(int(index)).astype(np.float64), (0.5, 99.5)) for index in chosen]
    low, high = min(float(part[0]) for part in parts), max(float(part[1]) for part in parts)
    scale = usual_scale(low, high)
    if scale is None:
        return sequence
    frames = _ScaledFrames(sequence.frames, *scale)
    if low == high:
        return replace(sequence, frames=frames)
    note = f"grey levels from {low:.3g} to {high:.3g} were scaled to 0 to 255 for tracking"
    return replace(sequence, frames=frames, notes=(*sequence.notes, note))


def usual_scale(low: float, high: float) -> tuple[float, float] | None:
    """Returns (offset, factor) that bring numbers from `low` to `high`, far below or above grey levels, to 0..255 by
    `(x - offset) * factor`; None where they may stay as they are.
    """
    if low == high and abs(low) > _LARGEST_RANGE:  # its squares have no number
        return low, 1.0
    if not high - low > 0 or _LEAST_RANGE <= high - low <= _LARGEST_RANGE:
        return None
    return low, _GREY_LEVELS / (high - low)
