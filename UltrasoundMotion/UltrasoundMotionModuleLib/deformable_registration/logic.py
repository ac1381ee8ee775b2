"""Logic of Deformable Registration, for its panel and for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Union

import slicer
from slicer import (
    vtkMRMLLabelMapVolumeNode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
    vtkMRMLTableNode,
    vtkMRMLTransformNode,
    vtkMRMLVectorVolumeNode,
)
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

from UltrasoundMotionLib.jobs import run_job
from UltrasoundMotionLib.mrml.registration_nodes import RegistrationNodes
from UltrasoundMotionLib.mrml.registration_sequence_nodes import ChosenSequenceOutputs, SequenceRegistrationNodes
from UltrasoundMotionLib.mrml.sequence_nodes import find_sequence_nodes
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.registration.learned.possible_weights import possible_weights
from UltrasoundMotionLib.registration.request import RegisterRequest, SequenceRequest
from UltrasoundMotionModuleLib.deformable_registration.choices import (
    Modality,
    Orientation,
    Preset,
    Refinement,
    SearchRegion,
    Start,
    methods,
)
from UltrasoundMotionModuleLib.deformable_registration.tasks import (
    PairTask,
    SequenceTask,
    allOf,
    pairTask,
    sequenceTask,
)
from UltrasoundMotionModuleLib.shared.background_job import sharedProcess
from UltrasoundMotionModuleLib.shared.choices import Device
from UltrasoundMotionModuleLib.shared.clip import shownFrame
from UltrasoundMotionModuleLib.shared.entry_menu import EntryParameter
from UltrasoundMotionModuleLib.shared.licence_consent import checkConsent
from UltrasoundMotionModuleLib.shared.module_logic import MotionModuleLogic
from UltrasoundMotionModuleLib.shared.options import GivenOptions, takesOptions

# Slicer's wrapper knows unions of nodes by typing.Union only, and needs None among them.
Image = Union[vtkMRMLScalarVolumeNode, vtkMRMLVectorVolumeNode, None]  # noqa: UP007
Labels = Union[vtkMRMLSegmentationNode, vtkMRMLLabelMapVolumeNode, None]  # noqa: UP007

_MOST_FRAMES = 1_000_000
_COARSEST_SPACING_MM = 20.0


@parameterNodeWrapper
class DeformableRegistrationParameterNode:
    """The parameters of the panel, saved with the scene.

    presetFound, presetIsChosen - the preset that was proposed last, and whether the user chose one.
    preset - the kind of images; that of sequences uses `sequenceVolume` and `referenceFrame`, the others the volumes.
    fixedVolume, movingVolume, fixedSegmentation, movingSegmentation, fixedMask, movingMask - the inputs.
    method - name of a registration method; empty for that of the preset.
    refinement, start, searchRegion, modality, orientation, keepFolds, workingSpacing, device - further options; a
    spacing of 0 is that of the volumes.
    outputTransform, outputWarped, outputJacobian, outputSegmentation, outputTable - the result of a pair; new nodes are
    made where none is chosen.
    motionTransform, stillVolume, motionTable - the result of a sequence; new nodes are made where none is chosen.
    makeJacobian - make the Jacobian map.
    applyTransform - put the moving volume under the transform.
    """

    preset: Preset = Preset.GENERAL
    presetFound: Preset = Preset.GENERAL
    presetIsChosen: bool = False
    fixedVolume: Image
    movingVolume: Image
    sequenceVolume: Image
    referenceFrame: Annotated[int, WithinRange(0, _MOST_FRAMES)] = 0
    fixedSegmentation: Labels
    movingSegmentation: Labels
    fixedMask: Labels
    movingMask: Labels
    method: str = ""
    refinement: Refinement = Refinement.METHOD
    start: Start = Start.PRESET
    searchRegion: SearchRegion = SearchRegion.AUTOMATIC
    modality: Modality = Modality.AUTOMATIC
    orientation: Orientation = Orientation.AUTOMATIC
    keepFolds: bool = False
    workingSpacing: Annotated[float, WithinRange(0.0, _COARSEST_SPACING_MM)] = 0.0
    device: Device = Device.AUTOMATIC
    outputTransform: vtkMRMLTransformNode
    outputWarped: vtkMRMLScalarVolumeNode
    outputJacobian: vtkMRMLScalarVolumeNode
    outputSegmentation: vtkMRMLSegmentationNode
    outputTable: vtkMRMLTableNode
    motionTransform: vtkMRMLTransformNode
    stillVolume: vtkMRMLScalarVolumeNode
    motionTable: vtkMRMLTableNode
    makeJacobian: bool = True
    applyTransform: bool = False


class DeformableRegistrationLogic(MotionModuleLogic):
    """Registration of pairs and of sequences; see `MotionModuleLogic`."""

    parameterNodeClass = DeformableRegistrationParameterNode
    entryParameters = (EntryParameter("method", methods, ""),)

    @takesOptions(RegisterRequest, spelled={"start": "initial_transform", "workingSpacing": "working_spacing_mm"})
    def register(
        self,
        fixedNode: slicer.vtkMRMLVolumeNode,
        movingNode: slicer.vtkMRMLVolumeNode,
        *,
        fixedSegmentation: slicer.vtkMRMLNode | None = None,
        movingSegmentation: slicer.vtkMRMLNode | None = None,
        fixedMask: slicer.vtkMRMLNode | None = None,
        movingMask: slicer.vtkMRMLNode | None = None,
        outputs: RegistrationNodes | None = None,
        withJacobian: bool = True,
        applyTransform: bool = False,
        acceptLicences: Sequence[str] = (),
        progress: Progress | None = None,
        options: GivenOptions[RegisterRequest],
    ) -> RegistrationNodes:
        """Finds where every point of the fixed volume lies in the moving one, and puts the result beside the fixed
        volume.

        Both may stand under linear transforms; what counts is where they are seen.

        The options of `RegisterRequest` are keywords too: `method` (see Docs/concepts/registration.md), `weights`,
        `start` ("auto" aligns rigidly first where the volumes are not alike as they lie; "none", as they lie; "rigid";
        "affine"; "rotations"), `searchRegion`, `modality`, `orientation`, `keepFolds`, `refine` (of a trained method,
        whether its prediction is refined on this pair), `workingSpacing` (mm; finer axes are searched at it), `device`,
        `settings`; or all of them as `request`.

        >>> from DeformableRegistration import DeformableRegistrationLogic
        >>> result = DeformableRegistrationLogic().register(fixedNode, movingNode, movingSegmentation=segmentationNode)
        >>> slicer.util.arrayFromVolume(result.warped).shape == slicer.util.arrayFromVolume(fixedNode).shape
        True
        >>> movingNode.SetAndObserveTransformNodeID(result.transform.GetID())    # now it is seen on the fixed volume
        True
        >>> result.table.GetTable().GetValueByName(0, "measure").ToString()
        'local cross-correlation'

        Args:
            fixedNode, movingNode: volumes of several slices, or two single slices in one plane; grey or RGB.
            fixedSegmentation, movingSegmentation: segmentation or label map. The moving one is carried along; with
                both, Dice and HD95 are measured.
            fixedMask, movingMask: segmentation or label map of where the volumes count.
            outputs: nodes to fill instead of new ones.
            withJacobian: also make the Jacobian map.
            applyTransform: put the moving volume under the transform.
            acceptLicences: licences of trained weights that you agree to, such as "LicenseRef-ACDC-research-only", in
                this call. Those that were agreed to in the panel need not be named.
            progress: called as progress(done, total, message); raising from it cancels, and nothing is added to the
                scene.

        Raises:
            InputError: the same volume twice, a volume and a slice, slices in different planes, no overlap, a constant
                volume, bent transforms, segmentations that do not lie on their volume, outputs that are inputs, an
                unknown method, start or device, `refine` of a method that has nothing to refine, volumes that a trained
                method was not made for, trained weights under a licence that was not agreed to.
        """
        request = options.request()
        task = pairTask(
            fixedNode,
            movingNode,
            request,
            fixedSegmentation=fixedSegmentation,
            movingSegmentation=movingSegmentation,
            fixedMask=fixedMask,
            movingMask=movingMask,
            outputs=outputs,
            withJacobian=withJacobian,
            applyTransform=applyTransform,
        )
        checkConsent(possible_weights(request, task.pair.fixed), acceptLicences)
        return task.show(run_job(task.job, sharedProcess().process, progress=progress or no_progress))

    @takesOptions(SequenceRequest, excluded=("reference_frame", "mask"))
    def registerSequence(
        self,
        sequenceNode: slicer.vtkMRMLNode,
        referenceFrame: int | None = None,
        *,
        mask: slicer.vtkMRMLNode | None = None,
        outputs: ChosenSequenceOutputs | None = None,
        progress: Progress | None = None,
        options: GivenOptions[SequenceRequest],
    ) -> SequenceRegistrationNodes:
        """Registers every frame of a sequence to one of them, and adds the motion to the browser of the sequence.

        `device` and `settings` of `SequenceRequest` are keywords too.

        >>> from DeformableRegistration import DeformableRegistrationLogic
        >>> result = DeformableRegistrationLogic().registerSequence(sequenceNode, referenceFrame=0)
        >>> pointsNode.SetAndObserveTransformNodeID(result.transform.proxy.GetID())    # these now follow the motion
        True
        >>> result.still.sequence.GetNumberOfDataNodes() == sequenceNode.GetNumberOfDataNodes()
        True

        Args:
            sequenceNode: the sequence, its browser, or the volume that shows it; slices (grey or RGB) or volumes, all
                on one grid.
            referenceFrame: the frame that stays, from 0; the one shown when None.
            mask: segmentation or label map of where the reference frame counts.
            outputs: nodes of an earlier result whose place this one takes.
            progress: called as progress(done, total, message); raising from it cancels, and nothing is added to the
                scene.

        Raises:
            InputError: no sequence, one frame, a frame that does not exist, frames that differ in size, unfit mask,
                outputs or device.
        """
        image = find_sequence_nodes(sequenceNode)
        frame = shownFrame(image) if referenceFrame is None else referenceFrame
        task = sequenceTask(image, replace(options.request(), reference_frame=frame), mask=mask, chosen=outputs)
        return task.show(run_job(allOf(task.inSteps()), sharedProcess().process, progress=progress or no_progress))

    # The same for the parameters of the panel

    def request(self, parameters: DeformableRegistrationParameterNode) -> RegisterRequest:
        """Returns the request of a pair."""
        method = parameters.method or parameters.preset.value.installedMethod()
        return RegisterRequest(
            method=method,
            refine=parameters.refinement.of(method),
            initial_transform=parameters.start.of(parameters.preset),
            search_region=parameters.searchRegion.value,
            modality=parameters.modality.value,
            orientation=parameters.orientation.value,
            keep_folds=parameters.keepFolds,
            working_spacing_mm=parameters.workingSpacing or None,
            device=parameters.device.value,
        )

    def pairTask(self, parameters: DeformableRegistrationParameterNode) -> PairTask:
        """Returns the run of a pair; raises InputError as `register`."""
        return pairTask(
            parameters.fixedVolume,
            parameters.movingVolume,
            self.request(parameters),
            fixedSegmentation=parameters.fixedSegmentation,
            movingSegmentation=parameters.movingSegmentation,
            fixedMask=parameters.fixedMask,
            movingMask=parameters.movingMask,
            outputs=self.chosenOutputs(parameters),
            withJacobian=parameters.makeJacobian,
            applyTransform=parameters.applyTransform,
        )

    def sequenceTask(self, parameters: DeformableRegistrationParameterNode) -> SequenceTask:
        """Returns the run of a sequence; raises InputError as `registerSequence`."""
        image, chosen = find_sequence_nodes(parameters.sequenceVolume), self.chosenSequenceOutputs(parameters)
        request = SequenceRequest(reference_frame=parameters.referenceFrame, device=parameters.device.value)
        return sequenceTask(image, request, mask=parameters.fixedMask, chosen=chosen)

    def chosenOutputs(self, parameters: DeformableRegistrationParameterNode) -> RegistrationNodes:
        """Returns the output nodes that are chosen for a pair."""
        return RegistrationNodes(
            transform=parameters.outputTransform,
            warped=parameters.outputWarped,
            jacobian=parameters.outputJacobian if parameters.makeJacobian else None,
            segmentation=parameters.outputSegmentation,
            table=parameters.outputTable,
        )

    def chosenSequenceOutputs(self, parameters: DeformableRegistrationParameterNode) -> ChosenSequenceOutputs:
        """Returns the output nodes that are chosen for a sequence."""
        return ChosenSequenceOutputs(parameters.motionTransform, parameters.stillVolume, parameters.motionTable)
