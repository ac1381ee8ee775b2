"""Deformable Registration: a moving volume put onto a fixed one, or a sequence held still on one of its frames.

From the Python console, on volumes that are in the scene:

    from DeformableRegistration import DeformableRegistrationLogic

    result = DeformableRegistrationLogic().register(fixedNode, movingNode, movingSegmentation=segmentationNode)
    movingNode.SetAndObserveTransformNodeID(result.transform.GetID())        # the moving volume is seen on the fixed
    one
"""

from pathlib import Path

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest
from UltrasoundMotionModuleLib.deformable_registration.choices import isRefinable, methods
from UltrasoundMotionModuleLib.deformable_registration.comparison_section import ComparisonSection
from UltrasoundMotionModuleLib.deformable_registration.input_check import whyNotPair, whyNotSequence
from UltrasoundMotionModuleLib.deformable_registration.logic import DeformableRegistrationLogic
from UltrasoundMotionModuleLib.deformable_registration.preset_choice import PresetChoice
from UltrasoundMotionModuleLib.deformable_registration.sample import (
    HEART_VOLUMES,
    loadSamplePair,
    loadSampleVolumes,
)
from UltrasoundMotionModuleLib.deformable_registration.sample_section import SampleSection
from UltrasoundMotionModuleLib.deformable_registration.summaries import pairSummary, sequenceSummary
from UltrasoundMotionModuleLib.deformable_registration.tasks import PairTask, SequenceTask, showLargestMotion
from UltrasoundMotionModuleLib.shared.background_job import BackgroundJob
from UltrasoundMotionModuleLib.shared.clip import shownFrame
from UltrasoundMotionModuleLib.shared.clip_loading import ClipLoading
from UltrasoundMotionModuleLib.shared.entry_menu import EntryMenu, MenuItem
from UltrasoundMotionModuleLib.shared.homepage import documentationLink
from UltrasoundMotionModuleLib.shared.listed_clips import PROXY_ATTRIBUTE, listedClips, unlistedImages
from UltrasoundMotionModuleLib.shared.module_widget import MotionModuleWidget
from UltrasoundMotionModuleLib.shared.sample_data import HEART, offerSample

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.mrml.displacement_transforms import transform_points
from UltrasoundMotionLib.mrml.registration_comparison import RegisteredPair, put_back_labels
from UltrasoundMotionLib.mrml.registration_nodes import RegistrationNodes
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes, find_sequence_nodes
from UltrasoundMotionLib.mrml.volume_nodes import volume_from_node
from UltrasoundMotionLib.registration.learned.possible_weights import possible_weights
from UltrasoundMotionLib.registration.request import RegisterRequest
from UltrasoundMotionLib.steps import Steps

__all__ = [
    "DeformableRegistration",
    "DeformableRegistrationLogic",
    "DeformableRegistrationTest",
    "DeformableRegistrationWidget",
]

_SWAPPED = (("fixedVolume", "movingVolume"), ("fixedSegmentation", "movingSegmentation"), ("fixedMask", "movingMask"))


class DeformableRegistration(ScriptedLoadableModule):
    """The module's title, help and other metadata."""

    def __init__(self, parent: object) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Deformable Registration")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Ultrasound")]
        parent.dependencies = ["Sequences", "Segmentations"]
        parent.contributors = ["UltrasoundMotion developers"]
        parent.helpText = _(
            "Puts a moving volume onto a fixed one, or holds a sequence still on one of its frames: choose a preset "
            "and the inputs, press Apply. Gives a transform, the warped image, the carried segmentation, a map of "
            "where tissue grows or shrinks, and measures. Hearts and hippocampi in MRI by trained networks, anything "
            "else without training. Not for clinical use."
        ) + documentationLink("Docs/reference/deformable-registration.md")
        parent.acknowledgementText = _("Made by the UltrasoundMotion developers. Apache License 2.0.")
        thumbnail = self.resourcePath("Icons/sample-heart-volumes.png")
        slicer.app.connect(
            "startupCompleted()",
            lambda: offerSample(HEART_VOLUMES.title, thumbnail, lambda: loadSampleVolumes(HEART_VOLUMES).fixed),
        )
        slicer.app.connect("startupCompleted()", _putBackLabelsOfLoadedScenes)


def _putBackLabelsOfLoadedScenes() -> None:
    """Puts labels back in each scene that was saved during a comparison, whether the panel was ever opened or not."""
    slicer.mrmlScene.AddObserver(slicer.mrmlScene.EndImportEvent, lambda scene, _event: put_back_labels(scene))


