"""Myocardial Tracking: the wall of the left ventricle is marked on one frame, followed through the clip, and its strain
measured.

From the Python console, on a clip and three clicks (hinge, apex, hinge) that are in the scene:

    from MyocardialTracking import MyocardialTrackingLogic

    logic = MyocardialTrackingLogic()
    wall = logic.track(clipNode, clicksNode, view="A4C", queryFrame=0)
    wall.curve                                                  # the curve that plays with the clip
    strain = logic.strain(wall)
    strain.result.measures.gls_percent                          # global longitudinal strain at end-systole
    strain.result.uncertainty.standard_deviation_percent        # how sure that is
    for segment, quality in zip(strain.result.segment_measures, strain.result.quality):
        print(segment.name, segment.end_systolic_percent, quality.accepted, quality.reason)

    from UltrasoundMotionLib.strain import CardiacEvents

    strain = logic.strain(wall, events=CardiacEvents((0, 45), (17,)))    # other events: nothing is tracked anew
    logic.bullsEye(17)                                          # of every apical view that is tracked in the scene
    logic.exportReport(wall, "strain.png")                      # and strain.csv, strain.json
"""

import time

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest
from UltrasoundMotionModuleLib.myocardial_tracking.commands import commandText
from UltrasoundMotionModuleLib.myocardial_tracking.logic import MyocardialTrackingLogic
from UltrasoundMotionModuleLib.myocardial_tracking.sample import addHeart, loadHeart
from UltrasoundMotionModuleLib.myocardial_tracking.strain_section import StrainSection
from UltrasoundMotionModuleLib.myocardial_tracking.wall_section import POINT_EVENTS, WallSection
from UltrasoundMotionModuleLib.shared.background_job import BackgroundJob
from UltrasoundMotionModuleLib.shared.choices import Direction, trackers
from UltrasoundMotionModuleLib.shared.clip import Clip, clipOf, showFrame, whyNotClip
from UltrasoundMotionModuleLib.shared.clip_section import ClipSection, imageOrNone
from UltrasoundMotionModuleLib.shared.command_dialog import showCommand
from UltrasoundMotionModuleLib.shared.entry_menu import EntryMenu
from UltrasoundMotionModuleLib.shared.graphics_overlay import GraphicsOverlay
from UltrasoundMotionModuleLib.shared.homepage import documentationLink
from UltrasoundMotionModuleLib.shared.layout_switch import offerLayouts
from UltrasoundMotionModuleLib.shared.module_widget import MotionModuleWidget
from UltrasoundMotionModuleLib.shared.pytorch_note import PyTorchNote
from UltrasoundMotionModuleLib.shared.sample_data import HEART, registerSample
from UltrasoundMotionModuleLib.shared.tracking import summary, trackInSteps, unsavedFiles

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.mrml.layouts import layout_node
from UltrasoundMotionLib.mrml.tracked_wall import LiveWall, TrackedWall, is_tracked_wall, tracked_wall
from UltrasoundMotionLib.mrml.wall_strain import StrainSettings
from UltrasoundMotionLib.steps import Steps, StepsCancelled, not_cancelled
from UltrasoundMotionLib.tracking import PointTracks
from UltrasoundMotionLib.tracking.request import TrackRequest

__all__ = ["MyocardialTracking", "MyocardialTrackingLogic", "MyocardialTrackingTest", "MyocardialTrackingWidget"]


class MyocardialTracking(ScriptedLoadableModule):
    """The module's title, help and other metadata."""

    def __init__(self, parent: object) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Myocardial Tracking")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Ultrasound")]
        parent.dependencies = ["Markups", "Sequences"]
        parent.contributors = ["UltrasoundMotion developers"]
        parent.helpText = _(
            "Measures strain of the left ventricle: load an echo clip, click hinge, apex and hinge (or draw the wall), "
            "press Track, and play. The wall is coloured by strain; global strain comes with its uncertainty, and "
            "segments that were not tracked well with the reason. Not for clinical use."
        ) + documentationLink("Docs/reference/myocardial-tracking.md")
        parent.acknowledgementText = _("Made by the UltrasoundMotion developers. Apache License 2.0.")
        thumbnail = self.resourcePath("Icons/sample-heart.png")
        slicer.app.connect("startupCompleted()", lambda: registerSample(HEART, thumbnail))
        slicer.app.connect("startupCompleted()", offerLayouts)


