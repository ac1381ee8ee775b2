"""Class maps of both images of a pair, by an anatomy network on the grid of its domain."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.fields import ImageGrid
from UltrasoundMotionLib.registration.label_doubts import ClassMaps
from UltrasoundMotionLib.registration.learned.model_domain import sample_on
from UltrasoundMotionLib.registration.learned.network_choice import DomainNetwork, network_grid
from UltrasoundMotionLib.registration.working_pair import WorkingPair

UNMOVED = (0.0, 0.0, 0.0)


def class_maps(
    pair: WorkingPair,
    model: DomainNetwork,
    turns_deg: Sequence[float] = (0.0,),
    shifts: Sequence[tuple[float, float, float]] = (UNMOVED,),
) -> tuple[Tensor, Tensor]:
    """Predicts the probabilities of the domain's labels in the fixed and in the moving image.

    The network is given the images in each combination of a turn and a shift; its predictions are averaged over those
    whose box holds the voxel.

    Args:
        turns_deg: angles around the last axis of the network's grid.
        shifts: (x, y, z) in voxels of the network's grid. A network that halves its grid several times gives other
            predictions for shifts that are no multiples of its strides.

    Returns:
        (1, C, *spatial) each, on the pair's grid; 0 outside the domain's box.
    """
    inner = network_grid(pair, model.domain)
    total = torch.zeros(2, len(model.domain.labels), *pair.grid.shape, device=pair.fixed.device)
    seen = torch.zeros(1, 1, *pair.grid.shape, device=pair.fixed.device)
    views = list(product(turns_deg, shifts))
    for degrees, shift in views:
        turned = moved_grid(inner, degrees, shift)
        images = sample_on(torch.cat([pair.fixed, pair.moving]), pair.grid, turned)
        with torch.no_grad():
            shares = model.network(images, images.flip(0)).softmax(1)[:, 1:]
        total += sample_on(shares, turned, pair.grid)
        seen += sample_on(torch.ones_like(shares[:1, :1]), turned, pair.grid)
    fixed, moving = (total / seen.clamp(min=1)).chunk(2)
    return fixed, moving


def with_known_part(pair: WorkingPair, model: DomainNetwork, maps: tuple[Tensor, Tensor]) -> ClassMaps:
    """Returns class maps of fixed and moving image with the names of their classes and the part they are known in."""
    inner = network_grid(pair, model.domain)
    known = sample_on(torch.ones(1, 1, *inner.shape, device=pair.fixed.device), inner, pair.grid)
    return ClassMaps(model.domain.labels, *maps, known, pair.grid)


def moved_grid(grid: ImageGrid, degrees: float, shift: tuple[float, float, float] = UNMOVED) -> ImageGrid:
    """Returns a grid turned around its centre, from its axis x towards y, then shifted by voxels of its own."""
    turn = np.eye(grid.dimension)
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn[:2, :2] = [[cosine, -sine], [sine, cosine]]
    direction = grid.direction @ turn
    half = (np.array(grid.shape[::-1]) - 1) / 2 * grid.spacing_mm
    centre = np.array(grid.origin_mm) + grid.direction @ half
    start = centre + direction @ (np.array(shift[: grid.dimension]) * grid.spacing_mm - half)
    return ImageGrid(grid.shape, grid.spacing_mm, tuple(start), direction)
