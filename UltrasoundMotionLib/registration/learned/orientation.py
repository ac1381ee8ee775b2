"""The orientation in which a trained network knows its images, found by how sure an anatomy network is of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from UltrasoundMotionLib.registration.learned.anatomy_weights import ANATOMY, ANATOMY_WEIGHTS
from UltrasoundMotionLib.registration.learned.model_domain import (
    ModelDomain,
    check_domain,
    domain_grid,
    sample_on,
    turned_about_middle,
)
from UltrasoundMotionLib.registration.learned.network_choice import (
    DomainNetwork,
    domain_of,
    load_domain_network,
    network_for,
)
from UltrasoundMotionLib.registration.rotation_search import all_rotations, angle_deg, plane_rotations, rotation_about
from UltrasoundMotionLib.registration.working_pair import WorkingPair
from UltrasoundMotionLib.weights import installed_cards

if TYPE_CHECKING:
    from UltrasoundMotionLib.weights import NetworkKind

_POSSIBLE = 0.2
"""Probability of any class from which a voxel counts."""

_RECOGNISED, _SEARCHED = {"cardiac": 0.93}, {"cardiac": 0.92}
_RECOGNISED_BY_DEFAULT, _SEARCHED_BY_DEFAULT = 0.905, 0.89
"""Confidence from which an orientation is taken as it is, and below which all turns are tried after those nearby, by
the name of the domain. As they lie, hippocampi of validation subjects have 0.915 to 0.93, turned by 40 degrees 0.89, by
90 degrees or more 0.80 at most; hearts have 0.939 to 0.947, turned by 40 degrees 0.936 to 0.947, by 90 degrees 0.886 to
0.933, by 180 degrees 0.89 to 0.915.
"""

_GAIN = 0.015
_LEAST = 0.85
_PLANE_STEP_DEG, _TRIED = 60.0, 40
_FINER_DEG = (30.0, 15.0)


@dataclass(frozen=True, eq=False)
class _Recogniser:
    """An anatomy network, and how sure it is of a pair's images in an orientation."""

    pair: WorkingPair
    network: DomainNetwork

    def confidence(self, turn: np.ndarray) -> float:
        """Returns the mean probability of the likeliest class, where there may be one, in both images."""
        grid = turned_about_middle(domain_grid(self.pair.grid, self.network.domain), turn)
        images = sample_on(torch.cat([self.pair.fixed, self.pair.moving]), self.pair.grid, grid)
        with torch.no_grad():
            shares = self.network.network(images, images.flip(0)).softmax(1)
        possible = (shares[:, :1] < 1 - _POSSIBLE).float()
        sure = (shares[:, 1:].amax(1, keepdim=True) * possible).flatten(1).sum(1)
        return float((sure / possible.flatten(1).sum(1).clamp(min=1)).mean())


def oriented_network(
    pair: WorkingPair,
    kinds: NetworkKind | tuple[NetworkKind, ...],
    names: Sequence[str],
    weights: str | Path | None = None,
) -> tuple[WorkingPair, DomainNetwork]:
    """Returns the pair in the orientation in which its trained network knows the images, and that network.

    Args:
        kinds, names, weights: see `network_for`.

    Raises:
        InputError: as `network_for`.
    """
    network = network_for(pair, kinds, names, weights)
    return _oriented(pair, network.domain), network


def _oriented(pair: WorkingPair, domain: ModelDomain) -> WorkingPair:
    """Returns the pair with the turn of the domain's grid in which its anatomy is recognised, and with a note on it.

    Without anatomy weights for the domain, or where the pair's orientation is that of its header, it is returned as it
    is; also where its intensities are unlike the domain's, of which there is a note already.
    """
    names = ANATOMY_WEIGHTS
    cards = [path for path in installed_cards() if path.stem in names and domain_of(path).modality == domain.modality]
    if not pair.may_turn or pair.turn is not None or not cards or check_domain(pair, domain):
        return pair
    network = load_domain_network(min(cards, key=lambda path: names.index(path.stem)), ANATOMY, pair.fixed.device)
    recogniser = _Recogniser(pair, network)
    in_plane = domain.orientation is None
    still = np.eye(pair.grid.dimension)
    before = recogniser.confidence(still)
    if before >= _RECOGNISED.get(network.domain.name, _RECOGNISED_BY_DEFAULT):
        return pair
    searched = _SEARCHED.get(network.domain.name, _SEARCHED_BY_DEFAULT)
    turn, after = _surest(recogniser, in_plane, still, before, searched)
    if after < _LEAST:
        pair.notes.append(
            f"the network does not recognise {domain.modality} in these images in any orientation (confidence"
            f" {max(before, after):.2f}, 0.9 in images like those it was trained on): look at the result, and compare"
            " with method='instance', which needs no training"
        )
    if after < before + _GAIN or after < _LEAST:
        return pair
    pair.notes.append(
        f"the network is given the images turned by {angle_deg(turn):.0f} degrees, as it recognises them (confidence"
        f" {before:.2f} as they are, {after:.2f} turned); orientation 'header' leaves them"
    )
    return replace(pair, turn=turn)


def _surest(
    recogniser: _Recogniser, in_plane: bool, still: np.ndarray, before: float, searched: float
) -> tuple[np.ndarray, float]:
    """Returns the turn in which the network is surest, and its confidence: first nearby, then, if that is below
    `searched`, among all turns.
    """
    axes = _axes(recogniser, in_plane)
    turn, best = _climbed(recogniser, axes, still, before)
    if best < searched:
        every = plane_rotations(axes[0], _PLANE_STEP_DEG) if in_plane else all_rotations(_TRIED)
        far = max(((recogniser.confidence(one), place) for place, one in enumerate(every[1:], 1)))
        if far[0] > best:
            turn, best = _climbed(recogniser, axes, every[far[1]], far[0])
    return turn, best


def _climbed(
    recogniser: _Recogniser, axes: list[np.ndarray], turn: np.ndarray, confidence: float
) -> tuple[np.ndarray, float]:
    """Turns further about each axis as long as the network becomes surer."""
    for degrees in _FINER_DEG:
        for axis in axes:
            for sign in (1, -1):
                tried = rotation_about(axis, sign * degrees) @ turn
                found = recogniser.confidence(tried)
                if found > confidence:
                    turn, confidence = tried, found
                    break
    return turn, confidence


def _axes(recogniser: _Recogniser, in_plane: bool) -> list[np.ndarray]:
    direction = domain_grid(recogniser.pair.grid, recogniser.network.domain).direction
    return [direction[:, 2]] if in_plane else list(direction.T)
