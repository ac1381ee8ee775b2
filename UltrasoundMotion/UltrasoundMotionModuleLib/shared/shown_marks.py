"""The choice between two sets of marks on the image: those that the user placed, or those that a run made of them."""

from __future__ import annotations

from collections.abc import Callable

import slicer
from slicer.i18n import tr as _

Node = slicer.vtkMRMLDisplayableNode
_PLACED, _TRACKED = range(2)


def _setVisible(node: Node, on: bool) -> None:
    node.SetDisplayVisibility(on)


class ShownMarks:
    """A combo box that shows one set and hides the other, since points in both would cover each other.

    Which one is shown is kept in the nodes' display, and with it in a saved scene.
    """

    def __init__(
        self,
        comboBox: object,
        nodes: Callable[[], tuple[Node | None, Node | None]],
        setTrackedVisible: Callable[[Node, bool], None] = _setVisible,
    ) -> None:
        """Fills the combo box.

        Args:
            nodes: gives the placed and the tracked marks, None where there are none.
            setTrackedVisible: shows or hides the tracked marks.
        """
        self._comboBox, self._nodes, self._setTrackedVisible = comboBox, nodes, setTrackedVisible
        self._before: tuple[Node | None, Node | None] = (None, None)
        comboBox.addItem(_("placed by you"))
        comboBox.addItem(_("tracked"))
        comboBox.connect("currentIndexChanged(int)", self.onChosen)

    def disconnect(self) -> None:
        """Disconnects from the combo box."""
        self._comboBox.disconnect("currentIndexChanged(int)", self.onChosen)

    @property
    def isPlacedShown(self) -> bool:
        """True while the views show what the user placed."""
        return _isShown(self._before[0])

    def forget(self) -> None:
        """Releases the nodes, as when the scene is closed."""
        self._before = (None, None)

    def update(self) -> None:
        """Shows the set that is new, and hides what it replaces; does nothing where no other set was chosen."""
        placed, tracked = self._nodes()
        before, self._before = self._before, (placed, tracked)
        placedBefore, trackedBefore = (node if _isInScene(node) else None for node in before)
        if (placed, tracked) != before:
            if placed is not None and placedBefore not in (None, placed, tracked):
                _setVisible(placedBefore, False)
            if trackedBefore not in (None, placed, tracked):
                self._setTrackedVisible(trackedBefore, False)
            unchanged = placedBefore is None and trackedBefore is None and _isOneShown(placed, tracked)
            if not unchanged:  # otherwise a scene was loaded, in which the user has chosen
                newlyPlaced = placed is not placedBefore and tracked is trackedBefore
                self._show(tracked=tracked is not None and not (newlyPlaced and placed is not None))
        self._comboBox.enabled = placed is not None and tracked is not None
        self._select()

    def showPlaced(self) -> None:
        """Shows what the user placed."""
        self.update()
        self._show(tracked=False)

    def showTracked(self) -> None:
        """Shows what a run made."""
        self.update()
        self._show(tracked=True)

    def onChosen(self, index: int) -> None:
        """Shows the set that the user chose."""
        if self._comboBox.enabled and index >= 0:
            self._show(tracked=index == _TRACKED)

    def _show(self, *, tracked: bool) -> None:
        placedNode, trackedNode = self._before
        if placedNode is not None:
            _setVisible(placedNode, not tracked)
        if trackedNode is not None:
            self._setTrackedVisible(trackedNode, tracked)
        self._select()

    def _select(self) -> None:
        placed, tracked = self._before
        shown = _TRACKED if tracked is not None and not _isShown(placed) else _PLACED
        if self._comboBox.currentIndex != shown:
            self._comboBox.currentIndex = shown


def _isInScene(node: Node | None) -> bool:
    return node is not None and node.GetScene() is not None


def _isShown(node: Node | None) -> bool:
    return node is not None and bool(node.GetDisplayVisibility())


def _isOneShown(placed: Node | None, tracked: Node | None) -> bool:
    return placed is not None and tracked is not None and _isShown(placed) != _isShown(tracked)
