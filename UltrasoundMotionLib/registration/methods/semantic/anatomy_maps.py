"""Class maps of both images of a pair, by an anatomy network on the grid of its domain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import ImageGrid
from UltrasoundMotionLib.registration.learned.model_domain import ModelDomain, domain_grid, sample_on
from UltrasoundMotionLib.registration.methods.semantic.anatomy_network import AnatomyConfig, AnatomyNetwork
from UltrasoundMotionLib.registration.working_pair import WorkingPair
from UltrasoundMotionLib.weights import LoadedWeights, load_weights
from UltrasoundMotionLib.weights.model_file import file_times


@dataclass(frozen=True, eq=False)
class AnatomyModel:
    """A trained network and what it was trained on."""

    network: AnatomyNetwork
    domain: ModelDomain


def class_maps(pair: WorkingPair, model: AnatomyModel, turns_deg: Sequence[float] = (0.0,)) -> tuple[Tensor, Tensor]:
    """(1, C, *spatial) probabilities of the domain's labels in the fixed and in the moving image, on the pair's grid; 0
    outside the domain's box.

    Args:
        turns_deg: the network looks at the images turned around the last axis of its grid by each of these angles; what
            it says is averaged.
    """
    inner = domain_grid(pair.grid, model.domain)
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
    """The grid turned around its centre, from its axis x towards y."""
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


def load_anatomy(card_path: str | Path, device: torch.device | str) -> AnatomyModel:
    """Reads and checks weights, and keeps the network for the next call with the same file and device.

    Raises:
        InputError: see `load_weights`; a card of another network.
    """
    path = Path(card_path)
    times = file_times(path)
    return _load_anatomy(path, str(device), times)


@lru_cache(maxsize=2)
def _load_anatomy(card_path: Path, device: str, times: tuple[int, int]) -> AnatomyModel:
    return model_of(load_weights(card_path), device)


def model_of(weights: LoadedWeights, device: torch.device | str) -> AnatomyModel:
    """The network of a card, with its weights.

    Raises:
        InputError: the card is another network's, or its configuration is.
    """
    card = weights.card
    if card.architecture != "AnatomyNetwork":
        raise InputError(f"weights {card.name}: are of {card.architecture}, not AnatomyNetwork")
    try:
        values = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in card.configuration["network"].items()
        }
        network = AnatomyNetwork(AnatomyConfig(**values))
        domain = ModelDomain.from_card(card.configuration["domain"])
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise InputError(f"weights {card.name}: the card's configuration is not AnatomyNetwork's ({error})") from error
    weights.put_into(network)
    return AnatomyModel(network.to(device).eval(), domain)
