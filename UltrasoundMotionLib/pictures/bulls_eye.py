"""Bull's-eye plots of the left ventricle, one field per segment."""

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

_WALLS = (
    ("anterior", 90),
    ("anteroseptal", 150),
    ("inferoseptal", 210),
    ("inferior", 270),
    ("inferolateral", 330),
    ("anterolateral", 30),
)
"""Name and direction (degrees counter-clockwise from the right) of the walls around the bull's-eye."""

_NOT_MEASURED_COLOR = "#efefef"


@dataclass(frozen=True)
class BullsEyeField:
    """One field: number of the segment, ring (radii 0 to 1), sector (degrees counter-clockwise from the right)."""

    number: int
    inner: float
    outer: float
    from_deg: float
    to_deg: float

    @property
    def middle(self) -> tuple[float, float]:
        """The position (x, y) of its label."""
        radius = 0.0 if self.inner == 0 and self.to_deg - self.from_deg >= 360 else (self.inner + self.outer) / 2
        angle = np.deg2rad((self.from_deg + self.to_deg) / 2)
        return float(radius * np.cos(angle)), float(radius * np.sin(angle))


def bulls_eye_fields(segment_count: int) -> tuple[BullsEyeField, ...]:
    """Returns the fields of the 16-, 17- or 18-segment left ventricle in the order of their numbers.

    Basal segments outside, apical inside; anterior at the top, the septum on the left, numbers counter-clockwise from
    anterior (Cerqueira et al., Circulation 105:539, 2002, for 17; Lang et al., J Am Soc Echocardiogr 28:1, 2015,
    section 3.6, for 16 and 18). There are four apical segments in the models of 16 and 17, six in that of 18; 17 is the
    apical cap in the centre.

    Raises:
        InputError: another number of segments.
    """
    if segment_count not in (16, 17, 18):
        raise InputError(f"a left ventricle has 16, 17 or 18 segments, got {segment_count}")
    rings = {16: (1.0, 0.7, 0.4, 0.0), 17: (1.0, 0.75, 0.5, 0.24), 18: (1.0, 0.7, 0.4, 0.0)}[segment_count]
    sectors = (6, 6, 6 if segment_count == 18 else 4)
    fields: list[BullsEyeField] = []
    for outer, inner, count in zip(rings[:-1], rings[1:], sectors, strict=True):
        width = 360 / count
        for sector in range(count):
            middle = 90 + sector * width
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
    """Draws a bull's-eye on empty axes.

    Args:
        axes: where to draw.
        percent: strain by segment number; NaN is a rejected segment (grey, hatched). A missing segment was not measured
            (pale, without a number).
        segment_count: 16, 17 or 18.
        limit_percent: strain at the ends of the colour scale.
        title: title of the plot.
        font_size: size of the numbers.

    Raises:
        InputError: another number of segments; a number that is not in the model.
    """
    from matplotlib.patches import Wedge

    fields = bulls_eye_fields(segment_count)
    unknown = set(percent) - {field.number for field in fields}
    if unknown:
        raise InputError(f"a {segment_count}-segment model has no segment {min(unknown)}")
    for field in fields:
        value = percent.get(field.number)
        color: np.ndarray | str = _NOT_MEASURED_COLOR
        ink, text, hatch = "white", "\u00d7", None
        if value is not None and np.isfinite(value):
            color = strain_colors(np.array(value), limit_percent)
            ink, text = text_color_on(color), f"{value:.0f}".replace("-", "\u2212")
        elif value is not None:
            color, hatch = REJECTED_COLOR, "////"
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
            x, y = field.middle
            axes.text(x, y, text, color=ink, ha="center", va="center", fontsize=font_size, fontweight="bold", zorder=3)
    for wall, direction in _WALLS:
        angle = np.deg2rad(direction)
        turn = {90: 0, 270: 0}.get(direction, direction - 90 if direction < 180 else direction + 90)
        turn = (turn + 90) % 180 - 90
        axes.text(
            1.11 * np.cos(angle),
            1.11 * np.sin(angle),
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
    """Draws the vertical colour bar of strain on empty axes, shortening (red) at the top, as vendors do.

    Its ends are marked as open: strain beyond the limit has the colour of the limit.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    bar = figure.colorbar(ScalarMappable(Normalize(-limit_percent, limit_percent), strain_colormap()), cax=axes)
    axes.invert_yaxis()
    ticks = np.linspace(-limit_percent, limit_percent, 5)
    words = [f"{tick:.0f}".replace("-", "\u2212") for tick in ticks]
    bar.set_ticks(ticks.tolist(), labels=[f"\u2264 {words[0]}", *words[1:-1], f"\u2265 {words[-1]}"])
    bar.ax.tick_params(labelsize=7, length=2)
    bar.set_label(label, fontsize=7.5)
    bar.outline.set_linewidth(0.5)
    for height, word in ((1.04, "shortens"), (-0.04, "lengthens")):
        bar.ax.text(
            0.5,
            height,
            word,
            transform=bar.ax.transAxes,
            ha="center",
            va="bottom" if height > 1 else "top",
            fontsize=7,
            color="0.3",
        )
