"""Colour of a few frames beside a grey sequence: enough for the search for scanner graphics in another process."""

from __future__ import annotations

import numpy as np

from UltrasoundMotionLib.images.colour import ColourFrameSource
from UltrasoundMotionLib.images.image_sequence import FrameSource, ImageSequence

SAMPLED_FRAMES = 32


def sample_indices(frame_count: int) -> list[int]:
    """Returns the frames that are looked at: at most 32, evenly spread over the clip."""
    return np.unique(np.linspace(0, frame_count - 1, SAMPLED_FRAMES).round().astype(int)).tolist()


class SampledColour:
    """The frames in colour that `find_graphics` looks at, read one at a time: (K, H, W, 3) uint8."""

    def __init__(self, source: ColourFrameSource, indices: list[int], frame_shape: tuple[int, int]) -> None:
        self._source, self._indices = source, indices
        self.shape, self.dtype = (len(indices), *frame_shape, 3), np.dtype(np.uint8)

    @classmethod
    def of(cls, sequence: ImageSequence) -> SampledColour | None:
        """Returns the sampled colour of a sequence, or None where it is grey."""
        frames = sequence.frames
        if not isinstance(frames, ColourFrameSource) or frames.colour_frame(0) is None:
            return None
        height, width = frames.shape[1:]
        return cls(frames, sample_indices(len(sequence)), (height, width))

    def __getitem__(self, index: int) -> np.ndarray:
        found = self._source.colour_frame(self._indices[index])
        assert found is not None
        return found


class WithSampledColour:
    """A frame source of grey frames, in memory, with the colour of those that `SampledColour` holds."""

    in_memory = True

    def __init__(self, frames: FrameSource, colour: np.ndarray) -> None:
        self._frames, self._colour = frames, colour
        self._places = {frame: place for place, frame in enumerate(sample_indices(frames.shape[0]))}
        self.shape, self.dtype = frames.shape, frames.dtype

    def __getitem__(self, index: int) -> np.ndarray:
        return self._frames[index]

    def colour_frame(self, index: int) -> np.ndarray | None:
        """Frame `index` as RGB (H, W, 3) uint8, or None where its colour is not held."""
        place = self._places.get(index)
        return None if place is None else np.asarray(self._colour[place])
