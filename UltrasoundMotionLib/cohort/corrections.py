"""Corrections of a case as options and files: of tracked points, of a measured wall, of a registration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.cohort.case_run import DONE, read_record
from UltrasoundMotionLib.cohort.review import ReviewedCase
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.registration.request import RegisterRequest
from UltrasoundMotionLib.tracking.corrections.corrections import Correction
from UltrasoundMotionLib.tracking.files.corrections_csv import read_corrections_csv, write_corrections_csv
from UltrasoundMotionLib.tracking.files.query_points_file import read_points_csv, write_query_points
from UltrasoundMotionLib.tracking.files.tracks_csv import read_tracks_csv, write_tracks_csv
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

POINTS, CORRECTIONS, TRACKS = "points.csv", "corrections.csv", "tracks.csv"
_NOT_WITH_CORRECTIONS = ("direction", "offline", "ahead_frames")
"""Options of tracking that mean nothing where points are followed both ways from each correction."""
_REGISTRATION_OPTIONS = ("method", "initial_transform", "refine", "working_spacing_mm")


@dataclass(frozen=True)
class CaseCorrection:
    """A correction, as `decide` takes it.

    Attributes:
        options: see `Decision.options`.
        files: writers by the names of the files.
    """

    options: dict[str, str]
    files: dict[str, Callable[[Path], object]] = field(default_factory=dict)


def correction_of_tracks(one: ReviewedCase, tracks: PointTracks, corrections: Iterable[Correction]) -> CaseCorrection:
    """Returns the correction of tracked points.

    Args:
        tracks: as corrected. Its query frame is that of the points; a point that nobody placed there is taken to be
            where it was tracked.
        corrections: of all frames, the points as they were placed included.

    Raises:
        InputError: a point that lies nowhere on the query frame.
    """
    given, frame = list(corrections), tracks.query_frame
    on_frame = {each.label: each.position_px for each in given if each.frame == frame and each.position_px is not None}
    points = []
    for label, tracked in zip(tracks.labels, tracks.positions_px[frame].tolist(), strict=True):
        position = on_frame.get(label, tracked)
        if not np.isfinite(position).all():
            raise InputError(
                f"{one.name}: {label} lies nowhere on frame {frame}, from which the points are followed; place it there"
            )
        points.append(position)
    others = [each for each in given if each.frame != frame]
    options = {"points": POINTS, "query_frame": str(frame), "corrections": CORRECTIONS if others else ""}
    files: dict[str, Callable[[Path], object]] = {
        POINTS: lambda path: write_query_points(path, tracks.labels, np.array(points))
    }
    if others:
        options |= {name: "" for name in _NOT_WITH_CORRECTIONS if one.record.options.get(name)}
        files[CORRECTIONS] = lambda path: write_corrections_csv(path, others)
    return CaseCorrection(options, files)


def corrections_of_case(one: ReviewedCase, tracks: PointTracks) -> tuple[Correction, ...]:
    """Returns the corrections of a case, its points on the query frame included.

    Args:
        tracks: of its result.

    Raises:
        InputError: a table that cannot be read.
    """
    frame = int(one.correction.get("query_frame") or tracks.query_frame)
    places = dict(zip(tracks.labels, tracks.positions_px[frame].tolist(), strict=True))
    if one.correction.get("points"):
        places |= {label: [x, y] for _, label, (x, y) in read_points_csv(Path(one.correction["points"]))}
    placed = [Correction(frame, label, (x, y)) for label, (x, y) in places.items()]
    path = one.option("corrections")
    return (*placed, *(read_corrections_csv(path) if path else ()))


def correction_of_wall(one: ReviewedCase, tracks: PointTracks) -> CaseCorrection:
    """Returns the correction of a wall whose strain is measured: its tracks as corrected, at the times of the others.

    Raises:
        InputError: another number of frames or points than the case's tracks have.
    """
    before = read_tracks_csv(one.option("tracks"))
    if tracks.positions_px.shape != before.positions_px.shape:
        raise InputError(
            f"{one.name}: {tracks.positions_px.shape[:2]} frames and points for tracks of "
            f"{before.positions_px.shape[:2]}"
        )
    corrected = replace(tracks, labels=before.labels, times_s=before.times_s, model=before.model)
    return CaseCorrection({"tracks": TRACKS}, {TRACKS: lambda path: write_tracks_csv(path, corrected)})


def correction_of_registration(one: ReviewedCase, request: RegisterRequest) -> CaseCorrection:
    """Returns the options in which a request differs from that of the case.

    Raises:
        InputError: there are none.
    """
    changed = {}
    for name in _REGISTRATION_OPTIONS:
        value = getattr(request, name)
        text = "" if value is None else "yes" if value is True else "no" if value is False else str(value)
        default = getattr(RegisterRequest, name)
        now = one.option(name) or ("" if default is None else str(default))
        if text.lower() != now.lower():
            changed[name] = text
    if not changed:
        raise InputError(f"{one.name}: choose another method, start or refinement: it was registered with these")
    return CaseCorrection({**one.correction, **changed})


def tracks_of_case(one: ReviewedCase) -> PointTracks:
    """Reads the tracks that a case made, or whose strain it measures.

    Raises:
        InputError: a file that cannot be read.
    """
    return read_tracks_csv(one.folder / TRACKS if one.record.verb == "track" else one.option("tracks"))


@dataclass(frozen=True)
class CaseClip:
    """The clip of a case.

    Attributes:
        path: its file or folder.
        options: of the case that may change its pixel size and frame rate.
    """

    path: Path
    options: Mapping[str, str]

    def applied_to(self, sequence: ImageSequence) -> ImageSequence:
        """Returns the clip with the pixel size and frame rate that the case has in place of the file's."""
        spacing, rate = self.options.get("spacing_mm"), self.options.get("frame_rate_hz")
        if spacing:
            x, y = map(float, spacing.split())
            sequence = replace(sequence, spacing_mm=(x, y))
        if rate:
            sequence = replace(sequence, times_s=np.arange(len(sequence)) / float(rate))
        return sequence


def clip_of_case(one: ReviewedCase) -> CaseClip:
    """Returns the clip that was tracked.

    Raises:
        InputError: a case of strain that has no clip, and whose tracks are no case's.
    """
    options = {**one.record.options, **one.correction}
    if options.get("input"):
        return CaseClip(Path(options["input"]), options)
    if options.get("clip"):
        return CaseClip(Path(options["clip"]), options)
    tracked = read_record(Path(one.record.options["tracks"]).parent)
    if tracked is None or not tracked.options.get("input"):
        raise InputError(
            f"{one.name}: the clip is not known: give it in the manifest's column clip, or take the tracks from a"
            f" cohort's results (a folder with {DONE})"
        )
    return CaseClip(Path(tracked.options["input"]), {**tracked.options, **tracked.correction, **options})
