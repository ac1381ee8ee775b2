"""The buttons that load the samples: volumes with segmentations, slices, or a whole beat as a sequence."""

from __future__ import annotations

from collections.abc import Callable

import slicer

from UltrasoundMotionLib.mrml.layouts import IMAGE
from UltrasoundMotionModuleLib.deformable_registration.sample import HEART_VOLUMES, addSamplePair, addSampleVolumes
from UltrasoundMotionModuleLib.shared.sample_data import HEART, addSample

_PAIR_INPUTS = ("fixedVolume", "movingVolume", "fixedSegmentation", "movingSegmentation", "fixedMask", "movingMask")
_PAIR_OUTPUTS = ("outputTransform", "outputWarped", "outputJacobian", "outputSegmentation", "outputTable")
_SEQUENCE_OUTPUTS = ("motionTransform", "stillVolume", "motionTable")


class SampleSection:
    """The widgets `sampleDataButton` and `sampleSlicesButton`."""

    def __init__(
        self,
        panel: object,
        choose: Callable[..., None],
        chooseClip: Callable[[slicer.vtkMRMLVolumeNode], None],
    ) -> None:
        """Connects the buttons.

        Args:
            panel: a `MotionModuleWidget`.
            choose: takes nodes by the names of parameters.
            chooseClip: makes a clip the sequence to register.
        """
        self._panel, self._choose, self._chooseClip = panel, choose, chooseClip
        panel.ui.sampleDataButton.connect("clicked()", self.onLoadSample)
        panel.ui.sampleSlicesButton.connect("clicked()", self.onLoadSlices)

    def disconnect(self) -> None:
        """Disconnects from the panel."""
        self._panel.ui.sampleDataButton.disconnect("clicked()", self.onLoadSample)
        self._panel.ui.sampleSlicesButton.disconnect("clicked()", self.onLoadSlices)

    def update(self) -> None:
        """Enables the buttons where nothing runs."""
        for button in (self._panel.ui.sampleDataButton, self._panel.ui.sampleSlicesButton):
            button.enabled = self._panel.run is None

    def onLoadSample(self) -> None:
        """Loads the simulated heart at two moments, or its whole beat as a sequence."""
        if self._panel.parameters.preset.value.ofSequence:
            self._panel.loadSample(HEART, self._selectSequence)
        else:
            self._panel.loadSample(HEART_VOLUMES, self._selectVolumes)

    def onLoadSlices(self) -> None:
        """Loads one slice of the simulated heart at two moments."""
        self._panel.loadSample(HEART, self._selectSlices)

    def _selectSequence(self) -> None:
        clip = addSample(HEART).clip.proxy
        self._panel.layouts.showClip(clip)
        self._choose(**dict.fromkeys(_SEQUENCE_OUTPUTS))
        self._chooseClip(clip)

    def _selectVolumes(self) -> None:
        self._panel.layouts.hide(IMAGE)  # that of slices and clips
        sample = addSampleVolumes(HEART_VOLUMES)
        self._choosePair(
            fixedVolume=sample.fixed,
            movingVolume=sample.moving,
            fixedSegmentation=sample.fixedSegmentation,
            movingSegmentation=sample.movingSegmentation,
        )

    def _selectSlices(self) -> None:
        pair = addSamplePair()
        self._panel.layouts.showClip(pair.fixed)
        self._choosePair(fixedVolume=pair.fixed, movingVolume=pair.moving)

    def _choosePair(self, **inputs: slicer.vtkMRMLNode) -> None:
        """Chooses inputs; those that are not given, and all outputs, become empty."""
        self._choose(**{**dict.fromkeys((*_PAIR_INPUTS, *_PAIR_OUTPUTS)), **inputs})
