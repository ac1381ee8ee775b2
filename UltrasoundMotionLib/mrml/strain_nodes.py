"""Strain in a scene: the coloured wall, tables, and a chart with the segments in the colours of the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import slicer

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence
from UltrasoundMotionLib.mrml.node_removal import remove_node, remove_sequence, undone_unless_finished
from UltrasoundMotionLib.mrml.scene_files import quiet_vtk, write_scene
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionLib.mrml.strain_scale import add_color_legend
from UltrasoundMotionLib.mrml.strain_wall import adding_strain_band, coloring_curve_by_strain
from UltrasoundMotionLib.mrml.subject_hierarchy import putting_in_folder
from UltrasoundMotionLib.mrml.table_nodes import (
    add_chart,
    add_series,
    add_table,
    adding_reading_table,
    table_text,
)
from UltrasoundMotionLib.mrml.track_nodes import adding_curve
from UltrasoundMotionLib.mrml.views import set_layout, show_as_acquired, show_chart
from UltrasoundMotionLib.pictures.strain_colors import MEAN_COLOR, segment_color
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.steps import Steps, run_steps
from UltrasoundMotionLib.strain.strain_files import strain_columns
from UltrasoundMotionLib.strain.strain_result import StrainResult

_GLOBAL_NAME = "whole wall"
_ADDING_TABLES = "adding the tables of strain"


@dataclass(frozen=True)
class StrainNodes:
    """The nodes of one strain result.

    Attributes:
        band: the wall coloured by (smoothed) strain, for slice views.
        curve: the curve whose control points carry the raw strain.
        curves_table: a row per frame: time (or frame), whole wall, segments, and the other columns of the CSV.
        measures_table: a row for the whole wall and for each segment: measures and quality.
        reading_table: the most important of them, rounded for reading.
        chart: the chart for a plot view.
        series: its lines, the whole wall last.
    """

    band: SequenceNodes
    curve: SequenceNodes
    curves_table: slicer.vtkMRMLTableNode
    measures_table: slicer.vtkMRMLTableNode
    reading_table: slicer.vtkMRMLTableNode
    chart: slicer.vtkMRMLPlotChartNode
    series: tuple[slicer.vtkMRMLPlotSeriesNode, ...]

    def shown_nodes(self) -> Iterator[slicer.vtkMRMLNode]:
        """Yields the nodes that belong into the Data module's folder."""
        tables = (self.curves_table, self.measures_table, self.reading_table)
        yield from (self.band.proxy, self.curve.proxy, *tables, self.chart, *self.series)

    def remove(self) -> None:
        """Removes all of them from the scene, the curve too; clip and browser stay."""
        for nodes in (self.band, self.curve):
            remove_sequence(nodes)
        for node in (*self.series, self.chart, self.curves_table, self.measures_table, self.reading_table):
            remove_node(node)


def add_strain(
    image: SequenceNodes, sequence: ImageSequence, result: StrainResult, *, curve: SequenceNodes | None = None
) -> StrainNodes:
    """`adding_strain` at once."""
    return run_steps(adding_strain(image, sequence, result, curve=curve))


