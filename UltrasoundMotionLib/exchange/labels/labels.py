"""Labelled points of one clip, in our own coordinates, between two formats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.tracking.files.table_lines import check_label, check_table_size
from UltrasoundMotionLib.tracking.files.tracks_csv import LARGEST_FRAME, find_query_frame
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

CURVE, CLOSED, SKELETON = "curve", "closed curve", "skeleton"
_FARTHEST_PX = 1e6


@dataclass(frozen=True)
class PointGroup:
    """Points that belong together.

    Attributes:
        name: of the object: "endocardium".
        labels: of its points, in order along a curve.
        kind: "curve" (open), "closed curve", or "skeleton" (points of one object, in no order).
        observer: who drew it; empty where the format does not say.
    """

    name: str
    labels: tuple[str, ...]
    kind: str = CURVE
    observer: str = ""


@dataclass(frozen=True)
class Labels:
    """Labelled points of one clip.

    Attributes:
        tracks: positions (x, y) in pixels, the origin at the centre of the first pixel; NaN where nothing is labelled.
        groups: of points that belong together; other points stand for themselves.
        frame_names: file name of each frame, empty where it has none; () where none is known.
        frame_size: (W, H) in pixels, or None.
        clip: name of the clip; empty where the format does not say.
        notes: how they were read, one line each.
    """

    tracks: PointTracks
    groups: tuple[PointGroup, ...] = ()
    frame_names: tuple[str, ...] = ()
    frame_size: tuple[int, int] | None = None
    clip: str = ""
    notes: tuple[str, ...] = ()

    @property
    def single_labels(self) -> tuple[str, ...]:
        """The points of no group, in order."""
        grouped = {label for group in self.groups for label in group.labels}
        return tuple(label for label in self.tracks.labels if label not in grouped)

    @property
    def labelled(self) -> np.ndarray:
        """(T, N) bool: positions that are there."""
        return np.all(np.isfinite(self.tracks.positions_px), axis=2)

    def columns(self, labels: Iterable[str]) -> list[int]:
        """Returns the places of points in the tracks."""
        place = {label: column for column, label in enumerate(self.tracks.labels)}
        return [place[label] for label in labels]


@dataclass(frozen=True)
class ClipReference:
    """The clip that labels belong to: it gives sizes, names of frames and the way from mm to pixels.

    Attributes:
        sequence: the clip.
        path: its file or folder.
        frame_names: file name of each frame of a folder of pictures; () for other clips.
    """

    sequence: ImageSequence
    path: Path
    frame_names: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The file's name without its endings."""
        return self.path.name.split(".")[0]


def read_clip_reference(path: str | Path, *, spacing_mm: Sequence[float] | None = None) -> ClipReference:
    """Reads a clip to refer to.

    Args:
        spacing_mm: (x, y) pixel size; None: the file's.

    Raises:
        InputError: see `read_sequence`.
    """
    from UltrasoundMotionLib.images import read_sequence

    path = Path(path)
    sequence = read_sequence(path, spacing_mm=spacing_mm)
    return ClipReference(sequence, path, frame_names_of(path, sequence))


def frame_names_of(path: Path, sequence: ImageSequence) -> tuple[str, ...]:
    """Returns the file name of each frame of a folder of pictures; () for other clips."""
    from UltrasoundMotionLib.images.readers.frame_names import chosen_frames, picture_files

    if not path.is_dir():
        return ()
    files = picture_files(path) or (picture_files(path / "Data") if (path / "Data").is_dir() else [])
    names = tuple(file.name for file in chosen_frames(path, files)[0]) if files else ()
    return names if len(names) == len(sequence) else ()


