"""The part of the panel that compares before and after: buttons that show the pair in other ways and put all back."""

from __future__ import annotations

from collections.abc import Callable

import qt
import slicer
from slicer.i18n import tr as _

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.mrml.registration_comparison import (
    MOVED_COLOR,
    RegisteredPair,
    RegistrationComparison,
    check_comparable,
    hide_labels,
    outline_labels,
)

_FLICKER_MS = 250
"""Half of a period: the fixed and the moved image twice a second each."""


class ComparisonSection:
    """The widgets `beforeButton`, `afterButton`, `flickerButton`, `checkerboardButton` and `tileSizeSpinBox`.

    A button that is pressed again shows the pair as before. Nothing of it is left when the user leaves the module
    or closes the scene.
    """

    def __init__(self, ui: object, pair: Callable[[], RegisteredPair | None]) -> None:
        """Connects the buttons.

        Args:
            pair: returns the nodes that are chosen, None where some are missing.
        """
        self._ui, self._pair = ui, pair
        self._comparison: RegistrationComparison | None = None
        self._fixedTurn = self._isHeld = False
        self._timer = qt.QTimer()
        self._timer.interval = _FLICKER_MS
        self._timer.connect("timeout()", self.onTimeout)
        self._buttons = {
            ui.beforeButton: self._showBefore,
            ui.afterButton: self._showAfter,
            ui.flickerButton: self._startFlicker,
            ui.checkerboardButton: self._showCheckerboard,
        }
        for button in self._buttons:
            button.connect("clicked()", self.onClicked)
        self._pressed: object = None
        ui.tileSizeSpinBox.connect("valueChanged(double)", self.onTileSize)

    def disconnect(self) -> None:
        """Puts the views back and disconnects from the panel."""
        self.stop()
        self._timer.disconnect("timeout()", self.onTimeout)
        for button in self._buttons:
            button.disconnect("clicked()", self.onClicked)
        self._ui.tileSizeSpinBox.disconnect("valueChanged(double)", self.onTileSize)

    def update(self) -> None:
        """Enables the buttons where there is a result, and ends the comparison of a pair that is no longer chosen."""
        pair, reason = self._pair(), ""
        try:
            if self._isHeld:
                raise InputError(_("The new result is being added"))
            if pair is None:
                raise InputError(_("Register first: before and after are compared here"))
            check_comparable(pair)
        except InputError as error:
            reason = str(error)
        if self._comparison is not None and (reason or not _isSamePair(pair, self._comparison.pair)):
            self.stop()
        for button in self._buttons:
            button.enabled = not reason
        self._ui.tileSizeSpinBox.enabled = not reason
        self._ui.compareLabel.text = reason or self._legend(pair)

    def hold(self) -> None:
        """Ends the comparison and takes no clicks until `release`: a new result takes the place of the pair's nodes."""
        self.stop()
        self._isHeld = True
        self.update()

    def release(self) -> None:
        """Takes clicks again."""
        self._isHeld = False
        self.update()

    def begin(self, *, isConnected: bool) -> None:
        """Shows the labels of a new result: the fixed and the moved ones outlined in two colours, those of the moving
        volume hidden, since they do not lie on the fixed one.

        Args:
            isConnected: whether the panel is open; otherwise the display of the fixed labels stays.
        """
        self.stop()
        pair = self._pair()
        if pair is None:
            return
        if pair.moving_labels is not None:
            hide_labels(pair.moving_labels)
        if pair.moved_labels is not None:
            outline_labels(pair.moved_labels, MOVED_COLOR)
        if isConnected:
            self._overlay(pair)

    def stop(self) -> None:
        """Puts the views and the labels' display back."""
        self._timer.stop()
        self._press(None)
        if self._comparison is not None:
            comparison, self._comparison = self._comparison, None
            comparison.restore()

    def onClicked(self) -> None:
        """Shows what the button that changed says, or the pair as before where it was pressed already."""
        pressed = next((one for one in self._buttons if one.checked and one != self._pressed), None)
        self._timer.stop()
        pair = self._pair()
        if pair is None:
            self.stop()
            return
        if pressed is None:
            self.stop()
            self._overlay(pair)
            return
        self._press(pressed)
        with slicer.util.tryWithErrorDisplay(_("The pair could not be compared."), waitCursor=True):
            if self._comparison is None:
                self._comparison = RegistrationComparison(pair)
            self._buttons[pressed]()

    def onTileSize(self, value: float) -> None:
        """Draws the checkerboard anew."""
        if self._pressed is not None and self._pressed == self._ui.checkerboardButton:
            self._showCheckerboard()

    def onTimeout(self) -> None:
        """Shows the other of the two volumes."""
        if self._comparison is None or not self._comparison.pair.is_in_scene:
            self.stop()
            return
        self._fixedTurn = not self._fixedTurn
        (self._comparison.show_fixed if self._fixedTurn else self._comparison.show_after)()

    def _overlay(self, pair: RegisteredPair) -> None:
        self._comparison = RegistrationComparison(pair)
        self._comparison.show_labels(moved=True)

    def _showBefore(self) -> None:
        self._comparison.show_before()

    def _showAfter(self) -> None:
        self._comparison.show_after()

    def _startFlicker(self) -> None:
        self._fixedTurn = False
        self.onTimeout()
        self._timer.start()

    def _showCheckerboard(self) -> None:
        self._comparison.show_checkerboard(self._ui.tileSizeSpinBox.value or None)

    def _press(self, pressed: object) -> None:
        self._pressed = pressed
        for button in self._buttons:
            button.checked = pressed is not None and button == pressed

    @staticmethod
    def _legend(pair: RegisteredPair) -> str:
        if pair.fixed_labels is None and pair.moved_labels is None:
            return ""
        return _("Outlines: green, the fixed segmentation; magenta, the moving one.")


def _isSamePair(one: RegisteredPair, other: RegisteredPair) -> bool:
    names = ("fixed", "moving", "warped", "fixed_labels", "moving_labels", "moved_labels")
    return all(getattr(one, name) is getattr(other, name) for name in names)
