"""Checks shared by all similarities."""

from __future__ import annotations

from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields.tensor_checks import check_image, check_same_shape


def check_images(fixed: Tensor, moving: Tensor, fixed_name: str = "fixed", moving_name: str = "moving") -> None:
    """Raises InputError unless both are floating point (B, C, [D,] H, W) of one shape and on one device."""
    for image, name in ((fixed, fixed_name), (moving, moving_name)):
        if not isinstance(image, Tensor) or not image.is_floating_point():
            kind = image.dtype if isinstance(image, Tensor) else type(image).__name__
            raise InputError(f"{name}: expected a floating point tensor, got {kind}")
        check_image(image, name)
    check_same_shape(fixed, moving, fixed_name, moving_name)


def check_mask(mask: Tensor, image: Tensor) -> Tensor:
    """Returns the mask as booleans (B or 1, 1, *spatial) on the image's device.

    Raises:
        InputError: a mask that does not fit the image (B, C, *spatial), or an empty one.
    """
    wanted = (1, *image.shape[2:])
    if not isinstance(mask, Tensor) or tuple(mask.shape[1:]) != wanted or mask.shape[0] not in (1, image.shape[0]):
        shape = tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
        raise InputError(
            f"mask: expected shape ({image.shape[0]}, 1, {', '.join(map(str, image.shape[2:]))}), got {shape}"
        )
    inside = mask > 0
    if not bool(inside.any()):
        raise InputError("mask: no voxel is above 0")
    return inside.to(image.device)
