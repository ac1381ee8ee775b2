"""The bull's-eye: the left ventricle seen from its apex, one field a segment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.pictures.strain_colors import (
    REJECTED_COLOR,
    STRAIN_LIMIT_PERCENT,
    strain_colormap,
    strain_colors,
    text_color_on,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WALLS = (
    ("anterior", 90),
    ("anteroseptal", 150),
    ("inferoseptal", 210),
    ("inferior", 270),
    ("inferolateral", 330),
    ("anterolateral", 30),
)
"""Name and direction (degrees counter-clockwise from the right) of the walls around the bull's-eye."""

NOT_MEASURED_COLOR = "#efefef"


@dataclass(frozen=True)
class BullsEyeField:
    """One field: its segment's number, its ring (radii from 0 to 1) and its sector (degrees counter-clockwise from the
    right).
    """

    number: int
    inner: float
    outer: float
    from_deg: float
    to_deg: float

    @property
    def middle(self) -> tuple[float, float]:
        """Where its number stands."""
        radius = 0.0 if self.inner == 0 and self.to_deg - self.from_deg >= 360 else (self.inner + self.outer) / 2
        angle = np.deg2rad((self.from_deg + self.to_deg) / 2)
        return float(radius * np.cos(angle)), float(radius * np.sin(angle))


def bulls_eye_fields(segment_count: int) -> tuple[BullsEyeField, ...]:
    """The fields of the 16-, 17- or 18-segment left ventricle in the order of their numbers.

    Basal segments outside, apical inside; anterior at the top, the septum on the left, numbers counter-clockwise from
    anterior (Cerqueira et al., Circulation 105:539, 2002, for 17; Lang et al., J Am Soc Echocardiogr 28:1, 2015,
    section 3.6, for 16 and 18). 16 and 17 have four apical segments; 17 has the apical cap in the middle besides; 18
    has six apical segments.

    Raises:
        InputError: another number of segments.
    """
    if segment_count not in (16, 17, 18):
        raise InputError(f"a left ventricle has 16, 17 or 18 segments, got {segment_count}")
    rings = {16: (1.0, 0.7, 0.4, 0.0), 17: (1.0, 0.75, 0.5, 0.24), 18: (1.0, 0.7, 0.4, 0.0)}[segment_count]
    sectors = (6, 6, 6 if segment_count == 18 else 4)
    fields = []
    for outer, inner, count in zip(rings[:-1], rings[1:], sectors, strict=True):
        width = 360 / count
        for place in range(count):
            middle = 90 + place * width
            fields.append(BullsEyeField(len(fields) + 1, inner, outer, middle - width / 2, middle + width / 2))
    if segment_count == 17:
        fields.append(BullsEyeField(17, 0.0, rings[-1], 0.0, 360.0))
    return tuple(fields)


def draw_bulls_eye(
    axes: Axes,
    percent: Mapping[int, float],
    *,
    segment_count: int = 18,
    limit_percent: float = STRAIN_LIMIT_PERCENT,
    title: str = "",
    font_size: float = 8.5,
) -> None:
    """Draws it on empty axes.

    Args:
        percent: strain of the segments that were looked at, by number; NaN is a rejected segment (grey, hatched). A
            segment that is missing was not in the views given and stays pale and empty.

    Raises:
        InputError: see `bulls_eye_fields`; or a number that the model does not have.
    """
    from matplotlib.patches import Wedge

    fields = bulls_eye_fields(segment_count)
    unknown = set(percent) - {field.number for field in fields}
    if unknown:
        raise InputError(f"a {segment_count}-segment model has no segment {min(unknown)}")
    for field in fields:
        value = percent.get(field.number)
        measured = value is not None and np.isfinite(value)
        color = (
            strain_colors(np.array(value), limit_percent)
            if measured
            else (NOT_MEASURED_COLOR if value is None else REJECTED_COLOR)
        )
        hatch = "////" if value is not None and not measured else None
        wedge = Wedge(
            (0, 0),
            field.outer,
            field.from_deg,
            field.to_deg,
            width=field.outer - field.inner,
            facecolor=color,
            linewidth=1.0,
        )
        wedge.set(edgecolor="white" if value is None else "#404040", hatch=hatch, zorder=1 if value is None else 2)
        axes.add_patch(wedge)
        if value is not None:
            ink = text_color_on(color) if measured else "white"
            text = f"{value:.0f}".replace("-", "\u2212") if measured else "\u00d7"
            style = {"ha": "center", "va": "center", "fontsize": font_size, "fontweight": "bold", "zorder": 3}
            axes.text(*field.middle, text, color=ink, **style)
    for wall, direction in WALLS:
        angle = np.deg2rad(direction)
        turn = {90: 0, 270: 0}.get(direction, direction - 90 if direction < 180 else direction + 90)
        turn = (turn + 90) % 180 - 90
        place = (1.11 * np.cos(angle), 1.11 * np.sin(angle))
        axes.text(
            *place,
            wall,
            ha="center",
            va="center",
            fontsize=0.85 * font_size,
            rotation=turn,
            rotation_mode="anchor",
            color="0.25",
        )
    axes.set_xlim(-1.22, 1.22)
    axes.set_ylim(-1.22, 1.22)
    axes.set_aspect("equal")
    axes.set_axis_off()
    if title:
        axes.set_title(title, fontsize=1.15 * font_size, pad=3)


def draw_strain_scale(
    figure: Figure, axes: Axes, *, limit_percent: float = STRAIN_LIMIT_PERCENT, label: str = "strain (%)"
) -> None:
    """Fills empty axes with the vertical colour bar of strain: shortening (red) at the top, as vendors draw it."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    bar = figure.colorbar(ScalarMappable(Normalize(-limit_percent, limit_percent), strain_colormap()), cax=axes)
    axes.invert_yaxis()
    bar.set_ticks(np.linspace(-limit_percent, limit_percent, 5).tolist())
    bar.ax.tick_params(labelsize=7, length=2)
    bar.set_label(label, fontsize=7.5)
    bar.outline.set_linewidth(0.5)
    for place, word in ((1.01, "shortens"), (-0.01, "lengthens")):
        bar.ax.text(
            0.5,
            place,
            word,
            transform=bar.ax.transAxes,
            ha="center",
            va="bottom" if place > 1 else "top",
            fontsize=7,
            color="0.3",
        )
