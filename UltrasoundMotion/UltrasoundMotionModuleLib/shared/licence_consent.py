"""Consent to the licences of trained weights, asked for once for each licence and kept in the user's settings.

A panel asks in a dialog. A call from a script never opens one: it raises an error that says how to agree.
"""

from __future__ import annotations

import datetime
import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.weights import ModelCard, find_card, installed_cards
from UltrasoundMotionLib.weights.licence_terms import ACCEPT_VARIABLE, restricted_cards, terms_of
from UltrasoundMotionModuleLib.shared.choices import trackers

_SETTINGS_GROUP = "UltrasoundMotion/AcceptedLicences/"


def weightsOfTracker(name: str, weights: str | Path | None = None) -> tuple[Path, ...]:
    """Returns the cards of the weights that a tracker uses: those asked for, or its own; none of an unknown tracker."""
    if weights is not None:
        return (find_card(weights),)
    own = {entry.weights for entry in trackers().all() if entry.name == name}
    return tuple(path for path in installed_cards() if path.stem in own)


def cardsToAgreeTo(paths: Iterable[Path], accepted: Sequence[str] = ()) -> tuple[ModelCard, ...]:
    """Returns the cards whose licence this user has not agreed to yet."""
    return tuple(card for card in restricted_cards(paths, accepted) if not _isRemembered(card.licence))


def checkConsent(paths: Iterable[Path], accepted: Sequence[str] | None = None) -> None:
    """Checks that the licences of weights were agreed to, for calls from scripts.

    Args:
        paths: of the weights' cards.
        accepted: licences that the caller agrees to; None where the call has no argument for them.

    Raises:
        InputError: one was not; the message says how to agree.
    """
    cards = () if slicer.app.testingEnabled() else cardsToAgreeTo(paths, accepted or ())
    if not cards:
        return
    licences = sorted({card.licence for card in cards})
    ways = [] if accepted is None else [f"acceptLicences={licences}"]
    text = _(
        "the weights {weights} are under {licences}; agree with {ways} or once in the module's panel, or choose "
        "another method. {terms}"
    )
    raise InputError(
        text.format(
            weights=", ".join(card.name for card in cards),
            licences=", ".join(licences),
            ways=", ".join([*ways, f"{ACCEPT_VARIABLE}={','.join(licences)}"]),
            terms=" ".join(terms_of(licence) for licence in licences),
        )
    )


def askForConsent(title: str, cards: Sequence[ModelCard]) -> bool:
    """Shows the licences in a dialog and remembers those that the user agrees to.

    Returns False where the user wants another method. In the application's testing mode nothing is shown or remembered,
    and the answer is True, as for Slicer's own questions.
    """
    if not cards:
        return True
    if slicer.app.testingEnabled():
        logging.info("Testing mode: the licences of %s count as agreed to", ", ".join(card.name for card in cards))
        return True
    box = qt.QMessageBox(slicer.util.mainWindow())
    box.setWindowTitle(_("{module}: licence of trained weights").format(module=title))
    box.setText(_("This run uses trained weights whose licence asks something of you."))
    box.setInformativeText(consentText(cards))
    agree = box.addButton(_("I &agree"), qt.QMessageBox.AcceptRole)
    box.addButton(_("Use another &method"), qt.QMessageBox.RejectRole)
    box.exec_()
    if box.clickedButton() != agree:
        return False
    for card in cards:
        slicer.app.userSettings().setValue(_settingsKey(card.licence), datetime.date.today().isoformat())
    return True


def consentText(cards: Sequence[ModelCard]) -> str:
    """Returns the text of the dialog: for each licence its weights, what they were trained on, and what it asks."""
    parts = []
    for licence in dict.fromkeys(card.licence for card in cards):
        names = [card.name for card in cards if card.licence == licence]
        source = next((card.trained_on[0] for card in cards if card.licence == licence and card.trained_on), "")
        parts.append(
            _("{licence}\nWeights: {names}\nTrained on: {source}\n{terms}").format(
                licence=licence, names=", ".join(names), source=source, terms=terms_of(licence)
            )
        )
    note = _("Your consent is kept for each licence. Other methods need no weights, or others.")
    return "\n\n".join([*parts, note])


def _isRemembered(licence: str) -> bool:
    return bool(slicer.app.userSettings().value(_settingsKey(licence)))


def _settingsKey(licence: str) -> str:
    return _SETTINGS_GROUP + re.sub(r"[^\w.-]", "_", licence)
