"""The measures of a registration, by the functions that the losses use."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.fields import DisplacementField, ImageGrid, jacobian_measures, warp
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.registration.checked_input import CheckedImages
from UltrasoundMotionLib.registration.pair_likeness import PairLikeness, likeness_of
from UltrasoundMotionLib.registration.pair_start import PairJudge, score
from UltrasoundMotionLib.registration.registration import MATCH_DOUBT, LabelMeasures, RegistrationMeasures
from UltrasoundMotionLib.registration.working_pair import WorkingPair
from UltrasoundMotionLib.similarity import dice, lncc, mse, surface_distance

WINDOW = 5
_ALIKE, _ALIKE_STRUCTURES = 0.8, 0.6
"""Least likeness of registered images that match. Registered by `instance`, hippocampi of two people had 0.89 or more,
hearts 0.99, hearts of two people 0.68, a hippocampus and a piece of a heart 0.26 or less.
"""
_FALL = 0.05


def measure(
    pair: WorkingPair,
    voxels: Tensor,
    displacement: DisplacementField,
    images: CheckedImages,
    labels: Volume | None,
    *,
    before: PairLikeness | None = None,
    lying: Tensor | None = None,
) -> RegistrationMeasures:
    """Measures a registration; time and device are left for the caller to fill in.

    Args:
        voxels: displacement (1, n, *spatial) in voxels of the pair's grid.
        displacement: on the fixed grid.
        labels: the moving labels, warped; None where there are none.
        lying: the moving image on the pair's grid as its header puts it; None: as the pair has it.
        before: likeness of the images as they lie; None: likeness is not measured.
    """
    pair = pair.to("cpu")
    warped = warp(pair.moving, voxels.to(pair.moving.dtype))
    unmoved_image = pair.moving if lying is None else lying.to(pair.moving)
    label_map_measures = {}
    if images.fixed_labels is not None and images.moving_labels is not None and labels is not None:
        unmoved = DisplacementField.zero(ImageGrid.of(images.fixed_labels)).warp(images.moving_labels, mode="nearest")
        label_map_measures = label_measures(images.fixed_labels, unmoved, labels)
    field = displacement.to_voxels()
    where, inside = _inside(images, labels)
    return RegistrationMeasures(
        lncc_before=float(lncc(pair.fixed, unmoved_image, WINDOW, mask=pair.fixed_mask)),
        lncc=float(lncc(pair.fixed, warped, WINDOW, mask=pair.fixed_mask)),
        mse_before=float(mse(pair.fixed, unmoved_image, mask=pair.fixed_mask)),
        mse=float(mse(pair.fixed, warped, mask=pair.fixed_mask)),
        jacobian=jacobian_measures(field),
        jacobian_inside=None if inside is None else jacobian_measures(field, inside),
        inside=where if inside is not None else "",
        labels=label_map_measures,
        seconds=0.0,
        device="cpu",
        alike_before=None if before is None else score(before, pair.different_modality),
        alike=None if before is None else _alike(images, displacement, pair.different_modality),
    )


def match_doubt(before: float | None, after: float | None, different_modality: bool) -> str:
    """Returns a line for users where a registration leaves two images unlike each other; else empty."""
    least = _ALIKE_STRUCTURES if different_modality else _ALIKE
    if before is None or after is None or (after >= least and after >= before - _FALL):
        return ""
    return (
        f"{MATCH_DOUBT}: the likeness of the images is {before:.2f} as they lie and {after:.2f} registered"
        f" ({least:g} or more where images matched); look at the result before you use it"
    )


def _alike(images: CheckedImages, displacement: DisplacementField, different_modality: bool) -> float:
    """Returns the likeness of coarse copies of the images with a displacement."""
    judge = PairJudge(images.fixed, images.moving)
    points = judge.fixed.grid.points_lps_mm()
    carried = points + displacement.displacement_at(points)
    return score(likeness_of(judge.fixed, judge.moving.seen_at(carried, judge.fixed.grid)), different_modality)


def _inside(images: CheckedImages, labels: Volume | None) -> tuple[str, Tensor | None]:
    """Returns where a field matters, and that as a mask on the fixed grid; None where it is empty."""
    if images.fixed_labels is not None or labels is not None:
        where, chosen = "labels", (images.fixed_labels or labels).array != 0  # type: ignore[union-attr]
    elif images.fixed_mask is not None:
        where, chosen = "mask", images.fixed_mask.array > 0
    else:
        where, chosen = "foreground", _foreground(images.fixed.array)
    return where, torch.from_numpy(np.ascontiguousarray(chosen)) if chosen.any() else None


def _foreground(image: np.ndarray) -> np.ndarray:
    """Returns the voxels above Otsu's threshold."""
    import SimpleITK as sitk

    values = sitk.GetImageFromArray(np.asarray(image, dtype=np.float32))
    return sitk.GetArrayFromImage(sitk.OtsuThreshold(values, 0, 1)).astype(bool)


def label_measures(fixed: Volume, unmoved: Volume, warped: Volume) -> dict[int, LabelMeasures]:
    """Measures each label above 0 that either map has.

    Args:
        fixed, unmoved, warped: the fixed labels, and the moving ones by position alone and with the displacement, all
            on the fixed grid.
    """
    maps = [torch.from_numpy(one.array.astype("int64")) for one in (fixed, unmoved, warped)]
    after = dice(maps[0], maps[2])
    before = dice(maps[0], maps[1], list(after))
    distances = surface_distance(fixed.array, warped.array, fixed.spacing_mm, list(after))
    return {label: LabelMeasures(before[label], after[label], distances[label].hd95_mm) for label in after}
