"""The wall's contour on one frame: evenly spaced, ordered points from clicks or from a drawn curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.arguments import as_numbers, as_tuple, as_whole
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.strain.curve_geometry import (
    MINIMUM_POINTS,
    arc_length,
    check_contour,
    evenly_spaced,
    signed_area,
)
from UltrasoundMotionLib.strain.segment_model import segment_model

_DENSE_COUNT = 2001
_BASE_ANGLE = np.deg2rad(98.0)  # the hinges lie a little below the widest place of the ventricle
_FULLNESS = 2.4
"""Exponent of the superellipse: an ellipse (2) is too narrow near the apex, a bullet (3) too full for round walls."""
_APEX_SHARES = (0.25, 0.75)  # the apex lies between these fractions of an apical contour's length


@dataclass(frozen=True)
class WallContour:
    """Points along the wall on one frame.

    Attributes:
        points_px: (N, 2), evenly spaced. Apical views: from the base on the left over the apex to the base on the
            right, as seen in the image. Short-axis views: a ring from the anterior insertion of the right ventricle,
            counter-clockwise as seen.
        apex_index: index of the point at the apex; 0 for a ring, which has none.
        view: a name of `segment_model`.
        frame: the frame on which the points lie.
        spacing_mm: (x, y) pixel size, or None when unknown.
        notes: changes made to the input (order reversed ...), one line each.

    Raises:
        InputError: points that `check_contour` refuses; an unknown view; an apex that is not one of the inner points.
    """

    points_px: np.ndarray
    apex_index: int
    view: str = "A4C"
    frame: int = 0
    spacing_mm: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        closed = segment_model(self.view).closed
        points = check_contour(self.points_px, closed).copy()
        points.setflags(write=False)
        object.__setattr__(self, "points_px", points)
        if not closed and not 0 < self.apex_index < len(points) - 1:
            raise InputError(f"apex_index must lie between 1 and {len(points) - 2}, got {self.apex_index}")

    @property
    def length_mm(self) -> float | None:
        """Length of the contour, or None when the spacing is unknown."""
        if self.spacing_mm is None:
            return None
        points = self.points_px * np.asarray(self.spacing_mm)
        if segment_model(self.view).closed:
            points = np.concatenate([points, points[:1]])
        return float(arc_length(points)[-1])


def left_base_first(points: np.ndarray) -> bool:
    """Returns True if an apical contour (N, 2) starts at the base on the left of the image.

    Where the base is nearly vertical in the image, left means left of the direction from base to apex.
    """
    first, last = points[0], points[-1]
    base = last - first
    if abs(base[0]) >= 0.2 * np.hypot(*base):
        return bool(base[0] > 0)
    return bool(signed_area(points) > 0)


def find_apex(points: np.ndarray) -> int:
    """Returns the index of the apex of an apical contour (N, 2): the point farthest from the middle of the base.

    Raises:
        InputError: the apex lies outside the middle half of the contour, which is then no wall from base over apex to
            base.
    """
    distance = np.hypot(*(points - (points[0] + points[-1]) / 2).T)
    apex = int(np.argmax(distance))
    arc = arc_length(points)
    share = arc[apex] / arc[-1]
    if not _APEX_SHARES[0] <= share <= _APEX_SHARES[1]:
        raise InputError(
            f"contour: the apex (farthest from the base) lies at {share:.0%} of it;"
            " it must run from base over apex to base"
        )
    return apex


def contour_from_clicks(
    clicks_px: np.ndarray,
    count: int = 49,
    *,
    view: str = "A4C",
    frame: int = 0,
    spacing_mm: tuple[float, float] | None = None,
) -> WallContour:
    """Makes a plausible wall through three clicks, to be corrected by the user.

    It is a truncated superellipse that is widest a little above the hinges.

    Args:
        clicks_px: (3, 2): hinge, apex, hinge of the mitral valve, either hinge first. In another order, the hinges are
            the two that are closest to each other (the ventricle is longer than its base is wide), and a note says so.
        count: number of points to make.

    Raises:
        InputError: not three finite clicks; clicks on a line or on one spot; a short-axis view; a `count` below 6.
    """
    clicks, count = as_numbers(clicks_px, "clicks_px"), as_whole(count, "count")
    if clicks.shape != (3, 2) or not np.all(np.isfinite(clicks)):
        raise InputError(f"clicks must be three finite points (hinge, apex, hinge), got shape {clicks.shape}")
    if segment_model(view).closed:
        raise InputError(
            f"three clicks describe an apical view; draw the ring of a short-axis view ({view}) as a curve"
        )
    if count < MINIMUM_POINTS:
        raise InputError(f"count must be at least {MINIMUM_POINTS}, got {count}")
    scale = np.ones(2) if spacing_mm is None else np.array(as_tuple(spacing_mm, "spacing_mm", 2))
    places = clicks * scale
    notes: tuple[str, ...] = ()
    sides = [np.hypot(*(places[a] - places[b])) for a, b in ((1, 2), (0, 2), (0, 1))]  # opposite of clicks 0, 1, 2
    apex = int(np.argmin(sides))
    if apex != 1:
        notes = (f"the apex was taken to be click {apex + 1}, since the other two are closest to each other",)
        hinges = [index for index in range(3) if index != apex]
        places = places[[hinges[0], apex, hinges[1]]]
    first, tip, last = places
    area = abs((last[0] - first[0]) * (tip[1] - first[1]) - (last[1] - first[1]) * (tip[0] - first[0]))
    if area <= 0.05 * max(sides) ** 2:
        raise InputError("clicks: hinge, apex and hinge lie on a line or on one spot; no wall goes through them")
    angle = np.linspace(-_BASE_ANGLE, _BASE_ANGLE, _DENSE_COUNT)[:, None]
    upward, sideways = (np.sign(part) * np.abs(part) ** (2 / _FULLNESS) for part in (np.cos(angle), np.sin(angle)))
    axis = (tip - (first + last) / 2) / (1 - upward[-1])
    dense = tip + axis * (upward - 1) + (last - first) / 2 * sideways / sideways[-1]
    if not left_base_first(dense):
        dense = dense[::-1]
    points = evenly_spaced(dense, count)
    nearest = int(np.clip(np.argmin(np.hypot(*(points - tip).T)), 1, count - 2))
    return WallContour(points / scale, nearest, segment_model(view).view, frame, spacing_mm, notes)


def contour_from_curve(
    points_px: np.ndarray,
    count: int = 49,
    *,
    view: str = "A4C",
    frame: int = 0,
    spacing_mm: tuple[float, float] | None = None,
    apex_index: int | None = None,
) -> WallContour:
    """Makes a contour of evenly spaced points along a drawn curve.

    Args:
        points_px: (M, 2) points in order along the wall, at least 6; a spline is fitted through them. Apical views
            may start at either base; a ring starts at the anterior insertion of the right ventricle, may run either
            way, and need not repeat its first point.
        count: number of points to make.
        apex_index: index of the apex among the given points; None takes the one farthest from the middle of the base.

    Raises:
        InputError: points that `check_contour` refuses; an apical curve whose apex is not in its middle half; a `count`
            below 6.
    """
    from scipy.interpolate import CubicSpline

    closed = segment_model(view).closed
    given, count = as_numbers(points_px, "points_px"), as_whole(count, "count")
    if count < MINIMUM_POINTS:
        raise InputError(f"count must be at least {MINIMUM_POINTS}, got {count}")
    if closed and len(given) > 1 and np.allclose(given[0], given[-1]):
        given = given[:-1]
    scale = np.ones(2) if spacing_mm is None else np.array(as_tuple(spacing_mm, "spacing_mm", 2))
    drawn = check_contour(given, closed) * scale
    if apex_index is not None and not 0 < apex_index < len(drawn) - 1:
        raise InputError(f"apex_index must lie between 1 and {len(drawn) - 2}, got {apex_index}")
    tip = None if closed else drawn[find_apex(drawn) if apex_index is None else apex_index]
    notes: tuple[str, ...] = ()
    if closed and signed_area(drawn) > 0:
        drawn, notes = np.roll(drawn[::-1], 1, axis=0), ("the ring was turned around to run counter-clockwise as seen",)
    elif not closed and not left_base_first(drawn):
        drawn, notes = drawn[::-1], ("the curve was turned around to start at the base on the left",)
    through = np.concatenate([drawn, drawn[:1]]) if closed else drawn
    # Centripetal parameters keep the spline from overshooting between points that are unevenly spaced.
    parameter = np.concatenate([[0.0], np.cumsum(np.sqrt(np.hypot(*np.diff(through, axis=0).T)))])
    spline = CubicSpline(parameter, through, bc_type="periodic" if closed else "natural")
    dense = spline(np.linspace(0.0, parameter[-1], _DENSE_COUNT))
    points = evenly_spaced(dense[:-1] if closed else dense, count, closed)
    apex = 0 if tip is None else int(np.clip(np.argmin(np.hypot(*(points - tip).T)), 1, count - 2))
    return WallContour(points / scale, apex, segment_model(view).view, frame, spacing_mm, notes)
