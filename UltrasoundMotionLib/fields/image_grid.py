"""The geometry of an image grid in patient coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.images.volume import Volume

if TYPE_CHECKING:
    import SimpleITK as sitk


@dataclass(frozen=True, eq=False)
class ImageGrid:
    """A regular grid in LPS mm, without values.

    Attributes:
        shape: (H, W) or (D, H, W), slowest axis first.
        spacing_mm: per axis in the order (x, y[, z]), the reverse of the shape's.
        origin_mm: LPS position of the centre of the first voxel.
        direction: (n, n), columns are the LPS unit vectors of the axes x, y[, z].

    Raises:
        InputError: sizes, spacing, origin or direction that do not fit each other; a singular direction.
    """

    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    origin_mm: tuple[float, ...]
    direction: np.ndarray

    def __post_init__(self) -> None:
        shape = tuple(int(size) for size in self.shape)
        checked = self._as_volume(shape)
        object.__setattr__(self, "shape", shape)
        for name in ("spacing_mm", "origin_mm", "direction"):
            object.__setattr__(self, name, getattr(checked, name))

    def _as_volume(self, shape: tuple[int, ...]) -> Volume:
        """Returns a volume of this geometry without its own memory, for its checks and its matrix."""
        return Volume(np.broadcast_to(np.uint8(0), shape), self.spacing_mm, self.origin_mm, self.direction, name="grid")

    @property
    def dimension(self) -> int:
        """The number of spatial axes, 2 or 3."""
        return len(self.shape)

    @property
    def index_to_lps_mm(self) -> np.ndarray:
        """The (n+1, n+1) homogeneous matrix from a voxel index (x, y[, z]) to LPS mm."""
        return self._as_volume(self.shape).index_to_lps_mm

    def points_lps_mm(self) -> np.ndarray:
        """Returns the centre of every voxel, (*shape, n) in LPS mm."""
        index = np.stack(
            np.meshgrid(*[np.arange(size, dtype=np.float64) for size in self.shape], indexing="ij")[::-1], axis=-1
        )
        matrix = self.index_to_lps_mm
        return index @ matrix[:-1, :-1].T + matrix[:-1, -1]

    @property
    def middle_mm(self) -> np.ndarray:
        """The LPS position (n,) of the middle of the grid."""
        half = (np.array(self.shape[::-1]) - 1) / 2 * self.spacing_mm
        return np.array(self.origin_mm) + self.direction @ half

    def to_index(self, points_lps_mm: np.ndarray) -> np.ndarray:
        """Returns the voxel coordinates (x, y[, z]) of LPS points, both (..., n)."""
        matrix = self.index_to_lps_mm
        return (np.asarray(points_lps_mm, dtype=np.float64) - matrix[:-1, -1]) @ np.linalg.inv(matrix[:-1, :-1]).T

    def matches(self, other: ImageGrid, tolerance_mm: float = 1e-4) -> bool:
        """Returns True if the shapes are equal and the corner voxels lie within the tolerance of each other."""
        if self.shape != other.shape:
            return False
        corners = np.stack(np.meshgrid(*[(0, size - 1) for size in self.shape[::-1]], indexing="ij"), axis=-1).reshape(
            -1, self.dimension
        )
        homogeneous = np.concatenate([corners, np.ones((len(corners), 1))], axis=1)
        return bool(np.abs(homogeneous @ (self.index_to_lps_mm - other.index_to_lps_mm).T).max() <= tolerance_mm)

    @classmethod
    def of(cls, image: Volume | sitk.Image) -> ImageGrid:
        """Returns the grid of a volume or a SimpleITK image."""
        if isinstance(image, Volume):
            return cls(image.array.shape, image.spacing_mm, image.origin_mm, image.direction)
        dimension = image.GetDimension()
        return cls(
            image.GetSize()[::-1],
            image.GetSpacing(),
            image.GetOrigin(),
            np.reshape(image.GetDirection(), (dimension, dimension)),
        )

    def copy_geometry_to(self, image: sitk.Image) -> sitk.Image:
        """Sets this geometry on a SimpleITK image of the same size, and returns it."""
        image.SetSpacing(self.spacing_mm)
        image.SetOrigin(self.origin_mm)
        image.SetDirection(self.direction.ravel().tolist())
        return image
