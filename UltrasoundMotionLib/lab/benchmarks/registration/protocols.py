"""The pairs of public data that a registration benchmark runs on, by protocol."""

from __future__ import annotations

from pathlib import Path

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.registration_datasets import (
    ACDC_LABELS,
    HIPPOCAMPUS_LABELS,
    LEARNED_PARTS,
    RegistrationPair,
    acdc_as_published,
    acdc_patients,
    evenly,
    hippocampus_subjects,
    learned_part,
    most_similar_pairs,
    random_pairs,
    read_acdc,
    read_hippocampus,
)

MOST_SIMILAR, RANDOM, ONE_ATLAS = "hippocampus-most-similar", "hippocampus-random", "hippocampus-one-atlas"
ACDC, ACDC_PUBLISHED = "acdc", "acdc-published"
PROTOCOLS = (MOST_SIMILAR, RANDOM, ONE_ATLAS, ACDC, ACDC_PUBLISHED)

UNTUNED, TUNED = "untuned", "tuned"
PARTS = (UNTUNED, TUNED, *LEARNED_PARTS)
"""Subjects that no setting of the methods without training was chosen on, those that they were, and the parts of the
learned methods.
"""
FORMER_PARTS = {"left-aside": UNTUNED}
"""Former names of parts, still taken and found in rows."""

ONE_ATLAS_WEIGHTS = "ltnet-hippocampus"


def label_names(protocol: str) -> dict[int, str]:
    """Returns the labels that score a protocol, by their value."""
    return ACDC_LABELS if protocol in (ACDC, ACDC_PUBLISHED) else HIPPOCAMPUS_LABELS


def protocol_pairs(
    protocol: str, folder: Path, count: int, part: str = UNTUNED, atlas: str | None = None
) -> list[RegistrationPair]:
    """`count` pairs of a protocol, of the subjects of one part, evenly chosen.

    Most similar atlas: the atlases are the subjects tuned on, which every learned method has trained on as well, as the
    papers take theirs from the training set.

    Args:
        atlas: the subject that is put onto all others, for "hippocampus-one-atlas" only.

    Raises:
        InputError: no such part, no atlas, or data that is not there.
    """
    if part not in PARTS:
        raise InputError(f"part: expected one of {', '.join(PARTS)}, got {part!r}")
    tuned = {UNTUNED: False, TUNED: True}.get(part)
    names = hippocampus_subjects if label_names(protocol) is HIPPOCAMPUS_LABELS else acdc_patients
    subjects = names(folder, tuned=tuned)
    if part in LEARNED_PARTS:
        subjects = learned_part(subjects, part)
    if protocol in (ACDC, ACDC_PUBLISHED):
        pairs = [read_acdc(folder, patient) for patient in evenly(subjects, count)]
        return pairs if protocol == ACDC else [acdc_as_published(pair) for pair in pairs]
    if protocol == RANDOM:
        return random_pairs(folder, subjects, count)
    if protocol == MOST_SIMILAR:
        return most_similar_pairs(folder, evenly(subjects, count), hippocampus_subjects(folder, tuned=True))
    if atlas is None:
        raise InputError(f"{protocol}: name the atlas")
    moving = read_hippocampus(folder, atlas)
    chosen = evenly([name for name in subjects if name != atlas], count)
    return [RegistrationPair(f"{name} < {atlas}", read_hippocampus(folder, name), moving) for name in chosen]


def shipped_atlas() -> str:
    """The subject that the shipped weights of LT-Net were trained with.

    Raises:
        InputError: there are no such weights, or their card names no atlas.
    """
    from UltrasoundMotionLib.weights import find_card, read_card

    atlas = read_card(find_card(ONE_ATLAS_WEIGHTS)).configuration.get("atlas")
    if not isinstance(atlas, str):
        raise InputError(f"the card of {ONE_ATLAS_WEIGHTS} names no atlas; name one")
    return atlas
