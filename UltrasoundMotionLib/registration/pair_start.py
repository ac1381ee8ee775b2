"""The start of a registration: a rigid transform, found where the images are not alike as their headers put them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import ImageGrid
from UltrasoundMotionLib.fields.linear_maps import affine_transform
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.registration.coarse_images import CoarseImage, step_for
from UltrasoundMotionLib.registration.initial_alignment import (
    POOR_OVERLAP,
    align,
    overlap,
    refine_rigid,
    refine_rigid_coarsely,
)
from UltrasoundMotionLib.registration.likeness_weights import THICK_SLICES
from UltrasoundMotionLib.registration.pair_likeness import PairLikeness, likeness_of
from UltrasoundMotionLib.registration.request import ALIGNMENTS, NONE, ROTATIONS, RegisterRequest, matrix_of
from UltrasoundMotionLib.registration.rotation_search import (
    all_rotations,
    angle_deg,
    best_shifts,
    plane_rotations,
)

if TYPE_CHECKING:
    import SimpleITK as sitk

_COARSE_VOXELS, _SEARCHED_VOXELS = 28, 14
"""Voxels along the longest axis at which likeness is measured and rotations in 3D are searched; in a plane, the first.
"""

ONE_SCAN, _SUBJECTS = 0.85, 0.6
"""Correlations of the coarse images. Below the first a rigid start is refined from the headers, and rotations in a
plane are searched; below the second those of volumes without thick slices are, too. As they lie, two moments of one
heart have 0.97 or more, turned by 20 degrees 0.53 to 0.80; two hippocampi 0.41 to 0.83, turned by 40 degrees 0.17 to
0.46.
"""

_GAIN_ONE_SCAN, _GAIN_SUBJECTS = 0.05, 0.15
"""Rise of that correlation for which a start is taken."""

_LEAST_OVERLAP = 0.5
_REFINED, _APART_DEG = 4, 25.0
_NOTED_DEG, _NOTED_MM = 0.5, 0.5


@dataclass(frozen=True, eq=False)
class PairStart:
    """The start of a registration and its grounds.

    Attributes:
        transform: from fixed to moving points; None: the identity.
        before, likeness: of coarse copies of the images as they lie, and with the start.
        found: whether it was found by looking at the images.
        notes: lines for the user.
    """

    transform: sitk.Transform | None
    before: PairLikeness
    likeness: PairLikeness
    found: bool = False
    notes: tuple[str, ...] = ()


class PairJudge:
    """Coarse copies of a pair, and its likeness with a start."""

    def __init__(self, fixed: Volume, moving: Volume) -> None:
        step = step_for(fixed, moving, _COARSE_VOXELS)
        self.fixed, self.moving = CoarseImage.of(fixed, step), CoarseImage.of(moving, step)

    def likeness(self, start: sitk.Transform | None) -> PairLikeness:
        """Measures the likeness with a start."""
        return likeness_of(self.fixed, self.moving.seen_from(self.fixed.grid, start))


def find_start(fixed: Volume, moving: Volume, request: RegisterRequest) -> PairStart:
    """Finds the start that a request asks for.

    Raises:
        InputError: an initial transform of another dimension, one that cannot be found, or images that do not overlap.
    """
    flat = _in_plane(fixed, moving)
    given = request.start
    if flat is not None and isinstance(given, str) and given != NONE:
        found = find_start(*flat, request)
        lifted = None if found.transform is None else _lifted(found.transform, fixed)
        return replace(found, transform=lifted)
    judge = PairJudge(fixed, moving)
    if not isinstance(given, str):
        start = affine_transform(given) if isinstance(given, np.ndarray) else given
        if start.GetDimension() != fixed.array.ndim:
            raise InputError(f"the initial transform is {start.GetDimension()}D and the images {fixed.array.ndim}D")
        chosen = PairStart(start, judge.likeness(None), judge.likeness(start))
    elif given == NONE:
        lying = judge.likeness(None)
        chosen = PairStart(None, lying, lying)
    else:
        chosen = _searched(fixed, moving, given, judge)
    if overlap(ImageGrid.of(fixed), ImageGrid.of(moving), chosen.transform) == 0:
        hint = (
            "choose auto as the initial transform"
            if isinstance(given, str) and given == NONE
            else "check the headers or give another initial transform"
        )
        raise InputError(f"fixed and moving do not overlap; {hint}")
    return chosen


def _searched(fixed: Volume, moving: Volume, wanted: str, judge: PairJudge) -> PairStart:
    """Finds a start for `auto`, `rigid`, `affine` or `rotations`."""
    notes: list[str] = []
    start = None
    by_header = overlap(ImageGrid.of(fixed), ImageGrid.of(moving))
    if wanted in ALIGNMENTS:
        start = align(fixed, moving, wanted)
    elif by_header < POOR_OVERLAP:
        notes.append(
            f"the images cover {by_header:.0%} of each other by their headers; a rigid start was found by mutual"
            " information"
        )
        start = align(fixed, moving, "rigid")
    lying = judge.likeness(None)
    before = lying if start is None else judge.likeness(start)
    plain = score(before)
    unchanged = PairStart(start, lying, before, start is not None, tuple(notes))
    if plain >= ONE_SCAN and wanted != ROTATIONS:
        return unchanged
    better = _refined_start(fixed, moving, start, judge, search=wanted == ROTATIONS)
    if better is None:
        return unchanged
    likeness = judge.likeness(better)
    reached = score(likeness)
    least = _GAIN_ONE_SCAN if reached >= ONE_SCAN else _GAIN_SUBJECTS
    # as they lie the images may be alike by a function of the intensities that is not monotone
    if reached < max(_SUBJECTS, max(plain, before.functional) + least) and wanted != ROTATIONS:
        return unchanged
    if wanted == "affine":
        better = refine_rigid(fixed, moving, better, affine=True)
        likeness = judge.likeness(better)
    return PairStart(better, lying, likeness, True, (*notes, _start_note(better, judge, plain, score(likeness))))


def _refined_start(
    fixed: Volume, moving: Volume, start: sitk.Transform | None, judge: PairJudge, *, search: bool
) -> sitk.Transform | None:
    """Returns the most alike rigid start: refined from the given one, and from rotations where that is not enough."""
    dimension = fixed.array.ndim
    plain = np.eye(dimension + 1) if start is None else matrix_of(start)
    found = _most_alike([plain], judge)
    enough = _SUBJECTS if _turns_freely(fixed) else ONE_SCAN
    if search or found is None or score(judge.likeness(start)) < enough:
        candidates = [] if found is None else [found]
        searched = _most_alike(_rotated_starts(fixed, moving, judge), judge)
        candidates += [] if searched is None else [searched]
        if not candidates:
            return None
        found = max(candidates, key=lambda one: score(judge.likeness(one)))
    finer = refine_rigid(fixed, moving, found)
    return max((found, finer), key=lambda one: score(judge.likeness(one)) + (1e-3 if one is finer else 0.0))


def _most_alike(matrices: list[np.ndarray], judge: PairJudge) -> sitk.Transform | None:
    """Refines starts on the coarse images and returns the most alike; None where there is none that overlaps."""
    found: list[tuple[float, int, sitk.Transform]] = []
    for matrix in matrices:
        refined = refine_rigid_coarsely(judge.fixed, judge.moving, matrix)
        likeness = judge.likeness(refined)
        if likeness.overlap >= _LEAST_OVERLAP:
            found.append((score(likeness), len(found), refined))
    return max(found)[2] if found else None


def _rotated_starts(fixed: Volume, moving: Volume, judge: PairJudge) -> list[np.ndarray]:
    """Returns the best rotations, apart from each other: about the axis of thick slices, in the plane, or any."""
    if fixed.array.ndim == 2:
        rotations, searched = plane_rotations(), (judge.fixed, judge.moving)
    elif (axis := _slice_axis(fixed)) is not None:
        rotations, searched = plane_rotations(axis), (judge.fixed, judge.moving)
    else:
        step = step_for(fixed, moving, _SEARCHED_VOXELS)
        rotations, searched = all_rotations(), (CoarseImage.of(fixed, step), CoarseImage.of(moving, step))
    ranked = [one for one in best_shifts(*searched, rotations) if one.correlation > 0]
    edges = best_shifts(searched[0].edges(), searched[1].edges(), rotations)
    ranked += [one for one in edges if one.correlation > 0][: _REFINED // 2]
    apart: list[np.ndarray] = []
    for one in ranked:
        turns = [angle_deg(one.matrix[:-1, :-1].T @ other[:-1, :-1]) for other in apart]
        if not turns or min(turns) >= _APART_DEG:
            apart.append(one.matrix)
        if len(apart) == _REFINED:
            break
    return apart


def _turns_freely(volume: Volume) -> bool:
    """True for a volume without thick slices, all of whose rotations take longer to search than those in a plane."""
    return volume.array.ndim == 3 and _slice_axis(volume) is None


def _slice_axis(volume: Volume) -> np.ndarray | None:
    """Returns the direction of thick slices; None where no axis has them."""
    spacing = np.array(volume.spacing_mm)
    thickest = int(np.argmax(spacing))
    return volume.direction[:, thickest] if spacing[thickest] >= THICK_SLICES * spacing.min() else None


def score(likeness: PairLikeness, different_modality: bool | None = None) -> float:
    """Returns one number for a likeness: the correlation, or that of any function for two modalities.

    Args:
        different_modality: None: as the likeness itself says.
    """
    if likeness.overlap < _LEAST_OVERLAP:
        return 0.0
    different = likeness.different_modality if different_modality is None else different_modality
    return likeness.functional if different else likeness.correlation


def _start_note(start: sitk.Transform, judge: PairJudge, plain: float, reached: float) -> str:
    turned = angle_deg(matrix_of(start)[:-1, :-1])
    middle = judge.fixed.grid.middle_mm
    moved = float(np.linalg.norm(np.array(start.TransformPoint(middle.tolist())) - middle))
    return (
        f"the images were not alike as they lie (correlation {plain:.2f}); a start with a rotation of {turned:.0f}"
        f" degrees and a shift of {moved:.3g} mm was found (correlation {reached:.2f}); initial transform 'none' leaves"
        " them as they lie"
    )


def _in_plane(fixed: Volume, moving: Volume) -> tuple[Volume, Volume] | None:
    """Returns two volumes of one slice in one plane as 2D images in the plane of the fixed one; else None."""
    if fixed.array.ndim != 3 or fixed.array.shape[0] != 1 or moving.array.shape[0] != 1:
        return None
    frame = fixed.direction
    turned = frame.T @ moving.direction
    origin = frame.T @ (np.array(moving.origin_mm) - np.array(fixed.origin_mm))
    if abs(turned[2, 2]) < 1 - 1e-6 or abs(origin[2]) > 0.5 * min(fixed.spacing_mm[2], moving.spacing_mm[2]):
        return None
    return (
        replace(
            fixed, array=fixed.array[0], spacing_mm=fixed.spacing_mm[:2], origin_mm=(0.0, 0.0), direction=np.eye(2)
        ),
        replace(
            moving,
            array=moving.array[0],
            spacing_mm=moving.spacing_mm[:2],
            origin_mm=tuple(float(one) for one in origin[:2]),
            direction=turned[:2, :2],
        ),
    )


def _lifted(transform: sitk.Transform, fixed: Volume) -> sitk.Transform:
    """Returns a transform in the plane of a slice as one in space."""
    flat = matrix_of(transform)
    inside = np.eye(4)
    inside[:2, :2], inside[:2, 3] = flat[:2, :2], flat[:2, 2]
    frame = np.eye(4)
    frame[:3, :3], frame[:3, 3] = fixed.direction, fixed.origin_mm
    return affine_transform(frame @ inside @ np.linalg.inv(frame))
