"""Landmark Tracking: points placed on one frame of an ultrasound clip are followed through all the others.

From the Python console, on a clip and points that are in the scene:

    from LandmarkTracking import LandmarkTrackingLogic

    logic = LandmarkTrackingLogic()
    result = logic.track(clipNode, pointsNode, model="lucas-kanade", queryFrame=0)
    result.landmarks.proxy                                      # the points that play with the clip
    result.landmarks.browser.SetSelectedItemNumber(5)           # are now where they are on frame 5
    result.landmarks.proxy.SetNthControlPointPosition(0, *somewhereElse)
    result = logic.trackAgain(result.landmarks.proxy)           # follows that point anew from frame 5 on
    logic.exportCsv(result.landmarks.proxy, "tracks.csv")
"""

import importlib.util
import time

import numpy as np
import slicer
import vtk
from slicer import vtkMRMLMarkupsNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest
from UltrasoundMotionModuleLib.landmark_tracking.annotation_section import AnnotationSection
from UltrasoundMotionModuleLib.landmark_tracking.landmarks_section import LandmarksSection
from UltrasoundMotionModuleLib.landmark_tracking.live_section import LiveSection
from UltrasoundMotionModuleLib.landmark_tracking.logic import Corrections, LandmarkTrackingLogic
from UltrasoundMotionModuleLib.landmark_tracking.placement_section import PlacementSection
from UltrasoundMotionModuleLib.landmark_tracking.result_section import ResultSection
from UltrasoundMotionModuleLib.shared.background_job import BackgroundJob
from UltrasoundMotionModuleLib.shared.choices import Direction, seesWholeClip, trackers
from UltrasoundMotionModuleLib.shared.clip import Clip, whyNotClip
from UltrasoundMotionModuleLib.shared.clip_file_reader import ClipFileReader
from UltrasoundMotionModuleLib.shared.clip_section import ClipSection, imageOrNone
from UltrasoundMotionModuleLib.shared.entry_menu import EntryMenu
from UltrasoundMotionModuleLib.shared.graphics_overlay import GraphicsOverlay
from UltrasoundMotionModuleLib.shared.homepage import documentationLink
from UltrasoundMotionModuleLib.shared.layout_switch import offerLayouts
from UltrasoundMotionModuleLib.shared.module_widget import MotionModuleWidget
from UltrasoundMotionModuleLib.shared.pytorch_note import PyTorchNote
from UltrasoundMotionModuleLib.shared.sample_data import LIVER, addSample, loadSample, registerSample
from UltrasoundMotionModuleLib.shared.tracking import offPlaneNotes, summary, trackCommand, trackInSteps, unsavedFiles

from UltrasoundMotionLib.mrml.layouts import layout_node
from UltrasoundMotionLib.mrml.live_tracks import LiveTracks
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes, find_sequence_nodes
from UltrasoundMotionLib.mrml.track_links import is_result, link_results, removing_results
from UltrasoundMotionLib.mrml.track_nodes import adding_landmarks
from UltrasoundMotionLib.mrml.tracking_results import renewing_derived
from UltrasoundMotionLib.steps import Steps, StepsCancelled, not_cancelled
from UltrasoundMotionLib.tracking import PointTracks
from UltrasoundMotionLib.tracking.request import TrackRequest

__all__ = [
    "LandmarkTracking",
    "LandmarkTrackingFileReader",
    "LandmarkTrackingLogic",
    "LandmarkTrackingTest",
    "LandmarkTrackingWidget",
]


