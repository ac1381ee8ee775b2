"""Images as Python callers give them: our own, paths, numpy arrays, SimpleITK images."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.images.sequence_files import read_sequence
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.images.volume_files import read_volume

if TYPE_CHECKING:
    import SimpleITK as sitk

SequenceLike = Union[ImageSequence, str, Path, np.ndarray, "sitk.Image"]
VolumeLike = Union[Volume, str, Path, np.ndarray, "sitk.Image"]

_SEQUENCE_DIMENSIONS = 3


def as_sequence(given: Any, name: str = "sequence") -> ImageSequence:
    """Returns a sequence of 2D frames.

    Args:
        given: an `ImageSequence`; the path of one; an array (T, H, W), whose spacing and times are unknown; a 3D
            SimpleITK image, whose third axis is time: its spacing there is not read.
        name: of the argument, for messages.

    Raises:
        InputError: something else, a file that `read_sequence` refuses, an array or image that is no sequence.
    """
    if isinstance(given, ImageSequence):
        return given
    if isinstance(given, str | os.PathLike):
        return read_sequence(Path(given))
    if isinstance(given, np.ndarray):
        return ImageSequence(_frames(given, name), name=name)
    if _is_sitk(given):
        import SimpleITK as sitk

        if given.GetDimension() != _SEQUENCE_DIMENSIONS or given.GetNumberOfComponentsPerPixel() != 1:
            raise InputError(
                f"{name}: expected an image of one component whose axes are x, y and time, got one of"
                f" {given.GetDimension()} dimensions and {given.GetNumberOfComponentsPerPixel()} components"
            )
        return ImageSequence(
            _frames(sitk.GetArrayFromImage(given), name),
            spacing_mm=given.GetSpacing()[:2],
            origin_mm=given.GetOrigin(),
            direction=np.reshape(given.GetDirection(), (3, 3)),
            name=name,
        )
    raise InputError(
        f"{name}: expected an ImageSequence, a path, an array (T, H, W) or a SimpleITK image, got"
        f" {type(given).__name__}"
    )


def as_volume(given: Any, name: str) -> Volume:
    """Returns an image as a volume of the given name, by which messages refer to it.

    Args:
        given: a `Volume`; the path of one; an array (D, H, W) or (H, W), whose spacing is unknown, so that a voxel
            counts as 1 mm; a SimpleITK image.

    Raises:
        InputError: something else, a file that `read_volume` refuses, several components, not 2D or 3D, a singular
            direction.
    """
    if isinstance(given, Volume):
        return replace(given, name=name)
    if isinstance(given, str | os.PathLike):
        return read_volume(Path(given))
    if isinstance(given, np.ndarray):
        count = given.ndim
        note = f"{name}: spacing unknown: an array does not say the size of its voxels; one counts as 1 mm"
        return Volume(given, (1.0,) * count, (0.0,) * count, np.eye(count), name, False, (note,))
    if _is_sitk(given):
        return Volume.from_sitk(given, name)
    raise InputError(f"{name}: expected a Volume, a path, an array or a SimpleITK image, got {type(given).__name__}")


def _frames(array: np.ndarray, name: str) -> np.ndarray:
    """Returns frames as uint8 or float32."""
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name}: expected grey levels, got an array of {array.dtype}")
    return array if array.dtype == np.uint8 else array.astype(np.float32)


def _is_sitk(given: Any) -> bool:
    return hasattr(given, "GetNumberOfComponentsPerPixel") and hasattr(given, "GetDimension")
