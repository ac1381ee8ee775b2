"""Trained networks for a pair of images: the choice of weights, and prediction on the grid of their domain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import ImageGrid
from UltrasoundMotionLib.registration.learned.model_domain import (
    ModelDomain,
    check_domain,
    domain_grid,
    field_to_grid,
    sample_on,
    turned_about_middle,
)
from UltrasoundMotionLib.registration.working_pair import WorkingPair
from UltrasoundMotionLib.weights import NetworkKind, find_card, installed_cards, load_network, read_card


@dataclass(frozen=True, eq=False)
class DomainNetwork:
    """A trained network and the images that it was trained on.

    Attributes:
        name: of the weights.
        network: in eval mode, on its device.
        domain: the images that it is for.
    """

    name: str
    network: Any
    domain: ModelDomain

    @torch.no_grad()
    def displacement(self, pair: WorkingPair, predict: Callable[[Tensor, Tensor], Tensor] | None = None) -> Tensor:
        """The displacement (1, n, *spatial) in voxels of the pair's grid that is predicted on the domain's grid.

        Args:
            predict: gives the displacement (1, n, *domain) in voxels of the domain's grid from fixed and moving image,
                (1, 1, *domain) each; None: the network does.
        """
        inner = network_grid(pair, self.domain)
        fixed, moving = (sample_on(image, pair.grid, inner) for image in (pair.fixed, pair.moving))
        return field_to_grid((predict or self.network)(fixed, moving), inner, pair.grid)


def network_grid(pair: WorkingPair, domain: ModelDomain) -> ImageGrid:
    """The grid on which a network is given a pair: its domain's, turned as the pair says."""
    grid = domain_grid(pair.grid, domain)
    return grid if pair.turn is None else turned_about_middle(grid, pair.turn)


def network_for(
    pair: WorkingPair,
    kinds: NetworkKind | tuple[NetworkKind, ...],
    names: Sequence[str],
    weights: str | Path | None = None,
) -> DomainNetwork:
    """The trained network to use for a pair, on its device; see `card_for`.

    Raises:
        InputError: see `card_for` and `load_domain_network`.
    """
    return load_domain_network(card_for(pair, names, weights), kinds, pair.fixed.device)


def load_domain_network(
    weights: str | Path, kinds: NetworkKind | tuple[NetworkKind, ...], device: torch.device | str = "cpu"
) -> DomainNetwork:
    """Loads a network and its domain; arguments and errors as `load_network`.

    Raises:
        InputError: also a card without a domain.
    """
    trained = load_network(weights, kinds, device)
    return DomainNetwork(trained.card.name, trained.network, domain_of(find_card(weights)))


def card_for(pair: WorkingPair, names: Sequence[str], weights: str | Path | None = None) -> Path:
    """The card of the weights to use. Adds notes on them to the pair's.

    Args:
        names: of weights that may be chosen, where installed: the first whose domain the pair fits, those for two
            moments of one scan first when the pair looks like it. Two subjects on one grid may look like it too, so
            that weights for different subjects are taken where no others fit; never the other way round.
        weights: a name, a card or a safetensors file beside its card, to be used whatever the pair is.

    Raises:
        InputError: there are no such weights, or none that the pair fits; the message says why, and what to use
            instead.
    """
    if weights is not None:
        path = find_card(weights)
        _add_notes(pair, (*check_domain(pair, domain_of(path)), _licence_note(path)))
        return path
    paths = [path for path in installed_cards() if path.stem in names]
    if not paths:
        raise InputError(f"trained weights ({', '.join(names)}) are not installed; use method='instance'")
    reasons = []
    ordered = sorted(paths, key=lambda path: (domain_of(path).same_scan != pair.same_scan, names.index(path.stem)))
    for path in ordered:
        domain = domain_of(path)
        if domain.same_scan and not pair.same_scan:
            reasons.append(f"{path.stem} is for two moments of one scan")
            continue
        try:
            notes = check_domain(pair, domain)
        except InputError as error:
            reasons.append(f"{path.stem}: {error}")
            continue
        _add_notes(pair, (*notes, _licence_note(path)))
        return path
    raise InputError(f"no trained weights fit this pair ({'; '.join(reasons)}); use method='instance'")


def domain_of(card_path: Path) -> ModelDomain:
    """The domain on a card.

    Raises:
        InputError: no such card, or none of a network that registers.
    """
    card = read_card(card_path)
    domain = card.configuration.get("domain")
    if not isinstance(domain, dict):
        raise InputError(
            f"weights {card.name}: are of {card.architecture}, whose card names no domain of images; use weights for"
            " registration"
        )
    return ModelDomain.from_card(domain)


def _licence_note(card_path: Path) -> str:
    """A line that names the weights and their licence, for whoever uses a result: some are for research only."""
    card = read_card(card_path)
    return f"weights {card.name}: licence {card.licence}"


def _add_notes(pair: WorkingPair, notes: Sequence[str]) -> None:
    """Adds notes that the pair does not have yet: two networks may warn of the same."""
    pair.notes.extend(note for note in notes if note not in pair.notes)
