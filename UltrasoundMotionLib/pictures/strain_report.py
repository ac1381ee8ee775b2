"""One-page strain reports: the wall at end-diastole and end-systole, curves, bull's-eye, and a table with quality."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.pictures.bulls_eye import draw_bulls_eye, draw_strain_scale
from UltrasoundMotionLib.pictures.frame_overlay import BACKGROUND, FrameOverlay
from UltrasoundMotionLib.pictures.picture_check import check_picture
from UltrasoundMotionLib.pictures.plot_packages import plain_text, require_plot_packages
from UltrasoundMotionLib.pictures.strain_colors import REJECTED_COLOR, segment_color
from UltrasoundMotionLib.pictures.strain_curve_panel import draw_strain_curves
from UltrasoundMotionLib.pictures.strain_wall_panel import draw_strain_wall
from UltrasoundMotionLib.strain.segment_model import segment_model
from UltrasoundMotionLib.strain.strain_measures import StrainMeasures
from UltrasoundMotionLib.strain.strain_result import SegmentQuality, StrainResult
from UltrasoundMotionLib.strain.ventricle_segments import LeftVentricleStrain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH_INCH, _HEIGHT_INCH = 14.0, 9.0
_MINUS_SIGN = "\u2212"
_MAXIMUM_NOTES = 5
_NO_DRIFT = "drift not known: the clip ends before the next end-diastole, where strain should be 0 again"
_COLUMNS = (
    ("", 0.0),
    ("ES", 0.365),
    ("peak\nsystolic", 0.455),
    ("time to\npeak", 0.545),
    ("PSI", 0.615),
    ("quality", 0.65),
)
"""Heading and x position (0 to 1) of the table's columns; the first and last are left-aligned, others right-aligned."""


def write_strain_report(
    path: str | Path,
    result: StrainResult,
    sequence: ImageSequence | None = None,
    *,
    ventricle: LeftVentricleStrain | None = None,
    title: str = "",
) -> None:
    """Writes `draw_strain_report` as a PNG.

    Raises:
        MissingPackageError, InputError: as `draw_strain_report`.
        OutputError: the file cannot be written.
    """
    figure = draw_strain_report(result, sequence, ventricle=ventricle, title=title)
    with atomic_output(path, read_back=check_picture) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


@plain_text
def draw_strain_report(
    result: StrainResult,
    sequence: ImageSequence | None = None,
    *,
    ventricle: LeftVentricleStrain | None = None,
    title: str = "",
) -> Figure:
    """Draws the report of one view, with a bull's-eye of all given views.

    Args:
        result: strain of the view.
        sequence: the clip; without it the wall is drawn on black.
        ventricle: end-systolic strain of this and other views, for the bull's-eye; only this view without it.
        title: title of the page; the clip's name if empty.

    Raises:
        MissingPackageError: the extra `plot` is not installed.
        InputError: the clip has another number of frames than the tracks.
    """
    require_plot_packages("the strain report")
    from matplotlib.figure import Figure

    frame_count = len(result.global_percent)
    if sequence is not None and len(sequence) != frame_count:
        raise InputError(
            f"{sequence.name}: {len(sequence)} frames, but the tracks have {frame_count}; "
            "give the clip that was tracked"
        )
    figure = Figure(figsize=(_WIDTH_INCH, _HEIGHT_INCH), facecolor="white")
    _draw_header(figure, result, title or (sequence.name if sequence is not None else ""))
    overlay = FrameOverlay(_clip(result) if sequence is None else sequence, result.wall_tracks())
    walls = ((result.cycle.reference_frame, "end-diastole"), (result.cycle.end_systole_frame, "end-systole"))
    for number, (frame, name) in enumerate(walls):
        rectangle = (0.015 + 0.275 * number, 0.455, 0.27, 0.43)
        axes = figure.add_axes(rectangle)
        backdrop = figure.add_axes(rectangle, zorder=-1, facecolor=BACKGROUND)
        backdrop.set_xticks([])
        backdrop.set_yticks([])
        draw_strain_wall(axes, overlay, result, frame, caption=f"{name}, {_frame_and_time(result, frame)}")
    draw_strain_curves(figure.add_axes((0.05, 0.065, 0.5, 0.34)), result)
    _draw_ventricle(figure.add_axes((0.585, 0.47, 0.33, 0.42)), result, ventricle)
    draw_strain_scale(figure, figure.add_axes((0.93, 0.52, 0.012, 0.32)), label="end-systolic strain (%)")
    table = figure.add_axes((0.585, 0.02, 0.405, 0.425))
    _draw_table(table, result)
    return figure