class LabelCollector:
    """Collects positions one at a time, in the order in which a file has them, and makes the labels of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: dict[tuple[int, str], tuple[float, float, float, bool]] = {}
        self._labels: dict[str, None] = {}
        self._groups: dict[str, tuple[dict[str, None], str, str]] = {}

    def add(
        self,
        where: str,
        frame: int,
        label: str,
        position: tuple[float, float],
        *,
        confidence: float = 1.0,
        visible: bool = True,
    ) -> None:
        """Adds a position in pixels from the centre of the first one.

        Raises:
            InputError: a frame, a label, a position or a confidence that cannot be, or a point twice on a frame; the
                message begins with `where`.
        """
        self.declare(where, label)
        x, y = position
        if not 0 <= frame <= LARGEST_FRAME:
            raise InputError(f"{self.path}: {where}: frame {frame} must be a whole number from 0")
        if not (np.isfinite(x) and np.isfinite(y) and abs(x) < _FARTHEST_PX and abs(y) < _FARTHEST_PX):
            raise InputError(f"{self.path}: {where}: {label} is at ({x:g}, {y:g}), expected numbers of pixels")
        if not 0 <= confidence <= 1:
            raise InputError(f"{self.path}: {where}: the confidence of {label} is {confidence:g}, expected 0 to 1")
        if (frame, label) in self._rows:
            raise InputError(f"{self.path}: {where}: {label} is there twice on frame {frame}")
        self._rows[frame, label] = (float(x), float(y), float(confidence), visible)

    def declare(self, where: str, label: str) -> None:
        """Adds a point, which may have no position.

        Raises:
            InputError: a label that is empty, or that no file of results can hold.
        """
        self._labels[check_label(self.path, where, label)] = None

    def group(self, name: str, labels: Iterable[str], *, kind: str = CURVE, observer: str = "") -> None:
        """Puts points into a group; its order is that of the longest list, further points come last."""
        known = self._groups.setdefault(name, ({}, kind, observer))
        listed = dict.fromkeys(labels)
        if len(listed) > len(known[0]):
            self._groups[name] = (listed | known[0], known[1], known[2])
        else:
            known[0].update(listed)

    def has(self, frame: int, label: str) -> bool:
        """Returns True if a point has a position on a frame."""
        return (frame, label) in self._rows

    def finish(
        self,
        clip: ClipReference | None,
        *,
        frame_count: int = 0,
        frame_names: tuple[str, ...] = (),
        frame_size: tuple[int, int] | None = None,
        clip_name: str = "",
        model: str = "annotation",
        notes: Iterable[str] = (),
    ) -> Labels:
        """Returns the labels, on as many frames as the clip has, the file says or its positions need.

        Raises:
            InputError: no position, a frame beyond the clip, an image of another size than the clip's.
        """
        if not self._rows:
            raise InputError(f"{self.path}: holds no labelled point")
        last = max(frame for frame, _ in self._rows)
        count = max(frame_count, last + 1)
        if clip is not None:
            size = clip.sequence.frame_size
            if last >= len(clip.sequence):
                raise InputError(
                    f"{self.path}: frame {last} is labelled, {clip.path} has {len(clip.sequence)} frames "
                    f"(0 to {len(clip.sequence) - 1})"
                )
            if frame_size not in (None, size):
                raise InputError(
                    f"{self.path}: its images are {frame_size[0]} x {frame_size[1]} pixels, {clip.path} is "
                    f"{size[0]} x {size[1]}"
                )
            count, frame_size = len(clip.sequence), size
        names = list(self._labels)
        check_table_size(self.path, count, len(names), len(self._rows))
        column = {label: place for place, label in enumerate(names)}
        positions = np.full((count, len(names), 2), np.nan)
        confidence = np.zeros((count, len(names)))
        visible = np.zeros((count, len(names)), dtype=bool)
        for (frame, label), (x, y, sure, seen) in self._rows.items():
            positions[frame, column[label]] = x, y
            confidence[frame, column[label]], visible[frame, column[label]] = sure, seen
        tracks = PointTracks(
            positions,
            confidence,
            visible,
            tuple(names),
            find_query_frame(positions, confidence, visible),
            times_s=None if clip is None else clip.sequence.times_s,
            spacing_mm=None if clip is None else clip.sequence.spacing_mm,
            model=model,
        )
        groups = tuple(
            PointGroup(name, tuple(labels), kind, observer) for name, (labels, kind, observer) in self._groups.items()
        )
        shown = (*notes, *outside_notes(self.path, tracks, frame_size))
        return Labels(tracks, groups, frame_names, frame_size, clip_name, shown)


def outside_notes(path: Path, tracks: PointTracks, size: tuple[int, int] | None) -> tuple[str, ...]:
    """Returns a note if visible positions lie outside the image."""
    if size is None:
        return ()
    x, y = tracks.positions_px[tracks.visible].T
    outside = (x < -0.5) | (x > size[0] - 0.5) | (y < -0.5) | (y > size[1] - 0.5)
    if not outside.any():
        return ()
    count = f"{int(outside.sum())} of {len(x)} positions"
    return (f"{path}: {count} lie outside the image of {size[0]} x {size[1]} pixels; is it the right clip?",)


def numbered(name: str, count: int) -> tuple[str, ...]:
    """Returns the labels of points along a curve: `name/01`, `name/02` ..."""
    return tuple(f"{name}/{number:02d}" for number in range(1, count + 1))
