"""A volume that is loaded as a clip: its slices along one of its axes are the frames."""

from __future__ import annotations

import numpy as np
import slicer

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.images.colour import grey_dtype
from UltrasoundMotionLib.mrml.volume_nodes import volume_from_node

AXES = ("K", "J", "I")
"""The axes of a volume's array (K, J, I): K, along which files store frames, comes first."""


def frame_counts(node: slicer.vtkMRMLVolumeNode) -> dict[str, int]:
    """Returns the number of frames along each axis that has at least two, K first."""
    image = node.GetImageData()
    size = image.GetDimensions()[::-1] if image is not None else ()
    return {axis: count for axis, count in zip(AXES, size, strict=False) if count > 1}


def clip_of_volume(
    node: slicer.vtkMRMLVolumeNode, axis: str = "K", *, frame_rate_hz: float | None = None
) -> ImageSequence:
    """Returns the slices of a volume node across an axis as a clip in the place of the first slice.

    Along K, x and y of a frame are I and J; along J they are I and K; along I, J and K. Colour becomes luminance. The
    spacing is unknown where it is exactly 1 x 1 mm, as Slicer shows a file that is not calibrated.

    Args:
        axis: "K", "J" or "I".
        frame_rate_hz: frames per second; the times are unknown when None.

    Raises:
        InputError: the volume has fewer than two slices across the axis, no image, or axes that are not orthogonal.
    """
    count = frame_counts(node).get(axis, 0)
    if count < 2:
        raise InputError(f"{node.GetName()}: has fewer than two slices across {axis}; there is nothing to follow")
    volume = volume_from_node(node)
    across = AXES.index(axis)
    down, right = [number for number in range(3) if number != across]  # axes of the array, the slower one first
    spacing = (volume.spacing_mm[2 - right], volume.spacing_mm[2 - down])
    x, y = volume.direction[:, 2 - right], volume.direction[:, 2 - down]
    left, posterior, superior = volume.origin_mm
    frames = np.moveaxis(volume.array, across, 0)
    frames = frames.astype(grey_dtype(frames.dtype))  # a copy: the node's memory may change
    if not np.all(np.isfinite(frames)):
        raise InputError(f"{node.GetName()}: holds values that are not finite")
    return ImageSequence(
        frames,
        spacing if spacing != (1.0, 1.0) else None,
        np.arange(count) / frame_rate_hz if frame_rate_hz else None,
        (left, posterior, superior),
        np.column_stack([x, y, np.cross(x, y)]),
        f"{node.GetName()} clip",
    )


def first_frame(node: slicer.vtkMRMLVolumeNode, axis: str) -> np.ndarray:
    """Returns the first frame along an axis, (H, W), in grey levels from 0 to 255, for a preview."""
    volume = volume_from_node(node)
    frame = np.take(volume.array, 0, axis=AXES.index(axis)).astype(np.float64)
    low, high = (float(level) for level in np.nanpercentile(frame, (0.5, 99.7)))
    scaled = (np.nan_to_num(frame, nan=low) - low) / (high - low if high > low else 1.0)
    return np.round(255 * np.clip(scaled, 0, 1)).astype(np.uint8)
