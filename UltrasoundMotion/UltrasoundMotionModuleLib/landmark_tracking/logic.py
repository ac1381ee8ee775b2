"""Logic of Landmark Tracking, for its panel and for scripts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import slicer
from slicer import vtkMRMLMarkupsFiducialNode, vtkMRMLScalarVolumeNode
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

from UltrasoundMotionLib.mrml.live_tracks import LiveTracks
from UltrasoundMotionLib.mrml.placement_nodes import show_in_volume
from UltrasoundMotionLib.mrml.placing import PlacedClip, place_by_landmarks, place_under, take_out
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes, find_sequence_nodes
from UltrasoundMotionLib.mrml.track_corrections import (
    corrected_labels,
    place_lost_points,
    placed_labels,
    points_on_frame,
)
from UltrasoundMotionLib.mrml.track_links import image_of
from UltrasoundMotionLib.mrml.tracking_results import renew_derived
from UltrasoundMotionLib.mrml.tracking_scene import TrackNodes, add_tracks
from UltrasoundMotionLib.mrml.tracks_from_nodes import PlacedPoints, query_points_from_markups, tracks_from_markups
from UltrasoundMotionLib.mrml.views import show_as_acquired
from UltrasoundMotionLib.progress import Progress
from UltrasoundMotionLib.tracking import PointTracks, write_clust_tracks, write_tracks_csv
from UltrasoundMotionLib.tracking.request import TrackRequest
from UltrasoundMotionModuleLib.landmark_tracking.annotation_logic import AnnotationLogic
from UltrasoundMotionModuleLib.shared.choices import Device, Direction, seesWholeClip, trackers
from UltrasoundMotionModuleLib.shared.clip import Clip, clipOf
from UltrasoundMotionModuleLib.shared.entry_menu import EntryParameter
from UltrasoundMotionModuleLib.shared.options import GivenOptions, takesOptions
from UltrasoundMotionModuleLib.shared.tracking import trackAndWait

_FARTHEST_AHEAD = 100


@parameterNodeWrapper
class LandmarkTrackingParameterNode:
    """The parameters of the panel, saved with the scene.

    inputClip - the volume that shows the clip's current frame.
    landmarks - the points to follow, as the user placed them.
    placedFrame - the frame on which they were placed, from which Track follows them; -1 where there are none.
    tracker, direction, device - options of tracking.
    hideGraphics - fill text, rulers and traces of the scanner before tracking.
    drawPaths - draw the path of each point.
    watchShadows, offline, aheadFrames - wrappers around the tracker, see `TrackRequest`.
    trackedLandmarks - the points that play with the clip: made by the last run, replaced by the next.
    """

    inputClip: vtkMRMLScalarVolumeNode
    landmarks: vtkMRMLMarkupsFiducialNode
    placedFrame: int = -1
    tracker: str = TrackRequest.model
    direction: Direction = Direction.BOTH
    device: Device = Device.AUTOMATIC
    hideGraphics: bool = True
    drawPaths: bool = True
    watchShadows: bool = False
    offline: bool = False
    aheadFrames: Annotated[int, WithinRange(0, _FARTHEST_AHEAD)] = 0
    trackedLandmarks: vtkMRMLMarkupsFiducialNode


@dataclass(frozen=True)
class Corrections:
    """Corrected points that are to be followed again.

    Attributes:
        clip: the clip on which the result was tracked.
        landmarks: the result.
        frame: the frame on which the points were corrected.
        labels: (N,) labels of the points.
        points_px: (N, 2) their places on that frame.
    """

    clip: Clip
    landmarks: SequenceNodes
    frame: int
    labels: tuple[str, ...]
    points_px: np.ndarray


class LandmarkTrackingLogic(AnnotationLogic):
    """Tracking of landmarks, corrections and exports; see `AnnotationLogic` and `MotionModuleLogic`."""

    parameterNodeClass = LandmarkTrackingParameterNode
    entryParameters = (EntryParameter("tracker", trackers, TrackRequest.model),)

    def input(self, clipNode: slicer.vtkMRMLNode, markupsNode: slicer.vtkMRMLMarkupsNode) -> tuple[Clip, PlacedPoints]:
        """Returns the clip, and the points on it in pixels; the nodes may stand under different transforms.

        Args:
            clipNode: the clip's sequence, its browser, or the volume that shows it; grey or RGB.
        """
        clip = clipOf(clipNode)
        return clip, query_points_from_markups(markupsNode, clip.nodes, clip.sequence)

    @takesOptions(TrackRequest, query_frame=None)
    def track(
        self,
        sequenceNode: slicer.vtkMRMLNode,
        markupsNode: slicer.vtkMRMLMarkupsNode,
        *,
        drawPaths: bool = True,
        progress: Progress | None = None,
        options: GivenOptions[TrackRequest],
    ) -> TrackNodes:
        """Follows points through a clip and puts the result beside it, in its browser.

        The options of `TrackRequest` are keywords too: `model`, `weights`, `queryFrame` (the frame on which the points
        were placed; the one shown when None), `direction`, `device`, `watchShadows`, `offline`, `aheadFrames`,
        `hideGraphics`, `settings`; or all of them as `request`.

        Args:
            sequenceNode: the clip's sequence, its browser, or the volume that shows it; grey or RGB.
            markupsNode: the points, on the image plane; they may stand under other transforms than the clip.
            drawPaths: add the path of each point as a curve.
            progress: called as progress(done, total, message); raising from it cancels.

        Returns:
            The landmarks that play with the clip, their paths, a table of all positions, and a plot of the
            displacement.

        Raises:
            InputError: no clip, no points, points outside the image, an unknown model, frame, direction or device.
        """
        clip, points = self.input(sequenceNode, markupsNode)
        request = options.request(query_frame=clip.shownFrame)
        tracks = trackAndWait(clip, points.points_px, points.labels, request, progress)
        return add_tracks(clip.nodes, clip.sequence, tracks, trajectories=drawPaths)

    def corrections(self, trackedNode: slicer.vtkMRMLMarkupsNode, frame: int | None = None) -> Corrections:
        """Returns the points of a result that were moved on a frame (the one shown when None), or all that are placed
        there if none was.
        """
        landmarks = find_sequence_nodes(trackedNode)
        clip = clipOf(image_of(landmarks).sequence)
        frame = clip.shownFrame if frame is None else frame
        labels = corrected_labels(landmarks, clip.sequence, frame) or placed_labels(landmarks, frame)
        return Corrections(clip, landmarks, frame, labels, points_on_frame(landmarks, clip.sequence, frame, labels))

    def placeLostPoints(self, trackedNode: slicer.vtkMRMLMarkupsNode, frame: int | None = None) -> tuple[str, ...]:
        """Places the points that were lost on a frame (the one shown when None) at the tracker's guess, to be dragged;
        returns their labels.
        """
        landmarks = find_sequence_nodes(trackedNode)
        clip = clipOf(image_of(landmarks).sequence)
        return place_lost_points(landmarks, clip.sequence, clip.shownFrame if frame is None else frame)

    @takesOptions(TrackRequest, query_frame=None, direction="forward")
    def trackAgain(
        self,
        trackedNode: slicer.vtkMRMLMarkupsNode,
        frame: int | None = None,
        *,
        drawPaths: bool = True,
        progress: Progress | None = None,
        options: GivenOptions[TrackRequest],
    ) -> TrackNodes:
        """Follows the points that were moved on a frame again from there; everything before stays as it was.

        The options of `TrackRequest` are keywords too, as in `track`; `direction` is "forward" by default, and
        "backward" keeps what comes after.

        Args:
            trackedNode: `landmarks.proxy` of a result.
            frame: on which points were moved; the one shown when None. Where none was moved, all its points are
                followed.

        Returns:
            The same landmarks; paths, table and plot are new. Raises as `track`.
        """
        found = self.corrections(trackedNode, frame)
        request = replace(options.request(query_frame=found.frame), query_frame=found.frame)
        tracks = trackAndWait(found.clip, found.points_px, found.labels, request, progress)
        LiveTracks(found.clip.sequence, nodes=found.landmarks).show(tracks)
        self.rememberTrackedAgain(trackedNode, found.frame, found.labels, found.points_px, request.direction)
        return renew_derived(found.clip.nodes, found.clip.sequence, found.landmarks, trajectories=drawPaths)

    def request(
        self, parameters: LandmarkTrackingParameterNode, queryFrame: int, direction: Direction | None = None
    ) -> TrackRequest:
        """Returns the request for the parameters of the panel, with another direction if given; without what works
        frame by frame where the tracker sees the whole clip, as the panel shows.
        """
        frameByFrame = not seesWholeClip(parameters.tracker)
        offline = parameters.offline and frameByFrame
        return TrackRequest(
            model=parameters.tracker,
            query_frame=queryFrame,
            direction=(direction or parameters.direction).value,
            device=parameters.device.value,
            watch_shadows=parameters.watchShadows and frameByFrame,
            offline=offline,
            ahead_frames=parameters.aheadFrames if frameByFrame and not offline else 0,
            hide_graphics=parameters.hideGraphics,
        )

    def tracks(self, trackedNode: slicer.vtkMRMLMarkupsNode) -> PointTracks:
        """Returns a result as arrays, corrections included: positions in pixels of the clip."""
        landmarks = find_sequence_nodes(trackedNode)
        clip = clipOf(image_of(landmarks).sequence)
        return tracks_from_markups(landmarks, clip.nodes, clip.sequence)

    def placeByTransform(
        self,
        clipNode: slicer.vtkMRMLNode,
        volumeNode: slicer.vtkMRMLVolumeNode,
        transformNode: slicer.vtkMRMLNode,
        *,
        pointsNodes: Iterable[slicer.vtkMRMLMarkupsNode] = (),
    ) -> PlacedClip:
        """Puts a clip and its results under a transform from the clip's space to a volume's, and shows both.

        Args:
            pointsNodes: further points on the clip, to be moved with it.

        Raises:
            InputError: see `place_under`.
        """
        clip = clipOf(clipNode)
        placed = place_under(clip.nodes, clip.sequence, transformNode, volumeNode, points=pointsNodes)
        show_in_volume(volumeNode, clip.nodes.proxy)
        return placed

    def placeByLandmarks(
        self,
        clipNode: slicer.vtkMRMLNode,
        volumeNode: slicer.vtkMRMLVolumeNode,
        clipPointsNode: slicer.vtkMRMLMarkupsNode,
        volumePointsNode: slicer.vtkMRMLMarkupsNode,
        *,
        scale: bool = False,
        pointsNodes: Iterable[slicer.vtkMRMLMarkupsNode] = (),
    ) -> PlacedClip:
        """Fits a clip's landmarks onto those of the same labels in a volume, puts the clip and its results there, and
        shows both.

        Args:
            scale: also fit one factor, for a clip of unknown pixel size.
            pointsNodes: further points on the clip, to be moved with it.

        Raises:
            InputError: see `place_by_landmarks`.
        """
        clip = clipOf(clipNode)
        placed = place_by_landmarks(
            clip.nodes,
            clip.sequence,
            clipPointsNode,
            volumePointsNode,
            volumeNode,
            scale=scale,
            points=pointsNodes,
        )
        show_in_volume(volumeNode, clip.nodes.proxy)
        return placed

    def takeOutOfVolume(
        self, clipNode: slicer.vtkMRMLNode, *, pointsNodes: Iterable[slicer.vtkMRMLMarkupsNode] = ()
    ) -> None:
        """Takes a clip and its results out of the transform that places it, and shows the clip alone."""
        clip = clipOf(clipNode)
        take_out(clip.nodes, pointsNodes)
        show_as_acquired(clip.nodes.scene, clip.nodes.proxy)

    def exportCsv(self, trackedNode: slicer.vtkMRMLMarkupsNode, path: str | Path) -> None:
        """Writes a result as the command line does: frame, time_s, label, x, y, confidence, visible."""
        write_tracks_csv(path, self.tracks(trackedNode))

    def exportClust(self, trackedNode: slicer.vtkMRMLMarkupsNode, folder: str | Path) -> None:
        """Writes a text file for each point into a folder, as the CLUST challenge has them."""
        write_clust_tracks(folder, self.tracks(trackedNode))
