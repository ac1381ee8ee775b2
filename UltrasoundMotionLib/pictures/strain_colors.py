"""Colours of strain in figures and in a scene: red for shortening, blue for lengthening, and one per segment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

STRAIN_LIMIT_PERCENT = 20.0
"""Strain at the ends of the colour scale, as in the vendors' bull's-eyes."""

REJECTED_COLOR = "#9a9a9a"
MEAN_COLOR = "#1a1a1a"

_STRAIN_STOPS = (
    (-1.00, (0.55, 0.00, 0.04)),
    (-0.75, (0.80, 0.07, 0.08)),
    (-0.50, (0.93, 0.33, 0.27)),
    (-0.25, (0.98, 0.66, 0.59)),
    (0.00, (0.97, 0.95, 0.94)),
    (0.25, (0.62, 0.78, 0.95)),
    (0.50, (0.28, 0.54, 0.90)),
    (1.00, (0.05, 0.17, 0.60)),
)
"""Strain over the limit, and its colour (red, green, blue from 0 to 1)."""

SEGMENT_COLORS = (
    (0.91, 0.65, 0.00),
    (0.09, 0.72, 0.79),
    (0.17, 0.63, 0.17),
    (0.79, 0.23, 0.68),
    (0.20, 0.34, 0.88),
    (0.86, 0.18, 0.12),
)
"""Colours of a view's segments from the left base over the apex to the right base, distinct on white and on grey."""


def segment_color(number: int) -> tuple[float, float, float]:
    """Returns red, green and blue (0 to 1) of a view's segment `number`."""
    return SEGMENT_COLORS[number % len(SEGMENT_COLORS)]


def strain_colors(percent: np.ndarray, limit_percent: float = STRAIN_LIMIT_PERCENT) -> np.ndarray:
    """Returns (..., 3) red, green, blue (0 to 1) of strain in percent, clipped to the limit; grey for NaN."""
    values = np.asarray(percent, dtype=np.float64) / limit_percent
    stops, colors = [stop for stop, _ in _STRAIN_STOPS], np.array([color for _, color in _STRAIN_STOPS])
    mixed = np.stack([np.interp(values, stops, channel) for channel in colors.T], axis=-1)
    grey = np.array([int(REJECTED_COLOR[start : start + 2], 16) / 255 for start in (1, 3, 5)])
    return np.where(np.isfinite(values)[..., None], mixed, grey)


def strain_colormap() -> Colormap:
    """Returns the colours of strain as a matplotlib colour map over [-limit, limit]."""
    from matplotlib.colors import ListedColormap

    return ListedColormap(strain_colors(np.linspace(-STRAIN_LIMIT_PERCENT, STRAIN_LIMIT_PERCENT, 256)), name="strain")


def text_color_on(color: np.ndarray) -> str:
    """Returns black or white, whichever has more contrast to a colour (red, green, blue from 0 to 1)."""
    linear = np.where(
        np.asarray(color) <= 0.04045, np.asarray(color) / 12.92, ((np.asarray(color) + 0.055) / 1.055) ** 2.4
    )
    return (
        "black" if float(linear @ (0.2126, 0.7152, 0.0722)) > 0.179 else "white"
    )  # equal contrast to both at 0.179 (WCAG 2)
