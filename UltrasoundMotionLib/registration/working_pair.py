"""The input of every method: both images on one grid with intensities in [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.fields import ImageGrid
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.registration.checked_input import CheckedImages

if TYPE_CHECKING:
    import SimpleITK as sitk
    from torch import Tensor

    from UltrasoundMotionLib.registration.guide_labels import GuideLabels

CLIP_DEVIATIONS = 6.0


@dataclass(frozen=True, eq=False)
class WorkingPair:
    """Fixed and moving image on the working grid.

    Attributes:
        fixed, moving: (1, 1, *spatial) float32, each clipped at six standard deviations and scaled to [0, 1] (SSMSR,
            III-A).
        fixed_mask, moving_mask: (1, 1, *spatial) float32, 1 where the image counts and 0 elsewhere; None: it counts
            everywhere.
        grid: the working grid.
        same_scan: whether the images show one subject in one pose with comparable intensities, so that their difference
            is meaningful.
        different_modality: whether their intensities cannot be compared, only their structures.
        fixed_maps, moving_maps: (1, C, *spatial) float32, probabilities of the classes without the background from an
            anatomy network; or None.
        guides: the user's labels that take the place of class maps; or None.
        may_turn: whether trained networks may be given the images in another orientation than their header's.
        turn: (n, n) rotation in LPS of the grid that a network is given, about its middle; None: the header's axes.
        notes: the method's lines for the user on this pair, passed on in `Registration.notes`.
    """

    fixed: Tensor
    moving: Tensor
    fixed_mask: Tensor | None
    moving_mask: Tensor | None
    grid: ImageGrid
    same_scan: bool = False
    different_modality: bool = False
    fixed_maps: Tensor | None = None
    moving_maps: Tensor | None = None
    guides: GuideLabels | None = None
    may_turn: bool = False
    turn: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Spacing (x, y[, z]) relative to the finest axis."""
        finest = min(self.grid.spacing_mm)
        return tuple(value / finest for value in self.grid.spacing_mm)

    def to(self, device: str) -> WorkingPair:
        """Returns the pair on another device."""
        names = ("fixed", "moving", "fixed_mask", "moving_mask", "fixed_maps", "moving_maps")
        moved = {name: value.to(device) for name in names if (value := getattr(self, name)) is not None}
        return replace(self, **moved)


def make_working_pair(
    images: CheckedImages,
    grid: ImageGrid,
    start: sitk.Transform | None,
    *,
    same_scan: bool = False,
    different_modality: bool = False,
    may_turn: bool = False,
) -> WorkingPair:
    """Resamples both images onto the grid, the moving one through the initial transform.

    Outside an image, the value of its border continues; outside a mask is 0.
    """
    fixed_mask, moving_mask = (
        None if mask is None else _tensor(on_grid(_binary(mask), grid, transform, nearest=True))
        for mask, transform in ((images.fixed_mask, None), (images.moving_mask, start))
    )
    return WorkingPair(
        fixed=_tensor(scale_intensities(on_grid(images.fixed, grid, None))),
        moving=_tensor(scale_intensities(on_grid(images.moving, grid, start))),
        fixed_mask=fixed_mask,
        moving_mask=moving_mask,
        grid=grid,
        same_scan=same_scan,
        different_modality=different_modality,
        may_turn=may_turn,
    )


def scale_intensities(array: np.ndarray) -> np.ndarray:
    """Clips at six standard deviations around the mean and scales to [0, 1], float32; a constant image becomes 0."""
    values = array.astype(np.float32)
    mean, deviation = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
    values = np.clip(values, mean - CLIP_DEVIATIONS * deviation, mean + CLIP_DEVIATIONS * deviation)
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def coarser_grid(grid: ImageGrid, spacing_mm: tuple[float, ...]) -> ImageGrid:
    """A grid over the same region (outer borders of voxels) of about the given spacing, (x, y[, z])."""
    extent = np.array(grid.shape[::-1]) * grid.spacing_mm
    size = np.maximum(np.round(extent / spacing_mm), 1)
    spacing = extent / size
    corner = np.array(grid.origin_mm) - grid.direction @ (np.array(grid.spacing_mm) / 2)
    return ImageGrid(
        tuple(int(one) for one in size[::-1]),
        tuple(spacing),
        tuple(corner + grid.direction @ (spacing / 2)),
        grid.direction,
    )


def _binary(mask: Volume) -> Volume:
    return replace(mask, array=(mask.array > 0).astype(np.uint8))


def on_grid(volume: Volume, grid: ImageGrid, start: sitk.Transform | None, nearest: bool = False) -> np.ndarray:
    """Resamples onto a grid through a transform from its points: an image continues its border, a mask (nearest) is 0
    outside.
    """
    import SimpleITK as sitk

    if start is None and ImageGrid.of(volume).matches(grid):
        return volume.array
    image = sitk.Cast(volume.to_sitk(), sitk.sitkFloat32)
    if not nearest:
        image = _smoothed_for(image, grid)
    transform = sitk.Transform(grid.dimension, sitk.sitkIdentity) if start is None else start
    interpolator = sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear
    resampled = sitk.Resample(
        image,
        grid.shape[::-1],
        transform,
        interpolator,
        grid.origin_mm,
        grid.spacing_mm,
        grid.direction.ravel().tolist(),
        0.0,
        sitk.sitkFloat32,
        not nearest,  # outside: the nearest value of an image, but 0 of a mask
    )
    return sitk.GetArrayFromImage(resampled)


def _smoothed_for(image: sitk.Image, grid: ImageGrid) -> sitk.Image:
    """Smooths against aliasing: by half the grid's finest spacing along axes that are 1.5 times finer or more."""
    import SimpleITK as sitk

    finest = min(grid.spacing_mm)
    deviations = [0.5 * finest if finest > 1.5 * spacing else 0.0 for spacing in image.GetSpacing()]
    return sitk.DiscreteGaussian(image, [value**2 for value in deviations]) if any(deviations) else image


def _tensor(array: np.ndarray) -> Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[None, None]
