"""VoxelMorph's warps: an array of displacements in voxels, axes and components in the order (i, j, k), in an .npz file.

voxelmorph samples moving(x + u(x)) with u in voxels, "ij" indexing, as its register and warp scripts save and load it
(`voxelmorph.py.utils.save_volfile`, array `vol`). The array does not say where its grid lies in space.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.exchange.motions.agreement import check_same_motion
from UltrasoundMotionLib.exchange.motions.motion import Motion, MotionContext
from UltrasoundMotionLib.exchange.motions.registry import MotionFile, MotionFormat, motion_format
from UltrasoundMotionLib.fields.displacement_field import DisplacementField
from UltrasoundMotionLib.fields.image_grid import ImageGrid
from UltrasoundMotionLib.fields.linear_maps import mapped

_KEY = "vol"
_LACKS = "VoxelMorph's warps are in voxels and do not say of which image"


@motion_format
class VoxelMorph(MotionFormat):
    """VoxelMorph's warps."""

    name = "voxelmorph"
    summary = "VoxelMorph: warp (.npz)"
    convention = "displacement in voxels (i, j, k) on the grid of fixed: moving(x + u(x))"
    endings = (".npz",)
    rank = 50

    def recognises(self, file: MotionFile) -> bool:
        """Returns True for an .npz file."""
        return file.name.endswith(".npz")

    def read(self, path: Path, context: MotionContext) -> Motion:
        """Reads a warp (i, j[, k], n), or with the components first as the PyTorch scripts save it.

        Args:
            context: the fixed image; the moving one where it lies on another grid.

        Raises:
            InputError: no fixed image, an array that does not fit it, values that are not finite.
        """
        (fixed,) = context.needed(path, _LACKS, "fixed")
        array, n = _array(path), fixed.dimension
        size = fixed.shape[::-1]
        last, first = array.shape == (*size, n), array.shape == (n, *size)
        if last and first:
            raise InputError(f"{path}: is {array.shape}: its components could be the first axis or the last")
        if not last and not first:
            raise InputError(
                f"{path}: is {array.shape}, but a warp of the fixed image is {(*size, n)}: voxels along x, y"
                f"{', z' if n == 3 else ''}, and {n} components"
            )
        voxels = array if last else np.moveaxis(array, 0, -1)
        if not np.isfinite(voxels).all():
            raise InputError(f"{path}: holds {int((~np.isfinite(voxels)).sum())} values that are not finite")
        # axes (i, j, k) to ours, slowest first; the components stay (x, y, z)
        voxels = voxels.transpose(*range(n)[::-1], n).astype(np.float64)
        moving = context.moving or fixed
        index = np.stack(np.meshgrid(*map(np.arange, fixed.shape), indexing="ij")[::-1], axis=-1)
        target = mapped(moving.index_to_lps_mm, index + voxels)
        return Motion.of_field(DisplacementField(target - fixed.points_lps_mm(), fixed))

    def write(self, path: Path, motion: Motion, context: MotionContext) -> None:
        """Writes a warp (i, j[, k], n) of float32 as `vol`, on the fixed image's grid.

        Args:
            context: the fixed image (the motion's own grid when not given), and the moving one where it lies on another
                grid.

        Raises:
            InputError: no grid is known.
            OutputError: the file cannot be written.
        """
        field = motion.field(context.fixed)
        fixed, moving = field.grid, context.moving or field.grid
        index = np.stack(np.meshgrid(*map(np.arange, fixed.shape), indexing="ij")[::-1], axis=-1)
        voxels = (moving.to_index(fixed.points_lps_mm() + field.displacement_mm) - index).astype(np.float32)
        n = fixed.dimension
        stored = np.ascontiguousarray(voxels.transpose(*range(n)[::-1], n))
        given = MotionContext(fixed, moving)

        def check(written: Path) -> None:
            check_same_motion(Motion.of_field(field), self.read(written, given), _tolerance(moving))

        with atomic_output(path, read_back=check) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, vol=stored)


def _array(path: Path) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as stored:
            if not hasattr(stored, "files"):
                raise InputError(f"{path}: is a plain array, expected an .npz file")
            names = stored.files
            if _KEY not in names and len(names) != 1:
                raise InputError(f"{path}: holds {', '.join(names) or 'nothing'}; expected one array, or `{_KEY}`")
            array = np.asarray(stored[_KEY if _KEY in names else names[0]])
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: cannot be read as an .npz file: {error}") from error
    if array.dtype.kind not in "fiu":
        raise InputError(f"{path}: holds values of type {array.dtype}, expected numbers")
    while array.ndim > 1 and array.shape[0] == 1:
        array = array[0]  # the batch
    return array


def _tolerance(moving: ImageGrid) -> float:
    """Returns what single precision keeps of a displacement as long as the moving image, in mm."""
    return 1e-5 * max(np.multiply(moving.spacing_mm, moving.shape[::-1]).tolist()) + 1e-5
