"""The prediction of a pyramid network for a pair, on the grid of its domain: displacement and class maps."""

from __future__ import annotations

import torch
from torch import Tensor

from UltrasoundMotionLib.registration.learned.model_domain import field_to_grid, sample_on
from UltrasoundMotionLib.registration.learned.network_choice import DomainNetwork, network_grid
from UltrasoundMotionLib.registration.working_pair import WorkingPair


@torch.no_grad()
def predict_pyramid(pair: WorkingPair, model: DomainNetwork) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Predicts the displacement and the probabilities of the domain's labels.

    Returns:
        The displacement (1, n, *spatial) in voxels of the pair's grid; the maps of fixed and moving image, (1, C,
        *spatial) each, 0 outside the domain's box.
    """
    inner = network_grid(pair, model.domain)
    spatial = tuple(inner.shape)
    features = model.network.features(sample_on(torch.cat([pair.fixed, pair.moving]), pair.grid, inner))
    velocity = model.network.velocity([one[:1] for one in features], [one[1:] for one in features])
    displacement = field_to_grid(model.network.displacement(velocity, spatial), inner, pair.grid)
    shares = model.network.logits(features, spatial).softmax(1)[:, 1:]
    fixed, moving = sample_on(shares, inner, pair.grid).chunk(2)
    return displacement, (fixed, moving)
