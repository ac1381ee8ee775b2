"""The wall coloured by strain: as values of a curve's control points, and as a band for slice views.

Slicer stores values of control points with a curve ("measurements") and can colour the curve by them in 3D views, but
slice views draw curves in one colour. The wall is therefore added twice: as the curve that carries the numbers, and as
a band (a model) that slice views show in colours.
"""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.image_geometry import pixels_to_ras_mm
from UltrasoundMotionLib.mrml.markups_items import loose_copy, store_item
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes, add_with_proxy, join_browser
from UltrasoundMotionLib.mrml.strain_scale import REJECTED_PERCENT, strain_color_node
from UltrasoundMotionLib.pictures.strain_band import band_half_width, wall_band
from UltrasoundMotionLib.pictures.strain_colors import STRAIN_LIMIT_PERCENT
from UltrasoundMotionLib.steps import Steps

_STRAIN_NAME = "strain"
_SHOWN_NAME = "strain shown"
OPACITY = 0.8


def coloring_curve_by_strain(curve: SequenceNodes, percent: np.ndarray) -> Steps[None]:
    """Stores strain at every control point of every item as the measurement "strain" (%), which colours 3D views.

    Args:
        curve: a markups curve sequence, as `add_curve` makes it.
        percent: (T, N) strain in the order of the control points; NaN where unknown.

    Raises:
        InputError: another number of frames or points than the curve has.
    """
    node = curve.sequence
    items, points = node.GetNumberOfDataNodes(), node.GetNthDataNode(0).GetNumberOfControlPoints()
    if np.shape(percent) != (items, points):
        raise InputError(f"{node.GetName()}: strain of shape {np.shape(percent)} for {items} frames of {points} points")
    for frame, values in enumerate(np.asarray(percent, dtype=np.float64)):
        yield frame, items, "colouring the wall"
        curve.check_in_scene()
        copy = loose_copy(node.GetNthDataNode(frame))
        _set_measurement(copy, values)
        store_item(curve, copy, frame)
    yield items, items, "showing the coloured wall"
    curve.check_in_scene()
    node.InvokePendingModifiedEvent()
    _color_by_strain(curve.proxy.GetDisplayNode())


def adding_strain_band(
    image: SequenceNodes,
    sequence: ImageSequence,
    positions_px: np.ndarray,
    percent: np.ndarray,
    trusted: np.ndarray,
    *,
    name: str,
) -> Steps[SequenceNodes]:
    """Adds the wall as a band that plays with the image, coloured by strain: red shortens, grey is not trusted.

    Args:
        positions_px: (T, N, 2) the contour in every frame.
        percent: (T, N) strain at its points; NaN where unknown.
        trusted: (N,) False for the points of rejected segments, which keep their value but are painted grey.

    Raises:
        InputError: shapes that do not fit the clip or each other.
    """
    index = image.index
    frames, points = np.shape(percent)
    if frames != len(index.values) or np.shape(positions_px) != (frames, points, 2) or np.shape(trusted) != (points,):
        shapes = f"positions {np.shape(positions_px)}, strain {np.shape(percent)}, trusted {np.shape(trusted)}"
        raise InputError(f"{name}: {shapes} do not fit a clip of {len(index.values)} frames")
    spacing = sequence.spacing_mm or (1.0, 1.0)
    half_width = band_half_width(positions_px[np.argmax(np.isfinite(positions_px).all(axis=(1, 2)))], spacing)
    node = slicer.vtkMRMLSequenceNode()
    index.apply(node)
    for frame, value in enumerate(index.values):
        yield frame, frames, "drawing the band"
        edges = wall_band(positions_px[frame], half_width, spacing)
        loose = slicer.vtkMRMLModelNode()
        loose.SetName(name)
        loose.SetAndObservePolyData(
            _band(sequence, edges, np.asarray(percent[frame], dtype=np.float64), np.asarray(trusted, dtype=bool))
        )
        node.SetDataNodeAtValue(loose, value)
    yield frames, frames, "adding the band"
    image.check_unchanged(index)
    proxy = add_with_proxy(image, node, "vtkMRMLModelNode", name)
    proxy.CreateDefaultDisplayNodes()
    display = proxy.GetDisplayNode()
    was_modifying = display.StartModify()
    _paint_in_slices(display)
    display.EndModify(was_modifying)
    yield frames, frames, "showing the band"
    nodes = SequenceNodes(node, proxy, image.browser)
    nodes.check_in_scene()
    return join_browser(image.browser, node, proxy, editable=False)


