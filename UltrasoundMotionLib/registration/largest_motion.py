"""The place where a displacement moves the image most, to be looked at first."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

_SMOOTHING_MM, _SMOOTHING_SLICES = 4.0, 1.2
_STEP_MM, _MOST_VOXELS = 2.0, 150_000


def largest_motion_index(
    displacement_mm: np.ndarray, spacing_mm: tuple[float, ...], where: np.ndarray | None = None
) -> tuple[float, ...]:
    """Returns the voxel (x, y[, z]) around which the displacement differs most from that of the whole.

    The median displacement, such as that of a rigid alignment, does not count, nor do single voxels and the ends of the
    image or of the labels, where a displacement is known least: the length of what remains is smoothed by 4 mm, and by
    1.2 voxels at least, with 0 outside.

    Args:
        displacement_mm: (*spatial, n).
        spacing_mm: (x, y[, z]).
        where: (*spatial), the voxels to choose from, such as labels above 0; None or empty: all.
    """
    every = _strides(displacement_mm.shape[:-1], spacing_mm[::-1])
    strides = tuple(slice(None, None, one) for one in every)
    field = displacement_mm[strides].astype(np.float32)
    length = np.linalg.norm(field - np.median(field.reshape(-1, field.shape[-1]), axis=0), axis=-1)
    spacing = np.array(spacing_mm[::-1]) * every
    chosen = np.ones(length.shape, dtype=bool)
    if where is not None and where[strides].any():
        chosen = where[strides] > 0
    smoothed = gaussian_filter(length * chosen, np.maximum(_SMOOTHING_MM / spacing, _SMOOTHING_SLICES), mode="constant")
    length = np.where(chosen, smoothed, -1.0)
    peak = np.unravel_index(int(np.argmax(length)), length.shape)
    return tuple(float(index * one) for index, one in zip(peak[::-1], every[::-1], strict=True))


def _strides(shape: tuple[int, ...], spacing_mm: tuple[float, ...]) -> tuple[int, ...]:
    """Returns every how many voxels of each axis are looked at: 2 mm apart, or more in a large image, since the panel
    waits.
    """
    every = [max(1, int(_STEP_MM / step)) for step in spacing_mm]
    while np.prod([size // one for size, one in zip(shape, every, strict=True)]) > _MOST_VOXELS:
        finest = int(np.argmin(np.array(spacing_mm) * every))
        every[finest] *= 2
    return tuple(every)