class LandmarkTracking(ScriptedLoadableModule):
    """The module's title, help and other metadata."""

    def __init__(self, parent: object) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Landmark Tracking")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Ultrasound")]
        parent.dependencies = ["Markups", "Sequences"]
        parent.contributors = ["UltrasoundMotion developers"]
        parent.helpText = _(
            "Follows points through an ultrasound clip: load a clip, place points on the tissue in one frame, press "
            "Track, and play. A point that went astray is dragged back and tracked again from there. "
            "Not for clinical use."
        ) + documentationLink("Docs/reference/landmark-tracking.md")
        parent.acknowledgementText = _("Made by the UltrasoundMotion developers. Apache License 2.0.")
        thumbnail = self.resourcePath("Icons/sample-liver.png")
        slicer.app.connect("startupCompleted()", lambda: registerSample(LIVER, thumbnail))
        slicer.app.connect("startupCompleted()", offerLayouts)


class LandmarkTrackingWidget(MotionModuleWidget):
    """The panel."""

    title = _("Landmark Tracking")

    def makeLogic(self) -> "LandmarkTrackingLogic":
        return LandmarkTrackingLogic()

    def setupPanel(self) -> None:
        """Makes the sections of clip, landmarks, result, corrections, live tracking and placement."""
        self._clip: Clip | None = None
        self._live: LiveTracks | None = None
        self._notes: list[str] = []
        self._again: Corrections | None = None
        self._clipSection = ClipSection(self)
        self._graphics = GraphicsOverlay(self)
        self._torchNote = PyTorchNote(self.ui.trackerNoteLabel, trackers, self.addTorch)
        self._trackerMenu = EntryMenu(
            self.ui.trackerSelector,
            trackers,
            lambda name: setattr(self.parameters, "tracker", name),
            default=self.logic.entryParameters[0].default,
        )
        self._landmarksSection = LandmarksSection(self.ui, lambda: self.parameters, self._resultOrNone)
        self._annotationSection = AnnotationSection(self, self._resultOrNone)
        self._resultSection = ResultSection(self, self._resultOrNone, self._landmarksSection, self._annotationSection)
        self.liveSection = LiveSection(self)
        self._placementSection = PlacementSection(self)
        for button, slot in (
            (self.ui.sampleDataButton, self.onLoadSample),
            (self.ui.trackAgainButton, self.onTrackAgain),
        ):
            button.connect("clicked()", slot)
        if self.parent.isEntered:  # after Reload, which does not enter the module again
            self._annotationSection.enter()

    def cleanup(self) -> None:
        """Ends placing and the live session, and disconnects the sections."""
        if self.ui is not None:
            self._landmarksSection.stopPlacing()
            self._landmarksSection.disconnect()
            self._resultSection.disconnect()
            self._annotationSection.disconnect()
            self.liveSection.disconnect()
            self._placementSection.disconnect()
        MotionModuleWidget.cleanup(self)
        if self.ui is not None:
            self._graphics.disconnect()
            self._torchNote.disconnect()
            self._clipSection.disconnect()  # last: the panel, which follows a clip that plays, is disconnected

    def setParameterNode(self, parameters: object) -> None:
        """Makes the sections forget their nodes when the scene is closed."""
        if parameters is None and self.ui is not None:
            self._landmarksSection.forget()
            self._annotationSection.forget()
            self.liveSection.forget()
        MotionModuleWidget.setParameterNode(self, parameters)

    def enter(self) -> None:
        """Makes the keys of corrections work."""
        MotionModuleWidget.enter(self)
        self._annotationSection.enter()

    def exit(self) -> None:
        """Ends the keys and placing, and shows what is hidden while the clip plays."""
        self._annotationSection.exit()
        self._landmarksSection.stopPlacing()
        self._clipSection.leave()
        MotionModuleWidget.exit(self)

    def selectDefaults(self) -> None:
        """Chooses the scene's only clip."""
        if self.parameters.inputClip is None and self._clipSection.onlyClip() is not None:
            self.parameters.inputClip = self._clipSection.onlyClip()

    def whyNotApply(self) -> str:
        """Asks for a clip, and for landmarks on it that are no result."""
        parameters = self.parameters
        if parameters.inputClip is None:
            return _("Select an ultrasound clip, or load one or the sample")
        return (
            whyNotClip(parameters.inputClip) or self._whyNotLandmarks() or self._trackerMenu.whyNot(parameters.tracker)
        )

    def _whyNotLandmarks(self) -> str:
        parameters = self.parameters
        if parameters.landmarks is None:
            return _("Press \u201cPlace landmarks\u201d and click on the tissue in the frame shown")
        if parameters.landmarks == parameters.trackedLandmarks:
            return _(
                "The landmarks to follow are the result of a run; choose the points that you placed, or "
                "\u201cCreate new\u201d as the result"
            )
        if parameters.landmarks.GetNumberOfDefinedControlPoints() == 0:
            return _("Place at least one landmark on the tissue in the frame shown")
        return ""

    def needsTorch(self) -> bool:
        """Returns True for trackers that are networks."""
        return trackers().find(self.parameters.tracker).needs_pytorch

    def watchedNodes(self) -> list[tuple[object, int]]:
        """Watches the frame shown, the layout, and the landmarks' points as they are placed."""
        image = imageOrNone(self.parameters.inputClip)
        browser = image.browser if image is not None else None
        points = (
            vtkMRMLMarkupsNode.PointPositionDefinedEvent,
            vtkMRMLMarkupsNode.PointPositionUndefinedEvent,
            vtkMRMLMarkupsNode.PointRemovedEvent,
            vtkMRMLMarkupsNode.PointEndInteractionEvent,
        )
        nodes = (browser, layout_node(slicer.mrmlScene))
        return [
            *((node, vtk.vtkCommand.ModifiedEvent) for node in nodes),
            *((self.parameters.landmarks, event) for event in points),
        ]

    def updatePanel(self) -> None:
        """Updates the sections; enables options that the tracker has."""
        self._clipSection.update(self.parameters.inputClip)
        image = imageOrNone(self.parameters.inputClip)
        self._graphics.update(image)
        self._landmarksSection.update(image)
        self._trackerMenu.show(self.parameters.tracker)
        self._torchNote.update()
        frameByFrame = not seesWholeClip(self.parameters.tracker)
        self.ui.shadowsCheckBox.enabled = self.ui.offlineCheckBox.enabled = frameByFrame
        self.ui.aheadSpinBox.enabled = frameByFrame and not self.parameters.offline  # the whole clip is known then
        self._resultSection.update()
        self._annotationSection.update()
        self._placementSection.update()

    def _resultOrNone(self) -> SequenceNodes | None:
        tracked = self.parameters.trackedLandmarks
        return find_sequence_nodes(tracked) if tracked is not None and is_result(tracked) else None

    # The run

    def makeJob(self) -> BackgroundJob:
        """Makes the run that follows the landmarks from the frame on which they were placed."""
        parameters = self.parameters
        self._clip, points = self.logic.input(parameters.inputClip, parameters.landmarks)
        self._live = LiveTracks(self._clip.sequence, self._addLandmarks)
        self._notes, self._again = offPlaneNotes(points), None
        request = self.logic.request(parameters, self._landmarksSection.queryFrame(self._clip.nodes))
        return self._job(points.points_px, points.labels, request)

    def onTrackAgain(self) -> None:
        """Follows the points that were moved on the frame shown again from there."""
        self.startRun(self._makeJobAgain)

    def _makeJobAgain(self) -> BackgroundJob:
        tracked = self.parameters.trackedLandmarks
        found = self._again = self.logic.corrections(tracked)
        self._notes = []
        self._clip, self._live = found.clip, LiveTracks(found.clip.sequence, nodes=found.landmarks)
        direction = Direction.BACKWARD if self.parameters.direction is Direction.BACKWARD else Direction.FORWARD
        return self._job(found.points_px, found.labels, self.logic.request(self.parameters, found.frame, direction))

    def _job(self, points_px: np.ndarray, labels: tuple[str, ...], request: TrackRequest) -> BackgroundJob:
        self._startedAt = time.perf_counter()
        return BackgroundJob(trackInSteps(self._clip, points_px, labels, request), self)

    def _addLandmarks(self, tracks: PointTracks) -> Steps[SequenceNodes]:
        """Adds the first frames of a new run and then removes the result of the last one, unless it is hand work."""
        before = self.parameters.trackedLandmarks
        if before is not None and is_result(before) and self.logic.isHandWork(before):
            self._notes.append(_("the corrected result {name} was kept").format(name=before.GetName()))
            before = None
        name = before.GetName() if before is not None else None
        landmarks = yield from adding_landmarks(self._clip.nodes, self._clip.sequence, tracks, name=name)
        if name is not None:
            landmarks.proxy.SetName(name)  # the scene has given it a number
        link_results(self._clip.nodes, landmarks)
        self.parameters.trackedLandmarks = landmarks.proxy
        if before is not None and before.GetScene() is not None and is_result(before):
            yield from removing_results(find_sequence_nodes(before))
        return landmarks

    def onPartial(self, result: PointTracks) -> Steps[None]:
        """Shows the frames that are tracked so far."""
        return self._live.showing(result)

    def showResult(self, result: PointTracks, *, complete: bool) -> Steps[str]:
        """Shows all frames, then draws paths, tables and chart, which a cancelled run goes without."""
        yield from not_cancelled(self._live.showing(result))
        if self._again is not None:
            self._rememberAgain(self._again, result)
        try:
            yield from renewing_derived(
                self._clip.nodes, self._clip.sequence, self._live.nodes, trajectories=self.parameters.drawPaths
            )
        except StepsCancelled:
            complete = False
            self._notes.append(_("paths, tables and chart were not made"))
        text = "; ".join([summary(result, time.perf_counter() - self._startedAt), *self._notes])
        return text if complete else _("Cancelled; kept {summary}").format(summary=text)

    def _rememberAgain(self, found: Corrections, result: PointTracks) -> None:
        """Stores what was followed anew, unless the run was cancelled half way."""
        backward = self.parameters.direction is Direction.BACKWARD
        ahead = result.reached[: found.frame + 1] if backward else result.reached[found.frame :]
        if ahead.all():
            direction = "backward" if backward else "forward"
            tracked = found.landmarks.proxy
            self.logic.rememberTrackedAgain(tracked, found.frame, found.labels, found.points_px, direction)

    def onLoadSample(self) -> None:
        """Loads the sample clip with its points."""
        self.loadSample(LIVER, self._selectSample)

    def _selectSample(self) -> None:
        sample = addSample(LIVER)
        self.parameters.trackedLandmarks = None
        self._clipSection.choose(sample.clip.proxy)
        self.parameters.landmarks = sample.points

    def commandNotes(self) -> str:
        """Names the inputs that are not saved yet."""
        return unsavedFiles(find_sequence_nodes(self.parameters.inputClip).sequence, self.parameters.landmarks)

    def commandArguments(self) -> tuple[str, ...]:
        """Returns the verb `track` with the landmarks as they lie now."""
        parameters = self.parameters
        clip, points = self.logic.input(parameters.inputClip, parameters.landmarks)
        request = self.logic.request(parameters, self._landmarksSection.queryFrame(clip.nodes))
        return trackCommand(clip, points.points_px, points.labels, parameters.landmarks, request)


