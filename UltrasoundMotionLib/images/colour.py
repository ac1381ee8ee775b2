"""Conversion of colour to grey levels, access to the original colour of a sequence, and to that of a few frames."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import FrameSource, ImageSequence

_SAMPLED_FRAMES = 32
LUMINANCE_NOTE = "colour pixels became luminance (Rec. 601: 0.299 R + 0.587 G + 0.114 B)"


@runtime_checkable
class ColourFrameSource(Protocol):
    """A frame source that gives access to the colour of its file; all readers return one for a colour file."""

    def colour_frame(self, index: int) -> np.ndarray | None:
        """Returns frame `index` as RGB (H, W, 3) uint8, or None if the file is grey."""
        ...


def luminance(pixels: np.ndarray, *, exact: bool = False) -> np.ndarray:
    """Returns the grey levels of pixels (..., C): uint8 for uint8, float32 otherwise.

    One component is grey, two are grey and opacity, three are RGB, four are RGB and opacity. RGB becomes 0.299 R +
    0.587 G + 0.114 B (Rec. 601, rounded for uint8, so that equal components are unchanged). Opacity is ignored. With
    `exact`, grey of any type keeps its type.
    """
    components = pixels.shape[-1]
    if components < 3:
        grey = pixels[..., 0]
        return grey if exact or grey.dtype == np.uint8 else grey.astype(np.float32)
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    if pixels.dtype == np.uint8:
        # 16-bit fixed point; the three weights sum to exactly 65536
        total = red.astype(np.uint32) * 19595 + green.astype(np.uint32) * 38470 + blue.astype(np.uint32) * 7471
        return ((total + 32768) >> 16).astype(np.uint8)
    return (0.299 * red + 0.587 * green + 0.114 * blue).astype(np.float32)


def grey_dtype(stored: np.dtype) -> np.dtype:
    """Returns the type of the frames for a stored type: uint8 for uint8, float32 (unchanged values) for any other."""
    return np.dtype(np.uint8) if np.dtype(stored) == np.uint8 else np.dtype(np.float32)


def colour_frame(sequence: ImageSequence, index: int) -> np.ndarray | None:
    """Returns frame `index` as RGB (H, W, 3) uint8, or None if the file of the sequence is grey."""
    frames = sequence.frames
    return frames.colour_frame(index) if isinstance(frames, ColourFrameSource) else None


def sample_indices(frame_count: int) -> list[int]:
    """Returns at most 32 frame indices, evenly spread over the clip."""
    return np.unique(np.linspace(0, frame_count - 1, _SAMPLED_FRAMES).round().astype(int)).tolist()


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


def check_single_precision(where: str, values: np.ndarray) -> None:
    """Checks that double-precision values are not lost in single precision, in which images are computed with.

    Raises:
        InputError: values so large that they become infinite, or so small that all become 0.
    """
    if values.dtype.kind != "f" or values.dtype.itemsize <= np.dtype(np.float32).itemsize:
        return
    largest, limits = float(np.abs(values).max()), np.finfo(np.float32)
    if np.isfinite(largest) and (largest > float(limits.max) or 0 < largest < float(limits.tiny)):
        raise InputError(f"{where}: values up to {largest:.3g} are lost in single precision; scale them first")
