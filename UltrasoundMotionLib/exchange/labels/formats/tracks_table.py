"""Our own tables: tracks (`frame,time_s,label,x,y,confidence,visible`) and points on one frame (`label,x,y`)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.atomic_output import write_text_file
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.exchange.labels.labels import ClipReference, LabelCollector, Labels, outside_notes
from UltrasoundMotionLib.exchange.labels.registry import LabelFile, LabelFormat, label_format
from UltrasoundMotionLib.tracking.files.query_points_file import read_points_csv
from UltrasoundMotionLib.tracking.files.tracks_csv import COLUMNS, read_tracks_csv, write_tracks_csv


def _columns(file: LabelFile) -> set[str]:
    return {name.strip() for name in file.first_line.split(",")} if file.name.endswith(".csv") else set()


@label_format
class TracksTable(LabelFormat):
    """The table of `track`."""

    name = "tracks"
    summary = "our table of tracks, as `track` writes it (.csv)"
    origin = "pixels, the centre of the first pixel is (0, 0)"
    endings = (".csv",)
    keeps = frozenset({"confidence", "visible", "names", "times", "tracker"})
    rank = 10

    def recognises(self, file: LabelFile) -> bool:
        """Returns True for the columns of tracks."""
        return set(COLUMNS) <= _columns(file)

    def takes_name(self, name: str) -> bool:
        """Returns True for .csv but for a name that EchoNet's table has."""
        return name.endswith(".csv") and not name.endswith("volumetracings.csv")

    def read(self, path: Path, clip: ClipReference | None, *, frame: int | None = None) -> Labels:
        """Reads a table of tracks; see `read_tracks_csv`."""
        tracks = read_tracks_csv(path)
        if clip is None:
            return Labels(tracks)
        sequence = clip.sequence
        missing = len(sequence) - len(tracks.positions_px)
        if missing < 0:
            raise InputError(
                f"{path}: has {len(tracks.positions_px)} frames, {clip.path} has {len(sequence)}; is it the right clip?"
            )
        tracks = replace(
            tracks,
            positions_px=np.pad(tracks.positions_px, ((0, missing), (0, 0), (0, 0)), constant_values=np.nan),
            confidence=np.pad(tracks.confidence, ((0, missing), (0, 0))),
            visible=np.pad(tracks.visible, ((0, missing), (0, 0))),
            times_s=_times(tracks.times_s, sequence.times_s, len(sequence)),
            spacing_mm=sequence.spacing_mm,
        )
        notes = outside_notes(path, tracks, sequence.frame_size)
        return Labels(tracks, frame_size=sequence.frame_size, clip=clip.name, notes=notes)

    def write(self, path: Path, labels: Labels, clip: ClipReference | None) -> list[str]:
        """Writes a table of tracks; see `write_tracks_csv`."""
        write_tracks_csv(path, labels.tracks)
        return []


@label_format
class PointsTable(LabelFormat):
    """The points of one frame, as `track --points` takes them."""

    name = "points"
    summary = "points on one frame, as `track --points` takes them (.csv: label,x,y)"
    origin = "pixels, the centre of the first pixel is (0, 0)"
    endings = (".points.csv", "_points.csv")
    keeps = frozenset({"names"})
    one_frame = True
    rank = 20

    def recognises(self, file: LabelFile) -> bool:
        """Returns True for the columns `label,x,y`."""
        return _columns(file) == {"label", "x", "y"}

    def takes_name(self, name: str) -> bool:
        """Returns False: another .csv is a table of tracks unless `--to points` is given."""
        return False

    def read(self, path: Path, clip: ClipReference | None, *, frame: int | None = None) -> Labels:
        """Reads points as those of frame 0 unless another is named."""
        collector = LabelCollector(path)
        for where, label, position in read_points_csv(path):
            collector.add(where, frame or 0, label, position)
        return collector.finish(clip)

    def write(self, path: Path, labels: Labels, clip: ClipReference | None) -> list[str]:
        """Writes positions to 1e-6 pixels, in the order of the points."""
        frame, points = points_of_one_frame(path, labels)
        lines = ["label,x,y", *(f"{_quoted(label)},{x:.6f},{y:.6f}" for label, (x, y) in points)]
        write_text_file(path, "\n".join(lines) + "\n")
        return frame_loss(self.name, frame)


def points_of_one_frame(path: Path, labels: Labels) -> tuple[int, list[tuple[str, tuple[float, float]]]]:
    """Returns the frame that is labelled, and its points.

    Raises:
        InputError: no position at all.
    """
    frames = np.flatnonzero(labels.labelled.any(axis=1))
    if not len(frames):
        raise InputError(f"{path}: there is no labelled point to write")
    frame = int(frames[0])
    positions = labels.tracks.positions_px[frame]
    there = labels.labelled[frame]
    return frame, [
        (label, (float(positions[column, 0]), float(positions[column, 1])))
        for column, label in enumerate(labels.tracks.labels)
        if there[column]
    ]


def frame_loss(name: str, frame: int) -> list[str]:
    """Returns the line that a format does not say on which frame its points lie."""
    return [f"{name} does not hold the number of the frame, which is {frame}"]


def _quoted(label: str) -> str:
    return '"' + label.replace('"', '""') + '"' if any(character in label for character in ',"\n') else label


def _times(own: np.ndarray | None, clips: np.ndarray | None, count: int) -> np.ndarray | None:
    if clips is not None:
        return clips
    return None if own is None else np.pad(own, (0, count - len(own)), constant_values=np.nan)