class DeformableRegistrationWidget(MotionModuleWidget):
    """The panel."""

    title = _("Deformable Registration")

    def makeLogic(self) -> DeformableRegistrationLogic:
        return DeformableRegistrationLogic()

    def setupPanel(self) -> None:
        """Makes the sections of presets, samples and comparison, and the menu of methods; lists clips as sequences."""
        self._task: PairTask | SequenceTask | None = None
        self._methodMenu = EntryMenu(
            self.ui.methodComboBox,
            methods,
            lambda name: setattr(self.parameters, "method", name),
            [MenuItem("", _("As the preset says"), "")],
        )
        self.ui.sequenceSelector.addAttribute("vtkMRMLScalarVolumeNode", PROXY_ATTRIBUTE)  # proxies of sequences only
        self.ui.sequenceSelector.addAttribute("vtkMRMLVectorVolumeNode", PROXY_ATTRIBUTE)
        self._loading = ClipLoading(self, self._chooseClip)
        for button, slot in (
            (self.ui.swapButton, self.onSwap),
            (self.ui.frameShownButton, self.onUseFrameShown),
        ):
            button.connect("clicked()", slot)
        self._samples = SampleSection(self, self._choose, self._chooseClip)
        self._presetChoice = PresetChoice(self.ui, lambda: self.parameters)
        self._comparison = ComparisonSection(self.ui, self._registeredPair)

        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartImportEvent, self.onSceneStartImport)

    def cleanup(self) -> None:
        """Disconnects the sections too."""
        if self.ui is not None:
            self._comparison.disconnect()
            self._samples.disconnect()
            self._presetChoice.disconnect()
        MotionModuleWidget.cleanup(self)

    def exit(self) -> None:
        """Ends the comparison, which changes the views."""
        self._comparison.stop()
        MotionModuleWidget.exit(self)

    def onSceneStartClose(self, caller: object, event: int) -> None:
        """Ends the comparison before its nodes are removed."""
        self._comparison.stop()
        MotionModuleWidget.onSceneStartClose(self, caller, event)

    def onSceneStartImport(self, caller: object, event: int) -> None:
        """Ends the comparison before the views become those of the scene that is loaded."""
        self._comparison.stop()

    def onSceneEndImport(self, caller: object, event: int) -> None:
        """Keeps the preset that was saved, instead of proposing one for the loaded images."""
        self._presetChoice.forget()
        MotionModuleWidget.onSceneEndImport(self, caller, event)

    def selectDefaults(self) -> None:
        """Chooses the only clip of a scene that has no other images, with the preset for sequences."""
        parameters, clips = self.parameters, listedClips(slicer.mrmlScene)
        images = (parameters.fixedVolume, parameters.movingVolume, parameters.sequenceVolume)
        if len(clips) != 1 or any(images) or unlistedImages(slicer.mrmlScene):
            return
        if self._presetChoice.proposeClip(clips[0]):
            self._choose(sequenceVolume=clips[0])

    def onWatchedModified(self, caller: object = None, event: int | None = None) -> None:
        """Proposes a preset where other images were chosen."""
        if self.parameters is not None:
            self._presetChoice.update()
        MotionModuleWidget.onWatchedModified(self, caller, event)

    def _registeredPair(self) -> RegisteredPair | None:
        """Returns the pair to compare; None before there is a result, and for sequences."""
        parameters = self.parameters
        if parameters is None or parameters.preset.value.ofSequence:
            return None
        pair = RegisteredPair(
            parameters.fixedVolume,
            parameters.movingVolume,
            parameters.outputWarped,
            parameters.fixedSegmentation,
            parameters.movingSegmentation,
            parameters.outputSegmentation,
        )
        return pair if pair.is_in_scene else None

    def watchedNodes(self) -> list[tuple[object, int]]:
        """Watches the volumes, and the transforms under which they lie."""
        parameters = self.parameters
        moved = slicer.vtkMRMLTransformableNode.TransformModifiedEvent
        inputs = (parameters.fixedVolume, parameters.movingVolume, parameters.sequenceVolume)
        return [(node, event) for node in inputs for event in (vtk.vtkCommand.ModifiedEvent, moved)]

    def whyNotApply(self) -> str:
        """Asks for inputs, of a pair or of a sequence as the preset says, that fit each other and the outputs."""
        try:
            if self.parameters.preset.value.ofSequence:
                return whyNotSequence(self.parameters, self.logic)
            return whyNotPair(self.parameters, self.logic) or self._methodMenu.whyNot(self.parameters.method)
        except InputError as error:
            return str(error)

    def updatePanel(self) -> None:
        """Shows the widgets of the preset, and enables what its method and the images allow."""
        self._presetChoice.show()
        self._methodMenu.show(self.parameters.method)
        self.ui.refinementComboBox.enabled = isRefinable(self.logic.request(self.parameters).method)
        self._loading.update()
        ofSequence = self.parameters.preset.value.ofSequence
        self.ui.clipLabel.text = self._loading.whyNotListed(self.parameters.sequenceVolume) if ofSequence else ""
        self.ui.frameShownButton.enabled = self._image() is not None
        self._samples.update()
        self._comparison.update()

    def _image(self) -> SequenceNodes | None:
        try:
            return (
                find_sequence_nodes(self.parameters.sequenceVolume)
                if self.parameters.sequenceVolume is not None
                else None
            )
        except InputError:
            return None

    def onSwap(self) -> None:
        """Exchanges fixed and moving."""
        parameters = self.parameters
        was_modifying = parameters.StartModify()
        for fixed, moving in _SWAPPED:
            kept = getattr(parameters, fixed), getattr(parameters, moving)
            setattr(parameters, fixed, kept[1])
            setattr(parameters, moving, kept[0])
        parameters.EndModify(was_modifying)

    def onUseFrameShown(self) -> None:
        """Takes the frame that the views show as the reference."""
        self.parameters.referenceFrame = shownFrame(self._image())

    # The run

    def weightsOfRun(self) -> tuple[Path, ...]:
        """Returns the weights that the method may use on the fixed volume; a sequence needs none."""
        if self.parameters.preset.value.ofSequence:
            return ()
        fixed = volume_from_node(self.parameters.fixedVolume)
        return possible_weights(self.logic.request(self.parameters), fixed)

    def useAnotherMethod(self) -> None:
        """Chooses the default method, which is not trained."""
        self.parameters.method = RegisterRequest.method

    def makeJob(self) -> BackgroundJob:
        """Makes the run of a pair, or of a sequence; a comparison is ended first."""
        self._comparison.stop()
        if self.parameters.preset.value.ofSequence:
            self._task = self.logic.sequenceTask(self.parameters)
            return BackgroundJob(self._task.inSteps(), self, partials=False)
        self._task = self.logic.pairTask(self.parameters)
        return BackgroundJob(self._task.job, self, partials=False)

    def progressUnit(self) -> str | None:
        """Returns steps for a pair, whose progress counts those of its optimisation."""
        isResult = self._showResult == self.showResult  # otherwise a sample or a clip is loaded
        return _("steps") if isResult and isinstance(self._task, PairTask) else None

    def showResult(self, result: object, *, complete: bool) -> Steps[str]:
        """Fills the outputs, and does not offer them as new inputs."""
        try:
            return (yield from self._showing(result, complete=complete))
        finally:
            self._loading.skipNew()  # its outputs are no inputs

    def _showing(self, result: object, *, complete: bool) -> Steps[str]:
        """Fills the outputs of a pair, which is then compared, or of a sequence."""
        if isinstance(self._task, SequenceTask):
            if not complete and result.frames is None:
                return _("Cancelled; {reason}").format(reason=self._task.whyNotShown(result))
            nodes = yield from self._task.showing(result)
            self._choose(motionTransform=nodes.transform.proxy, stillVolume=nodes.still.proxy, motionTable=nodes.table)
            return sequenceSummary(result.registration)
        if not complete and any(self._task.outputs.nodes()):
            return _("Cancelled; the outputs are as they were")
        parameters, pair = self.logic.getParameterNode(), self._task.pair
        isFirst = parameters.outputWarped is None
        self._comparison.hold()
        try:
            nodes = yield from self._task.showing(result)
            self._chooseOutputs(nodes)
        finally:
            self._comparison.release()
        if (parameters.fixedVolume, parameters.movingVolume) == (pair.fixed_node, pair.moving_node):
            self._comparison.begin(isConnected=self.isConnected)
        if isFirst:
            showLargestMotion(pair, result)
        text = pairSummary(result)
        return text if complete else _("Cancelled; the best so far is shown: {summary}").format(summary=text)

    def _chooseOutputs(self, nodes: RegistrationNodes) -> None:
        chosen = {"outputTransform": nodes.transform, "outputWarped": nodes.warped, "outputTable": nodes.table}
        if nodes.jacobian is not None:
            chosen["outputJacobian"] = nodes.jacobian
        if nodes.segmentation is not None:
            chosen["outputSegmentation"] = nodes.segmentation
        self._choose(**chosen)

    def _chooseClip(self, clip: slicer.vtkMRMLVolumeNode) -> None:
        """Chooses a clip and shows it in the Sequences toolbar, since the panel has no buttons that play."""
        self._choose(sequenceVolume=clip)
        slicer.modules.sequences.showSequenceBrowser(find_sequence_nodes(clip).browser)

    def _choose(self, **nodes: slicer.vtkMRMLNode | None) -> None:
        """Chooses nodes (what was made as outputs, so that the next run fills the same); the user may be in another
        module by now.
        """
        parameters = self.logic.getParameterNode()
        was_modifying = parameters.StartModify()
        for name, node in nodes.items():
            setattr(parameters, name, node)
        parameters.EndModify(was_modifying)

    def commandArguments(self) -> tuple[str, ...]:
        """Returns the verb `register` for a pair; refuses a sequence, with the call for the console instead."""
        if self.parameters.preset.value.ofSequence:
            arguments = "..."
            if self.parameters.sequenceVolume is not None:
                name = self.parameters.sequenceVolume.GetName()
                arguments = f"slicer.util.getNode({name!r}), {self.parameters.referenceFrame}"
            call = f"DeformableRegistrationLogic().registerSequence({arguments})"
            raise InputError(_("A sequence is repeated in the Python console: {call}").format(call=call))
        if self.parameters.fixedVolume is None or self.parameters.movingVolume is None:
            raise InputError(self.whyNotApply())
        task = self.logic.pairTask(self.parameters)
        if not task.pair.lies_as_stored:
            raise InputError(
                _(
                    "The volumes stand under different transforms, which their files do not hold: "
                    "harden the transforms and save first"
                )
            )
        return task.job.command


