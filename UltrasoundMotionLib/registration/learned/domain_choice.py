"""Which trained weights are for a pair of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.registration.learned.model_domain import ModelDomain, check_domain
from UltrasoundMotionLib.registration.working_pair import WorkingPair
from UltrasoundMotionLib.weights import find_card, read_card, shipped_cards


def card_for(pair: WorkingPair, shipped: Sequence[str], model: str | None) -> Path:
    """The card of the weights to use; what there is to say about them is added to the pair's notes.

    Args:
        shipped: names of weights that may be chosen, where installed: the first whose domain the pair fits, being two
            moments of one scan or not.
        model: a name, or the path of a card beside its weights, to use those whatever the pair is.

    Raises:
        InputError: there are no such weights, or none that the pair fits; the message says why, and what to use
            instead.
    """
    if model is not None:
        path = Path(model) if Path(model).suffix == ".json" else find_card(model)
        add_notes(pair, (*check_domain(pair, domain_of(path)), licence_note(path)))
        return path
    paths = [path for path in shipped_cards() if path.stem in shipped]
    if not paths:
        raise InputError(f"trained weights ({', '.join(shipped)}) are not installed; use method='instance'")
    reasons = []
    for path in sorted(paths, key=lambda path: shipped.index(path.stem)):
        domain = domain_of(path)
        if domain.same_scan != pair.same_scan:
            kinds = ("different subjects, or images on different grids", "two moments of one scan")
            reasons.append(f"{path.stem} is for {kinds[domain.same_scan]}")
            continue
        try:
            notes = check_domain(pair, domain)
        except InputError as error:
            reasons.append(f"{path.stem}: {error}")
            continue
        add_notes(pair, (*notes, licence_note(path)))
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
            f"weights {card.name}: are of {card.architecture}, which says no domain of images; use weights for registration"
        )
    return ModelDomain.from_card(domain)


def licence_note(card_path: Path) -> str:
    """A line that names the weights and their licence, so that whoever uses a result knows: some are for research only."""
    card = read_card(card_path)
    return f"weights {card.name}: licence {card.licence}"


def add_notes(pair: WorkingPair, notes: Sequence[str]) -> None:
    """Adds what the pair's notes do not say yet: two networks may warn of the same."""
    pair.notes.extend(note for note in notes if note not in pair.notes)
