"""The pairs of public data that a registration benchmark runs on, by protocol."""

from __future__ import annotations

from pathlib import Path

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.candi import CANDI_LABELS, candi_atlas, candi_part, candi_subjects, read_candi
from UltrasoundMotionLib.lab.learn2reg import TEST, VALIDATION, learn2reg_pairs
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
CANDI_ONE_ATLAS = "candi-one-atlas"
LEARN2REG, LEARN2REG_TEST = "hippocampus-learn2reg", "hippocampus-learn2reg-test"
CHALLENGE = (LEARN2REG, LEARN2REG_TEST)
"""Protocols whose pairs and measures are those of Learn2Reg 2020."""

PROTOCOLS = (MOST_SIMILAR, RANDOM, ONE_ATLAS, ACDC, ACDC_PUBLISHED, CANDI_ONE_ATLAS, *CHALLENGE)
ATLAS_PROTOCOLS = (ONE_ATLAS, CANDI_ONE_ATLAS)
DEFAULT_PAIRS = 20

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
    if protocol == CANDI_ONE_ATLAS:
        return CANDI_LABELS
    return ACDC_LABELS if protocol in (ACDC, ACDC_PUBLISHED) else HIPPOCAMPUS_LABELS


def protocol_pairs(
    protocol: str, folder: Path, count: int | None = None, part: str = UNTUNED, atlas: str | None = None
) -> list[RegistrationPair]:
    """`count` pairs of a protocol, of the subjects of one part, evenly chosen.

    The pairs of Learn2Reg and the held-out subjects of CANDI are fixed: no part is chosen, of Learn2Reg's the first
    `count` are taken.

    Most similar atlas: the atlases are the subjects tuned on, which every learned method has trained on as well, as the
    papers take theirs from the training set.

    Args:
        count: of pairs; None: 20, of fixed lists all.
        atlas: the subject that is put onto all others, for the protocols with one atlas only.

    Raises:
        InputError: no such part, no atlas, or data that is not there.
    """
    if part not in PARTS:
        raise InputError(f"part: expected one of {', '.join(PARTS)}, got {part!r}")
    if protocol in (*CHALLENGE, CANDI_ONE_ATLAS) and part != UNTUNED:
        raise InputError(f"part {part}: the pairs of {protocol} are fixed; leave it out")
    if protocol in CHALLENGE:
        return learn2reg_pairs(folder, TEST if protocol == LEARN2REG_TEST else VALIDATION, count)
    if protocol in ATLAS_PROTOCOLS and atlas is None:
        raise InputError(f"{protocol}: name the atlas")
    if protocol == CANDI_ONE_ATLAS:
        assert atlas is not None
        return _candi_pairs(folder, count, atlas)
    count = DEFAULT_PAIRS if count is None else count
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
    assert atlas is not None
    moving = read_hippocampus(folder, atlas)
    chosen = evenly([name for name in subjects if name != atlas], count)
    return [RegistrationPair(f"{name} < {atlas}", read_hippocampus(folder, name), moving) for name in chosen]


def _candi_pairs(folder: Path, count: int | None, atlas: str) -> list[RegistrationPair]:
    """Returns the atlas on each held-out subject of CANDI."""
    subjects = candi_subjects(folder)
    if atlas not in subjects:
        raise InputError(f"atlas {atlas}: is none of the {len(subjects)} subjects of CANDI")
    moving = read_candi(folder, atlas)
    names = [name for name in candi_part(subjects, "held-out") if name != moving.image.name]
    chosen = names if count is None else evenly(names, count)
    fixed = [read_candi(folder, name, moving.image.spacing_mm) for name in chosen]
    return [RegistrationPair(f"{one.image.name} < {moving.image.name}", one, moving) for one in fixed]


def default_atlas(protocol: str, folder: Path) -> str | None:
    """Returns the subject that a protocol puts onto all others where none is named; None: it puts none.

    Raises:
        InputError: see `shipped_atlas` and `candi_atlas`.
    """
    if protocol == CANDI_ONE_ATLAS:
        return candi_atlas(folder, candi_part(candi_subjects(folder), "train"))
    return shipped_atlas() if protocol == ONE_ATLAS else None


def shipped_atlas() -> str:
    """The subject that the shipped weights of `label-transfer` were trained with.

    Raises:
        InputError: there are no such weights, or their card names no atlas.
    """
    from UltrasoundMotionLib.weights import find_card, read_card

    atlas = read_card(find_card(ONE_ATLAS_WEIGHTS)).configuration.get("atlas")
    if not isinstance(atlas, str):
        raise InputError(f"the card of {ONE_ATLAS_WEIGHTS} names no atlas; name one")
    return atlas
