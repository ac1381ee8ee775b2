"""The dialog that makes a clip of a volume that is loaded: the volume, the axis of time, and a preview."""

from __future__ import annotations

from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.clip_of_volume import clip_of_volume, first_frame, frame_counts

_PREVIEW_PIXELS = 240


class VolumeDialog:
    """Asks which volume is a clip and along which axis its frames lie."""

    def __init__(self, parent: object, volumes: list[slicer.vtkMRMLScalarVolumeNode]) -> None:
        self._volumes = volumes
        self._axes: list[str] = []
        self.dialog = qt.QDialog(parent)
        self.dialog.windowTitle = _("Make a clip of a volume")
        self.volumeBox, self.axisBox, self.rateBox = qt.QComboBox(), qt.QComboBox(), qt.QDoubleSpinBox()
        self.sizeLabel, self.picture = qt.QLabel(), qt.QLabel()
        self.rateBox.maximum = 100000.0
        self.rateBox.specialValueText = _("unknown")
        for volume in volumes:
            self.volumeBox.addItem(volume.GetName())
        buttons = qt.QDialogButtonBox()
        self.makeButton = buttons.addButton(_("Make clip"), qt.QDialogButtonBox.AcceptRole)
        buttons.addButton(_("Cancel"), qt.QDialogButtonBox.RejectRole)
        layout = qt.QFormLayout(self.dialog)
        layout.addRow(_("Volume:"), self.volumeBox)
        layout.addRow(_("Frames along:"), self.axisBox)
        layout.addRow(_("Frames per second:"), self.rateBox)
        layout.addRow(self.sizeLabel)
        layout.addRow(_("First frame:"), self.picture)
        layout.addRow(buttons)
        buttons.connect("accepted()", self.dialog.accept)
        buttons.connect("rejected()", self.dialog.reject)
        self.volumeBox.connect("currentIndexChanged(int)", self._onVolume)
        self.axisBox.connect("currentIndexChanged(int)", self._onAxis)
        self.volumeBox.currentIndex = len(volumes) - 1
        self._onVolume(self.volumeBox.currentIndex)

    def exec(self) -> bool:
        """Shows the dialog and returns True where a clip is to be made."""
        return bool(self.dialog.exec_())

    def clip(self) -> ImageSequence:
        """Returns the clip; raises InputError as `clip_of_volume`."""
        return clip_of_volume(self.volume, self._axis, frame_rate_hz=self.rateBox.value or None)

    @property
    def volume(self) -> slicer.vtkMRMLScalarVolumeNode:
        """The chosen volume."""
        return self._volumes[self.volumeBox.currentIndex]

    @property
    def _axis(self) -> str:
        return self._axes[self.axisBox.currentIndex]

    def _onVolume(self, index: int) -> None:
        counts = frame_counts(self.volume)
        blocked = self.axisBox.blockSignals(True)
        self.axisBox.clear()
        self._axes = list(counts)
        for axis, count in counts.items():
            self.axisBox.addItem(_("{axis}: {count} frames").format(axis=axis, count=count))
        self.axisBox.blockSignals(blocked)
        self.axisBox.currentIndex = 0
        self._onAxis(0)

    def _onAxis(self, index: int) -> None:
        """Shows the size and the first frame, or why the volume cannot be used."""
        try:
            frame = first_frame(self.volume, self._axis)
        except InputError as error:
            self.sizeLabel.text = str(error)
            self.picture.clear()
            self.makeButton.enabled = False
            return
        count = frame_counts(self.volume)[self._axis]
        text = _("{count} frames of {width} x {height} px")
        self.sizeLabel.text = text.format(count=count, width=frame.shape[1], height=frame.shape[0])
        self.picture.setPixmap(_pixmap(frame))
        self.makeButton.enabled = True


def _pixmap(frame: object) -> object:
    """A frame as Qt's picture; through a file, which every version of PythonQt can read."""
    height, width = frame.shape
    import vtk
    from vtkmodules.util.numpy_support import numpy_to_vtk

    image = vtk.vtkImageData()
    image.SetDimensions(width, height, 1)
    image.GetPointData().SetScalars(numpy_to_vtk(frame[::-1].ravel(), deep=True))  # a PNG begins at its last row
    path = Path(slicer.app.temporaryPath) / "ultrasound-motion-preview.png"
    writer = vtk.vtkPNGWriter()
    writer.SetInputData(image)
    writer.SetFileName(str(path))
    writer.Write()
    pixmap = qt.QPixmap(str(path))
    path.unlink(missing_ok=True)
    return pixmap.scaledToWidth(_PREVIEW_PIXELS) if width > _PREVIEW_PIXELS else pixmap
