"""Curves of strain over time, of each segment and of the whole wall."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from UltrasoundMotionLib.pictures.strain_colors import MEAN_COLOR, REJECTED_COLOR, segment_color
from UltrasoundMotionLib.strain.strain_result import StrainResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DIASTOLE_COLOR, _SYSTOLE_COLOR = "#4d4d4d", "#0b7a3b"


def draw_strain_curves(axes: Axes, result: StrainResult) -> None:
    """Draws the curves on empty axes, with end-diastole (ED) and end-systole (ES) marked.

    Segments are in their colours with a dot at the peak; the whole wall is bold, its smoothed curve thin and dashed.
    Outside the measured cycle the curves are pale.
    """
    frame_count = len(result.global_percent)
    times = result.times_s
    axis = np.arange(frame_count, dtype=float) if times is None else times - times[np.isfinite(times)][0]
    cycle = result.cycle
    inside = np.zeros(frame_count, dtype=bool)
    inside[cycle.first_frame : cycle.last_frame + 1] = True

    def draw(curve: np.ndarray, **style: Any) -> None:
        label = style.pop("label", None)
        axes.plot(axis, curve, **(style | {"alpha": 0.25}))
        axes.plot(axis, np.where(inside, curve, np.nan), label=label, **style)

    axes.axhline(0, color="0.25", linewidth=0.8)
    for number, (name, measures) in enumerate(zip(result.segment_names, result.segment_measures, strict=True)):
        color = segment_color(number) if result.quality[number].accepted else REJECTED_COLOR
        draw(result.segmental_percent[:, number], color=color, linewidth=1.5, label=name, zorder=3)
        if measures.frames_to_peak is not None:
            peak = cycle.reference_frame + measures.frames_to_peak
            axes.plot(
                axis[peak],
                result.segmental_percent[peak, number],
                "o",
                color=color,
                markersize=4,
                markeredgecolor="white",
                zorder=5,
            )
    if result.smoothed is not None:
        draw(
            result.smoothed.global_percent,
            color=MEAN_COLOR,
            linewidth=1.0,
            linestyle=(0, (4, 2)),
            zorder=4,
            label="whole wall, smoothed",
        )
    draw(result.global_percent, color=MEAN_COLOR, linewidth=3.0, zorder=4, label="whole wall")
    marked = (
        (result.events.end_diastole_frames, "ED", _DIASTOLE_COLOR),
        (result.events.end_systole_frames, "ES", _SYSTOLE_COLOR),
    )
    for frames, name, color in marked:
        for frame in frames:
            measured = frame in (cycle.reference_frame, cycle.end_systole_frame)
            axes.axvline(
                axis[frame],
                color=color,
                linewidth=1.2 if measured else 0.7,
                linestyle="-" if measured else (0, (3, 3)),
                zorder=2,
            )
            axes.annotate(
                name,
                xy=(axis[frame], 1),
                xycoords=("data", "axes fraction"),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize=8,
                color=color,
                fontweight="bold" if measured else None,
            )
    curves = np.concatenate([result.segmental_percent[inside].ravel(), result.global_percent[inside]])
    curves = curves[np.isfinite(curves)]
    low, high = (float(curves.min()), float(curves.max())) if curves.size else (-20.0, 5.0)
    room = 0.08 * max(high - low, 5.0)
    axes.set_ylim(min(low - room, -5.0), max(high + room, 3.0))
    axes.set_xlim(axis[0], axis[-1])
    axes.set_xlabel("frame" if times is None else "time (s)", fontsize=9)
    axes.set_ylabel(f"{result.kind} strain (%)", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.22)
    axes.spines[["top", "right"]].set_visible(False)
