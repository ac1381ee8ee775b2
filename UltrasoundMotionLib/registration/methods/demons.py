"""`demons`: SimpleITK's diffeomorphic demons on a pyramid, the plain baseline."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import DisplacementField
from UltrasoundMotionLib.fields.image_grid import ImageGrid
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.registration.likeness_weights import THICK_SLICES
from UltrasoundMotionLib.registration.registry import MethodSetup, registration_method

if TYPE_CHECKING:
    import SimpleITK as sitk
    from torch import Tensor

_HISTOGRAM_LEVELS = 256
_HISTOGRAM_POINTS = 7
ALONG_VOXELS, ACROSS_SLICES = 1.5, 0.5


@dataclass(frozen=True)
class DemonsSettings:
    """Settings of `demons`.

    Attributes:
        scales: how many times coarser than the working grid, from coarse to fine; an axis keeps at least eight voxels.
        iterations: the most of each scale.
        smoothing: standard deviation of the Gaussian on the displacement in voxels, (x, y[, z]); None takes 1.5, and
            0.5 across thick slices.
    """

    scales: tuple[int, ...] = (4, 2, 1)
    iterations: tuple[int, ...] = (100, 100, 100)
    smoothing: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if (
            not self.scales
            or len(self.scales) != len(self.iterations)
            or min(self.scales) < 1
            or min(self.iterations) < 1
        ):
            stages = f"scales {self.scales} and iterations {self.iterations}"
            raise InputError(f"demons: {stages} must have one entry of 1 or more for each scale")


@registration_method(
    "demons",
    "SimpleITK's diffeomorphic demons on a pyramid; the plain baseline",
    rank=4,
    settings=DemonsSettings,
    devices=("cpu",),
    use="a baseline that other toolkits have as well",
)
def run_demons(setup: MethodSetup) -> Tensor:
    """Registers by diffeomorphic demons (Vercauteren et al., NeuroImage 2009), after matching the moving histogram.

    Masks are not used.

    Returns:
        (1, n, *spatial) displacement in voxels of the pair's grid.
    """
    import SimpleITK as sitk

    pair, settings = setup.pair, setup.settings
    grid, single = _grid_of_several(pair.grid)
    fixed, moving = (_image(image, grid) for image in (pair.fixed, pair.moving))
    moving = sitk.HistogramMatching(moving, fixed, _HISTOGRAM_LEVELS, _HISTOGRAM_POINTS)
    smoothing = settings.smoothing or tuple(
        ACROSS_SLICES if step >= THICK_SLICES else ALONG_VOXELS for step in pair.spacing
    )
    if len(smoothing) == pair.grid.dimension:
        smoothing = tuple(value for axis, value in enumerate(smoothing) if axis not in single)
    if len(smoothing) != grid.dimension:
        raise InputError(f"demons: smoothing needs {pair.grid.dimension} numbers, got {smoothing}")
    total = sum(settings.iterations)
    done = 0
    field: sitk.Image | None = None
    for scale, iterations in zip(settings.scales, settings.iterations, strict=True):
        demons = sitk.DiffeomorphicDemonsRegistrationFilter()
        demons.SetNumberOfIterations(iterations)
        demons.SetStandardDeviations(smoothing)
        coarse = [_shrunk(image, scale) for image in (fixed, moving)]
        start = (
            None
            if field is None
            else sitk.Resample(field, coarse[0], sitk.Transform(), sitk.sitkLinear, 0.0, field.GetPixelID(), True)
        )
        field = demons.Execute(*coarse) if start is None else demons.Execute(*coarse, start)
        done += iterations
        setup.report(done, total, f"scale 1/{scale}", partial(_in_voxels, field, grid, single))
    assert field is not None  # there is a scale at least
    return _in_voxels(field, grid, single)


def _grid_of_several(grid: ImageGrid) -> tuple[ImageGrid, tuple[int, ...]]:
    """Returns the grid without its axes of one voxel, and those axes, counted from x.

    ITK's filter gives NaN along an axis of one voxel. Without such axes the grid is returned as it is.
    """
    sizes = grid.shape[::-1]
    kept = [axis for axis, size in enumerate(sizes) if size > 1]
    single = tuple(axis for axis, size in enumerate(sizes) if size == 1)
    if not single:
        return grid, ()
    if len(kept) < 2:
        raise InputError(
            f"demons: an image of {' x '.join(map(str, sizes))} voxels is a line; it needs a slice or more"
        )
    spacing = tuple(grid.spacing_mm[axis] for axis in kept)
    shape = tuple(size for size in grid.shape if size > 1)
    return ImageGrid(shape, spacing, (0.0,) * len(kept), np.eye(len(kept))), single


def _image(tensor: Tensor, grid: ImageGrid) -> sitk.Image:
    return Volume(
        tensor[0, 0].cpu().numpy().reshape(grid.shape), grid.spacing_mm, grid.origin_mm, grid.direction
    ).to_sitk()


def _shrunk(image: sitk.Image, scale: int) -> sitk.Image:
    import SimpleITK as sitk

    factors = [max(1, min(scale, size // 8)) for size in image.GetSize()]
    if max(factors) == 1:
        return image
    variances = [
        (0.5 * factor * step) ** 2 if factor > 1 else 0.0
        for factor, step in zip(factors, image.GetSpacing(), strict=True)
    ]
    return sitk.Shrink(sitk.DiscreteGaussian(image, variances), factors)


def _in_voxels(field: sitk.Image, grid: ImageGrid, single: tuple[int, ...]) -> Tensor:
    """Returns (1, n, *spatial) on the pair's grid: 0 along the axes of one voxel."""
    import torch

    found = DisplacementField.from_sitk(field)
    voxels = (found if found.grid.matches(grid) else found.resample(grid)).to_voxels()
    for axis in single:
        voxels = torch.cat([voxels[:, :axis], torch.zeros_like(voxels[:, :1]), voxels[:, axis:]], dim=1)
        voxels = voxels.unsqueeze(voxels.ndim - axis)  # the last axis is x, the one before it y
    return voxels
