"""A 2D or 3D image with its geometry in ITK's convention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.arguments import as_array, as_numbers, as_tuple
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.pixel_size import check_pixel_size

if TYPE_CHECKING:
    import SimpleITK as sitk


@dataclass(frozen=True)
class Volume:
    """An image on a regular grid.

    Attributes:
        array: (D, H, W) or (H, W), slowest axis first, as from SimpleITK's `GetArrayFromImage`.
        spacing_mm: per axis in the order (x, y, z), the reverse of the array's.
        origin_mm: LPS position of the centre of the first voxel.
        direction: (n, n), columns are the LPS unit vectors of the array's axes in the order x, y, z.
        name: its name in a scene or a message.
        spacing_known: False if the file does not say the size of a pixel; `spacing_mm` then counts pixels as 1.
        notes: remarks for the user on how it was read, one line each.

    Raises:
        InputError: shapes that do not fit each other, spacing that is not positive, a singular direction matrix.
    """

    array: np.ndarray
    spacing_mm: tuple[float, ...]
    origin_mm: tuple[float, ...]
    direction: np.ndarray
    name: str = "volume"
    spacing_known: bool = True
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        array = as_array(self.array, self.name)
        if array.ndim not in (2, 3) or min(array.shape) < 1:
            raise InputError(f"{self.name}: expected a 2D or 3D image with at least one voxel, got shape {array.shape}")
        spacing = as_tuple(self.spacing_mm, f"{self.name}: spacing_mm")
        origin = as_tuple(self.origin_mm, f"{self.name}: origin_mm")
        direction = as_numbers(self.direction, f"{self.name}: direction").copy()
        if len(spacing) != array.ndim or not all(np.isfinite(value) and value > 0 for value in spacing):
            raise InputError(f"{self.name}: spacing must be {array.ndim} positive numbers in mm, got {self.spacing_mm}")
        check_pixel_size(f"{self.name}: ", spacing)
        if len(origin) != array.ndim or not np.all(np.isfinite(origin)):
            raise InputError(f"{self.name}: origin must be {array.ndim} finite numbers in mm, got {self.origin_mm}")
        if (
            direction.shape != (array.ndim, array.ndim)
            or not np.all(np.isfinite(direction))
            or abs(np.linalg.det(direction)) < 1e-6
        ):
            raise InputError(
                f"{self.name}: direction must be an invertible {array.ndim}x{array.ndim} matrix, "
                f"got {direction.tolist()}"
            )
        direction.setflags(write=False)
        for name, value in (("array", array), ("spacing_mm", spacing), ("origin_mm", origin), ("direction", direction)):
            object.__setattr__(self, name, value)

    @property
    def index_to_lps_mm(self) -> np.ndarray:
        """The (n+1, n+1) homogeneous matrix from a voxel index (x, y, z) to LPS mm."""
        dimension = self.array.ndim
        matrix = np.eye(dimension + 1)
        matrix[:dimension, :dimension] = self.direction * np.asarray(self.spacing_mm)
        matrix[:dimension, dimension] = self.origin_mm
        return matrix

    def to_sitk(self) -> sitk.Image:
        """Returns a SimpleITK image (pixels copied)."""
        import SimpleITK as sitk

        image = sitk.GetImageFromArray(self.array)
        image.SetSpacing(self.spacing_mm)
        image.SetOrigin(self.origin_mm)
        image.SetDirection(self.direction.ravel().tolist())
        return image

    @classmethod
    def from_sitk(cls, image: sitk.Image, name: str = "volume") -> Volume:
        """Converts a scalar SimpleITK image of two or three dimensions (pixels copied)."""
        import SimpleITK as sitk

        if image.GetNumberOfComponentsPerPixel() != 1:
            raise InputError(f"{name}: expected one component a voxel, got {image.GetNumberOfComponentsPerPixel()}")
        dimension = image.GetDimension()
        return cls(
            array=sitk.GetArrayFromImage(image),
            spacing_mm=image.GetSpacing(),
            origin_mm=image.GetOrigin(),
            direction=np.reshape(image.GetDirection(), (dimension, dimension)),
            name=name,
        )
