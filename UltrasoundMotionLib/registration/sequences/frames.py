"""The frames of a clip or of a series of volumes as tensors in [0, 1] on one grid, and their masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import ImageGrid
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.images.graphics_mask import sector_mask
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.registration.checked_input import checked_image
from UltrasoundMotionLib.registration.request import TISSUE

LEAST_SIZE = 8
_TISSUE_RANGE = (0.005, 0.995)
_TISSUE_DILATION = 16


@dataclass(frozen=True, eq=False)
class Frames:
    """The frames to be registered.

    Attributes:
        count: number of frames.
        read: returns frame t as a float32 array of the spatial shape.
        range: (low, high) grey levels that become 0 and 1.
        mask, moving_mask: (1, 1, *spatial) float32, 1 where the reference, and where any frame, counts, else 0.
        grid: in space (a clip's has one slice).
        relative_spacing: (x, y[, z]), 1 along the finest axis.
    """

    count: int
    read: Callable[[int], np.ndarray]
    range: tuple[float, float]
    mask: Tensor
    moving_mask: Tensor
    grid: ImageGrid
    relative_spacing: tuple[float, ...]

    def __len__(self) -> int:
        return self.count

    def tensor(self, number: int) -> Tensor:
        """Returns a frame, (1, 1, *spatial) float32; the grey levels of the reference are in [0, 1]."""
        low, high = self.range
        return torch.from_numpy((self.read(number) - low) / (high - low))[None, None]


def open_frames(
    sequence: ImageSequence | Sequence[Volume], reference_frame: int, mask: np.ndarray | str | None
) -> Frames:
    """Checks a sequence and finds the masks.

    Raises:
        InputError: see `register_sequence`.
    """
    read: Callable[[int], np.ndarray]
    spacing: tuple[float, ...]
    if isinstance(sequence, ImageSequence):
        count, read, name = len(sequence), sequence.frame, str(sequence.path or sequence.name)
        grid, spacing = _plane(sequence), sequence.spacing_mm or (1.0, 1.0)
        dtype = np.dtype(sequence.frames.dtype)
    else:
        if not isinstance(sequence, Sequence) or isinstance(sequence, str | bytes):
            raise InputError(f"sequence: expected an ImageSequence or several volumes, got {type(sequence).__name__}")
        volumes = [checked_image(volume, f"frame {number}") for number, volume in enumerate(sequence)]
        count, read, name = len(volumes), lambda number: volumes[number].array.astype(np.float32), "sequence"
        if not volumes:
            raise InputError("sequence: holds no frames")
        grid, spacing, dtype = ImageGrid.of(volumes[0]), volumes[0].spacing_mm, volumes[0].array.dtype
        if grid.dimension != 3:
            raise InputError("sequence: a series of 2D images is an ImageSequence; a list must hold 3D volumes")
        for number, volume in enumerate(volumes):
            if not ImageGrid.of(volume).matches(grid):
                raise InputError(
                    f"sequence: frame {number} lies on another grid than frame 0; resample the frames onto one grid"
                    " first"
                )
    if count < 2:
        raise InputError(f"{name}: has one frame; there is nothing to register")
    if not 0 <= reference_frame < count:
        raise InputError(
            f"{name}: reference frame {reference_frame} does not exist; there are {count} (0 to {count - 1})"
        )
    reference = read(reference_frame)
    if min(sorted(reference.shape)[-2:]) < LEAST_SIZE:
        raise InputError(
            f"{name}: frames must have at least {LEAST_SIZE} voxels along two axes, got {reference.shape[::-1]}"
        )
    low, high = (0.0, 255.0) if dtype == np.uint8 else (float(reference.min()), float(reference.max()))
    if reference.min() == reference.max():
        raise InputError(
            f"{name}: frame {reference_frame} is {reference.flat[0]:g} everywhere; there is nothing to register"
        )
    sector = sector_mask(sequence) if isinstance(sequence, ImageSequence) else np.ones(reference.shape, dtype=bool)
    inside = _mask(mask, (reference - low) / (high - low), sector)
    step = min(spacing)
    return Frames(
        count, read, (low, high), _tensor(inside), _tensor(sector), grid, tuple(value / step for value in spacing)
    )


def tissue_mask(image: np.ndarray) -> np.ndarray:
    """SSMSR's region of tissue (III-A), bool.

    Intensities within [0.005, 0.995] of an image in [0, 1], dilated by a ball of 16 voxels.
    """
    from scipy.ndimage import distance_transform_edt

    found = (image >= _TISSUE_RANGE[0]) & (image <= _TISSUE_RANGE[1])
    return distance_transform_edt(~found) <= _TISSUE_DILATION if found.any() else found


def _tissue(reference: np.ndarray, sector: np.ndarray) -> np.ndarray:
    """The tissue of the reference within the sector.

    The dilation reaches outside, where nothing ever moves, so that it would reward a field for moving nothing.
    """
    found = tissue_mask(reference) & sector
    if not found.any():
        raise InputError("mask: the reference frame has no grey level that counts as tissue; give a mask or None")
    return found


def _mask(mask: np.ndarray | str | None, reference: np.ndarray, sector: np.ndarray) -> np.ndarray:
    if mask is None:
        return sector
    if isinstance(mask, str):
        if mask != TISSUE:
            raise InputError(f"mask: expected an array, {TISSUE} or None, got {mask!r}")
        return _tissue(reference, sector)
    values = np.asarray(mask)
    if values.shape != reference.shape:
        raise InputError(f"mask: is {values.shape}, the frames are {reference.shape}")
    if not (values > 0).any():
        raise InputError("mask: no voxel is above 0")
    return values > 0


def _plane(sequence: ImageSequence) -> ImageGrid:
    """The clip's plane in space as one slice of 1 mm; a pixel counts as 1 mm where the spacing is unknown."""
    spacing = (*(sequence.spacing_mm or (1.0, 1.0)), 1.0)
    return ImageGrid((1, *sequence.frames.shape[1:]), spacing, sequence.origin_mm, sequence.direction)


def _tensor(mask: np.ndarray) -> Tensor:
    return torch.from_numpy(mask.astype(np.float32))[None, None]
