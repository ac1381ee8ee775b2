"""The geometry of images and grids as JSON values, and back; pixels are sent as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from UltrasoundMotionLib.fields.image_grid import ImageGrid
from UltrasoundMotionLib.images.image_sequence import FrameSource, ImageSequence
from UltrasoundMotionLib.images.volume import Volume


def plain_geometry(image: Volume | ImageGrid) -> dict[str, Any]:
    """Returns the geometry of a volume with its name, or of a grid with its shape."""
    own = {"name": image.name} if isinstance(image, Volume) else {"shape": image.shape}
    return {"spacing_mm": image.spacing_mm, "origin_mm": image.origin_mm, "direction": image.direction.tolist(), **own}


def volume_from(array: np.ndarray, geometry: Mapping[str, Any]) -> Volume:
    """Makes a volume of an array and its geometry."""
    return Volume(array=array, **geometry)


def grid_from(geometry: Mapping[str, Any]) -> ImageGrid:
    """Makes a grid of its geometry."""
    return ImageGrid(**geometry)


def plain_sequence(sequence: ImageSequence) -> dict[str, Any]:
    """Returns the geometry, times and name of a sequence."""
    return {
        "spacing_mm": sequence.spacing_mm,
        "times_s": None if sequence.times_s is None else sequence.times_s.tolist(),
        "origin_mm": sequence.origin_mm,
        "direction": sequence.direction.tolist(),
        "name": sequence.name,
    }


def sequence_from(frames: FrameSource, geometry: Mapping[str, Any]) -> ImageSequence:
    """Makes a sequence of frames (T, H, W) and what `plain_sequence` returned."""
    return ImageSequence(frames, **geometry)
