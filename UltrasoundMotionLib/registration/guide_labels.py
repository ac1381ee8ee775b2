"""Labels that the user has, of one image or both, in place of the class maps that a network would give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.registration.request import FIXED, MOVING, RegisterRequest

if TYPE_CHECKING:
    import SimpleITK as sitk
    import torch
    from torch import Tensor

    from UltrasoundMotionLib.fields.image_grid import ImageGrid
    from UltrasoundMotionLib.images.volume import Volume
    from UltrasoundMotionLib.registration.checked_input import CheckedImages
    from UltrasoundMotionLib.registration.registry import RegistrationMethod
    from UltrasoundMotionLib.registration.working_pair import WorkingPair


@dataclass(frozen=True, eq=False)
class GuideLabels:
    """The label maps that guide a registration, as shares of each working voxel.

    Attributes:
        fixed, moving: (1, 1, *spatial) in [0, 1] for each label value above 0; None: the network's maps guide.
    """

    fixed: Mapping[int, Tensor] | None = None
    moving: Mapping[int, Tensor] | None = None

    def replace_maps(self, maps: tuple[Tensor, Tensor], labels: Mapping[int, str]) -> tuple[Tensor, Tensor]:
        """Returns class maps of fixed and moving image, (1, C, *spatial) each, with the guides in place of theirs.

        Args:
            labels: the classes' label values and names, in the order of the maps' channels.

        Raises:
            InputError: guides that hold none of the values.
        """
        import torch

        replaced = []
        for name, own, given in ((FIXED, maps[0], self.fixed), (MOVING, maps[1], self.moving)):
            if given is None:
                replaced.append(own)
                continue
            if not set(given) & set(labels):
                wanted = ", ".join(f"{value} {label}" for value, label in labels.items())
                raise InputError(f"guide_labels: {name}_labels hold {sorted(given)}, the maps are of {wanted}")
            empty = torch.zeros_like(own[:, :1])
            replaced.append(torch.cat([given.get(value, empty) for value in labels], dim=1))
        return replaced[0], replaced[1]


def check_guides(images: CheckedImages, request: RegisterRequest, method: RegistrationMethod) -> None:
    """Checks whether the labels that are to guide are there, and whether the method can be guided.

    Raises:
        InputError: they are not, or it cannot.
    """
    if not request.guides:
        return
    if not method.guided_by_labels:
        raise InputError(f"guide_labels: {method.name} is not guided by class maps; use method='anatomy-guided'")
    for name in request.guides:
        if getattr(images, f"{name}_labels") is None:
            raise InputError(f"guide_labels {request.guide_labels} needs {name}_labels")


def read_guides(
    images: CheckedImages, pair: WorkingPair, start: sitk.Transform | None, request: RegisterRequest
) -> GuideLabels | None:
    """Resamples the labels that are to guide onto the pair's grid, those of the moving image through the initial
    transform. Adds a note to the pair; None where none are to guide.
    """
    if not request.guides:
        return None
    given = {
        name: _shares(labels, pair.grid, start if name == MOVING else None, pair.fixed.device)
        for name in request.guides
        if (labels := getattr(images, f"{name}_labels")) is not None
    }
    pair.notes.append(
        f"the labels of the {' and the '.join(request.guides)} image guided the field: their overlap shows how closely"
        " it follows them, not how accurate it is"
    )
    return GuideLabels(**given)


def _shares(labels: Volume, grid: ImageGrid, start: sitk.Transform | None, device: torch.device) -> dict[int, Tensor]:
    """Returns the share (1, 1, *grid.shape) of each voxel of a grid that a label takes, 0 outside the label map."""
    import SimpleITK as sitk
    import torch

    transform = sitk.Transform(grid.dimension, sitk.sitkIdentity) if start is None else start
    image, shares = labels.to_sitk(), {}
    for value in (int(one) for one in np.unique(labels.array) if one > 0):
        resampled = sitk.Resample(
            sitk.Cast(sitk.Equal(image, value), sitk.sitkFloat32),
            grid.shape[::-1],
            transform,
            sitk.sitkLinear,
            grid.origin_mm,
            grid.spacing_mm,
            grid.direction.ravel().tolist(),
            0.0,
        )
        shares[value] = torch.from_numpy(sitk.GetArrayFromImage(resampled))[None, None].to(device)
    return shares
