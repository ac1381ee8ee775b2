"""Corrections of many frames and layers of several observers, as calls for scripts and for the panel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import slicer
from slicer.i18n import tr as _

from UltrasoundMotionLib.evaluation.observers import ObserverDisagreement
from UltrasoundMotionLib.jobs import JobRequest, run_job, track_corrected_job
from UltrasoundMotionLib.mrml.correction_history import Snapshot
from UltrasoundMotionLib.mrml.layer_corrections import (
    corrections_as_arrays,
    free_label,
    has_own_corrections,
    labels_of,
    read_disagreement,
    store_corrections,
    store_disagreement,
    tracked_again,
    with_corrections,
)
from UltrasoundMotionLib.mrml.layer_editing import LayerEditor
from UltrasoundMotionLib.mrml.live_tracks import LiveTracks
from UltrasoundMotionLib.mrml.observer_layers import (
    DisagreementNodes,
    add_disagreement,
    add_layer,
    disagreement_of,
    named_layers,
    observer_of,
    observer_tracks,
    set_observer,
    show_layers,
)
from UltrasoundMotionLib.mrml.sequence_nodes import find_sequence_nodes
from UltrasoundMotionLib.mrml.track_links import image_of
from UltrasoundMotionLib.mrml.tracking_results import renew_derived
from UltrasoundMotionLib.mrml.tracking_scene import TrackNodes
from UltrasoundMotionLib.mrml.tracks_from_nodes import tracks_from_markups
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.steps import Steps, run_steps
from UltrasoundMotionLib.tracking import Correction, PointTracks, read_corrections_csv, write_corrections_csv
from UltrasoundMotionLib.tracking.corrections.corrections import CorrectedFrames
from UltrasoundMotionLib.tracking.corrections.doubt import Doubt, most_doubtful
from UltrasoundMotionLib.tracking.corrections.fusion import FusionConfig
from UltrasoundMotionLib.tracking.files.observers_csv import write_observers_csv
from UltrasoundMotionLib.tracking.request import TrackRequest
from UltrasoundMotionModuleLib.shared.background_job import sharedProcess
from UltrasoundMotionModuleLib.shared.clip import Clip, clipOf, loaded
from UltrasoundMotionModuleLib.shared.licence_consent import checkConsent, weightsOfTracker
from UltrasoundMotionModuleLib.shared.module_logic import MotionModuleLogic
from UltrasoundMotionModuleLib.shared.options import GivenOptions, takesOptions


@dataclass(frozen=True)
class CorrectedRun:
    """A run through the corrections of a result.

    Attributes:
        clip: the clip on which the result was tracked.
        editor: of the result.
        labels: the points whose corrections have changed, which are followed.
        corrections: theirs.
        before: the state of all frames, for undo.
    """

    clip: Clip
    editor: LayerEditor
    labels: tuple[str, ...]
    corrections: tuple[Correction, ...]
    before: Snapshot


class AnnotationLogic(MotionModuleLogic):
    """Corrections of a result (`trackedNode`, the points that play with the clip) frame by frame, with undo; layers of
    observers on a clip. Frames count from 0, the one shown where None; positions are (x, y) in pixels of the clip.
    """

    def __init__(self, parent: object = None) -> None:
        MotionModuleLogic.__init__(self, parent)
        self._editors: list[LayerEditor] = []

    def editor(self, trackedNode: slicer.vtkMRMLMarkupsNode) -> LayerEditor:
        """Returns the editor of a result, whose history lasts as long as the result is in the scene.

        Raises:
            InputError: the points are no result of a run, or their clip is gone.
        """
        landmarks = find_sequence_nodes(trackedNode)
        clip = clipOf(image_of(landmarks).sequence)
        self._editors = [one for one in self._editors if one.landmarks.sequence.GetScene() is not None]
        for one in self._editors:
            if one.landmarks.sequence is landmarks.sequence:
                return one
        self._editors.append(LayerEditor(landmarks, clip.sequence))
        return self._editors[-1]

    def allCorrections(self, trackedNode: slicer.vtkMRMLMarkupsNode) -> tuple[Correction, ...]:
        """Returns what was stated on all frames, the points as they were first placed included."""
        return self.editor(trackedNode).corrections

    def placePoint(
        self,
        trackedNode: slicer.vtkMRMLMarkupsNode,
        label: str,
        positionPx: Sequence[float],
        frame: int | None = None,
    ) -> None:
        """Corrects a point on a frame, as dragging it there does."""
        x, y = positionPx
        self.editor(trackedNode).place(label, self._frame(trackedNode, frame), (float(x), float(y)))

    def acceptFrame(
        self,
        trackedNode: slicer.vtkMRMLMarkupsNode,
        frame: int | None = None,
        labels: Sequence[str] | None = None,
    ) -> tuple[str, ...]:
        """Accepts the points of a frame (all that are placed there, or some) as they are; returns their labels."""
        return self.editor(trackedNode).accept(self._frame(trackedNode, frame), labels)

    def markLost(
        self,
        trackedNode: slicer.vtkMRMLMarkupsNode,
        labels: str | Sequence[str],
        frames: Iterable[int] | None = None,
    ) -> None:
        """Marks points as lost on some frames (the one shown when None)."""
        labels = (labels,) if isinstance(labels, str) else tuple(labels)
        frames = [self._frame(trackedNode, None)] if frames is None else frames
        self.editor(trackedNode).mark_lost(labels, frames)

    def addPoint(
        self,
        trackedNode: slicer.vtkMRMLMarkupsNode,
        positionPx: Sequence[float],
        frame: int | None = None,
        label: str | None = None,
    ) -> str:
        """Adds a point on a frame, to be followed both ways by `trackCorrected`; returns its label."""
        editor = self.editor(trackedNode)
        label = free_label(editor.landmarks) if label is None else label
        x, y = positionPx
        editor.add_point(label, self._frame(trackedNode, frame), (float(x), float(y)))
        return label

    def undo(self, trackedNode: slicer.vtkMRMLMarkupsNode) -> str:
        """Takes back the last step; returns its name, empty where there was none."""
        history = self.editor(trackedNode).history
        name = history.next_undo
        if name:
            run_steps(history.undo())
        return name

    def redo(self, trackedNode: slicer.vtkMRMLMarkupsNode) -> str:
        """Makes the step again that was taken back last; returns its name, empty where there was none."""
        history = self.editor(trackedNode).history
        name = history.next_redo
        if name:
            run_steps(history.redo())
        return name

    # Tracking

    @takesOptions(TrackRequest)
    def trackCorrected(
        self,
        trackedNode: slicer.vtkMRMLMarkupsNode,
        *,
        drawPaths: bool = True,
        progress: Progress | None = None,
        options: GivenOptions[TrackRequest],
    ) -> TrackNodes:
        """Follows the points whose corrections have changed, both ways from every frame on which they were placed, and
        fuses the two tracks between two such frames, see `track_corrected`.

        The options of `TrackRequest` are keywords too, as in `track`, but `query_frame`, `direction`, `offline` and
        `aheadFrames`.

        Returns:
            The same landmarks; paths, table and plot are new. A call that is cancelled leaves everything as it was.

        Raises:
            InputError: no point was corrected since the last run; an option that corrections exclude; weights under a
                licence that was not agreed to.
        """
        request = options.request()
        checkConsent(weightsOfTracker(request.model, request.weights))
        run = run_steps(self.findingRun(trackedNode))
        job = self.correctedJob(run, loaded(run.clip.sequence), request)
        found = run_job(job, sharedProcess().process, progress=progress or no_progress)
        LiveTracks(run.clip.sequence, nodes=run.editor.landmarks).show(found.tracks)
        run_steps(run.editor.storing_tracked(found, run.before))
        return renew_derived(run.clip.nodes, run.clip.sequence, run.editor.landmarks, trajectories=drawPaths)

    def findingRun(self, trackedNode: slicer.vtkMRMLMarkupsNode) -> Steps[CorrectedRun]:
        """Finds what `trackCorrected` is to follow; points that were dragged are taken as corrections first."""
        editor = self.editor(trackedNode)
        count = editor.landmarks.sequence.GetNumberOfDataNodes()
        for frame in range(count):
            yield frame, count, _("Reading the corrections")
            editor.take_moved([frame])
        labels, corrections = editor.to_track()
        clip = clipOf(image_of(editor.landmarks).sequence)
        before = yield from editor.history.taking_snapshot(range(count))
        return CorrectedRun(clip, editor, labels, corrections, before)

    def correctedJob(self, run: CorrectedRun, sequence: object, request: TrackRequest) -> JobRequest:
        """Returns the job of a run on the clip's frames in memory."""
        return track_corrected_job(sequence, run.corrections, labels=run.labels, request=request)

    def rememberTrackedAgain(
        self,
        trackedNode: slicer.vtkMRMLMarkupsNode,
        frame: int,
        labels: Sequence[str],
        pointsPx: np.ndarray,
        direction: str,
    ) -> None:
        """Stores that points were followed anew from a frame one way: their corrections that lay ahead are gone."""
        editor = self.editor(trackedNode)
        corrections = tracked_again(editor.corrections, frame, labels, pointsPx, direction)
        store_corrections(editor.landmarks, editor.sequence, corrections, tracked=True)
        unknown = np.full((editor.landmarks.sequence.GetNumberOfDataNodes(), len(labels)), np.nan)
        store_disagreement(editor.landmarks, labels, unknown)
        editor.history.clear()

    def isHandWork(self, trackedNode: slicer.vtkMRMLMarkupsNode) -> bool:
        """Returns True for a result that a run must not replace: an observer's layer, or one with corrections."""
        landmarks = find_sequence_nodes(trackedNode)
        return bool(observer_of(landmarks)) or has_own_corrections(landmarks)

    def nextDoubt(self, trackedNode: slicer.vtkMRMLMarkupsNode, label: str | None = None) -> Doubt | None:
        """Returns the least certain point and frame that nobody has corrected, accepted or marked as lost; None where
        there is no doubt left.
        """
        editor = self.editor(trackedNode)
        tracks = tracks_from_markups(editor.landmarks, image_of(editor.landmarks), editor.sequence)
        return self.doubtIn(trackedNode, tracks, label)

    def doubtIn(
        self,
        trackedNode: slicer.vtkMRMLMarkupsNode,
        tracks: PointTracks,
        label: str | None = None,
        passed: Iterable[tuple[int, str]] = (),
    ) -> Doubt | None:
        """`nextDoubt` in tracks that were read already, but for some (frame, label) that were looked at."""
        editor = self.editor(trackedNode)
        marks = corrections_as_arrays(editor.corrections, tracks.labels, len(tracks.positions_px))
        settled = np.any(marks, axis=0)
        for frame, name in passed:
            if name in tracks.labels and 0 <= frame < len(settled):
                settled[frame, tracks.labels.index(name)] = True
        return most_doubtful(
            tracks,
            settled,
            read_disagreement(editor.landmarks, tracks.labels),
            label=label,
            disagreement_scale_px=FusionConfig.agree_px * max(editor.sequence.frame_size) / 256,
        )

    def exportCorrections(self, trackedNode: slicer.vtkMRMLMarkupsNode, path: str | Path) -> None:
        """Writes `frame,label,x,y` as `track --corrections` takes them, without the frame on which the points were
        placed first, which `--points` has.
        """
        editor = self.editor(trackedNode)
        start = min(one.frame for one in editor.corrections)
        write_corrections_csv(path, [one for one in editor.corrections if one.frame != start])

    def importCorrections(self, trackedNode: slicer.vtkMRMLMarkupsNode, path: str | Path) -> int:
        """Reads corrections from a table; returns their number. Nothing changes where one of them cannot be used.

        Raises:
            InputError: see `read_corrections_csv` and `CorrectedFrames.on`.
        """
        editor = self.editor(trackedNode)
        given = read_corrections_csv(path)
        labels = labels_of(editor.landmarks)
        CorrectedFrames.on(editor.sequence, with_corrections(editor.corrections, given), labels=labels, source=path)
        for one in given:
            if one.position_px is None:
                editor.mark_lost([one.label], [one.frame])
            else:
                editor.place(one.label, one.frame, one.position_px)
        return len(given)

    # Observers

    def nameLayer(self, trackedNode: slicer.vtkMRMLMarkupsNode, observer: str) -> None:
        """Makes a result the layer of an observer.

        Raises:
            InputError: the name is empty, or the clip has a layer of this observer already.
        """
        set_observer(self.editor(trackedNode).landmarks, observer)

    def addLayer(self, trackedNode: slicer.vtkMRMLMarkupsNode, observer: str) -> slicer.vtkMRMLMarkupsFiducialNode:
        """Adds a layer of an observer that begins as a copy of a result, and returns its points.

        Raises:
            InputError: as `nameLayer`.
        """
        editor = self.editor(trackedNode)
        return add_layer(editor.landmarks, editor.sequence, observer).proxy

    def layers(self, clipNode: slicer.vtkMRMLNode) -> dict[str, slicer.vtkMRMLMarkupsFiducialNode]:
        """Returns the points of each observer's layer on a clip, by name."""
        return {name: layer.proxy for name, layer in named_layers(find_sequence_nodes(clipNode)).items()}

    def showLayers(self, trackedNode: slicer.vtkMRMLMarkupsNode, *, together: bool = True) -> None:
        """Shows all layers of the result's clip in different colours, or only this one."""
        landmarks = self.editor(trackedNode).landmarks
        show_layers(image_of(landmarks), landmarks, together=together)

    def disagreement(self, clipNode: slicer.vtkMRMLNode) -> ObserverDisagreement:
        """Returns the disagreement of a clip's observers in mm (px where the pixel size is unknown).

        Raises:
            InputError: fewer than two observers have a layer.
        """
        clip = clipOf(clipNode)
        return disagreement_of(clip.nodes, clip.sequence)

    def addDisagreement(self, clipNode: slicer.vtkMRMLNode) -> DisagreementNodes:
        """Adds the disagreement as a table per frame, a summary and a chart, in place of the last ones."""
        clip = clipOf(clipNode)
        return add_disagreement(clip.nodes, clip.sequence)

    def exportObservers(self, clipNode: slicer.vtkMRMLNode, path: str | Path) -> None:
        """Writes the tracks of all observers: `observer,frame,time_s,label,x,y,confidence,visible,state`."""
        clip = clipOf(clipNode)
        layers = named_layers(clip.nodes)
        write_observers_csv(path, {name: observer_tracks(layer, clip.sequence) for name, layer in layers.items()})

    def _frame(self, trackedNode: slicer.vtkMRMLMarkupsNode, frame: int | None) -> int:
        if frame is not None:
            return frame
        return clipOf(image_of(find_sequence_nodes(trackedNode)).sequence).shownFrame


def correctedRequest(request: TrackRequest) -> TrackRequest:
    """Returns a panel's request as corrections take it: they are followed both ways whatever else was chosen."""
    return replace(request, query_frame=0, direction="both", offline=False, ahead_frames=0)
