"""Logic of Myocardial Tracking, for its panel and for scripts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Union

import numpy as np
import slicer
from slicer import vtkMRMLMarkupsCurveNode, vtkMRMLMarkupsFiducialNode, vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.mrml.bulls_eye_nodes import BullsEyeNodes, putting_bulls_eye
from UltrasoundMotionLib.mrml.strain_nodes import StrainNodes
from UltrasoundMotionLib.mrml.tracked_wall import LiveWall, TrackedWall, point_labels, tracked_wall, walls_in
from UltrasoundMotionLib.mrml.wall_contour_nodes import contour_from_node
from UltrasoundMotionLib.mrml.wall_strain import StrainSettings, WallStrain, show_strain, strain_of_wall
from UltrasoundMotionLib.progress import Progress
from UltrasoundMotionLib.steps import Steps, run_steps
from UltrasoundMotionLib.strain import (
    CardiacEvents,
    LayeredStrain,
    LeftVentricleStrain,
    StrainResult,
    WallContour,
    ventricle_strain,
)
from UltrasoundMotionLib.strain.request import StrainRequest
from UltrasoundMotionLib.strain.strain_files import write_strain_csv, write_strain_json
from UltrasoundMotionLib.strain.ventricle_segments import APICAL_VIEWS
from UltrasoundMotionLib.strain.wall_layers import wall_layers
from UltrasoundMotionLib.tracking import PointTracks
from UltrasoundMotionLib.tracking.request import TrackRequest
from UltrasoundMotionModuleLib.myocardial_tracking.choices import Layers, SegmentCount, View
from UltrasoundMotionModuleLib.shared.choices import Device, Direction, trackers
from UltrasoundMotionModuleLib.shared.clip import Clip, clipOf
from UltrasoundMotionModuleLib.shared.entry_menu import EntryParameter
from UltrasoundMotionModuleLib.shared.module_logic import MotionModuleLogic
from UltrasoundMotionModuleLib.shared.options import GivenOptions, takesOptions
from UltrasoundMotionModuleLib.shared.tracking import trackAndWait

_WALL_THICKNESS_MM = 10.0
_WALL_TRACKER = "lucas-kanade-wall"
"""A tracker that expects neighbours to stretch alike, not only to move alike; others underestimate strain a little."""

_STORED_SETTINGS = {
    "end_diastole": "end_diastole_frames",
    "end_systole": "end_systole_frames",
    "compensate_drift": "compensate_drift",
    "accept": "accept_segments",
    "reject": "reject_segments",
    "orientation": "orientation",
}
"""The options of strain that are saved with a wall, by the names that `StrainSettings` has for them."""

# Slicer's wrapper knows unions of nodes in this form only
Marked = Union[vtkMRMLMarkupsFiducialNode, vtkMRMLMarkupsCurveNode, None]  # noqa: UP007


@parameterNodeWrapper
class MyocardialTrackingParameterNode:
    """The parameters of the panel, saved with the scene.

    inputClip - the volume that shows the clip's current frame.
    contour - the marks of the user: a point list with hinge, apex and hinge, or a drawn curve.
    markedFrame - the frame shown when a point was last placed or moved; -1 before that.
    view, layers, wallThickness - the view, and the layers to follow at that thickness in mm.
    tracker, device - options of tracking.
    hideGraphics - fill text, rulers and traces of the scanner before tracking.
    addLandmarks - show the wall's points as landmarks too.
    trackedWall - the curve that plays with the clip: made by the last run, replaced by the next.
    compensateDrift - remove drift from the curves.
    mirrored - the view is displayed mirrored left to right.
    segmentCount - the number of segments of the bull's-eye.
    """

    inputClip: vtkMRMLScalarVolumeNode
    contour: Marked
    markedFrame: int = -1
    view: View = View.A4C
    layers: Layers = Layers.ONE
    wallThickness: Annotated[float, WithinRange(2.0, 40.0)] = _WALL_THICKNESS_MM
    tracker: str = _WALL_TRACKER
    device: Device = Device.AUTOMATIC
    hideGraphics: bool = True
    addLandmarks: bool = False
    trackedWall: vtkMRMLMarkupsCurveNode
    compensateDrift: bool = False
    mirrored: bool = False
    segmentCount: SegmentCount = SegmentCount.SEVENTEEN


@dataclass(frozen=True, eq=False)
class MarkedWall:
    """A wall to be followed.

    Attributes:
        clip: the clip on which it was marked.
        contour: its middle line.
        layers: (N, 2) pixels of each layer by name, the inner one first.
    """

    clip: Clip
    contour: WallContour
    layers: Mapping[str, np.ndarray]

    @property
    def points_px(self) -> np.ndarray:
        """(N, 2) pixels of all layers, one layer after the other."""
        return np.concatenate(list(self.layers.values()))

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of `points_px`."""
        return tuple(label for labels in point_labels(self.layers).values() for label in labels)

    def live(self, name: str | None = None) -> LiveWall:
        """Returns the object that adds its tracks to the scene."""
        return LiveWall(self.clip.nodes, self.clip.sequence, point_labels(self.layers), self.contour.view, name=name)


