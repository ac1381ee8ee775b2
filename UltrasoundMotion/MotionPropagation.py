"""Motion Propagation: an object that is drawn on one frame is carried along with a motion to every frame.

From the Python console, on a motion (a registered sequence, or tracked points) and a segmentation in the scene:

    from MotionPropagation import MotionPropagationLogic

    logic = MotionPropagationLogic()
    result = logic.carry(motionNode, segmentationNode, frame=0)
    result.nodes.proxy                                  # the segmentation that plays with the image
    result.measureNodes.table                           # volumes or areas over time
    logic.export(result.nodes.proxy, "heart", "nrrd")   # one file for each frame
    logic.smoothMotion(motionNode, 1.5, periodic=True)  # also invertMotion, meanMotion
"""

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest
from UltrasoundMotionModuleLib.motion_propagation.logic import MotionPropagationLogic
from UltrasoundMotionModuleLib.motion_propagation.result_section import ResultSection
from UltrasoundMotionModuleLib.motion_propagation.sample import addPropagationSample, loadPropagationSample
from UltrasoundMotionModuleLib.motion_propagation.tasks import MeasuredObject
from UltrasoundMotionModuleLib.motion_propagation.transforms_section import TransformsSection
from UltrasoundMotionModuleLib.shared.background_job import BackgroundJob, computedHere
from UltrasoundMotionModuleLib.shared.clip import shownFrame
from UltrasoundMotionModuleLib.shared.clip_section import imageOrNone
from UltrasoundMotionModuleLib.shared.homepage import documentationLink
from UltrasoundMotionModuleLib.shared.listed_clips import PROXY_ATTRIBUTE
from UltrasoundMotionModuleLib.shared.module_widget import MotionModuleWidget
from UltrasoundMotionModuleLib.shared.sample_data import HEART

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.mrml.carried_object import check_object
from UltrasoundMotionLib.mrml.object_motion import ObjectMotion, find_motion, image_of_browser
from UltrasoundMotionLib.mrml.views import show_over
from UltrasoundMotionLib.steps import Steps

__all__ = ["MotionPropagation", "MotionPropagationLogic", "MotionPropagationTest", "MotionPropagationWidget"]

_MOTION_CLASSES = ("vtkMRMLTransformNode", "vtkMRMLMarkupsFiducialNode", "vtkMRMLMarkupsCurveNode")


class MotionPropagation(ScriptedLoadableModule):
    """The module's title, help and other metadata."""

    def __init__(self, parent: object) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Motion Propagation")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Ultrasound")]
        parent.dependencies = ["Sequences", "Segmentations", "Markups"]
        parent.contributors = ["UltrasoundMotion developers"]
        parent.helpText = _(
            "Carries what is drawn on one frame to every frame: choose a motion (a registered sequence, or points that "
            "were tracked) and a segmentation, model, curve, points or volume, press Carry along, and play. The "
            "result can be edited frame by frame; volumes, areas and lengths over time come with it. Means, inverses "
            "and smoothing of transform sequences too. Not for clinical use."
        ) + documentationLink("Docs/reference/motion-propagation.md")
        parent.acknowledgementText = _("Made by the UltrasoundMotion developers. Apache License 2.0.")


