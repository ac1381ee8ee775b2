"""Global longitudinal strain of the walls that trackers followed in sets of trajectories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.evaluation.tracker_runs import TrackerRun
from UltrasoundMotionLib.strain.cardiac_events import CardiacEvents
from UltrasoundMotionLib.strain.contour_strain import longitudinal_strain
from UltrasoundMotionLib.strain.find_events import contour_size
from UltrasoundMotionLib.tracking.files.trajectory_set import TrajectoryCase, TrajectorySet
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

DEFAULT_VIEW = "A4C"


def gls_of_runs(
    sets: Sequence[TrajectorySet], runs: Mapping[str, Sequence[TrackerRun]]
) -> Iterator[tuple[str, dict[str, float | None], list[str]]]:
    """Yields for each tracker, and first for the sets' own trajectories, the GLS of each case, and why some have none.

    Args:
        runs: of each set, by its name, with points placed at one phase.

    Raises:
        InputError: a clip or a table that cannot be read, or a case name that two sets share.
    """
    values: dict[str, dict[str, float | None]] = {}
    notes: dict[str, list[str]] = {}
    for one in sets:
        found = [("the sets' trajectories", case, case.read()[1]) for case in one.cases]
        found += [(run.tracker, result.case, result.tracks) for run in runs[one.name] for result in run.found]
        spacings = {case.name: tracks.spacing_mm for _, case, tracks in found[: len(one.cases)]}
        for method, case, tracks in found:
            own = values.setdefault(method, {})
            if case.name in own:
                raise InputError(f"--dataset: case {case.name} is in two sets; strain is compared by the case's name")
            try:
                own[case.name] = gls_of_case(case, replace(tracks, spacing_mm=spacings[case.name]))
                reason = "too few segments were tracked"
            except InputError as error:
                own[case.name], reason = None, str(error)
            if own[case.name] is None:
                notes.setdefault(method, []).append(f"{case.name}, {method}: no GLS: {reason}")
    for method, own in values.items():
        yield method, own, notes.get(method, [])


def gls_of_case(case: TrajectoryCase, tracks: PointTracks) -> float | None:
    """Returns the global longitudinal strain of a case's wall in percent; None where too few segments were tracked.

    The points are the wall's, in order. Where the case has a cycle, its two frames are end-diastoles, and end-systole
    is the frame between them on which the wall is smallest; otherwise all are found in the tracks.

    Raises:
        InputError: see `longitudinal_strain`.
    """
    events = None
    if case.cycle is not None:
        first, last = case.cycle
        size = contour_size(tracks.positions_px[first : last + 1] * np.asarray(tracks.spacing_mm or (1.0, 1.0)))
        if not np.isfinite(size).all():
            raise InputError(f"{case.tracks}: a point of the wall has no position between frames {first} and {last}")
        events = CardiacEvents((first, last), (first + int(np.argmin(size)),))
    return longitudinal_strain(tracks, view=case.view or DEFAULT_VIEW, events=events).measures.gls_percent
