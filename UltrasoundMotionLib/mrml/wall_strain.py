"""Strain of a tracked wall in a scene, with the settings that are stored with the wall."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace

import numpy as np
import slicer

from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.node_removal import undone_unless_finished
from UltrasoundMotionLib.mrml.strain_nodes import StrainNodes, adding_strain
from UltrasoundMotionLib.mrml.strain_scale import add_color_legend
from UltrasoundMotionLib.mrml.subject_hierarchy import putting_in_folder
from UltrasoundMotionLib.mrml.table_nodes import add_series, add_table
from UltrasoundMotionLib.mrml.track_links import link_results, removing_derived
from UltrasoundMotionLib.mrml.track_nodes import adding_landmarks
from UltrasoundMotionLib.mrml.tracked_wall import TrackedWall
from UltrasoundMotionLib.mrml.tracking_results import kept_in_views
from UltrasoundMotionLib.settings import from_plain, to_plain
from UltrasoundMotionLib.steps import Steps, not_cancelled, run_steps
from UltrasoundMotionLib.strain.cardiac_events import CardiacEvents
from UltrasoundMotionLib.strain.layered_strain import LayeredStrain
from UltrasoundMotionLib.strain.measure import measure_strain
from UltrasoundMotionLib.strain.mirrored_view import with_mirror_doubt
from UltrasoundMotionLib.strain.request import StrainRequest
from UltrasoundMotionLib.strain.strain_result import StrainResult
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

_SETTINGS_ATTRIBUTE = "UltrasoundMotion.StrainSettings"
_EVENT_COLORS = {"end-diastole": (0.25, 0.45, 0.85), "end-systole": (0.85, 0.35, 0.25)}


@dataclass(frozen=True)
class StrainSettings:
    """The reader's settings for one wall.

    Attributes:
        end_diastole_frames, end_systole_frames: frames of the events; found automatically unless both are given.
        compensate_drift, accept_segments, reject_segments, orientation: as in `StrainConfig`.
        landmarks: show the points of the wall as landmarks too.
    """

    end_diastole_frames: tuple[int, ...] = ()
    end_systole_frames: tuple[int, ...] = ()
    compensate_drift: bool = False
    accept_segments: tuple[str, ...] = ()
    reject_segments: tuple[str, ...] = ()
    orientation: str = "auto"
    landmarks: bool = False

    @classmethod
    def of_wall(cls, wall: TrackedWall) -> StrainSettings:
        """Returns the settings stored with a wall."""
        stored = json.loads(wall.main.sequence.GetAttribute(_SETTINGS_ATTRIBUTE) or "{}")
        known = {field.name for field in fields(cls)}
        return from_plain(cls, {name: value for name, value in stored.items() if name in known})

    def keep(self, wall: TrackedWall) -> None:
        """Stores the settings with a wall, also in a saved scene."""
        wall.main.sequence.SetAttribute(_SETTINGS_ATTRIBUTE, json.dumps(to_plain(self)))

    def request(self, view: str, layers: int) -> StrainRequest:
        """Returns the request of strain with these settings."""
        given = bool(self.end_diastole_frames and self.end_systole_frames)
        return StrainRequest(
            view=view,
            layers=layers,
            end_diastole=self.end_diastole_frames if given else None,
            end_systole=self.end_systole_frames if given else None,
            compensate_drift=self.compensate_drift,
            accept=self.accept_segments,
            reject=self.reject_segments,
            orientation=self.orientation,
        )

    def with_choices(self, *, compensate_drift: bool, landmarks: bool, mirrored: bool) -> StrainSettings:
        """Returns the settings with the panel's choices."""
        orientation = "mirrored" if mirrored else "auto" if self.orientation == "mirrored" else self.orientation
        return replace(self, compensate_drift=compensate_drift, landmarks=landmarks, orientation=orientation)

    def with_events(self, events: CardiacEvents | None) -> StrainSettings:
        """Returns the settings with other events; None finds them."""
        if events is None:
            return replace(self, end_diastole_frames=(), end_systole_frames=())
        return replace(
            self, end_diastole_frames=events.end_diastole_frames, end_systole_frames=events.end_systole_frames
        )


@dataclass(frozen=True)
class WallStrain:
    """Strain of a wall.

    Attributes:
        result: strain of the middle layer.
        layered: strain of all layers and of the thickness, where three were tracked.
        tracks: the tracks from which it was computed.
    """

    result: StrainResult
    layered: LayeredStrain | None
    tracks: PointTracks


