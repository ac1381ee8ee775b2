"""The images and the grid that a trained network takes; resampling of a pair to that grid and of its field back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields.image_grid import ImageGrid
from UltrasoundMotionLib.registration.likeness_weights import THICK_SLICES
from UltrasoundMotionLib.settings import from_plain

if TYPE_CHECKING:
    from torch import Tensor

    from UltrasoundMotionLib.registration.working_pair import WorkingPair

_FADE_VOXELS = 16
THIN_SLICES_MM, RESAMPLED_SLICES_MM = 4.0, 8.0
"""Where a domain keeps the image's slices, those thinner than the first are resampled to the second: its networks were
not trained on thin ones.
"""
LEAST_DEVIATION = 1e-6
_PATIENT_AXES = {"R": (0, -1), "L": (0, 1), "A": (1, -1), "P": (1, 1), "S": (2, 1), "I": (2, -1)}
"""The direction of an axis by the end that it runs towards: LPS component and sign."""


@dataclass(frozen=True)
class ModelDomain:
    """The images that a network was trained on, and the grid that it takes them on.

    Attributes:
        name: of the domain.
        modality: for messages: "T1 MRI of one hippocampus".
        spacing_mm: (x, y, z) of the grid; None: an axis keeps the image's slices, unless they are thinner than 4 mm.
        shape: (D, H, W) of the grid; None: as many as the image has there.
        orientation: the ends that the axes x, y, z run towards ("RAS" as in NIfTI); None: the image's axes, thick
            slices along z.
        labels: names of the label values.
        extent_mm: smallest and largest extent (x, y, z) of an image that is accepted; wider than the training data's.
        coarsest_mm: (x, y, z): images with larger voxels are refused.
        same_scan: pairs are two moments of one scan; otherwise of different subjects.
        familiar: (share, lowest, highest): the values between which that quantile of the normalised image was for all
            training images (160 hippocampi, 50 patients' two phases), widened by a quarter of a deviation.
    """

    name: str
    modality: str
    spacing_mm: tuple[float | None, ...]
    shape: tuple[int | None, ...]
    orientation: str | None
    labels: dict[int, str]
    extent_mm: tuple[tuple[float, ...], tuple[float, ...]]
    coarsest_mm: tuple[float, ...]
    same_scan: bool
    familiar: tuple[tuple[float, float, float], ...] = ()

    @classmethod
    def from_card(cls, values: Mapping[str, Any]) -> ModelDomain:
        """Builds the domain from a card's plain values.

        Raises:
            InputError: fields that are not those of a domain.
        """
        try:
            labels = {int(value): str(label) for value, label in values["labels"].items()}
            return from_plain(cls, {**values, "labels": labels})
        except (TypeError, ValueError, KeyError, AttributeError, InputError) as error:
            raise InputError(f"a model card's domain is not one ({error})") from error


HIPPOCAMPUS = ModelDomain(
    name="hippocampus",
    modality="T1 MRI cropped around one hippocampus",
    spacing_mm=(1.0, 1.0, 1.0),
    shape=(48, 64, 48),
    orientation="RAS",
    labels={1: "head", 2: "body"},
    extent_mm=((24.0, 32.0, 20.0), (72.0, 96.0, 72.0)),
    coarsest_mm=(2.0, 2.0, 2.0),
    same_scan=False,
    familiar=((0.02, -2.6, -1.4), (0.25, -1.1, -0.4), (0.5, -0.4, 0.45), (0.75, 0.5, 1.2), (0.98, 1.15, 2.1)),
)
"""Task04 of the Medical Segmentation Decathlon as SSMSR prepares it: 1 mm, 48 x 64 x 48."""

_CINE_QUANTILES = ((0.1, -1.5, -0.5), (0.5, -0.65, 0.1), (0.75, -0.1, 1.1), (0.98, 1.9, 3.8))

CARDIAC_CINE_PUBLISHED = ModelDomain(
    name="cardiac-published",
    modality="short-axis cine MRI",
    spacing_mm=(1.56, 1.56, 1.56),
    shape=(64, 128, 128),
    orientation=None,
    labels={1: "RV", 2: "myocardium", 3: "LV"},
    extent_mm=((120.0, 120.0, 30.0), (700.0, 700.0, 250.0)),
    coarsest_mm=(3.5, 3.5, 14.0),
    same_scan=True,
    familiar=_CINE_QUANTILES,
)
"""ACDC as the semantically guided paper (2.3.1) has it: 1.56 mm along all axes, 128 x 128 x 64 around the centre."""

CARDIAC_CINE = ModelDomain(
    name="cardiac",
    modality="short-axis cine MRI",
    spacing_mm=(1.5, 1.5, None),
    shape=(None, 160, 160),
    orientation=None,
    labels={1: "RV", 2: "myocardium", 3: "LV"},
    extent_mm=((100.0, 100.0, 30.0), (700.0, 700.0, 250.0)),
    coarsest_mm=(3.5, 3.5, 14.0),
    same_scan=True,
    familiar=_CINE_QUANTILES,
)
"""ACDC with its own slices: 240 mm in the plane around the part that moves, 1.5 mm."""


def domain_grid(grid: ImageGrid, domain: ModelDomain, centre_mm: np.ndarray | None = None) -> ImageGrid:
    """Returns the grid of the network's input.

    Args:
        grid: of the image; a working pair's is already cropped to its content, so that its centre is the content's.
        centre_mm: (n,) centre in LPS mm, in place of the grid's. Axes that keep the image's voxels stay on them.

    Raises:
        InputError: another dimension.
    """
    _check_dimension(grid, domain)
    order, signs = _axes(grid, domain)
    direction = grid.direction[:, order] * signs
    own_spacing, own_size = np.array(grid.spacing_mm)[order], np.array(grid.shape[::-1])[order]
    thin = own_spacing < THIN_SLICES_MM
    own_size = np.where(thin, np.maximum(1, np.round(own_size * own_spacing / RESAMPLED_SLICES_MM)), own_size)
    own_spacing = np.where(thin, RESAMPLED_SLICES_MM, own_spacing)
    spacing = [own if wanted is None else wanted for own, wanted in zip(own_spacing, domain.spacing_mm, strict=True)]
    size = [int(own) if wanted is None else wanted for own, wanted in zip(own_size, domain.shape[::-1], strict=True)]
    middle = (np.array(grid.shape[::-1]) - 1) / 2
    centre = np.array(grid.origin_mm) + grid.direction @ (middle * grid.spacing_mm)
    if centre_mm is not None:
        free = [wanted is not None for wanted in domain.shape[::-1]]
        centre = centre + direction @ (np.linalg.inv(direction) @ (np.asarray(centre_mm) - centre) * free)
    origin = centre - direction @ ((np.array(size) - 1) / 2 * spacing)
    return ImageGrid(tuple(size[::-1]), tuple(float(one) for one in spacing), tuple(origin), direction)


def turned_about_middle(grid: ImageGrid, turn: np.ndarray) -> ImageGrid:
    """Returns a grid turned about its middle by a rotation (n, n) in LPS."""
    half = (np.array(grid.shape[::-1]) - 1) / 2 * grid.spacing_mm
    direction = turn @ grid.direction
    return ImageGrid(grid.shape, grid.spacing_mm, tuple(grid.middle_mm - direction @ half), direction)


def check_domain(image: WorkingPair | ImageGrid, domain: ModelDomain) -> tuple[str, ...]:
    """Checks whether a model of the domain can be used.

    Returns:
        Warnings for the user, one line each: intensities unlike the training data's (for a pair only).

    Raises:
        InputError: dimension, voxels or field of view outside the domain.
    """
    grid = image if isinstance(image, ImageGrid) else image.grid
    _check_dimension(grid, domain)
    order, _ = _axes(grid, domain)
    spacing = np.array(grid.spacing_mm)[order]
    extent = spacing * np.array(grid.shape[::-1])[order]
    for axis, name in enumerate("xyz"[: grid.dimension]):
        if spacing[axis] > domain.coarsest_mm[axis]:
            raise InputError(
                f"voxels of {spacing[axis]:.3g} mm along {name} are too coarse for models of {domain.modality}"
                f" ({domain.coarsest_mm[axis]:g} mm at most); use method='instance'"
            )
        least, most = (limits[axis] for limits in domain.extent_mm)
        if not least <= extent[axis] <= most:
            raise InputError(
                f"{extent[axis]:.0f} mm along {name} is not the field of view of {domain.modality} ({least:g} to"
                f" {most:g} mm); crop or pad the images, or use method='instance'"
            )
    if isinstance(image, ImageGrid):
        return ()
    return tuple(line for name in ("fixed", "moving") if (line := _unlike(getattr(image, name), name, domain)))


def sample_on(
    values: Tensor,
    from_grid: ImageGrid,
    to_grid: ImageGrid,
    mode: str = "linear",
    *,
    padding: str = "zeros",
    smoothing: bool = True,
) -> Tensor:
    """Resamples a tensor (B, C, *from_grid.shape) at the voxels of another grid, (B, C, *to_grid.shape).

    Args:
        mode, padding: as in `fields.warp`.
        smoothing: against aliasing, axes that become 1.5 times coarser or more are smoothed by half the new spacing;
            not in mode "nearest".
    """
    import torch

    from UltrasoundMotionLib.fields import warp
    from UltrasoundMotionLib.registration.gaussian_smoothing import smooth

    change = np.linalg.inv(from_grid.index_to_lps_mm) @ to_grid.index_to_lps_mm
    scale = np.abs(change[:-1, :-1])
    if smoothing and mode != "nearest":
        coarser = scale.max(axis=1)
        values = smooth(values, [0.5 * float(one) if one > 1.5 else 0.0 for one in coarser])
    shift = torch.tensor(change, dtype=torch.float64)
    lines = [torch.arange(size, dtype=torch.float64) for size in to_grid.shape]
    index = torch.stack(torch.meshgrid(*lines, indexing="ij")[::-1])
    points = torch.tensordot(shift[:-1, :-1], index, dims=1) + shift[:-1, -1].view(-1, *[1] * to_grid.dimension)
    displacement = (
        (points - index).to(values.device, torch.float32)[None].expand(len(values), *[-1] * (to_grid.dimension + 1))
    )
    return warp(values, displacement, mode=mode, padding=padding)


def normalise(image: Tensor) -> Tensor:
    """Normalises each image of (B, 1, *spatial) to mean 0 and deviation 1.

    Both are of the voxels above the image's minimum, so that padding does not count.
    """
    inside = image > image.flatten(1).amin(1).view(-1, *[1] * (image.ndim - 1))
    count = inside.flatten(1).sum(1).clamp(min=1)
    mean = (image * inside).flatten(1).sum(1) / count
    shape = (-1, *[1] * (image.ndim - 1))
    centred = image - mean.view(shape)
    deviation = ((centred * inside).flatten(1).square().sum(1) / count).sqrt().clamp(min=LEAST_DEVIATION)
    return centred / deviation.view(shape)


def field_to_grid(displacement: Tensor, domain_grid: ImageGrid, grid: ImageGrid) -> Tensor:
    """Resamples a displacement (1, n, *domain_grid.shape) in voxels of its grid to another grid and its voxels.

    Outside the domain's box, the displacement at its border continues and fades to 0 across 16 of its voxels.

    Returns:
        (1, n, *grid.shape).
    """
    import torch

    there = sample_on(displacement, domain_grid, grid, padding="border", smoothing=False)
    turned = np.linalg.inv(grid.index_to_lps_mm[:-1, :-1]) @ domain_grid.index_to_lps_mm[:-1, :-1]
    matrix = torch.tensor(turned, dtype=displacement.dtype, device=displacement.device)
    turned_there = torch.tensordot(matrix, there[0], dims=1)[None]
    return turned_there * _fading(domain_grid, grid).to(displacement)


def _fading(domain_grid: ImageGrid, grid: ImageGrid) -> Tensor:
    """Weights (1, 1, *grid.shape): 1 in the domain's box, falling to 0 outside."""
    import torch

    index = domain_grid.to_index(grid.points_lps_mm())
    size = np.array(domain_grid.shape[::-1])
    outside = np.maximum(np.maximum(-0.5 - index, index - (size - 0.5)), 0).max(axis=-1)
    weight = 0.5 + 0.5 * np.cos(np.pi * np.clip(outside / _FADE_VOXELS, 0, 1))
    return torch.from_numpy(weight.astype(np.float32))[None, None]


def _axes(grid: ImageGrid, domain: ModelDomain) -> tuple[list[int], np.ndarray]:
    """The axes of the grid that become x, y[, z] of the domain, and their signs."""
    axes = range(grid.dimension)
    if domain.orientation is None:
        spacing = grid.spacing_mm
        thickest = int(np.argmax(spacing))
        if grid.dimension == 3 and spacing[thickest] >= THICK_SLICES * min(spacing):
            return [axis for axis in axes if axis != thickest] + [thickest], np.ones(3)
        return list(axes), np.ones(grid.dimension)
    wanted = [_PATIENT_AXES[letter] for letter in domain.orientation]

    def along(order: tuple[int, ...]) -> list[float]:
        return [grid.direction[component, axis] * sign for axis, (component, sign) in zip(order, wanted, strict=True)]

    best = max(permutations(axes), key=lambda order: sum(abs(one) for one in along(order)))
    return list(best), np.where(np.array(along(best)) < 0, -1.0, 1.0)


def _unlike(image: Tensor, name: str, domain: ModelDomain) -> str:
    """A line for users where the image's intensities are not distributed as in any training image; else empty."""
    strange = unfamiliar_quantile(normalise(image)[image > image.min()].float().cpu().numpy(), domain)
    if strange is None:
        return ""
    share, found, lowest, highest = strange
    return (
        f"{name} does not look like {domain.modality}, which the model was trained on (its {share:.0%} quantile"
        f" is {found:.2f} deviations from the mean, in training {lowest:g} to {highest:g}); method='instance'"
        " needs no training"
    )


def unfamiliar_quantile(values: np.ndarray, domain: ModelDomain) -> tuple[float, float, float, float] | None:
    """Returns the first quantile that is not as in the training images: its share, its value, and the limits in
    training; None where all are.

    Args:
        values: of the image's voxels above its minimum, with mean 0 and deviation 1.
    """
    for share, lowest, highest in domain.familiar:
        found = float(np.quantile(values, share))
        if not lowest <= found <= highest:
            return share, found, lowest, highest
    return None


def _check_dimension(grid: ImageGrid, domain: ModelDomain) -> None:
    if grid.dimension != len(domain.shape):
        raise InputError(
            f"the images are {grid.dimension}D and models of {domain.modality} {len(domain.shape)}D; use"
            " method='instance'"
        )
