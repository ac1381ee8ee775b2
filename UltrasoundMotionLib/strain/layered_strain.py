"""Strain of several layers of the wall, and of its thickness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.strain.cardiac_events import CardiacEvents
from UltrasoundMotionLib.strain.contour_strain import contour_strain
from UltrasoundMotionLib.strain.ecg_trace import EcgTrace
from UltrasoundMotionLib.strain.measured_wall import MeasuredWall, measure_wall
from UltrasoundMotionLib.strain.segment_model import segment_model
from UltrasoundMotionLib.strain.segment_shares import point_shares
from UltrasoundMotionLib.strain.strain_config import StrainConfig
from UltrasoundMotionLib.strain.strain_curves import Lengths, assemble_strain
from UltrasoundMotionLib.strain.strain_result import SegmentQuality, StrainResult
from UltrasoundMotionLib.tracking.point_tracks import PointTracks


@dataclass(frozen=True)
class LayeredStrain:
    """Strain of a wall that was tracked in several layers.

    Attributes:
        layers: strain along the wall by the layer's name, in the order given: longitudinal in apical views,
            circumferential in short-axis views.
        thickness: strain across the wall, between the first and the last layer: transverse in apical views, radial in
            short-axis views.
    """

    layers: dict[str, StrainResult]
    thickness: StrainResult


def layered_strain(
    tracks: PointTracks,
    layers: Mapping[str, Sequence[str | int]],
    *,
    view: str = "A4C",
    events: CardiacEvents | None = None,
    config: StrainConfig | None = None,
    r_peaks_s: np.ndarray | None = None,
    ecg: EcgTrace | None = None,
    forward_backward_px: np.ndarray | None = None,
) -> LayeredStrain:
    """Computes strain along each layer, and of the thickness between the first and the last layer.

    Thickness at a point is the distance between the inner and the outer layer's point of the same index, along the
    normal of the wall (the curve midway between both), so that sliding of the layers does not count as thickening.
    Transverse strain (apical views) and radial strain (short-axis views) are 100 (d(t) - d0) / d0 of the mean thickness
    d in a segment (Voigt et al. 2015).

    Args:
        tracks: the points of all layers.
        layers: labels or indices of each layer's points by its name, from the inner to the outer layer ("endo", "mid",
            "epi"), all in the same direction and of equal number.
        view: any view.
        events: None finds them on the layer named "mid", or on the first.
        config, r_peaks_s, ecg, forward_backward_px: as in `longitudinal_strain`.

    Raises:
        InputError: fewer than two layers; layers of different numbers of points or that run in different directions;
            otherwise as in `longitudinal_strain`.
    """
    names = list(layers)
    if len(names) < 2:
        raise InputError(f"layers: give at least an inner and an outer layer, got {names}")
    counts = {name: len(layers[name]) for name in names}
    if len(set(counts.values())) > 1:
        raise InputError(f"layers must have equally many points, got {counts}")
    model = segment_model(view)
    walls: dict[str, MeasuredWall] = {}
    for name in sorted(names, key=lambda name: name != ("mid" if "mid" in names else names[0])):
        walls[name] = measure_wall(
            tracks,
            model,
            events=events,
            config=config,
            order=layers[name],
            layer=name,
            r_peaks_s=r_peaks_s,
            ecg=ecg,
            forward_backward_px=forward_backward_px,
        )
        events = walls[name].events
    results = {name: contour_strain(walls[name]) for name in names}
    return LayeredStrain(results, _thickness_strain(walls[names[0]], walls[names[-1]]))


def _thickness_strain(inner: MeasuredWall, outer: MeasuredWall) -> StrainResult:
    """Computes transverse or radial strain, located on the curve midway between both layers."""
    closed = inner.model.closed
    frame = inner.cycle.reference_frame
    distance = np.hypot(*np.moveaxis(inner.positions[frame][:, None] - outer.positions[frame][None], -1, 0))
    side = np.sign(wall_thickness(inner.positions[frame], outer.positions[frame], closed))
    if np.any(side != side[0]) or np.trace(distance) > 3 * distance.min(axis=1).sum():
        raise InputError(
            f"layers {inner.layer} and {outer.layer} touch, cross or run in different directions;"
            " give both in the same order"
        )
    shares = point_shares(inner.shares, closed)
    wall = replace(
        inner,
        layer=f"{inner.layer} to {outer.layer}",
        wall=replace(inner.wall, positions_px=(inner.wall.positions_px + outer.wall.positions_px) / 2),
        quality=tuple(_worst_quality(one, other) for one, other in zip(inner.quality, outer.quality, strict=True)),
    )

    def lengths(inside: np.ndarray, outside: np.ndarray) -> Lengths:
        thickness = side[0] * wall_thickness(inside, outside, closed)
        return Lengths(thickness, thickness, shares, thickening=True)

    smooth = None
    if inner.smooth_positions is not None and outer.smooth_positions is not None:
        smooth = lengths(inner.smooth_positions, outer.smooth_positions)
    kind = "radial" if closed else "transverse"
    return assemble_strain(wall, kind, lengths(inner.positions, outer.positions), smooth)


def wall_thickness(inner: np.ndarray, outer: np.ndarray, closed: bool = False) -> np.ndarray:
    """Returns the distance (..., N) from inner to outer points (..., N, 2) along the normal of their midway curve.

    In the units of the points; negative where the outer point lies to the left of the direction along the curve (y
    down).
    """
    middle = (inner + outer) / 2
    tangent = np.roll(middle, -1, axis=-2) - np.roll(middle, 1, axis=-2) if closed else np.gradient(middle, axis=-2)
    across = outer - inner
    cross = tangent[..., 0] * across[..., 1] - tangent[..., 1] * across[..., 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        return cross / np.hypot(tangent[..., 0], tangent[..., 1])


def _worst_quality(one: SegmentQuality, other: SegmentQuality) -> SegmentQuality:
    """Combines the quality of a segment in two layers, both of which it needs."""
    backs = [quality.forward_backward_px for quality in (one, other) if quality.forward_backward_px is not None]
    rejected = next((quality for quality in (one, other) if not quality.accepted), None)
    return SegmentQuality(
        one.name,
        min(one.confidence, other.confidence),
        max(one.lost_share, other.lost_share),
        max(backs) if backs else None,
        max(one.roughness_percent, other.roughness_percent),
        rejected is None,
        rejected.reason if rejected else one.reason or other.reason,
        max(
            (quality.drift_percent for quality in (one, other) if quality.drift_percent is not None),
            key=abs,
            default=None,
        ),
    )
