"""Drawing of a frame with the wall coloured by strain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.pictures.frame_overlay import FrameOverlay
from UltrasoundMotionLib.pictures.strain_band import band_half_width, wall_band
from UltrasoundMotionLib.pictures.strain_colors import segment_color, strain_colors
from UltrasoundMotionLib.strain.strain_result import StrainResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BAND_OPACITY = 0.68


def draw_strain_wall(axes: Axes, overlay: FrameOverlay, result: StrainResult, frame: int, *, caption: str) -> None:
    """Draws a frame on empty axes with the wall as a translucent band in the colours of strain.

    Along its outside is a line in the colours of the segments. Rejected segments are grey. The colours are of smoothed
    strain if there is any, since raw strain between adjacent points is mostly noise.
    """
    from matplotlib.collections import LineCollection, PolyCollection

    overlay.draw_frame(axes, frame)
    closed = result.kind in ("circumferential", "radial")
    local = result.point_percent if result.smoothed is None else result.smoothed.point_percent
    contour, percent, segment = result.positions_px[frame], local[frame], result.segment_of_point
    spacing = result.spacing_mm or (1.0, 1.0)
    half_width = band_half_width(result.positions_px[result.cycle.reference_frame], spacing)
    edges = [np.concatenate([edge, edge[:1]]) if closed else edge for edge in wall_band(contour, half_width, spacing)]
    outer = max(edges, key=_spread)
    if closed:
        percent, segment = np.append(percent, percent[0]), np.append(segment, segment[0])
    known = np.isfinite(edges[0]).all(axis=1) & np.isfinite(edges[1]).all(axis=1)
    accepted = np.array([quality.accepted for quality in result.quality])
    pieces = np.flatnonzero(known[:-1] & known[1:])
    quadrilaterals = np.stack([edges[0][pieces], edges[0][pieces + 1], edges[1][pieces + 1], edges[1][pieces]], axis=1)
    middle = (percent[pieces] + percent[pieces + 1]) / 2
    both_accepted = accepted[segment[pieces]] & accepted[segment[pieces + 1]]
    colors = strain_colors(np.where(both_accepted, middle, np.nan))
    band = PolyCollection(list(quadrilaterals), facecolors=colors, edgecolors="none", alpha=_BAND_OPACITY, zorder=3)
    axes.add_collection(band, autolim=False)
    lines = np.stack([outer[pieces], outer[pieces + 1]], axis=1)
    line_colors = [segment_color(number) for number in segment[pieces]]
    axes.add_collection(
        LineCollection(list(lines), colors=line_colors, linewidths=2.0, capstyle="butt", zorder=4), autolim=False
    )
    axes.text(0.02, 0.98, caption, transform=axes.transAxes, color="white", fontsize=9, va="top", ha="left", zorder=5)


def _spread(points: np.ndarray) -> float:
    known = points[np.isfinite(points).all(axis=1)]
    return float(known.std(axis=0).sum()) if len(known) else 0.0