def adding_strain(
    image: SequenceNodes, sequence: ImageSequence, result: StrainResult, *, curve: SequenceNodes | None = None
) -> Steps[StrainNodes]:
    """Adds a strain result to a clip in the scene, in a folder of the Data module.

    Args:
        image: the nodes of the clip, from `add_image_sequence` or `find_sequence_nodes`.
        sequence: the clip, for its name and geometry.
        curve: the wall's curve if it is in the scene, with control points labelled as the result's points; None adds
            one.

    Raises:
        InputError: the result does not fit the clip or the curve, or one of them was removed in between; the scene is
            then as it was.
    """

    def add() -> Steps[StrainNodes]:
        """Adds the wall's curve where there is none, then band, tables and chart, in one folder."""
        scene, name = image.scene, f"{sequence.name} {result.kind} strain"
        wall = curve or (
            yield from adding_curve(
                image, sequence, result.wall_tracks(), result.point_labels, name=f"{sequence.name} strain wall"
            )
        )
        yield from coloring_curve_by_strain(wall, result.point_percent[:, _points_of_curve(wall, result)])
        wall.proxy.GetDisplayNode().SetVisibility2D(False)  # slice views show the band instead
        accepted = np.array([quality.accepted for quality in result.quality])
        trusted = accepted[result.segment_of_point]
        # Smoothed if possible: the raw differences between neighbouring points are mostly noise.
        shown = result.point_percent if result.smoothed is None else result.smoothed.point_percent
        band = yield from adding_strain_band(image, sequence, result.positions_px, shown, trusted, name=f"{name} band")
        yield 0, 1, _ADDING_TABLES
        curves_table = _add_curves_table(scene, result, name)
        yield 0, 1, _ADDING_TABLES
        measures_table = _add_measures_table(scene, result, f"{name} measures")
        reading_table = yield from _adding_reading_table(scene, result, f"{name} measures, rounded")
        series = yield from _adding_curves(curves_table, result)
        yield 0, 1, "adding the chart"
        nodes = StrainNodes(
            band=band,
            curve=wall,
            curves_table=curves_table,
            measures_table=measures_table,
            reading_table=reading_table,
            chart=add_chart(scene, name, series, *_axis_titles(result), x_range=_x_range(result)),
            series=series,
        )
        yield from putting_in_folder(scene, image.proxy, nodes.shown_nodes(), name)
        return nodes

    return undone_unless_finished(image.scene, add())


def write_strain_scene(
    path: str | Path, sequence: ImageSequence, result: StrainResult, *, progress: Progress = no_progress
) -> Path:
    """Writes a clip and its strain as a scene (`.mrb`) that opens at end-systole with the chart beside the clip.

    Raises:
        InputError: the result does not fit the clip.
        OutputError: the file cannot be written.
    """
    with quiet_vtk(), HeadlessScene() as scene:
        image = add_image_sequence(scene, sequence, progress=progress)
        nodes = add_strain(image, sequence, result)
        add_color_legend(nodes.band.proxy, "strain (%)")
        image.browser.SetSelectedItemNumber(result.cycle.end_systole_frame)
        show_as_acquired(scene, image.proxy)
        show_chart(scene, nodes.chart)
        set_layout(scene)
        progress(0, 1, "writing the scene")
        written = write_scene(scene, path)
        progress(1, 1, "writing the scene")
    return written


def _points_of_curve(curve: SequenceNodes, result: StrainResult) -> list[int]:
    """Returns the result's points in the order of the curve's control points, whose direction the user chose."""
    item = curve.sequence.GetNthDataNode(0)
    labels = [item.GetNthControlPointLabel(control) for control in range(item.GetNumberOfControlPoints())]
    unknown = [label for label in labels if label not in result.point_labels]
    if unknown:
        raise InputError(f"{curve.sequence.GetName()}: strain has no point {unknown[0]!r}")
    return [result.point_labels.index(label) for label in labels]


def _axis_titles(result: StrainResult) -> tuple[str, str]:
    return "frame" if result.times_s is None else "time (s)", f"{result.kind} strain (%)"


def _x_range(result: StrainResult) -> tuple[float, float]:
    if result.times_s is None:
        return 0.0, float(len(result.global_percent) - 1)
    return float(result.times_s[0]), float(result.times_s[-1])


def _add_curves_table(scene: slicer.vtkMRMLScene, result: StrainResult, name: str) -> slicer.vtkMRMLTableNode:
    axis, _ = _axis_titles(result)
    columns = {
        axis: np.arange(len(result.global_percent), dtype=np.float64) if result.times_s is None else result.times_s,
        **strain_columns(result),
    }
    units = {title: "%" for title in columns if title.endswith("(%)")} | ({} if result.times_s is None else {axis: "s"})
    return add_table(scene, name, columns, units)


