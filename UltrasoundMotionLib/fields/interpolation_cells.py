"""The cells of voxels around positions in an image, and linear interpolation in them, with vectorised operations.

A few thousand positions are taken at a time, into arrays that are reused: they stay in the cache, and no memory is
requested from the operating system, which costs more than the arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

_CHUNK_VOXELS = 32768


class Places:
    """Positions (n, *output), displacements (dense) or points, located chunk by chunk in an image.

    A place is the lower corner of the cell of voxels that holds a position, and the position in that cell. The arrays
    of one chunk are overwritten by the next one.

    Attributes:
        lower: (N,) flat index of the lower corner.
        fractions: (n, N) from 0 to 1 along x, y[, z].
        inside: (n, N) 1 where a coordinate lies between the first and last voxel, 0 beyond, where the border value
            continues; None unless asked for.
    """

    def __init__(self, spatial: torch.Size, positions: Tensor, dense: bool, *, with_inside: bool) -> None:
        self.lower: Tensor
        self.fractions: Tensor
        self.inside: Tensor | None = None
        axes, output = positions.shape[0], positions.shape[1:]
        self._width, self._height = (output[-1], output[-2]) if dense else (1, 1)
        self._dense, self._rows = dense, output.numel() // max(1, self._width)
        chunks = math.ceil(output.numel() / _CHUNK_VOXELS)
        self.step = math.ceil(self._rows / max(1, chunks))
        count = self.step * self._width
        self._arrays = positions.new_empty(3 if with_inside else 2, axes, count)
        self._index = torch.empty(count, dtype=torch.long), torch.empty(count, dtype=torch.int)
        sizes = list(reversed(spatial))
        self._last = positions.new_tensor(sizes).sub_(1)[:, None]
        self._last_corner = (self._last - 1).clamp_(min=0)
        self._strides = [math.prod(sizes[:axis]) for axis in range(axes)]
        self._exact_as_float = spatial.numel() < (1 << 24)
        self._line = torch.arange(self._width, dtype=positions.dtype)

    def chunks(self, positions: Tensor) -> Iterator[slice]:
        """Yields the parts of the flat output, in order; each is located when it is yielded."""
        by_row = positions.reshape(positions.shape[0], -1, self._width)
        for start in range(0, self._rows, self.step):
            stop = min(start + self.step, self._rows)
            where = slice(start * self._width, stop * self._width)
            self._locate(by_row[:, start:stop], start, stop, where.stop - where.start)
            yield where

    def _locate(self, piece: Tensor, start: int, stop: int, count: int) -> None:
        """Locates the positions (n, rows, width) of the rows from start to stop, count in all."""
        arrays = self._arrays[..., :count]
        coordinates, corners = arrays[0], arrays[1]
        by_row = coordinates.unflatten(1, (-1, self._width))
        if self._dense:
            torch.add(piece[0], self._line, out=by_row[0])
            row = torch.arange(start, stop)
            for axis, line in enumerate((row % self._height, row // self._height)[: len(piece) - 1], start=1):
                torch.add(piece[axis], line.to(piece.dtype)[:, None], out=by_row[axis])
        else:
            by_row.copy_(piece)
        if len(arrays) == 3:
            clamped = torch.clamp_min(coordinates, 0, out=arrays[2])
            self.inside = coordinates.eq_(torch.minimum(clamped, self._last, out=clamped))
        else:
            clamped = coordinates.clamp_min_(0)
            torch.minimum(clamped, self._last, out=clamped)
        torch.floor(clamped, out=corners)
        torch.minimum(corners, self._last_corner, out=corners)
        self.fractions = clamped.sub_(corners)
        self.lower = self._flat(corners, count)

    def _flat(self, corners: Tensor, count: int) -> Tensor:
        """Returns the flat index of corners (n, count), which it overwrites."""
        lower, short = (one[:count] for one in self._index)
        if not self._exact_as_float:
            strides = torch.tensor(self._strides)[:, None]
            return torch.sum(corners.long().mul_(strides), 0, out=lower)
        for axis in range(1, len(corners)):
            corners[0].add_(corners[axis], alpha=self._strides[axis])
        return lower.copy_(short.copy_(corners[0]))  # twice as fast as at once


def corner_offsets(spatial: torch.Size) -> list[int]:
    """Returns the flat offsets of the 2^n corners from the lower one, z fastest; a one-voxel axis has no upper one."""
    offsets, stride = [0], spatial.numel()
    for size in spatial:
        stride //= size
        offsets += [offset + (stride if size > 1 else 0) for offset in offsets]
    return offsets


class Cells:
    """The voxels at the 2^n corners of the cells of one chunk, and their interpolation, along x, then y, then z."""

    def __init__(self, spatial: torch.Size, like: Tensor, most: int, *, differentiate: bool) -> None:
        axes = len(spatial)
        self._offsets = corner_offsets(spatial)
        self._corners = like.new_empty(2**axes, most)
        self._slopes = like.new_empty(axes, 2 ** (axes - 1), most) if differentiate else None

    def gather(self, source: Tensor, lower: Tensor) -> Tensor:
        """Reads the corners of cells from a flat image (voxels,), (2^n, N)."""
        corners = self._corners[:, : len(lower)]
        for offset, into in zip(self._offsets, corners.unbind(0), strict=True):
            torch.index_select(source[offset:], 0, lower, out=into)
        return corners

    def blend(self, corners: Tensor, fractions: Tensor, into: Tensor, slopes: Tensor | None = None) -> None:
        """Interpolates; overwrites the corners.

        Args:
            corners: (2^n, N), see `gather`.
            fractions: (n, N).
            into: (N,) gets the values.
            slopes: (n, N) gets their derivatives for x, y[, z]; None: they are not computed.
        """
        kept = None if slopes is None or self._slopes is None else self._slopes[..., : corners.shape[1]]
        for axis, fraction in enumerate(fractions.unbind(0)):
            half = len(corners) // 2
            low, high = corners[:half], corners[half:]
            last = half == 1
            if kept is not None and slopes is not None:
                target = slopes[:, None] if last else kept[:, :half]
                if axis:
                    torch.lerp(kept[:axis, :half], kept[:axis, half : 2 * half], fraction, out=target[:axis])
                torch.sub(high, low, out=target[axis])
            corners = torch.lerp(low, high, fraction, out=into[None] if last else low)
