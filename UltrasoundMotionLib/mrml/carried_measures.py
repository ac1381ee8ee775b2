"""Volumes, areas, lengths and displacements of an object over time, as a table and a chart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import slicer
import vtk
from vtkmodules.util.numpy_support import vtk_to_numpy

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.mrml.carried_images import PlacedArray
from UltrasoundMotionLib.mrml.carried_object import (
    CLOSED_SURFACE,
    is_placed,
    layers_of,
    to_world,
    voxels_of_volume,
)
from UltrasoundMotionLib.mrml.carrying import FRAME_ATTRIBUTE
from UltrasoundMotionLib.mrml.markups_display import point_color
from UltrasoundMotionLib.mrml.node_removal import undone_unless_finished
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionLib.mrml.subject_hierarchy import putting_in_folder
from UltrasoundMotionLib.mrml.table_nodes import add_chart, add_series, add_table, adding_reading_table
from UltrasoundMotionLib.propagation.object_measures import enclosed_area_mm2, mesh_measures, polyline_length_mm
from UltrasoundMotionLib.steps import Steps

_MESSAGE = "measuring"
_SHOWING = "adding table and chart to the scene"
_MM2_PER_CM2, _MM3_PER_ML = 100.0, 1000.0
_DECIMALS = {"mL": 2, "cm2": 2, "mm": 1}
_TIME_DECIMALS = 3
_SURFACE_COLOR = (0.2, 0.6, 0.9)

Color = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class MeasuredColumn:
    """One measure over time.

    Attributes:
        name: of the segment, label, curve or point, and what is measured.
        unit: "mL", "cm2" or "mm".
        values: (T,); NaN where it is not defined.
        color: of its line in the chart.
    """

    name: str
    unit: str
    values: np.ndarray
    color: Color

    @property
    def title(self) -> str:
        """`cavity volume (mL)`."""
        return f"{self.name} ({self.unit})"


@dataclass(frozen=True, eq=False)
class ObjectMeasures:
    """Measures of an object on every frame.

    Attributes:
        axis: "time (s)", or the name of the sequence's index.
        index: (T,).
        columns: one for each measure.
    """

    axis: str
    index: np.ndarray
    columns: tuple[MeasuredColumn, ...]


@dataclass(frozen=True)
class MeasureNodes:
    """The measures in the scene.

    Attributes:
        table: a row for each frame, exact.
        reading: the same for reading, rounded.
        series, chart: a line for each column of the chart's unit, which is that of the first column.
    """

    table: slicer.vtkMRMLTableNode
    reading: slicer.vtkMRMLTableNode
    series: tuple[slicer.vtkMRMLPlotSeriesNode, ...]
    chart: slicer.vtkMRMLPlotChartNode


def measuring(nodes: SequenceNodes) -> Steps[ObjectMeasures]:
    """Measures an object on every frame, in the world, in steps of one frame.

    Segmentations and label maps: the volume of each label in mL, or its area in cm2 where it is one voxel thick on
    every frame. Models: surface in cm2, and the volume within in mL where the surface is closed. Curves and lines:
    length in mm; closed curves also the area within in cm2. Points: distance in mm from their place on the frame on
    which they were drawn, else on the first.

    Raises:
        InputError: an image, which has no measures; an object without content on every frame; a transform that is not
            linear.
    """
    proxy, sequence = nodes.proxy, nodes.sequence
    world = to_world(proxy)
    count = sequence.GetNumberOfDataNodes()
    if proxy.IsA("vtkMRMLVolumeNode") and not proxy.IsA("vtkMRMLLabelMapVolumeNode"):
        raise InputError(f"{proxy.GetName()}: an image has no measures; choose a segmentation, model, curve or points")
    found: list[dict[str, _Measure]] = []
    for frame in range(count):
        yield frame, count, _MESSAGE
        found.append(_measures_of(sequence.GetNthDataNode(frame), world))
    drawn = int(sequence.GetAttribute(FRAME_ATTRIBUTE) or 0)
    columns = _columns(found, drawn if drawn < count else 0)
    if not columns:
        raise InputError(f"{proxy.GetName()}: has nothing to measure on any frame")
    times = nodes.index.times_s()
    if times is not None:
        return ObjectMeasures("time (s)", times, columns)
    return ObjectMeasures(nodes.index.name or "frame", np.arange(float(count)), columns)


def adding_measures(nodes: SequenceNodes, measures: ObjectMeasures) -> Steps[MeasureNodes]:
    """Adds table, plot series and chart beside the object, in short steps."""
    return undone_unless_finished(nodes.scene, _adding(nodes, measures))


def _adding(nodes: SequenceNodes, measures: ObjectMeasures) -> Steps[MeasureNodes]:
    scene, name = nodes.scene, f"{nodes.proxy.GetName()} over time"
    columns = {measures.axis: measures.index} | {column.title: column.values for column in measures.columns}
    table = add_table(scene, name, columns, {column.title: column.unit for column in measures.columns})
    shown = [column for column in measures.columns if column.unit == measures.columns[0].unit]
    series: list[slicer.vtkMRMLPlotSeriesNode] = []
    for column in shown:
        yield len(series), len(shown), _SHOWING
        series.append(add_series(table, (measures.axis, column.title), column.name, color=column.color))
    yield len(shown), len(shown), _SHOWING
    ends = float(measures.index[0]), float(measures.index[-1])
    chart = add_chart(scene, name, series, measures.axis, shown[0].unit, x_range=ends)
    yield len(shown), len(shown), _SHOWING
    rounded = {measures.axis: (measures.index, _TIME_DECIMALS)} | {
        column.title: (column.values, _DECIMALS[column.unit]) for column in measures.columns
    }
    reading = yield from adding_reading_table(scene, f"{name}, for reading", rounded)
    yield from putting_in_folder(scene, nodes.proxy, (reading, table, *series, chart), name)
    return MeasureNodes(table, reading, tuple(series), chart)


@dataclass(frozen=True)
class _Value:
    """A measure that is complete on its frame."""

    value: float
    unit: str
    color: Color


@dataclass(frozen=True, eq=False)
class _LabelSize:
    """The voxels of a label on one frame; `spans` are its first and last index along each axis, None where empty."""

    count: int
    spans: tuple[tuple[int, int], ...] | None
    sides_mm: np.ndarray
    color: Color


@dataclass(frozen=True, eq=False)
class _Place:
    """The position of a point on one frame, in the directions and the scale of the world."""

    position_mm: np.ndarray


_Measure = _Value | _LabelSize | _Place


def _measures_of(item: slicer.vtkMRMLNode, world: np.ndarray) -> dict[str, _Measure]:
    if item.IsA("vtkMRMLSegmentationNode"):
        return _segment_measures(item, world)
    if item.IsA("vtkMRMLLabelMapVolumeNode"):
        voxels = voxels_of_volume(item)
        return {
            f"label {number}": _label_measure(voxels, number, world, point_color(number - 1))
            for number in np.unique(voxels.array).tolist()
            if number != 0
        }
    if item.IsA("vtkMRMLModelNode"):
        return _mesh_measures(item.GetMesh(), item.GetName(), world, _SURFACE_COLOR)
    return _markups_measures(item, world)


def _segment_measures(item: slicer.vtkMRMLSegmentationNode, world: np.ndarray) -> dict[str, _Measure]:
    segmentation = item.GetSegmentation()
    found: dict[str, _Measure] = {}
    names = _unique_names(item)
    layers = layers_of(item)
    for layer in layers:
        for segment_id in layer.segment_ids:
            segment = segmentation.GetSegment(segment_id)
            color = tuple(segment.GetColor())
            found[names[segment_id]] = _label_measure(layer.voxels, segment.GetLabelValue(), world, color)
    if not layers:
        for segment_id, name in names.items():
            segment = segmentation.GetSegment(segment_id)
            surface = segment.GetRepresentation(CLOSED_SURFACE)
            if surface is not None:
                found |= _mesh_measures(surface, name, world, tuple(segment.GetColor()))
    return found


def _unique_names(item: slicer.vtkMRMLSegmentationNode) -> dict[str, str]:
    """Returns the name of each segment by its ID; a name that is there twice gets its ID."""
    segmentation = item.GetSegmentation()
    ids = [segmentation.GetNthSegmentID(number) for number in range(segmentation.GetNumberOfSegments())]
    names = [segmentation.GetSegment(segment_id).GetName() for segment_id in ids]
    return {
        segment_id: name if names.count(name) == 1 else f"{name} {segment_id}"
        for segment_id, name in zip(ids, names, strict=True)
    }


def _label_measure(voxels: PlacedArray, number: int, world: np.ndarray, color: Color) -> _LabelSize:
    filled = voxels.array == number
    sides = np.linalg.norm((world @ voxels.to_ras)[:3, :3], axis=0)
    if not filled.any():
        return _LabelSize(0, None, sides, color)
    spans = []
    for axis in range(3):
        along = np.flatnonzero(filled.any(axis=tuple(other for other in range(3) if other != 2 - axis)))
        spans.append((int(along[0] + voxels.first[axis]), int(along[-1] + voxels.first[axis])))
    return _LabelSize(int(filled.sum()), tuple(spans), sides, color)


def _mesh_measures(mesh: vtk.vtkPointSet, name: str, world: np.ndarray, color: Color) -> dict[str, _Measure]:
    if not mesh.IsA("vtkPolyData"):
        geometry = vtk.vtkGeometryFilter()
        geometry.SetInputData(mesh)
        geometry.Update()
        mesh = geometry.GetOutput()
    triangles = vtk.vtkTriangleFilter()
    triangles.PassLinesOff()
    triangles.PassVertsOff()
    merged = vtk.vtkCleanPolyData()  # a reader of STL gives each triangle its own points
    triangles.SetInputData(mesh)
    merged.SetInputConnection(triangles.GetOutputPort())
    merged.Update()
    surface = merged.GetOutput()
    if surface.GetNumberOfPolys() == 0:
        return {}
    corners = vtk_to_numpy(surface.GetPolys().GetConnectivityArray()).reshape(-1, 3)
    points = vtk_to_numpy(surface.GetPoints().GetData()) @ world[:3, :3].T
    measured = mesh_measures(points, corners)
    found: dict[str, _Measure] = {}
    if measured.volume_mm3 is not None:
        found[f"{name} volume"] = _Value(measured.volume_mm3 / _MM3_PER_ML, "mL", color)
    found[f"{name} surface"] = _Value(measured.area_mm2 / _MM2_PER_CM2, "cm2", color)
    return found


def _markups_measures(item: slicer.vtkMRMLMarkupsNode, world: np.ndarray) -> dict[str, _Measure]:
    if item.IsA("vtkMRMLMarkupsFiducialNode") or item.IsA("vtkMRMLMarkupsAngleNode"):
        labels = [item.GetNthControlPointLabel(control) for control in range(item.GetNumberOfControlPoints())]
        names = [
            label if label and labels.count(label) == 1 else f"{label} {number}".strip()
            for number, label in enumerate(labels, 1)
        ]
        return {
            f"{name} displacement": _Place(world[:3, :3] @ item.GetNthControlPointPosition(control))
            for control, name in enumerate(names)
            if is_placed(item, control)
        }
    closed = item.IsA("vtkMRMLMarkupsClosedCurveNode")
    points = _line_points(item) @ world[:3, :3].T
    if len(points) < 2:
        return {}
    name = item.GetName()
    found: dict[str, _Measure] = {
        f"{name} length": _Value(polyline_length_mm(points, closed=closed), "mm", _SURFACE_COLOR)
    }
    if closed:
        found[f"{name} area"] = _Value(enclosed_area_mm2(points) / _MM2_PER_CM2, "cm2", _SURFACE_COLOR)
    return found


def _line_points(item: slicer.vtkMRMLMarkupsNode) -> np.ndarray:
    """Returns the points of the drawn line, in the item's RAS."""
    curve = item.GetCurve() if item.IsA("vtkMRMLMarkupsCurveNode") else None
    if curve is not None and curve.GetNumberOfPoints() > 0:
        return np.array(vtk_to_numpy(curve.GetPoints().GetData()), dtype=np.float64)
    return np.array(
        [
            item.GetNthControlPointPosition(control)
            for control in range(item.GetNumberOfControlPoints())
            if is_placed(item, control)
        ]
    ).reshape(-1, 3)


