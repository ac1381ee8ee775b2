"""A scale bar in mm at the lower left of a drawn frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LENGTHS_MM = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
_LARGEST_SHARE = 0.3


def scale_bar_length_mm(width_mm: float) -> float:
    """Returns the longest round length in mm that is at most 30 % of a picture's width; the shortest if none is."""
    fitting = [length for length in _LENGTHS_MM if length <= _LARGEST_SHARE * width_mm]
    return float(max(fitting, default=_LENGTHS_MM[0]))


def draw_scale_bar(axes: Axes, box: tuple[float, float, float, float], spacing_mm: tuple[float, float]) -> None:
    """Draws a horizontal bar with its length.

    Args:
        axes: with pixels as coordinates.
        box: left, top, right and bottom of what is shown, in pixels.
        spacing_mm: (x, y) pixel size.
    """
    left, top, right, bottom = box
    length = scale_bar_length_mm((right - left) * spacing_mm[0])
    start, height = left + 0.04 * (right - left), bottom - 0.045 * (bottom - top)
    end = start + length / spacing_mm[0]
    for color, width in (("black", 3.4), ("white", 1.8)):
        axes.plot([start, end], [height, height], color=color, linewidth=width, solid_capstyle="butt", zorder=6)
    axes.annotate(
        f"{length:g} mm",
        ((start + end) / 2, height),
        xytext=(0, 3),
        textcoords="offset points",
        color="white",
        fontsize=7,
        ha="center",
        va="bottom",
        zorder=6,
    )