class LandmarkTrackingFileReader(ClipFileReader):
    """Offers "Ultrasound clip (UltrasoundMotion)" where files are added; Slicer finds the class by its name."""


class LandmarkTrackingTest(ScriptedLoadableModuleTest):
    """Tests in the application: the sample is tracked, a point is moved and tracked again; a clip is loaded from its
    file and tracked; a point is corrected on several frames.
    """

    def runTest(self) -> None:
        for test in (self.test_sample, self.test_loaded_clip, self.test_corrections):
            slicer.mrmlScene.Clear()
            test()

    def test_corrections(self) -> None:
        """Corrects a point on two frames, tracks it through both, and takes all of it back."""
        if importlib.util.find_spec("torch") is None:
            self.skipTest("needs PyTorch: open Landmark Tracking and press Track once, which installs it")
        sample, logic = loadSample(LIVER), LandmarkTrackingLogic()
        tracked = logic.track(sample.clip.proxy, sample.points).landmarks.proxy
        before = logic.tracks(tracked)
        label, last = before.labels[0], before.positions_px.shape[0] - 1
        logic.placePoint(tracked, label, before.positions_px[last // 2, 0] + [2.0, 0.0], last // 2)
        logic.acceptFrame(tracked, last)
        logic.markLost(tracked, label, [last // 4])
        logic.trackCorrected(tracked)
        found = logic.tracks(tracked)
        self.assertAlmostEqual(
            found.positions_px[last // 2, 0, 0], before.positions_px[last // 2, 0, 0] + 2.0, places=3
        )
        self.assertFalse(found.visible[last // 4, 0])
        self.delayDisplay("A landmark was followed through corrected frames")
        while logic.undo(tracked):
            pass
        self.assertLess(float(np.abs(logic.tracks(tracked).positions_px - before.positions_px).max()), 1e-3)
        self.delayDisplay("All corrections were taken back")

    def test_loaded_clip(self) -> None:
        """Loads the sample's clip from its file and tracks in it what the sample's points mark."""
        if importlib.util.find_spec("torch") is None:
            self.skipTest("needs PyTorch: open Landmark Tracking and press Track once, which installs it")
        points, logic = loadSample(LIVER).points, LandmarkTrackingLogic()
        clip = logic.loadClip(LIVER.clipFile)
        tracks = logic.tracks(logic.track(clip.proxy, points).landmarks.proxy)
        self.assertEqual(tracks.positions_px.shape[0], LIVER.frameCount)
        truth = LIVER.read().truth
        error = tracks.positions_px - truth.positions_px[:, [truth.labels.index(label) for label in tracks.labels]]
        self.assertLess(float(np.median(np.linalg.norm(error, axis=2))), 2.0)
        self.delayDisplay("The landmarks were followed in a clip that was loaded from a file")

    def test_sample(self) -> None:
        """Tracks the module's sample and compares with its known truth."""
        if importlib.util.find_spec("torch") is None:
            self.skipTest("needs PyTorch: open Landmark Tracking and press Track once, which installs it")
        sample = loadSample(LIVER)
        logic = LandmarkTrackingLogic()
        result = logic.track(sample.clip.proxy, sample.points)
        tracks, truth = logic.tracks(result.landmarks.proxy), LIVER.read().truth
        self.assertTrue(tracks.reached.all())
        error = tracks.positions_px - truth.positions_px[:, [truth.labels.index(label) for label in tracks.labels]]
        self.assertLess(float(np.median(np.linalg.norm(error, axis=2))), 2.0)
        self.delayDisplay("The landmarks were followed")
        frame = tracks.positions_px.shape[0] // 2
        result.landmarks.browser.SetSelectedItemNumber(frame)
        x, y, z = result.landmarks.proxy.GetNthControlPointPosition(0)
        result.landmarks.proxy.SetNthControlPointPosition(0, x + 1.0, y, z)
        self.assertEqual(logic.corrections(result.landmarks.proxy).labels, tracks.labels[:1])
        again = logic.tracks(logic.trackAgain(result.landmarks.proxy).landmarks.proxy)
        self.assertLess(float(np.abs(again.positions_px[:frame] - tracks.positions_px[:frame]).max()), 1e-3)
        self.assertGreater(float(np.linalg.norm(again.positions_px[frame, 0] - tracks.positions_px[frame, 0])), 0.5)
        self.delayDisplay("A corrected landmark was followed from where it was put")
