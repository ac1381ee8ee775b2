"""The terms of trained weights that ask something of those who use them, and the consent given beforehand by scripts.

Weights under a permissive licence ask nothing. Every other licence, and one that is not known here, is to be agreed to
before its weights are used in an application.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from UltrasoundMotionLib.weights.model_card import ModelCard, read_card

ACCEPT_VARIABLE = "ULTRASOUND_MOTION_ACCEPT_LICENCES"
"""Environment variable of licences that are agreed to, separated by commas or spaces."""

_PERMISSIVE = (
    (r"MIT\b|BSD-|ISC\b", "Any use, commercial use included; copies keep the authors' copyright notice."),
    (r"Apache-", "Any use, commercial use included; copies keep the licence and say what was changed."),
    (r"CC-BY-\d", "Any use, commercial use included, with credit to the authors."),
    (r"0BSD|CC0-|Unlicense|PDDL-", "Any use, commercial use included, without conditions."),
)
"""Beginnings of licences that ask nothing before use, and the use that they allow."""
_KNOWN = {
    "LicenseRef-ACDC-research-only": (
        "They may be used for research only, not in a product or a service. Publications cite O. Bernard et al., Deep "
        "Learning Techniques for Automatic MRI Cardiac Multi-structures Segmentation and Diagnosis, IEEE Transactions "
        "on Medical Imaging 37(11), 2018, doi:10.1109/TMI.2018.2837502, whose data they were trained on."
    ),
    "CC-BY-SA-4.0": (
        "What you derive from these weights is shared under the same licence, with credit to the authors of the data "
        "that they were trained on (for the Medical Segmentation Decathlon: A. L. Simpson et al., arXiv:1902.09063, "
        "2019). https://creativecommons.org/licenses/by-sa/4.0/"
    ),
    "CC-BY-NC-4.0": (
        "They may not be used commercially, neither they nor what you derive from them; what you share credits their "
        "authors, whom their card names. https://creativecommons.org/licenses/by-nc/4.0/"
    ),
}
_BY_PATTERN = (
    (re.compile(r"research", re.IGNORECASE), "They may be used for research only; their card names the terms."),
    (re.compile(r"-NC\b", re.IGNORECASE), "They may not be used commercially; their card names the terms."),
    (re.compile(r"-SA\b|GPL", re.IGNORECASE), "What you derive from them is shared under the same licence."),
)
_UNKNOWN = "The terms of this licence are not known here: read them before you agree."


def terms_of(licence: str) -> str:
    """Returns what a licence asks of a user, in a sentence or two; empty where it is permissive."""
    if _permitted_use(licence):
        return ""
    if licence in _KNOWN:
        return _KNOWN[licence]
    return next((text for pattern, text in _BY_PATTERN if pattern.search(licence)), _UNKNOWN)


def use_allowed(licence: str) -> str:
    """Returns what use of weights a licence allows, in a sentence or two."""
    return _permitted_use(licence) or terms_of(licence)


def restricted_cards(paths: Iterable[Path], accepted: Iterable[str] = ()) -> tuple[ModelCard, ...]:
    """Returns the cards of weights whose licence asks something and was not agreed to.

    Args:
        paths: of the cards.
        accepted: licences that were agreed to, beside those of the environment variable.
    """
    agreed = {*accepted, *re.split(r"[,\s]+", os.environ.get(ACCEPT_VARIABLE, ""))}
    cards = [read_card(path) for path in paths]
    return tuple(card for card in cards if terms_of(card.licence) and card.licence not in agreed)


def _permitted_use(licence: str) -> str:
    """Returns the use that a permissive licence allows; empty for every other."""
    return next((text for pattern, text in _PERMISSIVE if re.match(pattern, licence, re.IGNORECASE)), "")
