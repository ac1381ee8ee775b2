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
from UltrasoundMotionLib.registration.checked_input import as_volume
from UltrasoundMotionLib.registration.learned.domain_choice import domain_of
from UltrasoundMotionLib.registration.learned.ltnet import SHIPPED_MODELS, LtnetConfig
from UltrasoundMotionLib.registration.register_images import register
from UltrasoundMotionLib.registration.registration import Registration
from UltrasoundMotionLib.weights import find_card

if TYPE_CHECKING:
    import SimpleITK as sitk

METHOD = "ltnet"
HALF_CONFIDENCE_MM = 1.5


@dataclass(frozen=True, eq=False)
class LabelTransfer:
    """The atlas's labels on another image.

    Attributes:
        labels: on the fixed grid, in the label map's dtype.
        confidence: on the fixed grid, float32 in [0, 1], see `reversibility_confidence`.
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
    confidence = reversibility_confidence(fixed, atlas, registration, config=config, initial_transform=initial_transform, device=device)
    return LabelTransfer(registration.warped_labels, confidence, registration)


def check_label_values(labels: Volume | sitk.Image, name: str, config: LtnetConfig | None = None) -> None:
    """Raises InputError where a label map has no label, or values that the model of a configuration does not know."""
    model = (config or LtnetConfig()).model or SHIPPED_MODELS[0]
    domain = domain_of(Path(model) if Path(model).suffix == ".json" else find_card(model))
    values = {int(value) for value in np.unique(as_volume(labels, name).array) if value > 0}
    known = ", ".join(f"{value} {label}" for value, label in domain.labels.items())
    if not values:
        raise InputError(f"{name}: has no label above 0; the model knows {known}")
    if unknown := sorted(values - set(domain.labels)):
        raise InputError(f"{name}: has the unknown label {unknown[0]}; the model of {domain.modality} knows {known}")


def reversibility_confidence(
    fixed: Volume | sitk.Image,
    atlas: Volume | sitk.Image,
    registration: Registration,
    *,
    config: LtnetConfig | None = None,
    initial_transform: str | sitk.Transform | None = "auto",
    device: str = "auto",
) -> Volume:
    """How far the correspondence that was found can be reversed, at every voxel of the fixed image.

    From a voxel by `registration` into the atlas and from there back by the generator's own prediction from image to atlas, found without knowing
    the first: 1 where that ends in the same place, 1/2 where it misses by `HALF_CONFIDENCE_MM`, towards 0 beyond. It is no probability.

    Args:
        fixed, atlas, config, initial_transform, device: as they were given to `register`.
        registration: of the atlas onto the image, by any method.

    Returns:
        float32 in [0, 1] on the fixed grid.

    Raises:
        InputError: as `register`.
    """
    back = register(
        atlas,
        fixed,
        method=METHOD,
        device=device,
        initial_transform=_inverse(initial_transform),
        config=one_way(config),
    )
    miss = reversal_miss_mm(registration.displacement, back.displacement)
    grid = registration.displacement.grid
    return Volume(confidence_of(miss), grid.spacing_mm, grid.origin_mm, grid.direction, "confidence")


def reversal_miss_mm(forth: DisplacementField, back: DisplacementField) -> np.ndarray:
    """By how far going from each voxel of `forth`'s grid to the other image and back misses it, (*spatial) in mm."""
    return np.linalg.norm(back.after(forth).displacement_mm, axis=-1)


def confidence_of(miss_mm: np.ndarray) -> np.ndarray:
    """1 / (1 + (miss / HALF_CONFIDENCE_MM)^2) as float32."""
    return (1 / (1 + (miss_mm / HALF_CONFIDENCE_MM) ** 2)).astype(np.float32)


def one_way(config: LtnetConfig | None) -> LtnetConfig:
    """The same model, one pass in one direction: a field whose reverse is another prediction, not its inverse."""
    return replace(config or LtnetConfig(), both_ways=False, refine=False)


def _inverse(start: Any) -> Any:
    return start if start is None or isinstance(start, str) else start.GetInverse()
