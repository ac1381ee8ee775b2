"""Volumes as images of ITK's own package, for peers that are built on it."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from UltrasoundMotionLib.images.volume import Volume


def itk_image(itk: ModuleType, volume: Volume) -> Any:
    """Copies a volume with its geometry into an image of the package `itk`, float32."""
    image = itk.image_from_array(np.ascontiguousarray(volume.array, dtype=np.float32))
    image.SetSpacing(list(volume.spacing_mm))
    image.SetOrigin(list(volume.origin_mm))
    image.SetDirection(itk.matrix_from_array(np.array(volume.direction)))
    return image
