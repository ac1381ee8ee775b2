"""Labels of the reference frame on every frame of a registered sequence."""

from __future__ import annotations

import numpy as np
import torch

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import invert, warp
from UltrasoundMotionLib.registration.sequences.sequence_registration import AnyFrameRegistration


def labels_on_frame(labels: np.ndarray, registration: AnyFrameRegistration) -> np.ndarray:
    """Returns the labels of the reference where the tissue is on a frame: labels(x) at x + u(x).

    Each voxel y of the frame takes the label of the point x of the reference with x + u(x) = y (nearest neighbour).

    Args:
        labels: (H, W) or (D, H, W), on the frames' grid.
        registration: of the frame, to the reference.

    Raises:
        InputError: labels of another shape.
    """
    displacement = registration.displacement
    if labels.shape != displacement.shape[:-1]:
        raise InputError(f"labels are {labels.shape}, the frames are {displacement.shape[:-1]}")
    tensor = torch.from_numpy(np.ascontiguousarray(np.moveaxis(displacement, -1, 0)))[None]
    back = invert(tensor).displacement
    values, index = np.unique(labels, return_inverse=True)
    numbered = torch.from_numpy(index.reshape(labels.shape).astype(np.float32))[None, None]
    found = warp(numbered, back, mode="nearest")[0, 0].numpy().round().astype(int)
    return values[found].astype(labels.dtype)
