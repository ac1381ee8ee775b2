"""The extension's own layouts in the application: entered while the user is in a module, and its entries in Slicer's
layout menu.
"""

from __future__ import annotations

from collections.abc import Callable

import qt
import slicer
from slicer.i18n import tr as _

from UltrasoundMotionLib.mrml.layouts import (
    IMAGE,
    OWN_LAYOUTS,
    LayoutStack,
    OwnLayout,
    is_own,
    layout_node,
    register_layouts,
)
from UltrasoundMotionLib.mrml.views import show_as_acquired


class LayoutSwitch:
    """Shows layouts while the user is in a module; the user's own is back when the module is left."""

    def __init__(self) -> None:
        self._stack = LayoutStack()
        self._arrange: dict[int, Callable[[], None]] = {}

    def show(self, layout: OwnLayout, arrange: Callable[[], None]) -> None:
        """Shows a layout.

        Args:
            arrange: shows the content of its views; called now, and again when the views have their new sizes, to which
                an image is fitted.
        """
        self._arrange[layout.number] = arrange
        changed = self._stack.show(slicer.mrmlScene, layout)
        arrange()
        if changed:
            self._arrangeLater()

    def showClip(self, volume: slicer.vtkMRMLVolumeNode) -> None:
        """Shows a clip as it was acquired: in the image view of the layout that is shown, or alone."""
        node = layout_node(slicer.mrmlScene)
        if node is not None and is_own(node.GetViewArrangement()):
            show_as_acquired(slicer.mrmlScene, volume)
        else:
            self.show(IMAGE, lambda: _showIfThere(volume))

    def hide(self, layout: OwnLayout) -> None:
        """Returns to the layout that was there before."""
        if self._stack.hide(slicer.mrmlScene, layout):
            self._arrangeLater()

    def isShown(self, layout: OwnLayout) -> bool:
        """True while the application shows the layout."""
        node = layout_node(slicer.mrmlScene)
        return node is not None and node.GetViewArrangement() == layout.number

    def enter(self) -> None:
        """Shows again what was shown when the user left the module."""
        if self._stack.back(slicer.mrmlScene):
            self._arrangeLater()

    def leave(self) -> None:
        """Restores the user's layout, as when another module is opened."""
        self._stack.leave(slicer.mrmlScene)

    def forget(self) -> None:
        """Restores the user's layout and releases the nodes, as when the scene is closed."""
        self._arrange = {}
        self._stack.restore(slicer.mrmlScene)

    def _arrangeLater(self) -> None:
        qt.QTimer.singleShot(0, self._arrangeNow)

    def _arrangeNow(self) -> None:
        scene = slicer.mrmlScene
        node = layout_node(scene) if scene is not None and not scene.IsClosing() else None
        arrange = self._arrange.get(node.GetViewArrangement()) if node is not None else None
        if arrange is not None:
            arrange()


def _showIfThere(volume: slicer.vtkMRMLVolumeNode) -> None:
    if volume.GetScene() is not None:
        show_as_acquired(volume.GetScene(), volume)


def offerLayouts() -> None:
    """Describes the layouts to the application and adds them to its layout menu; does nothing the second time."""
    if slicer.mrmlScene is None or not register_layouts(slicer.mrmlScene):
        return
    window = slicer.util.mainWindow()
    menu = window.findChild("QMenu", "LayoutMenu") if window is not None else None
    if menu is None:
        return
    for layout in OWN_LAYOUTS:
        action = menu.addAction(layout.title)
        action.setData(layout.number)
        action.setIcon(qt.QIcon(":/Icons/LayoutOneUpRedSliceView.png"))
        action.setToolTip(_("Layout of UltrasoundMotion for a 2D clip"))
