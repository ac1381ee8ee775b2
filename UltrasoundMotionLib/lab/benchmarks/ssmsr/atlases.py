"""The atlas of a test image: the training image that is most similar to it once it is registered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.registration_datasets import SIMILARITY_WINDOW, LabelledImage, RegistrationPair

if TYPE_CHECKING:
    from UltrasoundMotionLib.registration.working_pair import WorkingPair


@dataclass(frozen=True)
class AtlasRow:
    """The training image that, registered by VoxelMorph, is most similar to a test image."""

    subject: str
    atlas: str
    nlcc: float


def most_similar_when_registered(
    name: str, fixed: LabelledImage, library: Mapping[str, LabelledImage], card: Path, device: str = "cpu"
) -> AtlasRow:
    """Returns the atlas with the highest NLCC (windows of five voxels) after one pass of VoxelMorph (III-C).

    Raises:
        InputError: no atlas but the image itself.
    """
    import torch

    from UltrasoundMotionLib.fields import warp
    from UltrasoundMotionLib.registration.methods.multiscale.weights import read_weights
    from UltrasoundMotionLib.registration.methods.voxelmorph.unet import ResidualUNet
    from UltrasoundMotionLib.similarity import LocalCrossCorrelation

    network = ResidualUNet(3)
    network.load_state_dict(read_weights(card, network, 1)[0])
    network.to(device)
    scores: dict[str, float] = {}
    with torch.no_grad():
        for atlas, moving in library.items():
            if atlas == name:
                continue
            pair = working_pair(RegistrationPair(name, fixed, moving)).to(device)
            if not scores:
                likeness = LocalCrossCorrelation(pair.fixed, SIMILARITY_WINDOW)
            field = network(torch.cat([pair.moving, pair.fixed], dim=1))
            scores[atlas] = float(likeness(warp(pair.moving, field)))
    if not scores:
        raise InputError(f"{name}: there is no training image to serve as its atlas")
    best = max(scores, key=scores.__getitem__)
    return AtlasRow(name, best, scores[best])


def working_pair(pair: RegistrationPair) -> WorkingPair:
    """Returns the images of a pair as the networks take them."""
    import torch

    from UltrasoundMotionLib.fields import ImageGrid
    from UltrasoundMotionLib.registration.working_pair import WorkingPair

    fixed, moving = (
        torch.from_numpy(np.ascontiguousarray(one.image.array, dtype=np.float32))[None, None]
        for one in (pair.fixed, pair.moving)
    )
    return WorkingPair(fixed, moving, None, None, ImageGrid.of(pair.fixed.image))