class MotionPropagationWidget(MotionModuleWidget):
    """The panel."""

    title = _("Motion Propagation")

    def makeLogic(self) -> MotionPropagationLogic:
        return MotionPropagationLogic()

    def setupPanel(self) -> None:
        """Makes the sections of the result and of transforms; lists only motions that play."""
        self._browser: slicer.vtkMRMLSequenceBrowserNode | None = None
        for name in _MOTION_CLASSES:
            self.ui.motionSelector.addAttribute(name, PROXY_ATTRIBUTE)  # what plays only
        self.ui.transformsSelector.addAttribute("vtkMRMLTransformNode", PROXY_ATTRIBUTE)
        self._result = ResultSection(self)
        self._transforms = TransformsSection(self)
        for button, slot in (
            (self.ui.sampleDataButton, self.onLoadSample),
            (self.ui.frameShownButton, self.onUseFrameShown),
        ):
            button.connect("clicked()", slot)

    def cleanup(self) -> None:
        """Disconnects the sections too."""
        MotionModuleWidget.cleanup(self)
        if self.ui is not None:
            self._result.disconnect()
            self._transforms.disconnect()

    def setParameterNode(self, parameters: object) -> None:
        """Makes the result's section forget its nodes when the scene is closed."""
        if parameters is None:
            self._result.forget()
        MotionModuleWidget.setParameterNode(self, parameters)

    def whyNotApply(self) -> str:
        """Asks for a motion, and for an object that it can carry from the frame."""
        parameters = self.parameters
        if parameters.motion is None:
            return _("Choose a motion: register a sequence or track points first, or load the sample")
        try:
            motion = self._motion()
            if parameters.object is None:
                return _("Choose what is carried along: a segmentation, model, curve, points or volume on one frame")
            motion.check(parameters.frame)
            check_object(parameters.object, motion)
        except InputError as error:
            return str(error)
        return ""

    def _motion(self) -> ObjectMotion:
        return find_motion(self.parameters.motion, self.parameters.take.value)

    def watchedNodes(self) -> list[tuple[object, int]]:
        # Not the motion's proxy or browser, which change with each frame that is played: nothing here depends on it.
        image, moved = imageOrNone(self.parameters.motion), slicer.vtkMRMLTransformableNode.TransformModifiedEvent
        changed = vtk.vtkCommand.ModifiedEvent
        return [
            (image.sequence if image is not None else None, changed),
            *((self.parameters.object, event) for event in (changed, moved)),
        ]

    def updatePanel(self) -> None:
        """Shows the motion's player and length, and updates the sections."""
        parameters, ui = self.parameters, self.ui
        image = imageOrNone(parameters.motion)
        browser = image.browser if image is not None else None
        if browser is not self._browser:
            self._browser = browser
            ui.playWidget.setMRMLSequenceBrowserNode(browser)
            ui.seekWidget.setMRMLSequenceBrowserNode(browser)
        isTransform = parameters.motion is not None and parameters.motion.IsA("vtkMRMLTransformNode")
        for widget in (ui.takeLabel, ui.takeComboBox):
            widget.visible = isTransform
        ui.motionLabel.text = _motionText(image)
        ui.frameShownButton.enabled = image is not None
        ui.sampleDataButton.enabled = self.run is None
        self._result.update()
        self._transforms.update()

    def onUseFrameShown(self) -> None:
        """Takes the frame that the views show as that on which the object is drawn."""
        self.parameters.frame = shownFrame(imageOrNone(self.parameters.motion))

    # The run

    def onApply(self) -> None:
        """Starts a run without further packages."""
        self.startRun(self.makeJob, ensure=lambda: None)  # Slicer's own packages are enough

    def makeJob(self) -> BackgroundJob:
        """Makes the run that carries the object along, in this process."""
        self._object = self.parameters.object
        return BackgroundJob(computedHere(self.logic.carryTask(self.parameters)), self)

    def showResult(self, result: MeasuredObject, *, complete: bool) -> Steps[str]:
        """Chooses the carried object as the result, and shows it in place of the object."""
        yield 0, 1, _("Showing the result")
        parameters, proxy = self.logic.getParameterNode(), result.nodes.proxy
        self._show(result)
        parameters.carried = proxy
        self._result.show(result)
        text = _("{name} is on {count} frames; press play")
        return "; ".join(
            [text.format(name=proxy.GetName(), count=result.nodes.sequence.GetNumberOfDataNodes()), *result.notes]
        )

    def _show(self, result: MeasuredObject) -> None:
        """Shows the result in place of the object, which would lie still over it."""
        if not result.nodes.proxy.IsA("vtkMRMLVolumeNode"):
            self._object.SetDisplayVisibility(False)
            result.nodes.proxy.SetDisplayVisibility(True)  # also where the object was hidden by an earlier run
            return
        image = image_of_browser(find_motion(self.parameters.motion).nodes)
        if image is not None and not result.nodes.proxy.IsA("vtkMRMLLabelMapVolumeNode"):
            show_over(image, result.nodes.proxy)

    # Sample, command

    def onLoadSample(self) -> None:
        """Loads the simulated heart with its wall points and a segmentation, or simulates it first."""
        self.loadSample(HEART, self._selectSample)

    def _selectSample(self) -> None:
        sample, parameters = addPropagationSample(), self.logic.getParameterNode()
        was_modifying = parameters.StartModify()
        parameters.motion, parameters.object, parameters.frame = sample.motion.proxy, sample.segmentation, 0
        parameters.carried = None
        parameters.EndModify(was_modifying)
        if self.isConnected:
            self.layouts.showClip(sample.clip.proxy)

    def commandArguments(self) -> tuple[str, ...]:
        """Raises InputError with the call for the console: no command does this."""
        parameters = self.parameters
        names = [repr(node.GetName()) for node in (parameters.motion, parameters.object)]
        motion, carried = (f"slicer.util.getNode({name})" for name in names)
        call = f"MotionPropagationLogic().carry({motion}, {carried}, {parameters.frame})"
        raise InputError(_("This is repeated in the Python console: {call}").format(call=call))


class MotionPropagationTest(ScriptedLoadableModuleTest):
    """Tests in the application: the sample's segmentation is carried along and keeps to the beating wall."""

    def runTest(self) -> None:
        slicer.mrmlScene.Clear()
        self.test_sample()

    def test_sample(self) -> None:
        """Carries the module's sample along; the cavity of the simulated heart shrinks by its known share."""
        sample = loadPropagationSample()
        result = MotionPropagationLogic().carry(sample.motion.proxy, sample.segmentation, 0)
        areas = {column.name: column.values for column in result.measures.columns}
        cavity = next(values for name, values in areas.items() if name.startswith(_("cavity")))
        self.assertEqual(len(cavity), sample.clip.sequence.GetNumberOfDataNodes())
        self.assertLess(np.min(cavity), 0.75 * cavity[0])
        self.delayDisplay("The segmentation was carried along")


def _motionText(nodes: object) -> str:
    """`50 frames` and, for points, how many there are."""
    if nodes is None:
        return ""
    count = nodes.sequence.GetNumberOfDataNodes()
    if not nodes.proxy.IsA("vtkMRMLMarkupsNode"):
        return _("{count} frames").format(count=count)
    text = _("{count} frames, {points} points; what lies among them moves by interpolation")
    return text.format(count=count, points=nodes.proxy.GetNumberOfControlPoints())
