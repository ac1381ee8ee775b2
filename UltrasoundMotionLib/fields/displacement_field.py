"""A displacement field in patient coordinates: LPS mm on a grid with spacing, origin and direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields.image_grid import ImageGrid
from UltrasoundMotionLib.images.volume import Volume

if TYPE_CHECKING:
    import SimpleITK as sitk
    import torch

_OUTSIDE = ("border", "zero")


@dataclass(frozen=True, eq=False)
class DisplacementField:
    """A displacement u on the fixed grid, in ITK's convention: fixed(x) = moving(x + u(x)).

    Attributes:
        displacement_mm: (H, W, 2) or (D, H, W, 3), float32 or float64: u in LPS mm, components (x, y[, z]), spatial
            axes slowest first, as SimpleITK's `GetArrayFromImage` gives a vector image.
        grid: the fixed image's grid.

    Raises:
        InputError: an array that does not fit the grid, or with NaN or infinite values.
    """

    displacement_mm: np.ndarray
    grid: ImageGrid

    def __post_init__(self) -> None:
        array = np.asarray(self.displacement_mm)
        wanted = (*self.grid.shape, self.grid.dimension)
        if array.shape != wanted:
            raise InputError(
                f"displacement_mm: expected shape {wanted} for a grid of {self.grid.shape}, got {array.shape}"
            )
        if array.dtype not in (np.float32, np.float64):
            array = array.astype(np.float64 if array.dtype.kind in "iu" else np.float32)
        if not np.isfinite(array).all():
            raise InputError(
                f"displacement_mm: {int((~np.isfinite(array)).sum())} of {array.size} values are NaN or infinite"
            )
        object.__setattr__(self, "displacement_mm", array)

    @classmethod
    def zero(cls, grid: ImageGrid) -> DisplacementField:
        """Returns the identity on a grid."""
        return cls(np.zeros((*grid.shape, grid.dimension), dtype=np.float32), grid)

    @classmethod
    def from_voxels(cls, displacement: torch.Tensor, grid: ImageGrid) -> DisplacementField:
        """Converts a tensor (n, *spatial) or (1, n, *spatial) in voxels of the grid, channels (x, y[, z]).

        Scaled by the grid's spacing and rotated by its direction.

        Raises:
            InputError: a shape that does not fit the grid, or a batch of more than one.
        """
        values = displacement.detach().cpu().double().numpy()
        if values.ndim == grid.dimension + 2 and values.shape[0] == 1:
            values = values[0]
        if values.shape != (grid.dimension, *grid.shape):
            raise InputError(
                f"displacement: expected shape {(1, grid.dimension, *grid.shape)} for the grid, "
                f"got {tuple(displacement.shape)}"
            )
        millimetres = np.moveaxis(values, 0, -1) @ grid.index_to_lps_mm[:-1, :-1].T
        return cls(millimetres.astype(np.float64 if str(displacement.dtype) == "torch.float64" else np.float32), grid)

    def to_voxels(self, dtype: torch.dtype | None = None, device: str = "cpu") -> torch.Tensor:
        """Returns (1, n, *spatial) in voxels of the grid, channels (x, y[, z]); float32 by default."""
        import torch

        voxels = self.displacement_mm.astype(np.float64) @ np.linalg.inv(self.grid.index_to_lps_mm[:-1, :-1]).T
        tensor = torch.from_numpy(np.ascontiguousarray(np.moveaxis(voxels, -1, 0)))[None]
        return tensor.to(device=device, dtype=dtype or torch.float32)

    @classmethod
    def from_sitk(cls, image: sitk.Image) -> DisplacementField:
        """Converts a SimpleITK vector image of displacements in LPS mm.

        Raises:
            InputError: the number of components is not the dimension.
        """
        if image.GetNumberOfComponentsPerPixel() != image.GetDimension():
            components, dimension = image.GetNumberOfComponentsPerPixel(), image.GetDimension()
            raise InputError(f"displacement image: expected {dimension} components in {dimension}D, got {components}")
        import SimpleITK as sitk

        return cls(sitk.GetArrayFromImage(image), ImageGrid.of(image))

    def to_sitk(self) -> sitk.Image:
        """Returns a SimpleITK vector image of displacements in LPS mm (a copy)."""
        import SimpleITK as sitk

        return self.grid.copy_geometry_to(sitk.GetImageFromArray(self.displacement_mm, isVector=True))

    @classmethod
    def from_sitk_transform(cls, transform: sitk.Transform, grid: ImageGrid) -> DisplacementField:
        """Samples any SimpleITK transform (from fixed to moving points) on a grid.

        Raises:
            InputError: a transform of another dimension.
        """
        import SimpleITK as sitk

        if transform.GetDimension() != grid.dimension:
            raise InputError(f"transform is {transform.GetDimension()}D and the grid {grid.dimension}D")
        image = sitk.TransformToDisplacementField(
            transform,
            sitk.sitkVectorFloat64,
            grid.shape[::-1],
            grid.origin_mm,
            grid.spacing_mm,
            grid.direction.ravel().tolist(),
        )
        return cls(sitk.GetArrayFromImage(image), grid)

    def to_sitk_transform(self) -> sitk.DisplacementFieldTransform:
        """Returns a SimpleITK transform from fixed to moving points; the identity outside the grid, as in ITK."""
        import SimpleITK as sitk

        # the transform takes ownership of the image's memory; to_sitk returned a copy
        return sitk.DisplacementFieldTransform(sitk.Cast(self.to_sitk(), sitk.sitkVectorFloat64))

    def displacement_at(self, points_lps_mm: np.ndarray, outside: str = "border") -> np.ndarray:
        """Interpolates u linearly at LPS points; (..., n) mm in float64.

        Args:
            points_lps_mm: (..., n).
            outside: more than half a voxel outside the grid, "border" continues the border's displacement (as Slicer
                does) and "zero" is the identity (as ITK does).

        Raises:
            InputError: points of another dimension, an unknown `outside`.
        """
        from scipy.ndimage import map_coordinates

        points = np.asarray(points_lps_mm, dtype=np.float64)
        if points.shape[-1:] != (self.grid.dimension,):
            raise InputError(f"points: expected (..., {self.grid.dimension}) LPS mm, got shape {points.shape}")
        if outside not in _OUTSIDE:
            raise InputError(f"outside: expected one of {', '.join(_OUTSIDE)}, got {outside!r}")
        index = self.grid.to_index(points).reshape(-1, self.grid.dimension)
        components = [
            map_coordinates(self.displacement_mm[..., axis], index.T[::-1], output=np.float64, order=1, mode="nearest")
            for axis in range(self.grid.dimension)
        ]
        values = np.stack(components, axis=-1)
        if outside == "zero":
            inside = ((index >= -0.5) & (index <= np.array(self.grid.shape[::-1]) - 0.5)).all(axis=-1, keepdims=True)
            values = np.where(inside, values, 0)
        return values.reshape(points.shape)

    def apply_to_points(self, points_lps_mm: np.ndarray, outside: str = "border") -> np.ndarray:
        """Maps LPS points of the fixed image to the moving one: x + u(x).

        Arguments and errors as `displacement_at`.
        """
        return np.asarray(points_lps_mm, dtype=np.float64) + self.displacement_at(points_lps_mm, outside)

    def resample(self, grid: ImageGrid, outside: str = "border") -> DisplacementField:
        """Resamples the field on another grid by linear interpolation.

        Raises:
            InputError: a grid of another dimension.
        """
        if grid.dimension != self.grid.dimension:
            raise InputError(f"grid is {grid.dimension}D and the field {self.grid.dimension}D")
        return DisplacementField(
            self.displacement_at(grid.points_lps_mm(), outside).astype(self.displacement_mm.dtype), grid
        )

    def after(self, inner: DisplacementField) -> DisplacementField:
        """Composes two fields: `inner` is applied first, then this one.

        Returns x -> inner(x) + u(x + inner(x)) on the grid of `inner`; the grids may differ.

        Raises:
            InputError: fields of different dimension.
        """
        if inner.grid.dimension != self.grid.dimension:
            raise InputError(f"fields of {self.grid.dimension}D and {inner.grid.dimension}D cannot be composed")
        moved = inner.apply_to_points(inner.grid.points_lps_mm())
        return DisplacementField(
            (inner.displacement_mm + self.displacement_at(moved)).astype(inner.displacement_mm.dtype), inner.grid
        )

    def warp(self, moving: Volume, mode: str = "linear", outside_value: float = 0.0) -> Volume:
        """Warps the moving volume onto the fixed grid: moving(x + u(x)) at every voxel.

        Args:
            moving: on any grid of the same dimension.
            mode: "linear", "nearest" (labels) or "cubic" (B-spline).
            outside_value: value where x + u(x) is more than half a voxel outside the moving volume.

        Returns:
            A volume on the field's grid with the moving volume's dtype and name.

        Raises:
            InputError: another dimension, an unknown mode.
        """
        import SimpleITK as sitk

        if moving.array.ndim != self.grid.dimension:
            raise InputError(f"{moving.name} is {moving.array.ndim}D and the displacement field {self.grid.dimension}D")
        interpolators = {"linear": sitk.sitkLinear, "nearest": sitk.sitkNearestNeighbor, "cubic": sitk.sitkBSpline}
        if mode not in interpolators:
            raise InputError(f"mode: expected one of {', '.join(interpolators)}, got {mode!r}")
        array = moving.array.astype(np.uint8) if moving.array.dtype == bool else moving.array
        image = Volume(array, moving.spacing_mm, moving.origin_mm, moving.direction, moving.name).to_sitk()
        size, direction = self.grid.shape[::-1], self.grid.direction.ravel().tolist()
        warped = sitk.Resample(
            image,
            size,
            self.to_sitk_transform(),
            interpolators[mode],
            self.grid.origin_mm,
            self.grid.spacing_mm,
            direction,
            outside_value,
        )
        values = sitk.GetArrayFromImage(warped).astype(moving.array.dtype, copy=False)
        return Volume(values, self.grid.spacing_mm, self.grid.origin_mm, self.grid.direction, moving.name)

    def as_single_slice(self, spacing_mm: float = 1.0) -> DisplacementField:
        """Returns a 2D field as a 3D one of a single slice in the plane z = 0, for Slicer; a 3D field unchanged."""
        if self.grid.dimension == 3:
            return self
        direction = np.eye(3)
        direction[:2, :2] = self.grid.direction
        grid = ImageGrid(
            (1, *self.grid.shape), (*self.grid.spacing_mm, spacing_mm), (*self.grid.origin_mm, 0.0), direction
        )
        return DisplacementField(np.pad(self.displacement_mm[None], [(0, 0)] * 3 + [(0, 1)]), grid)
