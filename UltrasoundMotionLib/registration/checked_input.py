"""The images of a registration as volumes, checked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import ImageGrid
from UltrasoundMotionLib.images.colour import check_single_precision
from UltrasoundMotionLib.images.given_images import VolumeLike, as_volume
from UltrasoundMotionLib.images.volume import Volume

LEAST_SIZE = 4


@dataclass(frozen=True, eq=False)
class CheckedImages:
    """A pair of images that can be registered; labels and masks lie on the grid of their image."""

    fixed: Volume
    moving: Volume
    fixed_mask: Volume | None
    moving_mask: Volume | None
    fixed_labels: Volume | None
    moving_labels: Volume | None

    @property
    def grid(self) -> ImageGrid:
        """The fixed image's grid."""
        return ImageGrid.of(self.fixed)


def check_images(
    fixed: VolumeLike,
    moving: VolumeLike,
    *,
    fixed_mask: VolumeLike | None = None,
    moving_mask: VolumeLike | None = None,
    fixed_labels: VolumeLike | None = None,
    moving_labels: VolumeLike | None = None,
) -> CheckedImages:
    """Checks the images of a registration.

    Raises:
        InputError: images that cannot be registered, or of different dimensions; masks or labels that do not fit.
    """
    first, second = checked_image(fixed, "fixed"), checked_image(moving, "moving")
    if first.array.ndim != second.array.ndim:
        raise InputError(
            f"fixed is {first.array.ndim}D and moving {second.array.ndim}D; both must have the same dimension"
        )
    if first.spacing_known != second.spacing_known:
        unknown, known = ("moving", first) if first.spacing_known else ("fixed", second)
        size = " x ".join(f"{value:.4g}" for value in known.spacing_mm)
        raise InputError(
            f"the spacing of {unknown} is unknown, that of the other image is {size} mm: give both images in a format "
            "that holds the spacing (.nrrd, .nii.gz, .mha, DICOM), or both as pictures"
        )
    checked = CheckedImages(
        first,
        second,
        _checked_mask(fixed_mask, first, "fixed_mask"),
        _checked_mask(moving_mask, second, "moving_mask"),
        checked_labels(fixed_labels, first, "fixed_labels"),
        checked_labels(moving_labels, second, "moving_labels"),
    )
    _check_labels_match(checked.fixed_labels, checked.moving_labels)
    return checked


def checked_image(image: VolumeLike, name: str) -> Volume:
    """Checks an image to register: 2D or 3D, at least four voxels along two axes, finite, not constant.

    Raises:
        InputError: it is not.
    """
    volume = as_volume(image, name)
    array = volume.array
    if sorted(array.shape)[-2] < LEAST_SIZE:
        raise InputError(f"{name}: needs at least {LEAST_SIZE} voxels along two axes, got {array.shape[::-1]}")
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name}: expected real numbers, got {array.dtype}")
    if array.dtype.kind == "f":
        wrong = int((~np.isfinite(array)).sum())
        if wrong:
            raise InputError(f"{name}: {wrong} of {array.size} voxels are NaN or infinite")
        check_single_precision(name, array)
    if array.min() == array.max():
        raise InputError(f"{name}: every voxel is {array.flat[0]}; there is nothing to register")
    return volume


def checked_labels(labels: VolumeLike | None, image: Volume, name: str) -> Volume | None:
    """Checks a label map: on the grid of its image, whole numbers; None stays.

    Raises:
        InputError: another grid, or values that are no whole numbers.
    """
    if labels is None:
        return None
    volume = as_volume(labels, name)
    _check_same_grid(volume, image, name)
    array = volume.array
    if array.dtype.kind not in "biu" and not np.array_equal(array, np.round(array)):
        example = array[array != np.round(array)].flat[0]
        raise InputError(f"{name}: labels must be whole numbers, got {array.dtype} values such as {example}")
    return volume


def _checked_mask(mask: VolumeLike | None, image: Volume, name: str) -> Volume | None:
    """Checks a mask: on the grid of its image, at least one voxel above 0; None stays.

    Raises:
        InputError: another grid, or an empty mask.
    """
    if mask is None:
        return None
    volume = as_volume(mask, name)
    _check_same_grid(volume, image, name)
    if not (volume.array > 0).any():
        raise InputError(f"{name}: no voxel is above 0")
    return volume


def _check_labels_match(fixed_labels: Volume | None, moving_labels: Volume | None) -> None:
    """Raises InputError where both maps are given and share no label above 0."""
    if fixed_labels is None or moving_labels is None:
        return
    fixed, moving = (
        {int(value) for value in np.unique(labels.array) if value > 0} for labels in (fixed_labels, moving_labels)
    )
    if not fixed & moving:
        raise InputError(f"fixed_labels hold {sorted(fixed)} and moving_labels {sorted(moving)}: no label in common")


def _check_same_grid(volume: Volume, image: Volume, name: str) -> None:
    mine, wanted = ImageGrid.of(volume), ImageGrid.of(image)
    if mine.dimension != wanted.dimension or not mine.matches(
        wanted, tolerance_mm=1e-3 * min(wanted.spacing_mm) * max(wanted.shape)
    ):
        raise InputError(
            f"{name}: must lie on the grid of {image.name}: {mine.shape[::-1]} voxels of {_short(mine.spacing_mm)} mm"
            f" from {_short(mine.origin_mm)} against {wanted.shape[::-1]} of {_short(wanted.spacing_mm)}"
            f" from {_short(wanted.origin_mm)}"
        )


def _short(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"
