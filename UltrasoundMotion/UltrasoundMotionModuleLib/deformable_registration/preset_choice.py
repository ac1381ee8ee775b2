"""The preset that fits the images, proposed with its reason, and never in place of the user's own choice; and the
widgets that a preset has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.mrml.image_evidence import evidence_of_node
from UltrasoundMotionLib.registration.image_kind import RecognisedKind, recognise_clip, recognise_images
from UltrasoundMotionModuleLib.deformable_registration.choices import Preset

if TYPE_CHECKING:
    from UltrasoundMotionModuleLib.deformable_registration.logic import DeformableRegistrationParameterNode

_PAIR_ONLY = (
    "sampleSlicesButton",
    "compareCollapsibleButton",
    "fixedVolumeSelector",
    "movingVolumeSelector",
    "swapButton",
    "movingSegmentationSelector",
    "fixedSegmentationSelector",
    "movingMaskSelector",
    "applyTransformCheckBox",
    "outputSegmentationSelector",
    "outputTransformSelector",
    "outputWarpedSelector",
    "outputTableSelector",
    "makeJacobianCheckBox",
    "outputJacobianSelector",
    "methodComboBox",
    "refinementComboBox",
    "startComboBox",
    "searchRegionComboBox",
    "modalityComboBox",
    "orientationComboBox",
    "keepFoldsCheckBox",
    "workingSpacingSpinBox",
)
"""Widgets that are shown for a pair only, with their labels."""

_SEQUENCE_ONLY = (
    "loadClipButton",
    "clipLabel",
    "sequenceSelector",
    "referenceFrameSpinBox",
    "frameShownButton",
    "motionTransformSelector",
    "stillVolumeSelector",
    "motionTableSelector",
)
"""Widgets that are shown for a sequence only, with their labels."""


class PresetChoice:
    """Sets the preset of a panel to the kind of its images, unless the user chose one, and shows what belongs to it."""

    def __init__(self, ui: object, parameters: Callable[[], DeformableRegistrationParameterNode | None]) -> None:
        """Connects `presetComboBox` and `useProposedPresetButton`."""
        self._ui, self._parameters = ui, parameters
        self._images: tuple[object, ...] | None = None
        self._found: RecognisedKind | None = None
        ui.presetComboBox.connect("activated(int)", self.onActivated)
        ui.useProposedPresetButton.connect("clicked()", self.onUseProposed)

    def disconnect(self) -> None:
        """Disconnects from the panel."""
        self._ui.presetComboBox.disconnect("activated(int)", self.onActivated)
        self._ui.useProposedPresetButton.disconnect("clicked()", self.onUseProposed)

    def onUseProposed(self) -> None:
        """Takes the proposed preset, and from now on those that are proposed for other images."""
        parameters = self._parameters()
        if parameters is not None and self._found is not None:
            wasModifying = parameters.StartModify()
            parameters.presetIsChosen = False
            parameters.presetFound = parameters.preset = Preset.ofKind(self._found)
            parameters.EndModify(wasModifying)

    def show(self) -> None:
        """Shows the widgets that the preset has, its text and its reason, and the button where the user chose another
        than the proposed one.
        """
        text, parameters = self._text(), self._parameters()
        preset = parameters.preset.value
        pair = not preset.ofSequence
        self._ui.presetTextLabel.text = preset.text()
        for names, shown in ((_PAIR_ONLY, pair), (_SEQUENCE_ONLY, preset.ofSequence)):
            for name in names:
                for widget in (getattr(self._ui, name), getattr(self._ui, f"{name}Label", None)):
                    if widget is not None:
                        widget.visible = shown
        self._ui.presetReasonLabel.text = text
        self._ui.presetReasonLabel.visible = pair and bool(text)
        self._ui.useProposedPresetButton.visible = pair and bool(text) and self._isUsers(parameters)

    def onActivated(self, index: int) -> None:
        """Keeps from now on what the user chose."""
        if self._parameters() is not None:
            self._parameters().presetIsChosen = True

    def forget(self) -> None:
        """Takes the images and the preset that come next as they are, since a scene was loaded with both."""
        self._images = None

    def update(self) -> None:
        """Looks at the images where others were chosen or theirs have changed."""
        parameters = self._parameters()
        images = (
            *map(_stateOf, (parameters.fixedVolume, parameters.movingVolume)),
            *map(_stateOf, _labelsOf(parameters)),
        )
        if images == self._images:
            return
        isSaved, self._images, self._found = self._images is None, images, None
        if parameters.fixedVolume is None or parameters.movingVolume is None or parameters.preset.value.ofSequence:
            return
        try:
            self._found = recognise_images(*map(evidence_of_node, _imagesOf(parameters), _labelsOf(parameters)))
        except InputError:
            return
        if isSaved:
            parameters.presetIsChosen = parameters.preset is not Preset.ofKind(self._found)
        else:
            self._propose(Preset.ofKind(self._found))

    def proposeClip(self, proxy: slicer.vtkMRMLVolumeNode) -> bool:
        """Proposes the preset for sequences where a clip is all that there is; returns whether it was taken."""
        self._found = recognise_clip(evidence_of_node(proxy))
        self._propose(Preset.ofKind(self._found))
        return self._parameters().preset.value.ofSequence

    def _propose(self, preset: Preset) -> None:
        parameters = self._parameters()
        if not self._isUsers(parameters):
            wasModifying = parameters.StartModify()
            parameters.presetFound = preset
            parameters.preset = preset
            parameters.EndModify(wasModifying)

    @staticmethod
    def _isUsers(parameters: DeformableRegistrationParameterNode) -> bool:
        """True where the user chose the preset, or a script that set it."""
        return parameters.presetIsChosen or parameters.preset is not parameters.presetFound

    def _text(self) -> str:
        """Returns the reason for the preset; empty before there are images."""
        parameters, found = self._parameters(), self._found
        if found is None:
            return ""
        proposed = Preset.ofKind(found)
        if self._isUsers(parameters):
            if not found.certain or proposed is parameters.preset:
                return ""
            return _("The images look like {preset}: {reason}.").format(preset=proposed.label(), reason=found.reason)
        if found.certain:
            return _("{preset}, because {reason}.").format(preset=proposed.label(), reason=found.reason)
        return _("Not sure what these are: {reason}. {preset} fits any two images.").format(
            preset=proposed.label(), reason=found.reason
        )


def _imagesOf(parameters: DeformableRegistrationParameterNode) -> tuple[slicer.vtkMRMLVolumeNode, ...]:
    return parameters.fixedVolume, parameters.movingVolume


def _labelsOf(parameters: DeformableRegistrationParameterNode) -> tuple[slicer.vtkMRMLNode | None, ...]:
    return parameters.fixedSegmentation, parameters.movingSegmentation


def _stateOf(node: slicer.vtkMRMLNode | None) -> tuple[str, int]:
    """Returns what differs where a node's image does."""
    if node is None:
        return "", 0
    image = node.GetImageData() if node.IsA("vtkMRMLVolumeNode") else None
    return node.GetID(), image.GetMTime() if image is not None else 0
