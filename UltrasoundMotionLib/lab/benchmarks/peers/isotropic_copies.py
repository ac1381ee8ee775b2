"""Volumes of few slices for packages that refuse them, or cannot work on them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import numpy as np

from UltrasoundMotionLib.fields import DisplacementField, ImageGrid
from UltrasoundMotionLib.images.volume import Volume

LEAST_SLICES = 24


def on_isotropic_copies(register: Callable[..., DisplacementField]) -> Callable[..., DisplacementField]:
    """Decorator of a registration: gives it isotropic copies (at the median spacing) of volumes with fewer than
    `LEAST_SLICES` voxels along an axis, and resamples the displacement to the fixed image's own grid.
    """

    @wraps(register)
    def wrapped(fixed: Volume, moving: Volume, **settings: object) -> DisplacementField:
        """Registers volumes of few slices as isotropic copies, all others as they are."""
        if min(fixed.array.shape) >= LEAST_SLICES:
            return register(fixed, moving, **settings)
        from UltrasoundMotionLib.lab.registration_datasets import at_spacing

        spacing = (float(np.median(fixed.spacing_mm)),) * fixed.array.ndim
        found = register(at_spacing(fixed, spacing), at_spacing(moving, spacing), **settings)
        return found.resample(ImageGrid.of(fixed))

    return wrapped
