"""The labels of one atlas on any image, with a confidence for each voxel's label."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import DisplacementField
from UltrasoundMotionLib.images.given_images import as_volume
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.registration.checked_input import checked_labels
from UltrasoundMotionLib.registration.learned.network_choice import domain_of
from UltrasoundMotionLib.registration.register_images import register
from UltrasoundMotionLib.registration.registration import Registration
from UltrasoundMotionLib.registration.registry import RegistrationMethod, available_methods, find_method
from UltrasoundMotionLib.registration.request import RegisterRequest, with_config
from UltrasoundMotionLib.settings import takes_request
from UltrasoundMotionLib.weights import find_card

if TYPE_CHECKING:
    import SimpleITK as sitk

LEAST_WIDTH_MM = 1.0
_WIDTHS_MM = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0)


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


@takes_request(RegisterRequest)
def transfer_labels(
    fixed: Volume | sitk.Image,
    atlas: Volume | sitk.Image,
    atlas_labels: Volume | sitk.Image,
    *,
    fixed_labels: Volume | sitk.Image | None = None,
    config: Any = None,
    progress: Progress = no_progress,
    request: RegisterRequest,
) -> LabelTransfer:
    """Brings the labels of an atlas to an image.

    Args:
        fixed: the image without labels.
        atlas, atlas_labels: on one grid.
        fixed_labels: only to be compared with.
        config: former name of `settings`.
        progress: of the registration; raising from it stops the call.
        request: the options of `register`. Where it names the default method, the first one that transfers labels takes
            its place.

    Raises:
        InputError: as `register`; a method that does not transfer labels; an atlas without labels, or with values that
            the weights do not know.
    """
    if atlas_labels is None:
        raise InputError("atlas_labels: an atlas needs its label map, whose labels are to be transferred")
    request = with_config(request, config)
    if request.method == RegisterRequest().method:
        request = replace(request, method=_label_transfer_methods()[0].name)
    check_label_values(atlas_labels, "atlas_labels", request)
    registration = register(
        fixed, atlas, fixed_labels=fixed_labels, moving_labels=atlas_labels, progress=progress, request=request
    )
    confidence = label_confidence(fixed, atlas, atlas_labels, registration, request=request)
    assert registration.warped_labels is not None
    return LabelTransfer(registration.warped_labels, confidence, registration)


def _label_transfer_methods() -> tuple[RegistrationMethod, ...]:
    """The methods whose transferred labels get a confidence."""
    return tuple(method for method in available_methods() if method.transfers_labels)


def check_label_values(labels: Volume | sitk.Image, name: str, request: RegisterRequest) -> None:
    """Checks the labels to be transferred.

    Raises:
        InputError: a map without labels, or with values that the weights of a request do not know; a method that does
            not transfer labels.
    """
    domain = domain_of(_card(request))
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
    request: RegisterRequest,
) -> Volume:
    """The confidence of the label given to each voxel of the fixed image, from the reversibility of the correspondence.

    The network leads from a voxel into the atlas and, from the warped atlas, back; it misses the voxel by m. The
    confidence is the share of the given label among the atlas's labels around the point that the voxel's label came
    from, weighted by a Gaussian of standard deviation sqrt(1 mm^2 + m^2): deep in a structure, a miss of some
    millimetres changes nothing, at its border much. (Not published; the 1 mm was chosen on validation subjects.)

    Args:
        registration: of the atlas onto the image; its field may have been refined since.
        request: of that registration; the working spacing is not used.

    Returns:
        float32 in [0, 1] on the fixed grid.

    Raises:
        InputError: as `register`; labels that are not on the atlas's grid; a method that does not transfer labels.
    """
    card = _card(request)
    moving = as_volume(atlas, "atlas")
    labels = checked_labels(atlas_labels, moving, "atlas_labels")
    assert labels is not None
    settings = find_method(request.method).settings_from(request.settings, refine=False)
    one_way = replace(
        request,
        weights=card,
        refine=None,
        working_spacing_mm=None,
        settings=replace(settings, backward=False),
    )
    there = register(fixed, moving, request=one_way)
    # with a mask of everything: two similar images on one grid would be cut to the region that differs
    everywhere = replace(moving, array=np.ones(moving.array.shape, np.uint8))
    way_back = replace(
        one_way,
        initial_transform=_inverse(one_way.start),
        settings=replace(settings, backward=True),
    )
    back = register(moving, there.warped, fixed_mask=everywhere, request=way_back)
    miss = reversal_miss_mm(there.displacement, back.displacement)
    shares = shares_of_given(registration.displacement, labels, np.hypot(LEAST_WIDTH_MM, miss))
    grid = registration.displacement.grid
    return Volume(shares, grid.spacing_mm, grid.origin_mm, grid.direction, "confidence")


def reversal_miss_mm(forth: DisplacementField, back: DisplacementField) -> np.ndarray:
    """The distance by which going to the other image and back misses each voxel of `forth`'s grid, (*spatial) in mm."""
    return np.linalg.norm(back.after(forth).displacement_mm, axis=-1)


def shares_of_given(displacement: DisplacementField, labels: Volume, width_mm: np.ndarray) -> np.ndarray:
    """The share, at every voxel, of the label carried there among the labels around its point in the atlas.

    Args:
        displacement: on the fixed grid.
        labels: of the atlas.
        width_mm: (*spatial), the Gaussian's standard deviation. Shares are computed for some and interpolated.

    Returns:
        (*spatial) float32 in [0, 1].
    """
    from scipy.ndimage import gaussian_filter

    given = displacement.warp(labels, mode="nearest").array
    position = np.interp(width_mm, _WIDTHS_MM, np.arange(len(_WIDTHS_MM)))
    shares = np.zeros(given.shape, np.float32)
    for value in np.unique(given):
        hot = (labels.array == value).astype(np.float32)
        for number, width in enumerate(_WIDTHS_MM):
            blurred = gaussian_filter(hot, [width / spacing for spacing in labels.spacing_mm[::-1]], mode="nearest")
            there = displacement.warp(replace(labels, array=blurred), outside_value=float(value == 0)).array
            weight = np.clip(1 - np.abs(position - number), 0, 1)
            shares += np.where(given == value, weight * there, 0).astype(np.float32)
    return np.clip(shares, 0, 1)


def _card(request: RegisterRequest) -> Path:
    """The card of the weights that a request takes.

    Raises:
        InputError: the method does not transfer labels, or there are no such weights.
    """
    method = find_method(request.method)
    if not method.transfers_labels:
        names = ", ".join(one.name for one in _label_transfer_methods())
        raise InputError(f"method {method.name}: its labels get no confidence; choose one of {names}")
    model = method.settings_from(request.settings).model
    return method.card_from(request.weights) or find_card(model or method.weights[0])


def _inverse(start: Any) -> Any:
    if isinstance(start, np.ndarray):
        return np.linalg.inv(start)
    return start if isinstance(start, str) else start.GetInverse()
