"""The working grid of a registration: the fixed image's, without empty borders, and coarser where memory is short."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import OptionError
from UltrasoundMotionLib.fields import ImageGrid
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.registration.working_pair import coarser_grid

_SHARE_OF_MEMORY = 0.5
_CONTENT_MARGIN = 2
FINEST_IN_SLICE = 4
_FEWEST_VOXELS = 4
_FALLBACK_BYTES = 4 * 2**30
_LINUX_MEMORY = Path("/proc/meminfo")


@dataclass(frozen=True)
class WorkingGrid:
    """A grid, and a line for users where memory made it coarser (empty otherwise)."""

    grid: ImageGrid
    note: str = ""


def choose_working_grid(
    grid: ImageGrid,
    content: tuple[slice, ...],
    spacing_mm: float | None,
    most_voxels: int,
    finest_mm: float | None = None,
) -> WorkingGrid:
    """Chooses the working grid: a part of the fixed grid, no finer than a spacing, of at most so many voxels.

    Args:
        grid: of the fixed image.
        content: slices of it, in array order.
        spacing_mm: axes that are finer than this are resampled to it; None keeps the voxels, but none finer than a
            quarter of a thick slice.
        most_voxels: above it, all axes but that of thick slices become coarser together.
        finest_mm: where no spacing is given, voxels down to this size are kept although slices are thick.
    """
    cut = cut_grid(grid, content)
    if spacing_mm is not None:
        _check_working_spacing(cut, spacing_mm)
    else:
        spacing_mm = min(max(cut.spacing_mm) / FINEST_IN_SLICE, math.inf if finest_mm is None else finest_mm)
    spacing = np.maximum(cut.spacing_mm, spacing_mm)
    chosen = cut if np.allclose(spacing, cut.spacing_mm) else coarser_grid(cut, tuple(spacing))
    note = ""
    while np.prod(chosen.shape, dtype=float) > most_voxels:
        finest = min(chosen.spacing_mm) * 1.15
        chosen = coarser_grid(cut, tuple(np.maximum(chosen.spacing_mm, finest)))
        steps = " x ".join(f"{value:.3g}" for value in chosen.spacing_mm)
        size = " x ".join(map(str, grid.shape[::-1]))
        note = f"the fixed grid of {size} voxels is too large for memory; the field was found at {steps} mm"
    return WorkingGrid(chosen, note)


def _check_working_spacing(grid: ImageGrid, spacing_mm: float) -> None:
    """Checks that a coarse working grid has a few voxels along two axes at least, as far as the image has.

    Raises:
        OptionError: nothing could be seen to move on it.
    """
    extents = [size * step for size, step in zip(grid.shape[::-1], grid.spacing_mm, strict=True)]
    largest = sorted(extents, reverse=True)[1] / _FEWEST_VOXELS
    if spacing_mm > max(largest, *grid.spacing_mm):
        size = " x ".join(f"{extent:.4g}" for extent in extents)
        raise OptionError(
            "working_spacing_mm", f"{spacing_mm:g} mm is too coarse for an image of {size} mm; at most {largest:.3g}"
        )


def cut_grid(grid: ImageGrid, box: tuple[slice, ...]) -> ImageGrid:
    """The part of a grid in slices given in array order."""
    first = np.array([one.start for one in box][::-1], dtype=float)
    origin = np.array(grid.origin_mm) + grid.direction @ (first * grid.spacing_mm)
    return ImageGrid(tuple(one.stop - one.start for one in box), grid.spacing_mm, tuple(origin), grid.direction)


def content_box(fixed: Volume, moving: Volume) -> tuple[slice, ...]:
    """The box of the fixed image outside which both images are constant padding, with a margin of two voxels.

    The whole image where the grids differ.
    """
    if not ImageGrid.of(fixed).matches(ImageGrid.of(moving)):
        return whole_box(fixed.array.shape)
    boxes = [varying_box(volume.array) for volume in (fixed, moving)]
    return tuple(
        slice(
            max(0, min(box[axis].start for box in boxes) - _CONTENT_MARGIN),
            min(size, max(box[axis].stop for box in boxes) + _CONTENT_MARGIN),
        )
        for axis, size in enumerate(fixed.array.shape)
    )


def whole_box(shape: tuple[int, ...]) -> tuple[slice, ...]:
    """The box of a whole array."""
    return tuple(slice(0, size) for size in shape)


def varying_box(array: np.ndarray) -> tuple[slice, ...]:
    """The box of all voxels that differ from the first one, which padding does not."""
    differs = array != array.flat[0]
    box = []
    for axis, size in enumerate(array.shape):
        along = np.flatnonzero(differs.any(axis=tuple(other for other in range(array.ndim) if other != axis)))
        box.append(slice(int(along[0]), int(along[-1]) + 1) if along.size else slice(0, size))
    return tuple(box)


def most_voxels(device: str, bytes_per_voxel: int) -> int:
    """The number of voxels that fit into the memory of a device, for a method that needs so many bytes for each."""
    return int(_free_bytes(device) * _SHARE_OF_MEMORY / bytes_per_voxel)


def _free_bytes(device: str) -> int:
    if not device.startswith("cuda"):
        return _available_bytes()
    import torch

    return torch.cuda.mem_get_info(torch.device(device))[0]


def _available_bytes() -> int:
    if _LINUX_MEMORY.exists():
        for line in _LINUX_MEMORY.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return _FALLBACK_BYTES
