"""`measure_strain`: strain as a request asks for it, for the command line, the module and Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from UltrasoundMotionLib.arguments import of_kind
from UltrasoundMotionLib.errors import InputError, OptionError
from UltrasoundMotionLib.settings import takes_request
from UltrasoundMotionLib.strain.cardiac_events import CardiacEvents, heart_rate
from UltrasoundMotionLib.strain.contour_strain import circumferential_strain, longitudinal_strain
from UltrasoundMotionLib.strain.find_events import find_events
from UltrasoundMotionLib.strain.layered_strain import LayeredStrain, layered_strain
from UltrasoundMotionLib.strain.request import StrainRequest
from UltrasoundMotionLib.strain.strain_result import StrainResult
from UltrasoundMotionLib.strain.wall_layers import LAYER_NAMES, MIDDLE_LAYER
from UltrasoundMotionLib.tracking.point_tracks import PointTracks


@dataclass(frozen=True)
class MeasuredStrain:
    """Strain of a tracked wall.

    Attributes:
        result: strain of the contour, or of the middle layer.
        layered: strain of all layers and of the thickness, where three were tracked.
    """

    result: StrainResult
    layered: LayeredStrain | None = None


@takes_request(StrainRequest)
def measure_strain(
    tracks: PointTracks,
    *,
    layer_labels: Mapping[str, Sequence[str]] | None = None,
    trackers: Mapping[str, PointTracks] | None = None,
    request: StrainRequest,
) -> MeasuredStrain:
    """Measures strain: longitudinal in an apical view, circumferential in a short-axis view, of one or three layers.

    Args:
        tracks: points (x, y) in pixels along the wall, in order; see `longitudinal_strain`.
        layer_labels: labels of each layer's points by its name, inner layer first, "mid" among them; None: the tracks
            hold `request.layers` contours of equal numbers of points one after the other, inner layer first.
        trackers: tracks of the same contour by several trackers, by name, `tracks` among them; the uncertainty is then
            at least their disagreement.
        request: the options, which may also be given by name: `measure_strain(tracks, view="A2C")`.

    Raises:
        InputError: tracks that cannot be measured, see `longitudinal_strain`; the message names the tracker.
        OptionError: points that the layers cannot share evenly; several trackers with three layers.
    """
    of_kind(tracks, PointTracks, "tracks")
    layers = layer_labels or split_layers(tracks.labels, request.layers)
    view, config, main = request.model.view, request.config, layers[MIDDLE_LAYER]
    events = _chosen_events(tracks, request, main)
    if len(layers) > 1:
        if trackers:
            raise OptionError("layers", "trackers are compared on single contours; leave the layers out")
        layered = layered_strain(tracks, layers, view=view, events=events, config=config)
        return MeasuredStrain(layered.layers[MIDDLE_LAYER], layered)
    compute = circumferential_strain if request.model.closed else longitudinal_strain
    result = compute(tracks, view=view, events=events, config=config, order=main)
    if not trackers:
        return MeasuredStrain(result)
    found = {}
    for name, other in trackers.items():
        try:
            one = result if other is tracks else compute(other, view=view, events=result.events, config=config)
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
        if one.measures.end_systolic_percent is not None:
            found[name] = one.measures.end_systolic_percent
    return MeasuredStrain(compute(tracks, view=view, events=events, config=config, order=main, trackers=found))


def split_layers(labels: Sequence[str], count: int) -> dict[str, tuple[str, ...]]:
    """Returns the labels of each layer's points by the layer's name, inner layer first; a single one is the middle one.

    Raises:
        OptionError: points that the layers cannot share evenly.
    """
    if count == 1:
        return {MIDDLE_LAYER: tuple(labels)}
    if len(labels) % count:
        raise OptionError("layers", f"{len(labels)} points cannot be shared evenly")
    each = len(labels) // count
    return {name: tuple(labels[number * each : (number + 1) * each]) for number, name in enumerate(LAYER_NAMES)}


def _chosen_events(tracks: PointTracks, request: StrainRequest, order: Sequence[str]) -> CardiacEvents | None:
    """Returns the requested events, with detected ones where only one kind is given; None without any."""
    diastoles, systoles = request.end_diastole, request.end_systole
    if diastoles is None and systoles is None:
        return None
    if diastoles is None or systoles is None:
        found = find_events(tracks, view=request.view, order=order)
        diastoles = found.end_diastole_frames if diastoles is None else diastoles
        systoles = found.end_systole_frames if systoles is None else systoles
    events = CardiacEvents(diastoles, systoles)
    if tracks.times_s is None or any(frame >= len(tracks.positions_px) for frame in events.end_diastole_frames):
        return events
    times = np.asarray(tracks.times_s)[list(events.end_diastole_frames)]
    return replace(events, heart_rate_bpm=heart_rate(times))
