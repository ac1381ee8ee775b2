"""Arrangement of slices on a regular grid, from the position and the orientation of each.

The tolerance admits positions that were rounded to a tenth of a millimetre. Every other irregularity is refused with
the positions: an image on a regular grid cannot say where such slices lie.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.readers.dicom.planes import OTHER_KEYS, SAME_POSITION_MM, TIMES, Plane, same_directions

_ROUNDED_MM, _SHARE_OF_STEP, _LARGEST_SHARE = 0.06, 0.02, 0.2
_ROUNDED_COSINE = 1e-3  # some scanners write the orientation with three decimals
_LISTED = 12


@dataclass(frozen=True)
class SliceStack:
    """Slices in the order of their positions along their common normal.

    Attributes:
        planes: from the lowest position to the highest.
        step_mm: the distance between neighbours; None for a single slice.
        directions: (3, 3) LPS, columns are increasing x, increasing y, and their normal.
    """

    planes: tuple[Plane, ...]
    step_mm: float | None
    directions: np.ndarray


def stack_slices(source: Path, planes: list[Plane]) -> SliceStack:
    """Arranges slices on a regular grid.

    Raises:
        InputError: slices without a position, of several orientations, several at one position, unevenly spaced, or
            that do not lie straight behind one another.
    """
    for plane in planes:
        if plane.position_mm is None or plane.directions is None:
            missing = "ImagePositionPatient" if plane.position_mm is None else "ImageOrientationPatient"
            raise InputError(
                f"{source}: {plane.name} has no {missing}, so the place of its {len(planes)} slices is unknown"
            )
    first = planes[0].directions
    assert first is not None
    _check_one_orientation(source, planes, first)
    directions = np.column_stack([*first, np.cross(*first)])
    positions = np.array([plane.position_mm for plane in planes])
    # columns: along x, along y, along the normal
    placed = positions @ directions
    order = np.argsort(placed[:, 2], kind="stable")
    planes, placed = [planes[index] for index in order], placed[order]
    if len(planes) == 1:
        return SliceStack(tuple(planes), None, directions)
    _check_one_each(source, planes, placed)
    along = placed[:, 2]
    step = float(along[-1] - along[0]) / (len(along) - 1)
    usual = float(np.median(np.diff(along)))
    tolerance = min(max(_ROUNDED_MM, _SHARE_OF_STEP * usual), _LARGEST_SHARE * usual)
    places = np.arange(len(along))
    if np.abs(along - np.polyval(np.polyfit(places, along, 1), places)).max() > tolerance:
        raise InputError(f"{source}: {_gaps(along, usual, tolerance)}")
    _check_straight(source, planes, placed, tolerance)
    return SliceStack(tuple(planes), step, directions)


def _check_one_orientation(source: Path, planes: list[Plane], first: np.ndarray) -> None:
    groups: list[tuple[np.ndarray, int]] = []
    for plane in planes:
        assert plane.directions is not None
        for place, (known, count) in enumerate(groups):
            if same_directions(known, plane.directions):
                groups[place] = (known, count + 1)
                break
        else:
            groups.append((plane.directions, 1))
    if len(groups) > 1:
        named = "; ".join(
            f"{count} with normal ({', '.join(f'{value:.3g}' for value in np.cross(*known))})"
            for known, count in groups[:4]
        )
        raise InputError(
            f"{source}: holds slices of {len(groups)} orientations ({named}), as a localizer does; put the slices of "
            "one orientation into a folder of their own"
        )


def _check_one_each(source: Path, planes: list[Plane], placed: np.ndarray) -> None:
    """Raises InputError if several slices lie at one position, naming what they differ in."""
    groups: list[list[Plane]] = []
    at: list[float] = []
    for plane, position in zip(planes, placed[:, 2], strict=True):
        if groups and position - at[-1] <= SAME_POSITION_MM:
            groups[-1].append(plane)
        else:
            groups.append([plane])
            at.append(float(position))
    sizes = {len(group) for group in groups}
    if sizes == {1}:
        return
    if len(sizes) == 1:
        count = sizes.pop()
        what = f"{count} volumes of {len(groups)} slices" if len(groups) > 1 else f"{count} images of one slice"
        reason = differing_key(groups)
        differ = f", which differ in {reason}" if reason else ""
        raise InputError(
            f"{source}: holds {what}{differ}; "
            + ("put the slices of one volume into a folder of their own" if len(groups) > 1 else
               "choose one of them, or read them as a sequence")
        )  # fmt: skip
    double = [(position, group) for position, group in zip(at, groups, strict=True) if len(group) > 1]
    position, group = double[0]
    names = " and ".join(plane.name for plane in group[:2])
    raise InputError(
        f"{source}: {len(double)} of {len(groups)} positions are there more than once: {names} both lie at "
        f"{position:.4g} mm along the normal; remove the slices that do not belong to the volume"
    )


def differing_key(groups: list[list[Plane]]) -> str:
    """Names the attribute whose values differ within every group of planes at one position, with its values."""
    for name, sequence in (*TIMES, *OTHER_KEYS):
        values = [[str(plane.value(name, sequence)) for plane in group] for group in groups]
        if all(len(set(group)) == len(group) and "None" not in group for group in values):
            shown = _in_order(values[0])
            listed = ", ".join(shown) if len(shown) <= 4 else f"{shown[0]}, {shown[1]} ... {shown[-1]}"
            return f"{name} ({listed})"
    return ""


def _in_order(values: list[str]) -> list[str]:
    try:
        return [f"{number:.10g}" for number in sorted(map(float, values))]
    except ValueError:
        return sorted(values)


def _gaps(along: np.ndarray, usual: float, tolerance: float) -> str:
    """Says where slices are missing, or that they are not evenly spaced, with their positions along the normal."""
    steps = np.diff(along)
    whole = np.rint(steps / usual)
    listed = ", ".join(f"{position:.6g}" for position in along[:_LISTED])
    positions = f"positions along the normal, mm: {listed}{', ...' if len(along) > _LISTED else ''}"
    if np.abs(steps - whole * usual).max() <= 2 * tolerance and whole.min() >= 1:
        gaps = np.flatnonzero(whole > 1)
        count = int(whole.sum()) - len(steps)
        between = ", ".join(f"{along[gap]:.6g} and {along[gap + 1]:.6g} mm" for gap in gaps[:4])
        return (
            f"{count} slice{'s are' if count > 1 else ' is'} missing, between {between} (the others are {usual:.4g} mm "
            f"apart; {positions})"
        )
    common = Counter(float(f"{step:.3g}") for step in steps).most_common(3)
    spacings = ", ".join(f"{step:g} mm" for step, _ in common)
    return f"its slices are not evenly spaced: steps of {spacings}{' ...' if len(set(steps)) > 3 else ''} ({positions})"


def _check_straight(source: Path, planes: list[Plane], placed: np.ndarray, tolerance: float) -> None:
    """Raises InputError if slices are shifted along x or y, as those of a tilted gantry are."""
    aside = placed[:, :2] - placed[0, :2]
    height = placed[:, 2] - placed[0, 2]
    if np.abs(aside).max() <= max(tolerance, _ROUNDED_COSINE * height[-1]):
        return
    slope = (aside * height[:, None]).sum(axis=0) / (height**2).sum()
    if np.abs(aside - height[:, None] * slope).max() <= tolerance:
        angle = np.degrees(np.arctan(np.hypot(*slope)))
        raise InputError(
            f"{source}: its slices are sheared by {angle:.3g} degrees (a tilted gantry): each lies "
            f"{np.hypot(*slope) * height[1]:.3g} mm beside the one before, {height[1]:.3g} mm apart; resample the "
            "volume onto a rectangular grid first"
        )
    worst = int(np.abs(aside).max(axis=1).argmax())
    raise InputError(
        f"{source}: its slices do not lie straight behind one another: {planes[worst].name} is "
        f"{np.hypot(*aside[worst]):.3g} mm beside {planes[0].name}"
    )