def _adding_curves(
    table: slicer.vtkMRMLTableNode, result: StrainResult
) -> Steps[tuple[slicer.vtkMRMLPlotSeriesNode, ...]]:
    axis, _ = _axis_titles(result)
    lines = []
    for number, name in enumerate(result.segment_names):
        yield number, len(result.segment_names), "adding the curves of strain"
        if result.quality[number].accepted:
            lines.append(add_series(table, (axis, f"{name} (%)"), name, color=segment_color(number)))
    red, green, blue = (int(MEAN_COLOR[start : start + 2], 16) / 255 for start in (1, 3, 5))
    return (*lines, add_series(table, (axis, "global (%)"), _GLOBAL_NAME, color=(red, green, blue), width=4.0))


def _add_measures_table(scene: slicer.vtkMRMLScene, result: StrainResult, name: str) -> slicer.vtkMRMLTableNode:
    """Adds the table of measures and quality; unknown numbers are NaN."""
    measures = (result.measures, *result.segment_measures)
    quality = result.quality
    deviation = result.uncertainty.standard_deviation_percent if result.uncertainty is not None else np.nan

    def column(attribute: str) -> np.ndarray:
        return np.array(
            [np.nan if getattr(one, attribute) is None else float(getattr(one, attribute)) for one in measures]
        )

    columns: dict[str, np.ndarray | Sequence[str]] = {
        "segment": [_GLOBAL_NAME, *result.segment_names],
        "number": np.array([0, *result.segment_numbers], dtype=np.int32),
        "end-systolic": column("end_systolic_percent"),
        "peak systolic": column("peak_systolic_percent"),
        "peak": column("peak_percent"),
        "post-systolic index": column("post_systolic_index_percent"),
        "time to peak": column("time_to_peak_s"),
        "drift": column("drift_percent"),
        "standard deviation": np.array([deviation, *[np.nan] * len(quality)]),
        "confidence": np.array([np.nan, *(one.confidence for one in quality)]),
        "roughness": np.array([np.nan, *(one.roughness_percent for one in quality)]),
        "accepted": np.array(
            [result.measures.end_systolic_percent is not None, *(one.accepted for one in quality)], dtype=np.int32
        ),
        "reason": ["", *(one.reason for one in quality)],
    }
    percent = (
        "end-systolic",
        "peak systolic",
        "peak",
        "post-systolic index",
        "drift",
        "standard deviation",
        "roughness",
    )
    return add_table(scene, name, columns, dict.fromkeys(percent, "%") | {"time to peak": "s"})


def _adding_reading_table(
    scene: slicer.vtkMRMLScene, result: StrainResult, name: str
) -> Steps[slicer.vtkMRMLTableNode]:
    measures = (result.measures, *result.segment_measures)

    def column(attribute: str, factor: float = 1.0) -> np.ndarray:
        values = [getattr(one, attribute) for one in measures]
        return np.array([np.nan if value is None else factor * value for value in values], dtype=np.float64)

    deviation = result.uncertainty.standard_deviation_percent if result.uncertainty is not None else None
    whole = "" if deviation is None else f"standard deviation {deviation:.1f} %"
    columns: dict[str, tuple[np.ndarray | Sequence[str], int]] = {
        "segment": ([_GLOBAL_NAME, *result.segment_names], 0),
        "end-systolic (%)": (column("end_systolic_percent"), 1),
        "peak (%)": (column("peak_percent"), 1),
        "time to peak (ms)": (column("time_to_peak_s", 1000.0), 0),
        "confidence": (np.array([np.nan, *(one.confidence for one in result.quality)]), 2),
        "remark": ([whole, *(table_text(one.reason) for one in result.quality)], 0),
    }
    return (yield from adding_reading_table(scene, name, columns))
