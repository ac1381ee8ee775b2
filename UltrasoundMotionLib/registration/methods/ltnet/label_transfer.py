"""The labels of one atlas on any image, with how far each of them can be trusted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import DisplacementField
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.registration.checked_input import as_volume, checked_labels
from UltrasoundMotionLib.registration.learned.domain_choice import domain_of
from UltrasoundMotionLib.registration.methods.ltnet.method import SHIPPED_MODELS, LtnetConfig
from UltrasoundMotionLib.registration.register_images import register
from UltrasoundMotionLib.registration.registration import Registration
from UltrasoundMotionLib.weights import find_card

if TYPE_CHECKING:
    import SimpleITK as sitk

METHOD = "ltnet"
LEAST_WIDTH_MM = 1.0
WIDTHS_MM = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0)


@dataclass(frozen=True, eq=False)
class LabelTransfer:
    """The atlas's labels on another image.

    Attributes:
        labels: on the fixed grid, in the label map's dtype.
        confidence: on the fixed grid, float32 in [0, 1], see `label_confidence`.
        registration: of the atlas onto the image, with its measures.
    """

    labels: Volume
    confidence: Volume
    registration: Registration


def transfer_labels(
    fixed: Volume | sitk.Image,
    atlas: Volume | sitk.Image,
    atlas_labels: Volume | sitk.Image,
    *,
    fixed_labels: Volume | sitk.Image | None = None,
    config: LtnetConfig | None = None,
    refine: bool | None = None,
    initial_transform: str | sitk.Transform | None = "auto",
    device: str = "auto",
    progress: Progress = no_progress,
) -> LabelTransfer:
    """Brings the labels of an atlas to an image by LT-Net.

    Args:
        fixed: the image without labels.
        atlas, atlas_labels: on one grid.
        fixed_labels: only to be compared with.
        config, refine, initial_transform, device: as in `register`.
        progress: of the registration; raising from it stops the call.

    Raises:
        InputError: as `register`; an atlas without labels, or with values that the model does not know.
    """
    if atlas_labels is None:
        raise InputError("atlas_labels: an atlas needs its label map, whose labels are to be transferred")
    check_label_values(atlas_labels, "atlas_labels", config)
    registration = register(
        fixed,
        atlas,
        method=METHOD,
        device=device,
        initial_transform=initial_transform,
        fixed_labels=fixed_labels,
        moving_labels=atlas_labels,
        config=config,
        refine=refine,
        progress=progress,
    )
    confidence = label_confidence(
        fixed, atlas, atlas_labels, registration, config=config, initial_transform=initial_transform, device=device
    )
    return LabelTransfer(registration.warped_labels, confidence, registration)


def check_label_values(labels: Volume | sitk.Image, name: str, config: LtnetConfig | None = None) -> None:
    """Raises InputError where a label map has no label, or values that the model of a configuration does not know."""
    domain = domain_of(_card(config))
    values = {int(value) for value in np.unique(as_volume(labels, name).array) if value > 0}
    known = ", ".join(f"{value} {label}" for value, label in domain.labels.items())
    if not values:
        raise InputError(f"{name}: has no label above 0; the model knows {known}")
    if unknown := sorted(values - set(domain.labels)):
        raise InputError(f"{name}: has the unknown label {unknown[0]}; the model of {domain.modality} knows {known}")


def label_confidence(
    fixed: Volume | sitk.Image,
    atlas: Volume | sitk.Image,
    atlas_labels: Volume | sitk.Image,
    registration: Registration,
    *,
    config: LtnetConfig | None = None,
    initial_transform: str | sitk.Transform | None = "auto",
    device: str = "auto",
) -> Volume:
    """How far the label given to each voxel of the fixed image can be trusted, from how far the correspondence can be
    reversed there.

    LT-Net's generators lead from a voxel into the atlas and, from the warped atlas, back; they miss the voxel by m. The
    confidence is the share of the label given, among the atlas's labels around the place that the voxel's label came
    from, weighed by a Gaussian of width sqrt(1 mm^2 + m^2): deep in a structure a miss of some millimetres changes
    nothing, at its border much. (Ours; the 1 mm was chosen on validation subjects.)

    Args:
        fixed, atlas, config, initial_transform, device: as they were given to `register`.
        registration: of the atlas onto the image; its field may have been refined since.

    Returns:
        float32 in [0, 1] on the fixed grid.

    Raises:
        InputError: as `register`; labels that are not on the atlas's grid.
    """
    moving = as_volume(atlas, "atlas")
    labels = checked_labels(atlas_labels, moving, "atlas_labels")
    one_way = replace(config or LtnetConfig(), model=str(_card(config)), refine=False, backward=False)
    there = register(fixed, moving, method=METHOD, device=device, initial_transform=initial_transform, config=one_way)
    everywhere = replace(
        moving, array=np.ones(moving.array.shape, np.uint8)
    )  # else two alike images on one grid were cut to what differs
    back = register(
        moving,
        there.warped,
        method=METHOD,
        device=device,
        initial_transform=_inverse(initial_transform),
        fixed_mask=everywhere,
        config=replace(one_way, backward=True),
    )
    miss = reversal_miss_mm(there.displacement, back.displacement)
    shares = shares_of_given(registration.displacement, labels, np.hypot(LEAST_WIDTH_MM, miss))
    grid = registration.displacement.grid
    return Volume(shares, grid.spacing_mm, grid.origin_mm, grid.direction, "confidence")


def reversal_miss_mm(forth: DisplacementField, back: DisplacementField) -> np.ndarray:
    """By how far going from each voxel of `forth`'s grid to the other image and back misses it, (*spatial) in mm."""
    return np.linalg.norm(back.after(forth).displacement_mm, axis=-1)


def shares_of_given(displacement: DisplacementField, labels: Volume, width_mm: np.ndarray) -> np.ndarray:
    """At every voxel the share of the label carried there among the labels around its place in the atlas, (*spatial)
    float32 in [0, 1].

    Args:
        displacement: on the fixed grid.
        labels: of the atlas.
        width_mm: (*spatial), the Gaussian's standard deviation; between `WIDTHS_MM` shares are interpolated, outside
            they are those at the ends.
    """
    from scipy.ndimage import gaussian_filter

    given = displacement.warp(labels, mode="nearest").array
    position = np.interp(width_mm, WIDTHS_MM, np.arange(len(WIDTHS_MM)))
    shares = np.zeros(given.shape, np.float32)
    for value in np.unique(given):
        hot = (labels.array == value).astype(np.float32)
        for number, width in enumerate(WIDTHS_MM):
            blurred = gaussian_filter(hot, [width / spacing for spacing in labels.spacing_mm[::-1]], mode="nearest")
            there = displacement.warp(replace(labels, array=blurred), outside_value=float(value == 0)).array
            weight = np.clip(1 - np.abs(position - number), 0, 1)
            shares += np.where(given == value, weight * there, 0).astype(np.float32)
    return np.clip(shares, 0, 1)


def _card(config: LtnetConfig | None) -> Path:
    model = (config or LtnetConfig()).model or SHIPPED_MODELS[0]
    return Path(model) if Path(model).suffix == ".json" else find_card(model)


def _inverse(start: Any) -> Any:
    return start if start is None or isinstance(start, str) else start.GetInverse()