def _draw_ventricle(axes: Axes, result: StrainResult, ventricle: LeftVentricleStrain | None) -> None:
    if ventricle is None:
        model = segment_model(result.view)
        numbers = model.numbers_18 or model.numbers
        values = (measures.end_systolic_percent for measures in result.segment_measures)
        percent = {
            number: float("nan") if value is None else value for number, value in zip(numbers, values, strict=True)
        }
        draw_bulls_eye(axes, percent, segment_count=18 if model.numbers_18 else 17)
        return
    models = [segment_model(view) for view in ventricle.views]
    shown = {
        number for model in models for number in (model.numbers_18 if ventricle.segment_count == 18 else model.numbers)
    }
    shown |= {17} if ventricle.segment_count == 17 else set()
    percent = {
        number: float(value)
        for number, value in zip(ventricle.numbers, ventricle.percent, strict=True)
        if number in shown
    }
    draw_bulls_eye(axes, percent, segment_count=ventricle.segment_count)
    text = f"{' + '.join(ventricle.views)}: GLS {signed(ventricle.gls_percent)} %, "
    text += f"mean of segments {signed(ventricle.gls_segment_mean_percent)} %"
    axes.text(0.5, 0.0, text, transform=axes.transAxes, fontsize=9, fontweight="bold", ha="center", va="center")


def _clip(result: StrainResult) -> ImageSequence:
    """Returns a black clip that contains the contour."""
    known = result.positions_px[np.isfinite(result.positions_px).all(axis=2)]
    width, height = (int(np.ceil(size)) for size in known.max(axis=0) * 1.15 + 10)
    black = np.broadcast_to(np.zeros((1, height, width), dtype=np.uint8), (len(result.positions_px), height, width))
    return ImageSequence(black, result.spacing_mm)


def _frame_and_time(result: StrainResult, frame: int) -> str:
    if result.times_s is None:
        return f"frame {frame}"
    return f"frame {frame}, {result.times_s[frame] - result.times_s[0]:.2f} s"


def signed(value: float | None, digits: int = 1) -> str:
    """Formats a number with a typographic minus sign; a dash if it is unknown."""
    if value is None or not np.isfinite(value):
        return "\u2013"
    return f"{value:.{digits}f}".replace("-", _MINUS_SIGN)


def _draw_header(figure: Figure, result: StrainResult, title: str) -> None:
    heading = f"{result.kind.capitalize()} strain, {result.view}"
    figure.text(0.015, 0.965, heading + (f": {title}" if title else ""), fontsize=15, fontweight="bold", va="center")
    *facts, drift = _facts(result)
    figure.text(0.015, 0.932, "   ".join(facts), fontsize=9, color="0.3", va="center")
    figure.text(0.015, 0.906, "Research software, not for clinical use.", fontsize=9, color="#a02020", va="center")
    figure.text(0.2, 0.906, drift, fontsize=9, color="0.3", va="center")
    gls = result.measures.gls_percent if result.kind == "longitudinal" else result.measures.end_systolic_percent
    name = "GLS" if result.kind == "longitudinal" else "Global"
    uncertainty = result.uncertainty
    if gls is None:
        figure.text(
            0.985, 0.95, f"{name}: not given", fontsize=20, fontweight="bold", ha="right", va="center", color="#a02020"
        )
        return
    spread = "" if uncertainty is None else f" \u00b1 {uncertainty.standard_deviation_percent:.1f}"
    figure.text(
        0.985, 0.955, f"{name} {signed(gls)}{spread} %", fontsize=22, fontweight="bold", ha="right", va="center"
    )
    if uncertainty is not None:
        interval = f"95 % interval {signed(uncertainty.low_percent)} to {signed(uncertainty.high_percent)} %"
        figure.text(0.985, 0.918, interval, fontsize=8, color="0.3", ha="right", va="center")


def _facts(result: StrainResult) -> list[str]:
    """Returns remarks on the input of the measurement, the drift last."""
    source = {"contour": "from the contour's size", "ecg": "from the ECG", "given": "given"}[result.events.source]
    facts = [f"events {source}: ED frame {result.cycle.reference_frame}, ES frame {result.cycle.end_systole_frame}"]
    if result.events.heart_rate_bpm is not None:
        facts.append(f"{result.events.heart_rate_bpm:.0f} beats/min")
    if result.times_s is not None:
        facts.append(f"{1 / float(np.nanmedian(np.diff(result.times_s))):.0f} frames/s")
    if result.model:
        facts.append(f"tracked by {result.model}")
    drift = result.drift.global_percent
    handled = "compensated" if result.drift.compensated else "not compensated"
    facts.append(f"drift at end of cycle {signed(drift)} %, {handled}" if np.isfinite(drift) else _NO_DRIFT)
    return facts


