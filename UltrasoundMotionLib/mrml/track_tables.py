"""Tracks as tables, and the displacement of each point as a chart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import slicer

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.mrml.markups_display import point_color
from UltrasoundMotionLib.mrml.table_nodes import add_chart, add_series, add_table, adding_reading_table, table_text
from UltrasoundMotionLib.steps import Steps, run_steps
from UltrasoundMotionLib.tracking.point_tracks import PointTracks


def add_track_table(scene: slicer.vtkMRMLScene, tracks: PointTracks, name: str) -> slicer.vtkMRMLTableNode:
    """Adds a table with one row per point and reached frame, with the columns of the command line's CSV.

    The columns are frame, time_s (where known), label, x, y (pixels), confidence and visible. A saved scene rounds
    numbers to six digits, a thousandth of a pixel; the landmarks in the same scene keep full precision.
    """
    frames, points = np.nonzero(np.isfinite(tracks.positions_px).all(axis=2))
    x, y = tracks.positions_px[frames, points].T
    times = {} if tracks.times_s is None else {"time_s": np.asarray(tracks.times_s)[frames]}
    columns = {
        "frame": frames,
        **times,
        "label": [tracks.labels[point] for point in points],
        "x": x,
        "y": y,
        "confidence": tracks.confidence[frames, points],
        "visible": tracks.visible[frames, points].astype(np.int32),
    }
    return add_table(scene, name, columns, {"time_s": "s", "x": "px", "y": "px"} if times else {"x": "px", "y": "px"})


_DRAWING = "drawing the chart"


def adding_reading_table_of_tracks(
    scene: slicer.vtkMRMLScene, tracks: PointTracks, name: str
) -> Steps[slicer.vtkMRMLTableNode]:
    """Adds the table of `add_track_table` for reading: rounded, with units in the titles."""
    frames, points = np.nonzero(np.isfinite(tracks.positions_px).all(axis=2))
    x, y = tracks.positions_px[frames, points].T
    labels = np.array([table_text(label) for label in tracks.labels], dtype=object)
    visible = np.where(tracks.visible[frames, points], "yes", "no").tolist()
    times = {} if tracks.times_s is None else {"time (s)": (np.asarray(tracks.times_s)[frames], 3)}
    return (
        yield from adding_reading_table(
            scene,
            name,
            {
                "frame": (frames, 0),
                **times,
                "point": (labels[points].tolist(), 0),
                "x (px)": (x, 1),
                "y (px)": (y, 1),
                "confidence": (tracks.confidence[frames, points], 2),
                "visible": (visible, 0),
            },
        )
    )


_MAXIMUM_SERIES = 12
_MEAN_COLOR = (0.15, 0.15, 0.15)  # the plot view is white


@dataclass(frozen=True)
class DisplacementPlot:
    """Nodes of a plot of displacements.

    Attributes:
        table: time (or frame), a column for each point, and their mean.
        chart: the chart for a plot view.
        series: the lines of the chart, the mean last.
    """

    table: slicer.vtkMRMLTableNode
    chart: slicer.vtkMRMLPlotChartNode
    series: tuple[slicer.vtkMRMLPlotSeriesNode, ...]


def _displacement_from_query(tracks: PointTracks) -> np.ndarray:
    """Returns the distance (T, N) of each point from its position in the query frame, NaN where lost.

    In mm, or in pixels where the spacing is unknown.
    """
    scaled = tracks.displacement_px * np.asarray(tracks.spacing_mm or (1.0, 1.0))
    return np.where(tracks.visible, np.linalg.norm(scaled, axis=2), np.nan)


def add_displacement_plot(
    scene: slicer.vtkMRMLScene,
    tracks: PointTracks,
    name: str,
    *,
    labels: Sequence[str] | None = None,
    maximum_series: int = _MAXIMUM_SERIES,
) -> DisplacementPlot:
    """`adding_displacement_plot` at once."""
    return run_steps(adding_displacement_plot(scene, tracks, name, labels=labels, maximum_series=maximum_series))


def adding_displacement_plot(
    scene: slicer.vtkMRMLScene,
    tracks: PointTracks,
    name: str,
    *,
    labels: Sequence[str] | None = None,
    maximum_series: int = _MAXIMUM_SERIES,
) -> Steps[DisplacementPlot]:
    """Adds a table `name` of each point's displacement, and a chart over time: a line per point and one for the mean.

    Args:
        labels: the points to draw; None: all of them, or `maximum_series` spread over the list. Table and mean include
            all points.

    Raises:
        InputError: a label that the tracks do not have.
    """
    unknown = [label for label in labels or () if label not in tracks.labels]
    if unknown:
        raise InputError(f"displacement plot: no point is called {unknown[0]!r}; there are {', '.join(tracks.labels)}")
    unit = "mm" if tracks.spacing_mm is not None else "px"
    time_column, time_unit = ("time (s)", "s") if tracks.times_s is not None else ("frame", "")
    distance = _displacement_from_query(tracks)
    counted = np.isfinite(distance).sum(axis=1)
    mean = np.where(counted > 0, np.nansum(distance, axis=1) / np.maximum(counted, 1), np.nan)
    columns = {time_column: tracks.times_s if tracks.times_s is not None else np.arange(len(distance))}
    title_of = _free_titles(tracks.labels, (time_column, "mean"))
    columns |= {title_of[label]: distance[:, number] for number, label in enumerate(tracks.labels)} | {"mean": mean}
    table = add_table(
        scene, name, columns, {time_column: time_unit} | dict.fromkeys([*title_of.values(), "mean"], unit)
    )
    drawn = list(labels) if labels is not None else _spread(tracks.labels, maximum_series)
    series: list[slicer.vtkMRMLPlotSeriesNode] = []
    for label in drawn:
        yield len(series), len(drawn), _DRAWING
        color = point_color(tracks.labels.index(label))
        series.append(add_series(table, (time_column, title_of[label]), label, color=color))
    yield len(drawn), len(drawn), _DRAWING
    series.append(add_series(table, (time_column, "mean"), "mean", color=_MEAN_COLOR, width=4.0))
    yield len(drawn), len(drawn), _DRAWING
    times = columns[time_column]
    x_range = (float(times[0]), float(times[-1]))
    chart = add_chart(scene, name, series, time_column, f"displacement ({unit})", x_range=x_range, width=260)
    return DisplacementPlot(table, chart, tuple(series))


def _free_titles(labels: Sequence[str], taken: Sequence[str]) -> dict[str, str]:
    """Returns a column title for each label, all different as a table holds them."""
    used = set(taken)
    titles = {}
    for label in labels:
        title = base = table_text(label)
        number = 1
        while title in used:
            number += 1
            title = f"{base} (point)" if number == 2 else f"{base} ({number})"
        used.add(title)
        titles[label] = title
    return titles


def _spread(labels: Sequence[str], count: int) -> list[str]:
    if not labels:
        return []
    return [
        labels[number] for number in np.unique(np.linspace(0, len(labels) - 1, min(count, len(labels))).astype(int))
    ]
