"""Frames whose hidden pixels are filled from their surroundings, which know the pixels that they have filled."""

from __future__ import annotations

import zlib

import numpy as np

from UltrasoundMotionLib.images.colour import ColourFrameSource, sample_indices
from UltrasoundMotionLib.images.image_sequence import FrameSource
from UltrasoundMotionLib.images.morphology import binary_dilation
from UltrasoundMotionLib.images.nearest_pixels import nearest_pixels
from UltrasoundMotionLib.images.tissue_hue import TissueHue

_NEIGHBOURS = 24
_SMOOTH_PX, _MARGIN_PX = 4.0, 12


class FilledFrames:
    """A frame source that fills the pixels of a mask in every frame, and those of colour flow in the frame that has it.

    The mask is filled with the inverse-distance weighted mean of the nearest unmasked pixels; colour flow, whose shape
    changes, with the nearest ones, smoothed.

    Args:
        frames: the source.
        mask: (H, W) bool, filled in every frame.
        hue: of the tissue, where pixels of another hue inside `sector` are filled in the frames that show them.
        sector: (H, W) bool.
    """

    def __init__(
        self, frames: FrameSource, mask: np.ndarray, hue: TissueHue | None = None, sector: np.ndarray | None = None
    ) -> None:
        self._frames, self._mask, self._hue, self._sector = frames, mask, hue, sector
        self.shape, self.dtype = frames.shape, np.dtype(frames.dtype)
        self._passing: dict[int, bytes] = {}  # compressed: a mask a frame would grow with the clip
        # the nearest unmasked pixels are those on the rim of the mask
        rim = binary_dilation(mask, iterations=3) & ~mask
        self._source = np.zeros((0, 0, 2), dtype=np.intp)
        if rim.any():
            self._source, distance = nearest_pixels(np.argwhere(mask), rim, min(_NEIGHBOURS, int(rim.sum())))
            weight = 1.0 / distance
            self._weight = (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)

    def __getitem__(self, index: int) -> np.ndarray:
        frame = np.array(self._frames[index])
        passing = self._passing_at(index)
        if passing is not None and passing.any():
            self._fill_passing(frame, passing)
        if len(self._source):
            near = frame[self._source[..., 0], self._source[..., 1]]
            filled = (near * self._weight).sum(axis=1)
            frame[self._mask] = np.rint(filled) if self.dtype == np.uint8 else filled
        return frame

    def _fill_passing(self, frame: np.ndarray, passing: np.ndarray) -> None:
        """Fills the pixels of colour flow of a frame in place, with the nearest others, smoothed."""
        rows, columns = np.flatnonzero(passing.any(axis=1)), np.flatnonzero(passing.any(axis=0))
        place = tuple(slice(max(0, part[0] - _MARGIN_PX), part[-1] + 1 + _MARGIN_PX) for part in (rows, columns))
        hidden = (passing | self._mask)[place]
        if hidden.all():  # nothing to fill it from: the whole of a small frame
            return
        from scipy import ndimage

        nearest = ndimage.distance_transform_edt(hidden, return_distances=False, return_indices=True)
        whole = frame[place][nearest[0], nearest[1]].astype(np.float32)
        filled = ndimage.gaussian_filter(whole, _SMOOTH_PX)[passing[place]]
        frame[passing] = np.rint(filled) if self.dtype == np.uint8 else filled

    def colour_frame(self, index: int) -> np.ndarray | None:
        """Returns the colour of the frame with its graphics; see `ColourFrameSource`."""
        return self._frames.colour_frame(index) if isinstance(self._frames, ColourFrameSource) else None

    def filled(self, index: int) -> np.ndarray:
        """Returns the pixels of frame `index` that were filled, (H, W) bool."""
        passing = self._passing_at(index)
        return self._mask if passing is None else self._mask | passing

    def _passing_at(self, index: int) -> np.ndarray | None:
        """Returns the pixels of colour flow in frame `index`, None if the clip has none.

        Where the colour of a few frames only is at hand, those of the frames before and after are taken together.
        """
        if self._hue is None or self._sector is None:
            return None
        if index not in self._passing:
            colour = self.colour_frame(index)
            if colour is not None:
                passing = binary_dilation(self._hue.differs(colour), iterations=1) & self._sector & ~self._mask
            else:
                sampled = [sample for sample in sample_indices(self.shape[0]) if sample != index]
                sides = [
                    [sample for sample in sampled if sample < index][-1:],
                    [sample for sample in sampled if sample > index][:1],
                ]
                passing = np.zeros(self._mask.shape, dtype=bool)
                for sample in (*sides[0], *sides[1]):
                    if self.colour_frame(sample) is not None:
                        passing |= self._passing_at(sample)
            self._passing[index] = zlib.compress(np.packbits(passing).tobytes(), 1)
        bits = np.frombuffer(zlib.decompress(self._passing[index]), dtype=np.uint8)
        return np.unpackbits(bits, count=self._mask.size).reshape(self._mask.shape).astype(bool)
