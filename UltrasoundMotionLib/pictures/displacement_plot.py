"""Plots of each point's displacement from its position on the query frame, over time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.pictures.label_colors import MAXIMUM_IN_LEGEND, label_colormap, label_colors
from UltrasoundMotionLib.pictures.picture_check import check_picture
from UltrasoundMotionLib.pictures.plot_packages import plain_text, require_plot_packages
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def write_displacement_plot(path: str | Path, tracks: PointTracks, *, title: str = "") -> None:
    """Writes `draw_displacement` as a PNG.

    Raises:
        MissingPackageError: the extra `plot` is not installed.
        OutputError: the file cannot be written.
    """
    figure = draw_displacement(tracks, title=title)
    with atomic_output(path, read_back=check_picture) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


@plain_text
def draw_displacement(tracks: PointTracks, *, title: str = "") -> Figure:
    """Draws the displacement of every point over time: x (to the right) in the upper panel, y (downwards) in the lower.

    In mm if the spacing is known, otherwise in pixels; in seconds from the first frame if the times are known,
    otherwise by frame. Estimates of lost points are drawn as thin dotted lines.

    Raises:
        MissingPackageError: the extra `plot` is not installed.
    """
    require_plot_packages("the plot")
    from matplotlib.figure import Figure

    times = None if tracks.times_s is None else tracks.times_s - tracks.times_s[np.isfinite(tracks.times_s)][0]
    axis = np.arange(len(tracks.positions_px), dtype=float) if times is None else times
    displacement = tracks.displacement_px * (tracks.spacing_mm or (1.0, 1.0))
    unit = "px" if tracks.spacing_mm is None else "mm"
    figure = Figure(figsize=(10, 6.4), layout="constrained")
    panels = figure.subplots(2, 1, sharex=True, sharey=True)
    figure.suptitle(
        title or f"{len(tracks.labels)} points" + (f" tracked by {tracks.model}" if tracks.model else ""), fontsize=13
    )
    for component, (panel, name) in enumerate(
        zip(panels, (f"x, to the right ({unit})", f"y, downwards ({unit})"), strict=True)
    ):
        _draw_curves(panel, axis, displacement[..., component], tracks)
        panel.axvline(axis[tracks.query_frame], color="0.3", linewidth=1, linestyle="--")
        panel.axhline(0, color="0.3", linewidth=0.6)
        panel.set_ylabel(name)
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
        panel.margins(x=0.01)
    above_query = {
        "xy": (axis[tracks.query_frame], 1),
        "xycoords": ("data", "axes fraction"),
        "xytext": (4, -2),
        "textcoords": "offset points",
    }
    panels[0].annotate("query frame", **above_query, fontsize=8, va="top")
    panels[1].set_xlabel("frame" if times is None else "time (s)")
    figure.supylabel("displacement from the query frame", fontsize=10)
    _draw_legend(figure, panels, tracks.labels)
    return figure


def _draw_curves(axes: Axes, axis: np.ndarray, values: np.ndarray, tracks: PointTracks) -> None:
    for column, color in enumerate(label_colors(len(tracks.labels))):
        visible = np.where(tracks.visible[:, column], values[:, column], np.nan)
        axes.plot(axis, values[:, column], color=color, linewidth=0.8, linestyle=":")
        axes.plot(axis, visible, color=color, linewidth=1.6, label=tracks.labels[column])


def _draw_legend(figure: Figure, panels: np.ndarray, labels: tuple[str, ...]) -> None:
    if len(labels) <= MAXIMUM_IN_LEGEND:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
        return
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    bar = figure.colorbar(
        ScalarMappable(Normalize(0, len(labels) - 1), label_colormap()), ax=list(panels), aspect=40, pad=0.01
    )
    ticks = np.unique(np.linspace(0, len(labels) - 1, 5).round().astype(int))
    bar.set_ticks(ticks.tolist(), labels=[labels[tick] for tick in ticks])
    bar.outline.set_visible(False)
