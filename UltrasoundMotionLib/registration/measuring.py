"""Measures a registration, from the same code as the losses."""

from __future__ import annotations

import torch
from torch import Tensor

from UltrasoundMotionLib.fields import DisplacementField, ImageGrid, jacobian_measures, warp
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.registration.registration import LabelMeasures, RegistrationMeasures
from UltrasoundMotionLib.registration.working_pair import WorkingPair
from UltrasoundMotionLib.similarity import dice, lncc, mse, surface_distance

WINDOW = 5


def measure(
    pair: WorkingPair, voxels: Tensor, displacement: DisplacementField, label_maps: tuple[Volume, Volume, Volume] | None
) -> RegistrationMeasures:
    """Everything but time and device, which the caller knows.

    Args:
        voxels: displacement (1, n, *spatial) in voxels of the pair's grid.
        displacement: on the fixed grid.
        label_maps: of the fixed image, of the moving image, and the latter warped; or None.
    """
    pair = pair.to("cpu")
    warped = warp(pair.moving, voxels.to(pair.moving.dtype))
    labels = {}
    if label_maps is not None:
        fixed_labels, moving_labels, warped_labels = label_maps
        unmoved = DisplacementField.zero(ImageGrid.of(fixed_labels)).warp(moving_labels, mode="nearest")
        labels = label_measures(fixed_labels, unmoved, warped_labels)
    return RegistrationMeasures(
        lncc_before=float(lncc(pair.fixed, pair.moving, WINDOW, mask=pair.fixed_mask)),
        lncc=float(lncc(pair.fixed, warped, WINDOW, mask=pair.fixed_mask)),
        mse_before=float(mse(pair.fixed, pair.moving, mask=pair.fixed_mask)),
        mse=float(mse(pair.fixed, warped, mask=pair.fixed_mask)),
        jacobian=jacobian_measures(displacement.to_voxels()),
        labels=labels,
        seconds=0.0,
        device="cpu",
    )


def label_measures(fixed: Volume, unmoved: Volume, warped: Volume) -> dict[int, LabelMeasures]:
    """Per label above 0 of either map, all three maps on the fixed grid."""
    maps = [torch.from_numpy(one.array.astype("int64")) for one in (fixed, unmoved, warped)]
    after = dice(maps[0], maps[2])
    before = dice(maps[0], maps[1], list(after))
    distances = surface_distance(fixed.array, warped.array, fixed.spacing_mm, list(after))
    return {label: LabelMeasures(before[label], after[label], distances[label].hd95_mm) for label in after}
