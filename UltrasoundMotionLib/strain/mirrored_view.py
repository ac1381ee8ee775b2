"""A four-chamber view that looks mirrored, since the left ventricle lies on the left of the sector."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.strain.strain_result import StrainResult

if TYPE_CHECKING:
    from UltrasoundMotionLib.images.image_sequence import ImageSequence

_LEAST_SHARE = 0.35
"""Distance of the ventricle from the sector's middle, as a fraction of its width, above which its side is clear."""


def with_mirror_doubt(result: StrainResult, sequence: ImageSequence) -> StrainResult:
    """Returns the result with a note where the view looks mirrored though it was not said to be, or the reverse.

    As usually displayed the left ventricle of a four-chamber view lies on the right, since the right ventricle is on
    the left. Other views show the left ventricle in the middle and tell nothing.

    Args:
        sequence: the clip that was tracked.
    """
    orientation = result.config.orientation
    if result.view != "A4C" or orientation == "as given":
        return result
    points = result.positions_px[result.cycle.reference_frame]
    width = float(np.ptp(points[:, 0]))
    offset = (float(points[:, 0].min()) + width / 2 - _sector_middle_px(sequence)) / width
    looks_mirrored = offset < -_LEAST_SHARE
    if looks_mirrored and orientation == "auto":
        note = (
            "the left ventricle lies on the left of the sector: the view may be displayed mirrored, and septal and"
            " lateral walls be swapped; then choose orientation mirrored"
        )
    elif offset > _LEAST_SHARE and orientation == "mirrored":
        note = "the left ventricle lies on the right of the sector, as usual: check whether the view is mirrored at all"
    else:
        return result
    return replace(result, notes=(*result.notes, note))


def _sector_middle_px(sequence: ImageSequence) -> float:
    """Returns the x of the middle of the columns that hold tissue."""
    from UltrasoundMotionLib.images.graphics_mask import sector_mask

    columns = np.flatnonzero(sector_mask(sequence).any(axis=0))
    return float(columns[0] + columns[-1]) / 2 if len(columns) else (sequence.frame_size[0] - 1) / 2
