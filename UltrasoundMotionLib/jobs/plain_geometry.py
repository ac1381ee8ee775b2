"""Where an image lies, as what fits in JSON, and back; its pixels travel as an array."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from UltrasoundMotionLib.fields.image_grid import ImageGrid
from UltrasoundMotionLib.images.volume import Volume


def plain_geometry(image: Volume | ImageGrid) -> dict[str, Any]:
    """Of a volume, with its name, or of a grid, with its shape."""
    own = {"name": image.name} if isinstance(image, Volume) else {"shape": image.shape}
    return {"spacing_mm": image.spacing_mm, "origin_mm": image.origin_mm, "direction": image.direction.tolist(), **own}


def volume_from(array: np.ndarray, geometry: Mapping[str, Any]) -> Volume:
    """A volume of those pixels."""
    return Volume(array=array, **geometry)


def grid_from(geometry: Mapping[str, Any]) -> ImageGrid:
    """A grid."""
    return ImageGrid(**geometry)
