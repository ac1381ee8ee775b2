"""An oblique pair of images on different grids with a known motion, and its warped images by other libraries."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from UltrasoundMotionLib.fields import DisplacementField, ImageGrid
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.images.volume_files import write_volume

FIXED = ImageGrid(
    (17, 22, 25), (1.1, 1.4, 2.0), (12.0, -7.0, 31.0), Rotation.from_euler("xyz", (12, -25, 33), True).as_matrix()
)


def centre_of(grid):
    """The middle of a grid, LPS mm."""
    return (grid.index_to_lps_mm @ [*(np.array(grid.shape[::-1]) - 1) / 2, 1])[:3]


def around(grid, shape, spacing_mm, direction):
    """A grid about the centre of another one."""
    loose = ImageGrid(shape, spacing_mm, (0.0, 0.0, 0.0), direction)
    return ImageGrid(shape, spacing_mm, tuple(centre_of(grid) - centre_of(loose)), direction)


MOVING = around(FIXED, (26, 24, 30), (1.3, 1.7, 1.6), Rotation.from_euler("xyz", (-18, 9, -14), True).as_matrix())
MIRRORED = around(FIXED, FIXED.shape, FIXED.spacing_mm, FIXED.direction * [-1.0, 1.0, 1.0])
"""The fixed grid with its first axis turned round, as NIfTI files in radiological order: a negative determinant."""

AFFINE = np.eye(4)
AFFINE[:3, :3] = Rotation.from_euler("xyz", (4, -6, 8), True).as_matrix() @ np.diag([1.05, 0.97, 1.02])
AFFINE[:3, 3] = (2.0, -1.5, 0.8)


def affine_about_centre(grid=FIXED, matrix=AFFINE):
    """The matrix as a map about the centre of a grid."""
    to_centre = np.eye(4)
    to_centre[:3, 3] = -centre_of(grid)
    return np.linalg.inv(to_centre) @ matrix @ to_centre


def smooth_field(grid=FIXED):
    """A displacement of some millimetres, different along every axis, that does not fold."""
    points = grid.points_lps_mm() / 9.0
    x, y, z = np.moveaxis(points, -1, 0)
    u = np.stack([2.0 + 1.2 * np.sin(y), -1.5 + 1.0 * np.cos(z + 0.4 * x), 0.8 + 0.9 * np.sin(x + 0.5 * y)], axis=-1)
    return DisplacementField(u, grid)


def texture(grid, seed=3):
    """Smooth noise from 0 to 100."""
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal(grid.shape), 1.5)
    values = 100 * (noise - noise.min()) / np.ptp(noise)
    return Volume(values.astype(np.float32), grid.spacing_mm, grid.origin_mm, grid.direction, "moving")


@dataclass(frozen=True)
class Pair:
    """Files of a pair and its grids; `moving` is the image in memory."""

    fixed_path: object
    moving_path: object
    fixed: ImageGrid
    moving_grid: ImageGrid
    moving: Volume


def write_pair(folder, fixed=FIXED, moving=MOVING):
    """Writes the pair as NIfTI files, which every library here reads."""
    image = texture(moving)
    write_volume(folder / "moving.nii.gz", image)
    write_volume(folder / "fixed.nii.gz", texture(fixed, seed=4))
    return Pair(folder / "fixed.nii.gz", folder / "moving.nii.gz", fixed, moving, image)
