"""The part of the images that a registration benchmark gives to each method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.lab.registration_datasets import RegistrationPair

if TYPE_CHECKING:
    from UltrasoundMotionLib.fields import DisplacementField

OWN, WHOLE_GRID, CHANGING, LABELS = "own", "whole", "changing", "labels"
REGIONS = {
    OWN: "the whole images for all; ours may cut its own search region",
    WHOLE_GRID: "the whole images for all, ours too",
    CHANGING: "one crop for all, found from the images: where two moments of a scan differ",
    LABELS: "one crop for all, around the fixed image's labels",
}
"""Values of `--region`, with their meaning."""

LABEL_MARGIN_MM = 30.0
"""Margin around the labels, as ours has around the anatomy that its networks find."""

Box = tuple[slice, ...]


def check_region(region: str) -> None:
    """Raises InputError for an unknown region."""
    if region not in REGIONS:
        raise InputError(f"region: expected one of {', '.join(REGIONS)}, got {region!r}")


def box_for(pair: RegistrationPair, region: str) -> Box | None:
    """Returns the box of the fixed grid, in array order, that every method is given; None: the whole images.

    Raises:
        InputError: an unknown region; labels of a fixed image that has none.
    """
    from UltrasoundMotionLib.registration.changing_region import find_changing_region, same_scan

    check_region(region)
    fixed, moving = pair.fixed.image, pair.moving.image
    if region == CHANGING:
        found = find_changing_region(fixed, moving) if same_scan(fixed, moving) else None
        return None if found is None else found.box
    if region != LABELS:
        return None
    places = np.nonzero(pair.fixed.labels.array > 0)
    if not len(places[0]):
        raise InputError(f"{pair.name}: the fixed image has no labels to crop around")
    margins = [round(LABEL_MARGIN_MM / step) for step in fixed.spacing_mm[::-1]]
    return tuple(
        slice(max(0, int(one.min()) - margin), min(size, int(one.max()) + margin + 1))
        for one, margin, size in zip(places, margins, fixed.array.shape, strict=True)
    )


def on_box(
    call: Callable[[Volume, Volume], DisplacementField], box: Box | None
) -> Callable[[Volume, Volume], DisplacementField]:
    """Returns a registration of the images' parts in a box; its field falls to 0 at the sides that are cut.

    The moving image is cut as well where it has the fixed image's grid, and is whole otherwise.
    """
    from UltrasoundMotionLib.fields import DisplacementField, ImageGrid
    from UltrasoundMotionLib.registration.changing_region import faded

    if box is None:
        return call

    def registered(fixed: Volume, moving: Volume) -> DisplacementField:
        """Registers the parts in the box and puts the field onto the fixed image's whole grid."""
        grid = ImageGrid.of(fixed)
        part = cropped(moving, box) if ImageGrid.of(moving).matches(grid) else moving
        found = call(cropped(fixed, box), part)
        return DisplacementField(faded(found.displacement_mm, box, grid.shape), grid)

    return registered


def cropped(volume: Volume, box: Box) -> Volume:
    """Returns the part of a volume in slices given in array order."""
    from UltrasoundMotionLib.fields import ImageGrid
    from UltrasoundMotionLib.registration.working_grid import cut_grid

    part = cut_grid(ImageGrid.of(volume), box)
    return replace(volume, array=np.ascontiguousarray(volume.array[box]), origin_mm=part.origin_mm)
