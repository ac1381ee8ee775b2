"""A motion between two images, whatever the format of the file that holds it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields.displacement_field import DisplacementField
from UltrasoundMotionLib.fields.image_grid import ImageGrid
from UltrasoundMotionLib.fields.linear_maps import affine_transform, mapped, matrix_of
from UltrasoundMotionLib.propagation.inversion import invert_points

if TYPE_CHECKING:
    import SimpleITK as sitk

_CHUNK = 200_000


@dataclass(frozen=True, eq=False)
class Motion:
    """A map T from points of the fixed image to points of the moving one, LPS mm: fixed(x) = moving(T(x)).

    Attributes:
        transform: T, 2D or 3D. Outside the grid of a displacement field it is the identity, as in ITK.
        grid: the grid on which its displacement is stored; None for a linear or parametric one.
        notes: remarks for the user on how it was read, one line each.
    """

    transform: sitk.Transform
    grid: ImageGrid | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of_field(cls, field: DisplacementField, notes: tuple[str, ...] = ()) -> Motion:
        """Returns the motion x -> x + u(x)."""
        return cls(field.to_sitk_transform(), field.grid, notes)

    @classmethod
    def of_matrix(cls, matrix: np.ndarray, notes: tuple[str, ...] = ()) -> Motion:
        """Returns the linear motion of a homogeneous matrix (n+1, n+1) in LPS mm."""
        return cls(affine_transform(np.asarray(matrix, dtype=np.float64)), None, notes)

    @property
    def dimension(self) -> int:
        """The number of spatial axes, 2 or 3."""
        return self.transform.GetDimension()

    @property
    def matrix(self) -> np.ndarray | None:
        """The homogeneous matrix (n+1, n+1) of a linear motion in LPS mm; None if it is not linear."""
        return matrix_of(self.transform)

    def field(self, grid: ImageGrid | None = None) -> DisplacementField:
        """Samples the displacement on a grid, that of its own displacement field by default.

        Raises:
            InputError: no grid is known; a grid of another dimension.
        """
        grid = grid or self.grid
        if grid is None:
            raise InputError(
                "the motion is a matrix or has few parameters, and no grid to sample its displacement on; give the"
                " fixed image (--fixed)"
            )
        if grid.dimension != self.dimension:
            raise InputError(f"the motion is {self.dimension}D and the fixed image {grid.dimension}D")
        return DisplacementField.from_sitk_transform(self.transform, grid)

    def points(self, points_lps_mm: np.ndarray) -> np.ndarray:
        """Maps points (..., n) of the fixed image to the moving one, LPS mm."""
        points = np.asarray(points_lps_mm, dtype=np.float64)
        matrix = self.matrix
        if matrix is not None:
            return mapped(matrix, points)
        flat = [self.transform.TransformPoint(one) for one in points.reshape(-1, self.dimension).tolist()]
        return np.reshape(np.array(flat), points.shape)

    def then(self, other: Motion) -> Motion:
        """Composes two motions: points go through this one first, x -> other(self(x)).

        Raises:
            InputError: motions of different dimension.
        """
        import SimpleITK as sitk

        if self.dimension != other.dimension:
            raise InputError(f"motions of {self.dimension}D and {other.dimension}D cannot be composed")
        notes, first, second = (*self.notes, *other.notes), self.matrix, other.matrix
        if first is not None and second is not None:
            return Motion.of_matrix(second @ first, notes)
        # the transform that was added last is applied first
        both = sitk.CompositeTransform([other.transform, self.transform])
        both.FlattenTransform()
        return Motion(both, self.grid or other.grid, notes)

    def inverse(self, grid: ImageGrid | None = None) -> InverseMotion:
        """Inverts the motion: a matrix exactly, any other by fixed-point iteration at every voxel of a grid.

        Args:
            grid: that of the moving image, which is the fixed image of the inverse; the motion's own by default. Where
                the search leaves the motion's own grid, the displacement at its border continues.

        Raises:
            InputError: a singular matrix; no grid is known.
        """
        matrix = self.matrix
        if matrix is not None:
            if abs(np.linalg.det(matrix)) < np.finfo(np.float64).tiny:
                raise InputError("the motion has a singular matrix, which has no inverse")
            return InverseMotion(Motion.of_matrix(np.linalg.inv(matrix), self.notes), 0.0)
        wanted = grid or self.grid
        field = self.field(self.grid or grid)
        assert wanted is not None  # or `field` had refused
        points = wanted.points_lps_mm().reshape(-1, self.dimension)
        found, largest = np.empty_like(points), 0.0
        for start in range(0, len(points), _CHUNK):
            part = slice(start, start + _CHUNK)
            one = invert_points(field.apply_to_points, points[part])
            found[part] = one.points_mm
            largest = max(largest, float(one.residual_mm.max()))
        displacement = (found - points).reshape(*wanted.shape, self.dimension)
        return InverseMotion(Motion.of_field(DisplacementField(displacement, wanted), self.notes), largest)

    def with_notes(self, *notes: str) -> Motion:
        """Returns the motion with further notes."""
        return replace(self, notes=(*self.notes, *notes))


@dataclass(frozen=True, eq=False)
class InverseMotion:
    """The inverse of a motion.

    Attributes:
        motion: from points of the moving image to points of the fixed one.
        residual_mm: largest distance of a voxel's centre from where the inverse and then the motion take it. It stays
            large where the motion folds, or takes nothing there.
    """

    motion: Motion
    residual_mm: float


@dataclass(frozen=True, eq=False)
class MotionContext:
    """Facts about a motion that its file may leave unsaid.

    Attributes:
        fixed, moving: the grids of the two images; None where not given.
        fixed_path, moving_path: their files.
        fsl_relative: of FSL's fields, whether they hold displacements rather than positions; None: by their values.
        invert: whether the inverse of what a file holds is wanted; None: as it is, where its direction is known.
    """

    fixed: ImageGrid | None = None
    moving: ImageGrid | None = None
    fixed_path: Path | None = None
    moving_path: Path | None = None
    fsl_relative: bool | None = None
    invert: bool | None = None

    @classmethod
    def read(cls, fixed: Path | None = None, moving: Path | None = None, **given: Any) -> MotionContext:
        """Reads the grids of image files; `given` are the other attributes.

        Raises:
            InputError: as `read_volume`.
        """
        from UltrasoundMotionLib.images.volume_files import read_volume

        grids = [None if path is None else ImageGrid.of(read_volume(path)) for path in (fixed, moving)]
        return cls(grids[0], grids[1], fixed, moving, **given)

    def needed(self, path: Path, what: str, *names: str) -> tuple[ImageGrid, ...]:
        """Returns the grids of images by name, "fixed" or "moving".

        Raises:
            InputError: one was not given; the message says what the format lacks (`what`) and which option gives it.
        """
        found = [getattr(self, name) for name in names]
        if missing := [name for name, grid in zip(names, found, strict=True) if grid is None]:
            options = " and ".join(f"the {name} image (--{name})" for name in missing)
            raise InputError(f"{path}: {what}; give {options}")
        return tuple(found)
