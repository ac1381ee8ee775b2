"""Decisions on a pair before it is registered: its start, what the images have in common, and the part to search."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.fields import ImageGrid
from UltrasoundMotionLib.fields.linear_maps import affine_transform
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.registration.changing_region import (
    LEAST_CORRELATION,
    ChangingRegion,
    find_changing_region,
    one_scan_correlation,
)
from UltrasoundMotionLib.registration.checked_input import LEAST_SIZE, CheckedImages
from UltrasoundMotionLib.registration.coarse_images import content_mask
from UltrasoundMotionLib.registration.initial_alignment import refine_rigid
from UltrasoundMotionLib.registration.pair_likeness import PairLikeness
from UltrasoundMotionLib.registration.pair_start import ONE_SCAN, PairStart, find_start
from UltrasoundMotionLib.registration.request import AUTO, DIFFERENT, WHOLE, RegisterRequest
from UltrasoundMotionLib.registration.working_grid import content_box, whole_box
from UltrasoundMotionLib.registration.working_pair import on_grid

if TYPE_CHECKING:
    import SimpleITK as sitk

_GAIN = 0.02
"""Rise of the correlation for which two images of one scan are brought together rigidly first."""

_NEARLY_ALL = 0.98


@dataclass(frozen=True, eq=False)
class PairDecisions:
    """Decisions about a pair that were taken before it is registered.

    Attributes:
        images: with masks of what both images show, where one ends inside the other.
        start: from fixed to moving points; None: the identity.
        one_scan: whether the images show one subject in one pose with comparable intensities.
        different_modality: whether no monotone function leads from one image's intensities to the other's.
        region: the part in which two images of one scan differ; None: the field is not cut.
        content: the box of the fixed image to search, in array order.
        before: likeness of coarse copies of the images as they lie.
        notes: lines for the user.
    """

    images: CheckedImages
    start: sitk.Transform | None
    one_scan: bool
    different_modality: bool
    region: ChangingRegion | None
    content: tuple[slice, ...]
    before: PairLikeness
    notes: tuple[str, ...]


def decide_on_pair(images: CheckedImages, request: RegisterRequest) -> PairDecisions:
    """Decides how a pair is registered.

    Raises:
        InputError: see `find_start`.
    """
    found = find_start(images.fixed, images.moving, request)
    seen, known = _seen_on_fixed(images, found)
    different = request.modality == DIFFERENT or (request.modality == AUTO and found.likeness.different_modality)
    notes = [*found.notes]
    if different and request.modality == AUTO:
        notes.append(
            "the intensities of one image are no rising or falling function of the other's, as with two modalities:"
            " structures are compared, not intensities; modality 'same' compares intensities all the same"
        )
    correlation = 0.0 if different else one_scan_correlation(images.fixed.array, seen.array, known)
    region = None
    masked = images.fixed_mask is not None or images.moving_mask is not None
    may_cut = request.search_region != WHOLE and not masked
    if correlation >= LEAST_CORRELATION:
        region = find_changing_region(images.fixed, seen, known) if may_cut else None
    if (
        region is None
        and found.transform is None
        and request.initial_transform == AUTO
        and _may_be_one_scan(found.likeness)
    ):
        given = found
        found, seen, known, closer = _closer(images, found, correlation)
        if found is not given:
            correlation, notes = closer, [*found.notes]
            region = find_changing_region(images.fixed, seen, known) if may_cut else None
    one_scan = correlation >= LEAST_CORRELATION
    images, content = _common_part(images, found, known)
    if region is not None:
        content = region.box
    if region is not None:
        notes.append(_region_note(images.fixed, region))
    return PairDecisions(images, found.transform, one_scan, different, region, content, found.before, tuple(notes))


def _region_note(fixed: Volume, region: ChangingRegion) -> str:
    size, whole = (
        " x ".join(str(one.stop - one.start) for one in reversed(box))
        for box in (region.box, whole_box(fixed.array.shape))
    )
    return (
        f"the images differ in {size} of {whole} voxels only; the field fades to 0 around them, where nine tenths of"
        f" the tissue moves by less than {max(region.still_mm, 0.01):.2f} mm; search region 'whole' registers all of it"
    )


def _may_be_one_scan(likeness: PairLikeness) -> bool:
    return likeness.correlation >= ONE_SCAN


def _closer(
    images: CheckedImages, found: PairStart, correlation: float
) -> tuple[PairStart, Volume, np.ndarray | None, float]:
    """Brings two images that may be of one scan together rigidly; takes that where they then correlate better."""
    identity = affine_transform(np.eye(images.fixed.array.ndim + 1))
    start = refine_rigid(images.fixed, images.moving, identity)
    closer = replace(found, transform=start, found=True)
    seen, known = _seen_on_fixed(images, closer)
    reached = one_scan_correlation(images.fixed.array, seen.array, known)
    if reached < max(LEAST_CORRELATION, correlation + _GAIN):
        return found, *_seen_on_fixed(images, found), correlation
    middle = ImageGrid.of(images.fixed).middle_mm
    moved = float(np.linalg.norm(np.array(start.TransformPoint(middle.tolist())) - middle))
    note = (
        f"the whole image moves: a rigid start with a shift of {moved:.3g} mm was found (correlation {correlation:.2f}"
        f" before, {reached:.2f} after); initial transform 'none' leaves the images as they lie"
    )
    return replace(closer, notes=(*found.notes, note)), seen, known, reached


def _seen_on_fixed(images: CheckedImages, found: PairStart) -> tuple[Volume, np.ndarray | None]:
    """Returns the moving image on the fixed grid, and where it is known; None: everywhere."""
    fixed, moving = images.fixed, images.moving
    grid = ImageGrid.of(fixed)
    if found.transform is None and ImageGrid.of(moving).matches(grid):
        return moving, None
    content = content_mask(moving.array) if found.found else np.ones(moving.array.shape, dtype=bool)
    seen = on_grid(moving, grid, found.transform)
    known = on_grid(replace(moving, array=content.astype(np.uint8)), grid, found.transform, nearest=True) > 0
    return replace(fixed, array=seen, name=moving.name), known


def _common_part(
    images: CheckedImages, found: PairStart, known: np.ndarray | None
) -> tuple[CheckedImages, tuple[slice, ...]]:
    """Returns the images with masks of what both show, and the box of the fixed image that holds it."""
    whole = whole_box(images.fixed.array.shape)
    if known is None:
        return images, content_box(images.fixed, images.moving)
    if not known.any() or known.all():
        return images, whole
    box = tuple(
        slice(int(along[0]), int(along[-1]) + 1)
        for axis in range(known.ndim)
        for along in [np.flatnonzero(known.any(axis=tuple(one for one in range(known.ndim) if one != axis)))]
    )
    if sorted(one.stop - one.start for one in box)[-2] < LEAST_SIZE:
        box = whole
    if known[box].mean() >= _NEARLY_ALL:
        return images, box
    content = content_mask(images.moving.array) if found.found else np.ones(images.moving.array.shape, dtype=bool)
    masks = {}
    for name, image, shown in (("fixed_mask", images.fixed, known), ("moving_mask", images.moving, content)):
        given = getattr(images, name)
        both = shown if given is None else shown & (given.array > 0)
        if not both.any():
            return images, box
        masks[name] = replace(image, array=both.astype(np.uint8), name=name)
    return replace(images, **masks), box