def strain_of_curve(curve: slicer.vtkMRMLMarkupsCurveNode) -> np.ndarray | None:
    """Returns the strain (N,) in percent of a curve's control points, or None when it carries none."""
    measurement = curve.GetMeasurement(_STRAIN_NAME)
    values = measurement.GetControlPointValues() if measurement is not None else None
    return None if values is None else vtk_to_numpy(values).copy()


def _set_measurement(curve: slicer.vtkMRMLMarkupsCurveNode, values: np.ndarray) -> None:
    array = numpy_to_vtk(values, deep=True)
    array.SetName(_STRAIN_NAME)
    measurement = slicer.vtkMRMLStaticMeasurement()
    measurement.SetName(_STRAIN_NAME)
    measurement.SetUnits("%")
    measurement.SetControlPointValues(array)
    measurement.SetEnabled(True)
    curve.AddMeasurement(measurement)


def _color_by_strain(display: slicer.vtkMRMLDisplayNode) -> None:
    display.SetAndObserveColorNodeID(strain_color_node(display.GetScene()).GetID())
    display.SetActiveScalarName(_STRAIN_NAME)
    display.SetScalarRangeFlag(slicer.vtkMRMLDisplayNode.UseManualScalarRange)
    display.SetScalarRange(REJECTED_PERCENT, STRAIN_LIMIT_PERCENT)
    display.SetScalarVisibility(True)


def _paint_in_slices(display: slicer.vtkMRMLModelDisplayNode) -> None:
    _color_by_strain(display)
    display.SetActiveScalar(_SHOWN_NAME, vtk.vtkAssignAttribute.POINT_DATA)
    display.SetVisibility2D(True)
    display.SetSliceDisplayMode(slicer.vtkMRMLModelDisplayNode.SliceDisplayProjection)
    display.SetSliceIntersectionOpacity(OPACITY)
    display.SetOpacity(OPACITY)
    display.SetBackfaceCulling(False)
    display.SetLighting(False)


def _band(
    sequence: ImageSequence, edges: tuple[np.ndarray, np.ndarray], percent: np.ndarray, trusted: np.ndarray
) -> vtk.vtkPolyData:
    """Returns quadrilaterals between neighbouring known points.

    They share no corners, so that grey does not blend into its neighbours.
    """
    corners = [pixels_to_ras_mm(sequence, np.nan_to_num(edge)) for edge in edges]
    known = np.isfinite(edges[0]).all(axis=1) & np.isfinite(edges[1]).all(axis=1)
    first = np.flatnonzero(known[:-1] & known[1:])
    places = np.stack([corners[0][first], corners[0][first + 1], corners[1][first + 1], corners[1][first]], axis=1)
    strain = np.asarray(percent, dtype=np.float64)[np.stack([first, first + 1, first + 1, first], axis=1)]
    sure = (trusted[first] & trusted[first + 1])[:, None] & np.isfinite(strain).all(axis=1, keepdims=True)
    shown = np.where(
        sure, np.clip(np.nan_to_num(strain), -STRAIN_LIMIT_PERCENT, STRAIN_LIMIT_PERCENT), REJECTED_PERCENT
    )
    points, cells = vtk.vtkPoints(), vtk.vtkCellArray()
    points.SetData(numpy_to_vtk(places.reshape(-1, 3), deep=True))
    for quadrilateral in range(len(first)):
        cells.InsertNextCell(4)
        for corner in range(4):
            cells.InsertCellPoint(4 * quadrilateral + corner)
    band = vtk.vtkPolyData()
    band.SetPoints(points)
    band.SetPolys(cells)
    for name, array in ((_STRAIN_NAME, strain), (_SHOWN_NAME, shown)):
        column = numpy_to_vtk(array.ravel(), deep=True)
        column.SetName(name)
        band.GetPointData().AddArray(column)
    band.GetPointData().SetActiveScalars(_SHOWN_NAME)  # slice views paint these, whatever the display node says
    return band
