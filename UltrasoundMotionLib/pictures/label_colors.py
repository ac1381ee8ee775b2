"""Colours of points by label, the same in every figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

MAXIMUM_IN_LEGEND = 8


def label_colormap() -> Colormap:
    """Returns the colour map turbo without its dark ends, so that every colour is visible on grey."""
    import matplotlib
    from matplotlib.colors import ListedColormap

    return ListedColormap(matplotlib.colormaps["turbo"](np.linspace(0.08, 0.93, 256)), name="labels")


def label_colors(count: int) -> np.ndarray:
    """Returns (count, 4) RGBA from 0 to 1 in the order of the labels."""
    return label_colormap()(np.linspace(0, 1, count) if count > 1 else np.array([0.35]))