def _draw_table(axes: Axes, result: StrainResult) -> None:
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    step, top = 0.088, 0.955
    shown = _shown_columns(result)
    for name, x in _COLUMNS:
        if name not in shown:
            continue
        side = "left" if name in ("", "quality") else "right"
        axes.text(x, top, name, fontsize=8, color="0.35", ha=side, va="center", linespacing=0.95)
    unit = "frames" if result.times_s is None else "ms"
    for (name, x), text in zip(_COLUMNS[1:5], ("%", "%", unit, "%"), strict=True):
        if name in shown:
            axes.text(x, top - 0.055, text, fontsize=7, color="0.5", ha="right", va="center")
    axes.axhline(top - 0.085, color="0.6", linewidth=0.8)
    row = top - 0.085 - 0.6 * step
    _draw_row(axes, row, result.measures, result, name="whole wall", weight="bold")
    if result.measures.gls_segment_mean_percent is not None:
        mean = f"mean of segments {signed(result.measures.gls_segment_mean_percent)} %"
        axes.text(_COLUMNS[5][1], row, mean, fontsize=7, color="0.3", va="center")
    if result.smoothed is not None:
        row -= 0.8 * step
        _draw_row(axes, row, result.smoothed.measures, result, name="whole wall, smoothed", weight="normal")
    axes.axhline(row - 0.5 * step, color="0.85", linewidth=0.8)
    row -= 0.15 * step
    for number, (measures, quality) in enumerate(zip(result.segment_measures, result.quality, strict=True)):
        row -= 0.86 * step
        axes.plot(
            [0.012],
            [row],
            "s",
            color=segment_color(number),
            markersize=9,
            fillstyle="full" if quality.accepted else "none",
        )
        _draw_row(
            axes,
            row,
            measures,
            result,
            name=f"  {quality.name}",
            weight="normal",
            ink="black" if quality.accepted else REJECTED_COLOR,
        )
        axes.text(
            _COLUMNS[5][1],
            row,
            _quality_text(quality),
            fontsize=6.8,
            color="0.3" if quality.accepted else "#a02020",
            va="center",
            linespacing=0.95,
        )
    axes.axhline(row - 0.55 * step, color="0.85", linewidth=0.8)
    _draw_notes(axes, row - 0.75 * step, result)


def _quality_text(quality: SegmentQuality) -> str:
    if not quality.accepted:
        words = f"rejected: {quality.reason}"
    else:
        words = f"confidence {quality.confidence:.2f}, roughness {quality.roughness_percent:.1f} %"
        words += f"; {quality.reason}" if quality.reason else ""
    return "\n".join(textwrap.wrap(words, 46)[:2])


def _draw_row(
    axes: Axes,
    row: float,
    measures: StrainMeasures,
    result: StrainResult,
    *,
    name: str,
    weight: str,
    ink: str = "black",
) -> None:
    cells = _cells(measures, result)
    style: dict[str, Any] = {"fontsize": 9, "va": "center", "color": ink, "fontweight": weight}
    axes.text(0.02 if name.startswith("  ") else 0.0, row, name, ha="left", **style)
    shown = _shown_columns(result)
    for (column, x), cell in zip(_COLUMNS[1:5], cells, strict=True):
        if column in shown:
            axes.text(x, row, cell, ha="right", **style)


def _cells(measures: StrainMeasures, result: StrainResult) -> tuple[str, str, str, str]:
    """Returns the texts of the numbers' columns."""
    peak: float | None = measures.frames_to_peak
    if result.times_s is not None:
        peak = None if measures.time_to_peak_s is None else 1000 * measures.time_to_peak_s
    return (
        signed(measures.end_systolic_percent),
        signed(measures.peak_systolic_percent),
        signed(peak, 0),
        signed(measures.post_systolic_index_percent, 0),
    )


def _shown_columns(result: StrainResult) -> set[str]:
    """Returns the headings of the columns; those of numbers that are unknown in every row are left out."""
    rows = [_cells(measures, result) for measures in (result.measures, *result.segment_measures)]
    names = [name for name, _ in _COLUMNS]
    known = {
        name for name, cells in zip(names[1:5], zip(*rows, strict=True), strict=True) if set(cells) != {signed(None)}
    }
    return {names[0], names[5], *known}


def _draw_notes(axes: Axes, top: float, result: StrainResult) -> None:
    words = "ES: strain at end-systole. "
    words += "PSI: post-systolic index. " if "PSI" in _shown_columns(result) else ""
    words += "Lagrangian strain from end-diastole (Voigt et al. 2015)."
    words += (
        " Curves and numbers are raw; the dashed curve and the wall's colours are smoothed."
        if result.smoothed is not None
        else ""
    )
    lines = [*textwrap.wrap(words, 105)]
    if result.uncertainty is not None:
        lines += textwrap.wrap(f"Uncertainty of global strain: {result.uncertainty.method}.", 105)
    for note in result.notes[:_MAXIMUM_NOTES]:
        lines += textwrap.wrap(f"\u2022 {note}", 105, subsequent_indent="   ")
    axes.text(0.0, top, "\n".join(lines), fontsize=7, color="0.35", va="top", linespacing=1.25)
