"""Checks of image and displacement tensors; a bad input raises an InputError with one line."""

from __future__ import annotations

import torch
from torch import Tensor

from UltrasoundMotionLib.errors import InputError


def check_displacement(displacement: Tensor, name: str = "displacement") -> None:
    """Raises InputError unless the tensor is (B, 2, H, W) or (B, 3, D, H, W) in floating point."""
    if not isinstance(displacement, Tensor) or not displacement.is_floating_point():
        raise InputError(f"{name}: expected a floating point tensor, got {_kind(displacement)}")
    if displacement.ndim not in (4, 5) or displacement.shape[1] != displacement.ndim - 2 or 0 in displacement.shape:
        raise InputError(f"{name}: expected shape (B, 2, H, W) or (B, 3, D, H, W), got {tuple(displacement.shape)}")


def check_image(image: Tensor, name: str = "image") -> None:
    """Raises InputError unless the tensor is (B, C, H, W) or (B, C, D, H, W)."""
    if not isinstance(image, Tensor):
        raise InputError(f"{name}: expected a tensor, got {_kind(image)}")
    if image.ndim not in (4, 5) or 0 in image.shape:
        raise InputError(f"{name}: expected shape (B, C, H, W) or (B, C, D, H, W), got {tuple(image.shape)}")


def check_pair(
    image: Tensor, displacement: Tensor, image_name: str = "image", displacement_name: str = "displacement"
) -> None:
    """Raises InputError unless both are valid and agree in dimension, batch size and device; their grids may differ."""
    check_image(image, image_name)
    check_displacement(displacement, displacement_name)
    if image.ndim != displacement.ndim or image.shape[0] != displacement.shape[0]:
        raise InputError(
            f"{image_name} {tuple(image.shape)} and {displacement_name} {tuple(displacement.shape)} "
            "must agree in dimension and batch size"
        )
    if image.device != displacement.device:
        raise InputError(
            f"{image_name} is on {image.device} and {displacement_name} on {displacement.device}; move one of them"
        )


def check_same_shape(first: Tensor, second: Tensor, first_name: str, second_name: str) -> None:
    """Raises InputError unless both tensors have the same shape and device."""
    if first.shape != second.shape:
        raise InputError(
            f"{first_name} {tuple(first.shape)} and {second_name} {tuple(second.shape)} must have the same shape"
        )
    if first.device != second.device:
        raise InputError(f"{first_name} is on {first.device} and {second_name} on {second.device}; move one of them")


def check_finite(tensor: Tensor, name: str) -> None:
    """Raises InputError if a value is NaN or infinite.

    Costs a pass over the data: use it at the start of a call, not in every iteration.
    """
    if not bool(torch.isfinite(tensor).all()):
        count = int((~torch.isfinite(tensor)).sum())
        raise InputError(f"{name}: {count} of {tensor.numel()} values are NaN or infinite")


def _kind(value: object) -> str:
    return f"{value.dtype} tensor" if isinstance(value, Tensor) else type(value).__name__
