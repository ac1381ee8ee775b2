"""The patients of ACDC that Table 2's networks learn from, and those that they are measured on."""

from __future__ import annotations

from collections.abc import Sequence

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.registration_datasets import ACDC_GROUP_SIZE, learned_part

SPLITS = ("paper", "validation", "held-out")
_PAPER_IN_GROUP = 14


def split_patients(names: Sequence[str], split: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the patients to learn from and those to measure.

    "paper" has the paper's numbers, 70 and 30; which patients they were is not published, so that of every group of
    twenty (one for each diagnosis) the first fourteen are the first. The others are the project's parts: of every group
    the first ten are learnt from, the eleventh is the validation and those after it are held out.

    Raises:
        InputError: no such split; none of the patients is in a part.
    """
    if split not in SPLITS:
        raise InputError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
    if split != SPLITS[0]:
        return learned_part(names, "train"), learned_part(names, split)
    numbers = {name: (_number(name) - 1) % ACDC_GROUP_SIZE + 1 for name in names}
    learnt = tuple(name for name in names if numbers[name] <= _PAPER_IN_GROUP)
    measured = tuple(name for name in names if numbers[name] > _PAPER_IN_GROUP)
    for part, last in ((learnt, "first fourteen"), (measured, "last six")):
        if not part:
            raise InputError(
                f"split paper: none of the {len(names)} patients is among the {last} of a group of twenty; give all 100"
                " patients, or --split validation"
            )
    return learnt, measured


def _number(name: str) -> int:
    digits = name.removeprefix("patient")
    if not digits.isdigit():
        raise InputError(f"{name}: not named as ACDC's patients are, patient001 to patient100")
    return int(digits)