class DeformableRegistrationTest(ScriptedLoadableModuleTest):
    """Tests in the application: two moments of a simulated heart are registered and compared with the truth."""

    def runTest(self) -> None:
        for test in (self.test_sample, self.test_volumes, self.test_loaded_clip):
            slicer.mrmlScene.Clear()
            test()

    def test_volumes(self) -> None:
        """Registers the sample's volumes and compares the labels that were carried with the true ones."""
        sample = loadSampleVolumes(HEART_VOLUMES)
        result = DeformableRegistrationLogic().register(
            sample.fixed,
            sample.moving,
            fixedSegmentation=sample.fixedSegmentation,
            movingSegmentation=sample.movingSegmentation,
            start="none",
        )
        table = result.table.GetTable()
        rows = [row for row in range(table.GetNumberOfRows()) if "Dice" in table.GetValue(row, 0).ToString()]
        self.assertEqual(len(rows), 3)
        for row in rows:
            before, after = (table.GetValue(row, column).ToDouble() for column in (1, 2))
            self.assertGreater(after, max(0.8, before + 0.2))
        self.delayDisplay("The heart's three parts were carried")

    def test_loaded_clip(self) -> None:
        """Loads the sample's clip from its file; the frames are the sample's."""
        loadSamplePair()  # simulates the heart where it is not stored
        clip = DeformableRegistrationLogic().loadClip(HEART.clipFile)
        frames = HEART.read().sequence
        self.assertEqual(clip.sequence.GetNumberOfDataNodes(), HEART.frameCount)
        for frame in (0, HEART.frameCount - 1):
            pixels = slicer.util.arrayFromVolume(clip.sequence.GetNthDataNode(frame))
            self.assertTrue(np.array_equal(np.squeeze(pixels), np.squeeze(np.asarray(frames.frame(frame)))))

    def test_sample(self) -> None:
        """Registers the module's sample and compares with its known truth."""
        sample = loadSamplePair()
        result = DeformableRegistrationLogic().register(sample.fixed, sample.moving, applyTransform=True)
        carried = transform_points(result.transform, sample.moving_points_mm)
        before, after = (
            np.median(np.linalg.norm(points - sample.fixed_points_mm, axis=1))
            for points in (sample.moving_points_mm, carried)
        )
        self.assertLess(after, before / 2)
        self.delayDisplay("End-systole was put onto end-diastole")
