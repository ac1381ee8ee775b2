"""The bar over the frames in Qt: a label with a picture, whose clicks choose a frame."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import qt
import slicer
import vtk

from UltrasoundMotionLib.pictures.frame_bar import FrameStates, draw_frame_bar, frame_at, with_shown_frame


def _mouseFilter(onPressed: Callable[[], None], onResized: Callable[[], None]) -> object:
    """Makes an event filter that calls back for mouse events and changes of size."""

    class Filter(qt.QObject):
        """Stands between Qt and the label."""

        def eventFilter(self, watched: object, event: object) -> bool:
            """Takes mouse events; all others go on to the label."""
            kind = event.type()
            if kind in (qt.QEvent.MouseButtonPress, qt.QEvent.MouseMove):  # moves come while a button is pressed
                onPressed()
                return True
            if kind == qt.QEvent.Resize:
                onResized()
            return False

    return Filter()


class FrameBarWidget:
    """Draws the states of the frames on a QLabel; a click, or a drag, chooses the frame there."""

    def __init__(self, label: object, onFrame: Callable[[int], None]) -> None:
        """`onFrame` is called with the frame that was clicked."""
        self._label, self._onFrame = label, onFrame
        self._states: FrameStates | None = None
        self._shown, self._picture = 0, None
        self._mouse = _mouseFilter(self.onPressed, self.redraw)
        label.installEventFilter(self._mouse)

    def disconnect(self) -> None:
        """Disconnects from the label."""
        self._label.removeEventFilter(self._mouse)

    def show(self, states: FrameStates | None, shown: int) -> None:
        """Draws the states, or nothing, with a line at the frame shown; quick where only that has changed."""
        if states is not self._states:
            self._states, self._picture = states, None
        self._shown = shown
        self.redraw(sizeChanged=False)

    def redraw(self, *, sizeChanged: bool = True) -> None:
        """Draws anew, as after a change of size."""
        if self._states is None:
            self._label.clear()
            return
        size = max(int(self._label.width), 1), max(int(self._label.height), 1)
        if self._picture is None or (sizeChanged and self._picture.shape[1::-1] != size):
            self._picture = draw_frame_bar(self._states, size)
        picture = with_shown_frame(self._picture, self._shown, len(self._states.confidence))
        self._label.setPixmap(_pixmap(picture))

    def onPressed(self) -> None:
        """Chooses the frame under the mouse."""
        if self._states is not None:
            place = self._label.mapFromGlobal(qt.QCursor.pos())
            self._onFrame(frame_at(place.x(), len(self._states.confidence), int(self._label.width)))


def _pixmap(picture: np.ndarray) -> object:
    """The picture (H, W, 3) uint8 as a QPixmap, the way Slicer's data probe makes its own."""
    from vtkmodules.util.numpy_support import numpy_to_vtk

    height, width = picture.shape[:2]
    data = vtk.vtkImageData()
    data.SetDimensions(width, height, 1)
    rows = np.ascontiguousarray(picture[::-1])  # VTK counts rows from the bottom
    data.GetPointData().SetScalars(numpy_to_vtk(rows.reshape(-1, 3), deep=True))
    image = qt.QImage()
    slicer.qMRMLUtils().vtkImageDataToQImage(data, image)
    return qt.QPixmap.fromImage(image)
