"""The range of sizes that a pixel can have."""

from __future__ import annotations

from collections.abc import Sequence

from UltrasoundMotionLib.errors import InputError

SMALLEST_MM, LARGEST_MM = 1e-5, 1e4


def check_pixel_size(where: str, spacing_mm: Sequence[float]) -> None:
    """Checks positive spacings: what is far from any scanner's pixel is in another unit, or damaged.

    Raises:
        InputError: smaller than 10 nm, or larger than 10 m.
    """
    for size in spacing_mm:
        if not SMALLEST_MM <= size <= LARGEST_MM:
            raise InputError(
                f"{where}spacing {size:g} mm is not the size of a pixel, expected {SMALLEST_MM:g} to {LARGEST_MM:g} mm;"
                " is it in another unit?"
            )