def strain_of_wall(
    wall: TrackedWall,
    sequence: ImageSequence,
    settings: StrainSettings | None = None,
    tracks: PointTracks | None = None,
) -> WallStrain:
    """Measures the strain of a wall from its curves, corrections included, as `measure_strain` does.

    Args:
        sequence: the wall's clip.
        settings: settings of the reader; those stored with the wall when None.
        tracks: `wall.tracks(sequence)`, where it was read before and the wall has not changed.

    Raises:
        InputError: the tracks cannot be measured, see `longitudinal_strain`.
    """
    settings = settings or StrainSettings.of_wall(wall)
    tracks = tracks or wall.tracks(sequence)
    labels = {layer: wall.labels(layer) for layer in wall.layers}
    measured = measure_strain(tracks, layer_labels=labels, request=settings.request(wall.view, len(wall.layers)))
    return WallStrain(with_mirror_doubt(measured.result, sequence), measured.layered, tracks)


def show_strain(
    wall: TrackedWall, sequence: ImageSequence, strain: WallStrain, *, landmarks: bool = False
) -> StrainNodes:
    """`showing_strain` at once."""
    return run_steps(showing_strain(wall, sequence, strain, landmarks=landmarks))


def showing_strain(
    wall: TrackedWall, sequence: ImageSequence, strain: WallStrain, *, landmarks: bool = False
) -> Steps[StrainNodes]:
    """Shows strain in place of the wall's previous strain: coloured band, legend, tables, and a chart with the events.

    Views that showed the old chart or table show the new one.

    Args:
        landmarks: show the points of the middle layer as landmarks too.

    Raises:
        InputError: wall or clip were removed in between.
        StepsCancelled: cancelled; the previous strain is gone, since the wall has changed.
    """

    def show() -> Steps[StrainNodes]:
        """Adds the strain's nodes with legend and events, and links them with the wall."""
        nodes = yield from adding_strain(wall.image, sequence, strain.result, curve=wall.main)
        yield 0, 1, "adding legend and events"
        add_color_legend(nodes.band.proxy, "strain (%)", view_name="Red")  # the others show the bull's-eye
        yield 0, 1, "adding legend and events"
        lines = _mark_events(nodes, strain.result)
        derived = [
            nodes.band.sequence,
            nodes.band.proxy,
            nodes.curves_table,
            nodes.measures_table,
            nodes.reading_table,
            nodes.chart,
            *nodes.series,
            *lines,
        ]
        if landmarks:
            points = yield from adding_landmarks(
                wall.image, sequence, strain.result.wall_tracks(), name=f"{sequence.name} wall points"
            )
            derived += [points.sequence, points.proxy]
        shown = [node for node in derived if not node.IsA("vtkMRMLSequenceNode")]
        folder = f"{sequence.name} {strain.result.kind} strain"
        yield from putting_in_folder(wall.image.scene, wall.image.proxy, [wall.curve, *shown], folder)
        for needed in (wall.image, wall.main):
            needed.check_in_scene()
        link_results(wall.image, wall.main, derived)
        return nodes

    with kept_in_views(wall.main):
        yield from not_cancelled(removing_derived(wall.main))
        wall.main.check_in_scene()
        try:
            return (yield from undone_unless_finished(wall.image.scene, show()))
        finally:
            if wall.curve.GetScene() is not None and wall.curve.GetDisplayNode() is not None:
                wall.show_points_or_band()


def _mark_events(nodes: StrainNodes, result: StrainResult) -> tuple[slicer.vtkMRMLNode, ...]:
    """Adds vertical lines at the measured cycle's end-diastole and end-systole; returns their table and series."""
    curves = np.concatenate([result.global_percent, *result.segmental_percent.T])
    low, high = (float(np.nanmin(curves)), float(np.nanmax(curves))) if np.isfinite(curves).any() else (-1.0, 1.0)
    columns: dict[str, np.ndarray] = {}
    frames = {"end-diastole": result.cycle.reference_frame, "end-systole": result.cycle.end_systole_frame}
    for name, frame in frames.items():
        x = float(frame) if result.times_s is None else float(result.times_s[frame])
        columns |= {name: np.array([x, x]), f"{name} (%)": np.array([low, high])}
    table = add_table(nodes.chart.GetScene(), f"{nodes.chart.GetTitle()} events", columns, {})
    lines = []
    for name, color in _EVENT_COLORS.items():
        line = add_series(table, (name, f"{name} (%)"), name, color=color)
        line.SetLineStyle(slicer.vtkMRMLPlotSeriesNode.LineStyleDash)
        nodes.chart.AddAndObservePlotSeriesNodeID(line.GetID())
        lines.append(line)
    return (table, *lines)