def _columns(found: list[dict[str, _Measure]], drawn: int) -> tuple[MeasuredColumn, ...]:
    """Returns a column for each name; `drawn` is the frame to which points are compared."""
    columns = []
    for name in dict.fromkeys(name for one in found for name in one):
        measures = [one.get(name) for one in found]
        sizes = [measure if isinstance(measure, _LabelSize) else None for measure in measures]
        places = [measure if isinstance(measure, _Place) else None for measure in measures]
        if any(sizes):
            columns.append(_size_of_label(name, sizes))
        elif any(places):
            columns.append(_displacement(name, places, drawn, point_color(len(columns))))
        else:
            columns.append(_values(name, [measure if isinstance(measure, _Value) else None for measure in measures]))
    return tuple(columns)


def _values(name: str, measures: list[_Value | None]) -> MeasuredColumn:
    first = next(measure for measure in measures if measure is not None)
    values = np.array([np.nan if measure is None else measure.value for measure in measures])
    return MeasuredColumn(name, first.unit, values, first.color)


def _displacement(name: str, places: list[_Place | None], drawn: int, color: Color) -> MeasuredColumn:
    start = places[drawn]
    values = [
        np.nan if place is None or start is None else float(np.linalg.norm(place.position_mm - start.position_mm))
        for place in places
    ]
    return MeasuredColumn(name, "mm", np.array(values), color)


def _size_of_label(name: str, sizes: list[_LabelSize | None]) -> MeasuredColumn:
    """Returns the volume of a label, or its area where it is one voxel thick along the same axis on every frame."""
    known = [size for size in sizes if size is not None]
    spans = [size.spans for size in known if size.spans is not None]
    flat = [axis for axis in range(3) if spans and all(span[axis][0] == span[axis][1] for span in spans)]
    counts = np.array([0.0 if size is None else float(size.count) for size in sizes])
    sides, color = known[0].sides_mm, known[0].color
    if len(flat) == 1:
        area = float(np.prod(np.delete(sides, flat[0])))
        return MeasuredColumn(f"{name} area", "cm2", counts * area / _MM2_PER_CM2, color)
    return MeasuredColumn(f"{name} volume", "mL", counts * float(np.prod(sides)) / _MM3_PER_ML, color)
