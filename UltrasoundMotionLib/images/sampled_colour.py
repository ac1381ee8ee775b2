"""Colour of a few frames of a grey sequence, for the detection of scanner graphics in another process."""

from __future__ import annotations

import numpy as np

from UltrasoundMotionLib.images.colour import ColourFrameSource
from UltrasoundMotionLib.images.image_sequence import FrameSource, ImageSequence

SAMPLED_FRAMES = 32


def sample_indices(frame_count: int) -> list[int]:
    """Returns at most 32 frame indices, evenly spread over the clip."""
    return np.unique(np.linspace(0, frame_count - 1, SAMPLED_FRAMES).round().astype(int)).tolist()


class SampledColour:
    """The colour frames that `find_graphics` samples, read one at a time: (K, H, W, 3) uint8."""

    def __init__(self, source: ColourFrameSource, indices: list[int], frame_shape: tuple[int, int]) -> None:
        self._source, self._indices = source, indices
        self.shape, self.dtype = (len(indices), *frame_shape, 3), np.dtype(np.uint8)

    @classmethod
    def of(cls, sequence: ImageSequence) -> SampledColour | None:
        """Returns the sampled colour of a sequence, or None if it is grey."""
        frames = sequence.frames
        if not isinstance(frames, ColourFrameSource) or frames.colour_frame(0) is None:
            return None
        height, width = frames.shape[1:]
        return cls(frames, sample_indices(len(sequence)), (height, width))

    def __getitem__(self, index: int) -> np.ndarray:
        frame = self._source.colour_frame(self._indices[index])
        assert frame is not None  # `of` has checked that the source is in colour
        return frame


class WithSampledColour:
    """Grey frames in memory with the colour of the sampled ones, a `ColourFrameSource`."""

    in_memory = True

    def __init__(self, frames: FrameSource, colour: np.ndarray) -> None:
        self._frames, self._colour = frames, colour
        self._sample_of = {frame: sample for sample, frame in enumerate(sample_indices(frames.shape[0]))}
        self.shape, self.dtype = frames.shape, frames.dtype

    def __getitem__(self, index: int) -> np.ndarray:
        return self._frames[index]

    def colour_frame(self, index: int) -> np.ndarray | None:
        """Returns frame `index` as RGB (H, W, 3) uint8, or None if it is not a sampled frame."""
        sample = self._sample_of.get(index)
        return None if sample is None else np.asarray(self._colour[sample])