@dataclass(frozen=True, eq=False)
class StrainAndNodes:
    """Strain of a tracked wall and its nodes.

    Attributes:
        result: strain of the (middle layer of the) wall.
        layered: strain of all layers and of the thickness, where three were tracked.
        nodes: the coloured band, tables and chart beside the clip.
    """

    result: StrainResult
    layered: LayeredStrain | None
    nodes: StrainNodes


class MyocardialTrackingLogic(MotionModuleLogic):
    """Tracking of the heart's wall, and strain; see `MotionModuleLogic`."""

    parameterNodeClass = MyocardialTrackingParameterNode
    entryParameters = (EntryParameter("tracker", trackers, _WALL_TRACKER),)

    def mark(
        self,
        clipNode: slicer.vtkMRMLNode,
        contourNode: slicer.vtkMRMLMarkupsNode,
        *,
        view: str = "A4C",
        layers: int = 1,
        wallThickness: float = _WALL_THICKNESS_MM,
        queryFrame: int | None = None,
    ) -> MarkedWall:
        """Returns the wall that `track` would follow; arguments and errors as there."""
        clip = clipOf(clipNode)
        if contourNode is None:
            raise InputError("no wall is chosen; click hinge, apex and hinge, or draw the wall as a curve")
        frame = clip.shownFrame if queryFrame is None else queryFrame
        contour = contour_from_node(contourNode, clip.nodes, clip.sequence, view=view, frame=frame)
        if layers not in (1, 3):
            raise InputError(f"layers must be 1 or 3, got {layers}")
        return MarkedWall(clip, contour, wall_layers(contour, wallThickness if layers == 3 else None))

    @takesOptions(TrackRequest, model=_WALL_TRACKER, query_frame=None)
    def track(
        self,
        sequenceNode: slicer.vtkMRMLNode,
        contourNode: slicer.vtkMRMLMarkupsNode,
        *,
        view: str = "A4C",
        layers: int = 1,
        wallThickness: float = _WALL_THICKNESS_MM,
        progress: Progress | None = None,
        options: GivenOptions[TrackRequest],
    ) -> TrackedWall:
        """Follows the wall of the left ventricle through a clip, as a curve that plays in the clip's browser.

        The options of `TrackRequest` are keywords too: `model`, `weights`, `queryFrame` (the frame on which the wall
        was marked; the one shown when None), `device`, `offline`, `hideGraphics` and the others; or all of them as
        `request`.

        Args:
            sequenceNode: the clip's sequence, its browser, or the volume that shows it; grey or RGB.
            contourNode: a point list with hinge, apex and hinge (or at least 6 points along the wall), or a curve drawn
                along it.
            view: A4C, A2C, APLAX, SAX-base, SAX-mid or SAX-apex.
            layers: 1 follows the line that was marked, 3 one at half the wall's thickness to either side of it too.
            wallThickness: in mm, or in pixels where the clip's pixel size is unknown; for three layers.
            progress: called as progress(done, total, message); raising from it cancels.

        Returns:
            The wall; `strain` takes it.

        Raises:
            InputError: no clip, no wall (see `contour_from_node`), an unknown model, frame, view or device.
        """
        request = options.request(query_frame=clipOf(sequenceNode).shownFrame)
        marked = self.mark(
            sequenceNode,
            contourNode,
            view=view,
            layers=layers,
            wallThickness=wallThickness,
            queryFrame=request.query_frame,
        )
        live = marked.live()
        live.show(trackAndWait(marked.clip, marked.points_px, marked.labels, request, progress))
        return live.wall

    @takesOptions(TrackRequest, model=_WALL_TRACKER, query_frame=None, direction="forward")
    def trackAgain(
        self,
        wall: TrackedWall | slicer.vtkMRMLNode,
        frame: int | None = None,
        *,
        progress: Progress | None = None,
        options: GivenOptions[TrackRequest],
    ) -> TrackedWall:
        """Follows the points that were moved on a frame (the one shown when None) again from there on; earlier frames
        stay as they were. The options of `TrackRequest` are keywords too, as in `track`.
        """
        wall = _wallOf(wall)
        clip = clipOf(wall.image.sequence)
        frame = clip.shownFrame if frame is None else frame
        labels, points = wall.to_follow(clip.sequence, frame)
        request = replace(options.request(query_frame=frame), query_frame=frame)
        LiveWall.of_wall(wall, clip.sequence).show(trackAndWait(clip, points, labels, request, progress))
        return wall

    def request(
        self,
        parameters: MyocardialTrackingParameterNode,
        queryFrame: int,
        direction: Direction = Direction.BOTH,
    ) -> TrackRequest:
        """The request of tracking for the parameters of the panel."""
        return TrackRequest(
            model=parameters.tracker,
            query_frame=queryFrame,
            direction=direction.value,
            device=parameters.device.value,
            hide_graphics=parameters.hideGraphics,
        )

    @takesOptions(
        StrainRequest,
        spelled={"acceptSegments": "accept", "rejectSegments": "reject"},
        excluded=("view", "layers", "segments", "cycle", "settings"),
        **dict.fromkeys(_STORED_SETTINGS),
    )
    def strain(
        self,
        wall: TrackedWall | slicer.vtkMRMLNode,
        *,
        events: CardiacEvents | None = None,
        landmarks: bool | None = None,
        tracks: PointTracks | None = None,
        options: GivenOptions[StrainRequest],
    ) -> StrainAndNodes:
        """Computes strain from a tracked wall, corrections included, and shows it: the wall in colours, tables, chart.
        Nothing is tracked.

        Options of `StrainRequest` are keywords too: `endDiastole` and `endSystole` (frames of the events; found in the
        curves where none were ever given), `compensateDrift`, `accept` and `reject` (names of segments, whatever their
        quality; also `acceptSegments` and `rejectSegments`), `orientation` ("mirrored" for a view displayed
        mirrored left to right). Given settings are saved with the wall and hold for the next call too; None leaves a
        setting as it was.

        Args:
            wall: the result of `track`, or its curve.
            events: all end-diastoles and end-systoles in one, in place of `endDiastole` and `endSystole`.
            landmarks: show the points of the wall as landmarks too.
            tracks: `wall.tracks(...)`, where they are known and the wall has not changed.

        Raises:
            InputError: no tracked wall; no beat was found, so events are needed; see `longitudinal_strain`.
        """
        wall = _wallOf(wall)
        whole = {} if options.base is None else {name: getattr(options.base, name) for name in _STORED_SETTINGS}
        given = {_STORED_SETTINGS[name]: value for name, value in (whole | options.given).items() if value is not None}
        if landmarks is not None:
            given["landmarks"] = landmarks
        settings = replace(StrainSettings.of_wall(wall), **given)
        if events is not None:
            settings = settings.with_events(events)
        return self.strainBy(wall, settings, tracks)

    def strainBy(
        self, wall: TrackedWall, settings: StrainSettings, tracks: PointTracks | None = None
    ) -> StrainAndNodes:
        """Computes and shows strain with all settings at once; see `strain`."""
        clip = clipOf(wall.image.sequence)
        computed = strain_of_wall(wall, clip.sequence, settings, tracks)
        settings.keep(wall)
        nodes = show_strain(wall, clip.sequence, computed, landmarks=settings.landmarks)
        return StrainAndNodes(computed.result, computed.layered, nodes)

    def computed(self, wall: TrackedWall | slicer.vtkMRMLNode) -> WallStrain:
        """Computes the strain of a wall as `strain` does, without changing the scene."""
        return run_steps(self.computing(_wallOf(wall)))

    def computing(self, wall: TrackedWall) -> Steps[WallStrain]:
        """`computed` in steps."""
        sequence = clipOf(wall.image.sequence).sequence
        tracks = yield from wall.reading(sequence)
        yield 0, 1, _("Measuring strain")
        return strain_of_wall(wall, sequence, tracks=tracks)

    def ventricle(self, segmentCount: int = 17, known: Mapping[str, StrainResult] | None = None) -> LeftVentricleStrain:
        """Combines every apical view that is tracked in the scene into the left ventricle.

        Args:
            known: strain that is computed already, by the id of the wall's sequence node.

        Raises:
            InputError: no apical view is tracked; another number of segments.
        """
        return run_steps(self._combiningViews(segmentCount, known))

    def _combiningViews(
        self, segmentCount: int, known: Mapping[str, StrainResult] | None
    ) -> Steps[LeftVentricleStrain]:
        results, known = [], known or {}
        for wall in walls_in(slicer.mrmlScene):
            if wall.view in APICAL_VIEWS:
                result = known.get(wall.main.sequence.GetID())
                results.append(result if result is not None else (yield from self.computing(wall)).result)
        return ventricle_strain(results, segmentCount)

    def bullsEye(self, segmentCount: int = 17, known: Mapping[str, StrainResult] | None = None) -> BullsEyeNodes:
        """Draws `ventricle` as an image with numbers, in place of the scene's last one; segments that no view shows
        stay empty.
        """
        return run_steps(self.drawingBullsEye(segmentCount, known))

    def drawingBullsEye(
        self, segmentCount: int = 17, known: Mapping[str, StrainResult] | None = None
    ) -> Steps[BullsEyeNodes]:
        """`bullsEye` in steps."""
        ventricle = yield from self._combiningViews(segmentCount, known)
        looked_at = _segmentsOf(ventricle.views, segmentCount)
        values = {
            number: value
            for number, value in zip(ventricle.numbers, ventricle.percent, strict=True)
            if number in looked_at
        }
        return (yield from putting_bulls_eye(slicer.mrmlScene, values, segmentCount))

    def exportReport(
        self, wall: TrackedWall | slicer.vtkMRMLNode, path: str | Path, *, title: str = "", segmentCount: int = 18
    ) -> tuple[Path, ...]:
        """Writes the page with wall, curves, bull's-eye and table (PNG), the curves (CSV) and everything with
        definitions (JSON), of one name.

        Raises:
            MissingPackageError: matplotlib is not installed.
            OutputError: a file cannot be written.
        """
        from UltrasoundMotionLib.pictures.strain_report import write_strain_report

        wall = _wallOf(wall)
        result, sequence = self.computed(wall).result, clipOf(wall.image.sequence).sequence
        picture, table, report = (Path(path).with_suffix(ending) for ending in (".png", ".csv", ".json"))
        others = [
            other for other in walls_in(slicer.mrmlScene) if other.view in APICAL_VIEWS and other.view != wall.view
        ]
        ventricle = (
            self.ventricle(segmentCount, {wall.main.sequence.GetID(): result})
            if others and wall.view in APICAL_VIEWS
            else None
        )
        write_strain_csv(table, result)
        write_strain_json(report, result, {"clip": wall.image.proxy.GetName()})
        write_strain_report(picture, result, sequence, ventricle=ventricle, title=title)
        return picture, table, report


def _wallOf(wall: TrackedWall | slicer.vtkMRMLNode | None) -> TrackedWall:
    """Returns the wall itself, or the one to which a curve belongs."""
    return wall if isinstance(wall, TrackedWall) else tracked_wall(wall)


def _segmentsOf(views: tuple[str, ...], segmentCount: int) -> set[int]:
    """Returns the numbers of the segments that these apical views show; the cap of 17 segments belongs to each view."""
    from UltrasoundMotionLib.strain import segment_model

    models = [segment_model(view) for view in views]
    numbers = {number for model in models for number in (model.numbers_18 if segmentCount == 18 else model.numbers)}
    return numbers | {17} if segmentCount == 17 else numbers
