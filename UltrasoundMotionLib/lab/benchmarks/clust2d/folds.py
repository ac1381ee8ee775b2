"""Divisions of CLUST's annotated sequences: by patients, or by scanners (the LSDM paper's in-house test)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.evaluation.clust_set import ClustSequence


@dataclass(frozen=True)
class Fold:
    """One division.

    Attributes:
        name: for folders.
        learning: sequences that networks learn from.
        held_out: those that they are measured on, of other patients (other scanners).
    """

    name: str
    learning: tuple[ClustSequence, ...]
    held_out: tuple[ClustSequence, ...]


def patient_folds(sequences: Sequence[ClustSequence], count: int, seed: int) -> tuple[Fold, ...]:
    """Divides the patients into `count` parts of nearly one size, each with patients of as many scanners as can be.

    Raises:
        InputError: fewer patients than parts.
    """
    patients = sorted({(one.group, one.patient) for one in sequences})
    if len(patients) < count:
        raise InputError(f"--folds {count}: there are sequences of {len(patients)} patients only")
    rng = np.random.default_rng(seed)
    shuffled = [patients[index] for index in rng.permutation(len(patients))]
    dealt = sorted(shuffled, key=lambda one: one[0])  # stable: scanner by scanner, patients in random order
    part_of = {patient: number % count for number, (_, patient) in enumerate(dealt)}
    return tuple(
        Fold(
            f"fold-{number + 1}",
            tuple(one for one in sequences if part_of[one.patient] != number),
            tuple(one for one in sequences if part_of[one.patient] == number),
        )
        for number in range(count)
    )


def scanner_folds(sequences: Sequence[ClustSequence]) -> tuple[Fold, ...]:
    """Holds out each scanner in turn (Liu et al., Sec. V-B and Supplement D).

    Raises:
        InputError: sequences of one scanner only.
    """
    groups = sorted({one.group for one in sequences})
    if len(groups) < 2:
        raise InputError(f"--in-house: all sequences are of one scanner, {groups[0]}; there is nothing to learn from")
    return tuple(
        Fold(
            f"without-{group}",
            tuple(one for one in sequences if one.group != group),
            tuple(one for one in sequences if one.group == group),
        )
        for group in groups
    )
