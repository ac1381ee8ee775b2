"""Reasons why the inputs and outputs that are chosen in the panel cannot be registered yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from UltrasoundMotionLib.mrml.registration_pair import VolumePair
from UltrasoundMotionLib.mrml.sequence_nodes import find_sequence_nodes
from UltrasoundMotionModuleLib.deformable_registration.choices import Start

if TYPE_CHECKING:
    from UltrasoundMotionModuleLib.deformable_registration.logic import (
        DeformableRegistrationLogic,
        DeformableRegistrationParameterNode,
    )


def whyNotPair(parameters: DeformableRegistrationParameterNode, logic: DeformableRegistrationLogic) -> str:
    """Returns what the user has to do before a pair can be registered; empty when it can.

    Raises:
        InputError: volumes, labels or outputs that do not fit each other; its text is the reason.
    """
    if parameters.fixedVolume is None:
        return _("Choose the fixed volume, which stays")
    if parameters.movingVolume is None:
        return _("Choose the moving volume, which is put onto the fixed one")
    if parameters.fixedSegmentation is not None and parameters.movingSegmentation is None:
        return _("The fixed segmentation is compared with the moving one: choose the moving segmentation too")
    pair = VolumePair.of_nodes(parameters.fixedVolume, parameters.movingVolume)
    if parameters.start.of(parameters.preset) == Start.AS_THEY_LIE.value and not pair.may_overlap():
        return _(
            "The volumes do not overlap where they lie: choose another start under Advanced, or bring them together"
        )
    labels = (
        parameters.fixedSegmentation,
        parameters.movingSegmentation,
        parameters.fixedMask,
        parameters.movingMask,
    )
    logic.chosenOutputs(parameters).check(pair, tuple(node for node in labels if node is not None))
    return ""


def whyNotSequence(parameters: DeformableRegistrationParameterNode, logic: DeformableRegistrationLogic) -> str:
    """Returns what the user has to do before a sequence can be registered; empty when it can.

    Raises:
        InputError: no sequence, or outputs that do not fit it; its text is the reason.
    """
    if parameters.sequenceVolume is None:
        return _("Choose a sequence, or load an ultrasound clip")
    image = find_sequence_nodes(parameters.sequenceVolume)
    count = image.sequence.GetNumberOfDataNodes()
    if count < 2:
        return _("The sequence has one frame; there is nothing to register")
    if parameters.referenceFrame >= count:
        return _("There is no frame {frame}: the last is {last}").format(
            frame=parameters.referenceFrame, last=count - 1
        )
    logic.chosenSequenceOutputs(parameters).check(image)
    return ""
