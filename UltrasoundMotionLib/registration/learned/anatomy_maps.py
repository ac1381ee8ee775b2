"""Class maps of both images of a pair, by an anatomy network on the grid of its domain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.fields import ImageGrid
from UltrasoundMotionLib.registration.learned.model_domain import sample_on
from UltrasoundMotionLib.registration.learned.network_choice import DomainNetwork, network_grid
from UltrasoundMotionLib.registration.working_pair import WorkingPair


def class_maps(pair: WorkingPair, model: DomainNetwork, turns_deg: Sequence[float] = (0.0,)) -> tuple[Tensor, Tensor]:
    """Predicts the probabilities of the domain's labels in the fixed and in the moving image.

    Args:
        turns_deg: the network is given the images turned around the last axis of its grid by each of these angles; its
            predictions are averaged.

    Returns:
        (1, C, *spatial) each, on the pair's grid; 0 outside the domain's box.
    """
    inner = network_grid(pair, model.domain)
    total = torch.zeros(2, len(model.domain.labels), *pair.grid.shape, device=pair.fixed.device)
    for degrees in turns_deg:
        turned = turned_grid(inner, degrees)
        images = sample_on(torch.cat([pair.fixed, pair.moving]), pair.grid, turned)
        with torch.no_grad():
            shares = model.network(images, images.flip(0)).softmax(1)[:, 1:]
        total += sample_on(shares, turned, pair.grid) / len(turns_deg)
    fixed, moving = total.chunk(2)
    return fixed, moving


def turned_grid(grid: ImageGrid, degrees: float) -> ImageGrid:
    """A grid turned around its centre, from its axis x towards y."""
    turn = np.eye(grid.dimension)
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn[:2, :2] = [[cosine, -sine], [sine, cosine]]
    direction = grid.direction @ turn
    half = (np.array(grid.shape[::-1]) - 1) / 2 * grid.spacing_mm
    return ImageGrid(
        grid.shape,
        grid.spacing_mm,
        tuple(np.array(grid.origin_mm) + grid.direction @ half - direction @ half),
        direction,
    )