class MyocardialTrackingWidget(MotionModuleWidget):
    """The panel."""

    title = _("Myocardial Tracking")

    def makeLogic(self) -> MyocardialTrackingLogic:
        return MyocardialTrackingLogic()

    def setupPanel(self) -> None:
        """Makes the sections of clip, wall and strain, and the menu of trackers; lists tracked walls as results."""
        self._clip: Clip | None = None
        self._live: LiveWall | None = None
        self._clipSection = ClipSection(self)
        self._graphics = GraphicsOverlay(self)
        self._torchNote = PyTorchNote(self.ui.trackerNoteLabel, trackers, self.addTorch)
        self._trackerMenu = EntryMenu(
            self.ui.trackerSelector,
            trackers,
            lambda name: setattr(self.parameters, "tracker", name),
            default=self.logic.entryParameters[0].default,
        )
        self._wallSection = WallSection(self.ui, self.logic, lambda: self.parameters)
        self._strainSection = StrainSection(
            self.ui,
            self.logic,
            self.applyButton.showStatus,
            self.resourcePath("requirements-report.txt"),
            layouts=self.layouts,
            start=self.startSteps,
        )
        self.ui.resultSelector.addAttribute("vtkMRMLMarkupsCurveNode", "Sequences.BaseName")
        for button, slot in (
            (self.ui.sampleDataButton, self.onLoadSample),
            (self.ui.trackAgainButton, self.onTrackAgain),
        ):
            button.connect("clicked()", slot)
        self.ui.correctButton.connect("toggled(bool)", self.onCorrect)

    def cleanup(self) -> None:
        """Disconnects the sections too."""
        MotionModuleWidget.cleanup(self)
        if self.ui is not None:
            self._clipSection.disconnect()
            self._graphics.disconnect()
            self._torchNote.disconnect()
            self._trackerMenu.disconnect()
            self._wallSection.disconnect()
            self._strainSection.disconnect()

    def setParameterNode(self, parameters: object) -> None:
        """Gives the wall's section the parameters, and makes that of strain forget its nodes with the scene."""
        self._wallSection.enter(parameters)
        if parameters is None:
            self._strainSection.forget()
        MotionModuleWidget.setParameterNode(self, parameters)

    def enter(self) -> None:
        """Shows the bull's-eye again where the charts are shown."""
        MotionModuleWidget.enter(self)
        self._strainSection.enter()

    def exit(self) -> None:
        """Takes the bull's-eye out of its view, and shows what is hidden while the clip plays."""
        self._strainSection.leave()
        self._clipSection.leave()
        MotionModuleWidget.exit(self)

    def selectDefaults(self) -> None:
        """Chooses the scene's only clip."""
        if self.parameters.inputClip is None:
            self.parameters.inputClip = self._clipSection.onlyClip()

    def whyNotApply(self) -> str:
        """Asks for a clip and a marked wall on it that is no result."""
        parameters = self.parameters
        if parameters.inputClip is None:
            return _("Select an ultrasound clip, or load one or the sample")
        reason = whyNotClip(parameters.inputClip)
        if reason:
            return reason
        if parameters.contour is None:
            around = parameters.view.isShortAxis
            return (
                _("Draw the wall on the frame shown, once around")
                if around
                else _("Click hinge, apex and hinge, or draw the wall")
            )
        if parameters.contour == parameters.trackedWall or is_tracked_wall(parameters.contour):
            return _("The marked wall is the result of a run; choose what you clicked or drew")
        marked = self._wallSection.made()
        return marked if isinstance(marked, str) else self._trackerMenu.whyNot(parameters.tracker)

    def needsTorch(self) -> bool:
        """Returns True for trackers that are networks."""
        return trackers().find(self.parameters.tracker).needs_pytorch

    def watchedNodes(self) -> list[tuple[object, int]]:
        """Watches the frame shown, the layout, and the contour's points."""
        image = imageOrNone(self.parameters.inputClip)
        contour = [(self.parameters.contour, event) for event in POINT_EVENTS]
        nodes = (image.browser if image is not None else None, layout_node(slicer.mrmlScene))
        return [*((node, vtk.vtkCommand.ModifiedEvent) for node in nodes), *contour]

    def onParametersModified(self, caller: object = None, event: int | None = None) -> None:
        """Looks at the contour first, which may be another one."""
        self._wallSection.contourMayHaveChanged()
        MotionModuleWidget.onParametersModified(self, caller, event)

    def onWatchedModified(self, caller: object = None, event: int | None = None) -> None:
        """Notes where points of the contour were moved."""
        self._wallSection.pointsChanged(caller)
        MotionModuleWidget.onWatchedModified(self, caller, event)

    def updatePanel(self) -> None:
        """Updates the sections; a wall can be corrected, and its strain changed, where nothing runs."""
        parameters = self.parameters
        self._clipSection.update(parameters.inputClip)
        self._graphics.update(imageOrNone(parameters.inputClip))
        self._wallSection.update()
        self._trackerMenu.show(parameters.tracker)
        self._torchNote.update()
        self.ui.sampleDataButton.enabled = self.run is None
        wall = self._wallOrNone() if self.run is None else None
        for button in (self.ui.correctButton, self.ui.trackAgainButton):
            button.enabled = wall is not None
        if self.run is None:
            self.ui.correctButton.checked = wall is not None and not wall.curve.GetLocked()
        if self.run is None or self.isChanging:
            choices, count = self._strainChoices(), parameters.segmentCount.value
            self._strainSection.update(self._wallOrNone(), choices, segmentCount=count)

    def _strainChoices(self) -> dict[str, bool]:
        parameters = self.parameters
        return {
            "compensate_drift": parameters.compensateDrift,
            "landmarks": parameters.addLandmarks,
            "mirrored": parameters.mirrored,
        }

    def _wallOrNone(self) -> TrackedWall | None:
        curve = self.parameters.trackedWall
        return tracked_wall(curve) if curve is not None and is_tracked_wall(curve) else None

    # Track

    def makeJob(self) -> BackgroundJob:
        """Makes the run that follows the marked wall; the result of this clip's last run is replaced."""
        marked = self._wallSection.follow()
        self._clip = marked.clip
        before = self._wallOrNone()
        if before is not None and before.image.sequence is not marked.clip.nodes.sequence:
            before = None  # another clip, as another view of the same heart: its result stays
        self._showSystole = True
        self._live, self._before = marked.live(before.curve.GetName() if before is not None else None), before
        self._settings = StrainSettings().with_choices(**self._strainChoices())
        return self._job(marked.points_px, marked.labels, self.logic.request(self.parameters, marked.contour.frame))

    def onTrackAgain(self) -> None:
        """Follows the points that were moved on the frame shown again from there."""
        self.startRun(self._makeJobAgain)

    def _makeJobAgain(self) -> BackgroundJob:
        wall = tracked_wall(self.parameters.trackedWall)
        self._showSystole = False  # the user goes on where points were moved
        self._clip, self._before, self._settings = clipOf(wall.image.sequence), None, None
        labels, points = wall.to_follow(self._clip.sequence, self._clip.shownFrame)
        self._live = LiveWall.of_wall(wall, self._clip.sequence)
        return self._job(points, labels, self.logic.request(self.parameters, self._clip.shownFrame, Direction.FORWARD))

    def _job(self, points_px: np.ndarray, labels: tuple[str, ...], request: TrackRequest) -> BackgroundJob:
        self._startedAt = time.perf_counter()
        return BackgroundJob(trackInSteps(self._clip, points_px, labels, request), self)

    def onPartial(self, result: PointTracks) -> Steps[None]:
        """Adds frames to the wall, the first of which replaces the result of the last run."""
        yield from self._live.showing(result)
        if self._live.wall is not None:
            self.logic.getParameterNode().trackedWall = self._live.wall.curve
            before, self._before = self._before, None
            if before is not None and before.curve.GetScene() is not None:
                yield from before.removing()

    def showResult(self, result: PointTracks, *, complete: bool) -> Steps[str]:
        """Shows all frames, then strain, at end-systole after a new run."""
        yield from not_cancelled(self.onPartial(result))
        text = summary(result, time.perf_counter() - self._startedAt)
        wall = self._live.wall
        if wall is not None:
            settings = self._settings or StrainSettings.of_wall(wall)  # which the reader may have changed meanwhile
            try:
                text = "; ".join([(yield from self._strainSection.showingWall(wall, settings)), text])
            except StepsCancelled:
                complete, text = False, "; ".join([text, _("the coloured wall, tables and chart were not made")])
            if self._showSystole and self._strainSection.strain is not None:
                # strain is 0 at end-diastole, where the band has no colour yet
                showFrame(self._clip.nodes, self._strainSection.strain.result.cycle.end_systole_frame)
        return text if complete else _("Cancelled; kept {summary}").format(summary=text)

    def onCorrect(self, on: bool) -> None:
        """Shows and unlocks the points of the wall, or hides and locks them again."""
        wall = self._wallOrNone() if self.parameters is not None else None
        if wall is not None and bool(wall.curve.GetLocked()) == on:
            wall.set_editable(on)
            if on:
                self._wallSection.showTracked()
                self.applyButton.showStatus(
                    _(
                        "Drag a point to where it should be on the frame shown, then press "
                        "\u201cTrack again from here\u201d"
                    )
                )

    # Sample, command

    def onLoadSample(self) -> None:
        """Loads the sample clip with its clicks, or simulates it first."""
        self.loadSample(HEART, self._selectSample)

    def _selectSample(self) -> None:
        sample, parameters = addHeart(), self.logic.getParameterNode()
        parameters.trackedWall = None
        self._clipSection.choose(sample.clip.proxy)
        parameters.contour = sample.clicks

    def onShowCommand(self) -> None:
        """Shows the commands `track` and `strain`, and the files that they need."""
        with slicer.util.tryWithErrorDisplay(_("There is no command to show yet.")):
            reason = self.whyNotApply()
            if reason:
                raise InputError(reason)
            marked = self._wallSection.make()
            notes = unsavedFiles(marked.clip.nodes.sequence)
            request = self.logic.request(self.parameters, marked.contour.frame)
            text = commandText(marked, request, self.parameters, self._strainSection.wall)
            showCommand(self.title, text, notes)


class MyocardialTrackingTest(ScriptedLoadableModuleTest):
    """Tests in the application: the sample's wall is tracked, and its strain is near the truth."""

    def runTest(self) -> None:
        for test in (self.test_sample, self.test_loaded_clip):
            slicer.mrmlScene.Clear()
            test()

    def test_loaded_clip(self) -> None:
        """Loads the sample's clip from its file and measures the strain of the same wall in it."""
        clicks, logic = loadHeart().clicks, MyocardialTrackingLogic()
        clip = logic.loadClip(HEART.clipFile)
        strain = logic.strain(logic.track(clip.proxy, clicks))
        self.assertAlmostEqual(strain.result.measures.gls_percent, -18.0, delta=3.0)
        self.delayDisplay("Strain was measured in a clip that was loaded from a file")

    def test_sample(self) -> None:
        """Measures strain of the module's sample and compares with its known truth."""
        sample, logic = loadHeart(), MyocardialTrackingLogic()
        strain = logic.strain(logic.track(sample.clip.proxy, sample.clicks))
        self.assertAlmostEqual(strain.result.measures.gls_percent, -18.0, delta=3.0)
        self.delayDisplay("Strain was measured")
