"""The sequences of a CLUST download: their scanner, patient and pixel size, and the tracking of their landmarks.

A set is a folder of sequence folders (`ETH-01-1/Data/*.png`, `ETH-01-1/Annotation/*.txt`), or one that holds such a
folder as `Training/2D`, `Test/2D`, as the challenge's archives do. `resolution.csv` beside the sequences (`scan, res_x,
res_y`, mm) gives their pixel sizes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.input_files import read_text_file
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.tracking.files.clust_annotation import clust_files, read_clust_tracks
from UltrasoundMotionLib.tracking.files.table_lines import table_lines
from UltrasoundMotionLib.tracking.point_tracks import PointTracks
from UltrasoundMotionLib.tracking.request import TrackRequest

RESOLUTIONS = "resolution.csv"
UNTOLD = "MED"
_NAME = re.compile(r"^(?P<group>[A-Za-z]+\d?)[-_](?P<patient>\d+)")
_COLUMN_NAME = re.compile(r"^[A-Za-z_ ]+$")
_INNER = ("Training/2D", "Test/2D", "training/2D", "test/2D", "2D")


@dataclass(frozen=True)
class ClustSequence:
    """One sequence.

    Attributes:
        folder: with `Data` and `Annotation`.
        group: its scanner, such as ETH.
        patient: group and number of the patient; sequences of one patient never stand on both sides of a split.
        spacing_mm: (x, y) pixel size; None where it is unknown.
    """

    folder: Path
    group: str
    patient: str
    spacing_mm: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    def annotations(self) -> PointTracks:
        """Reads all landmarks as sparse tracks, see `read_clust_tracks`."""
        return read_clust_tracks(self.folder)

    @property
    def annotated(self) -> bool:
        """True where a landmark has more than its first annotation, as in the challenge's training set."""
        return bool((self.annotations().visible.sum(axis=0) > 1).any())


def clust_sequences(
    folder: str | Path,
    *,
    groups: Mapping[str, str] | None = None,
    spacings: Mapping[str, tuple[float, float]] | None = None,
) -> tuple[ClustSequence, ...]:
    """Finds the sequences of a download, by name.

    Args:
        groups: scanner of each sequence by its or its patient's name, see `scanner_of`.
        spacings: pixel size of each by its name; None: those of `resolution.csv`, where there is one.

    Raises:
        InputError: no such folder, no sequence in it, a pixel size for some of them only, or two of one name.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    parents = [folder, *(folder / inner for inner in _INNER if (folder / inner).is_dir())]
    unique = list(dict.fromkeys(parent.resolve() for parent in parents))
    found = [child for parent in unique for child in sorted(parent.iterdir()) if (child / "Annotation").is_dir()]
    if (folder / "Annotation").is_dir():
        found = [folder]
    if not found:
        raise InputError(f"{folder}: holds no sequence folder with Annotation/*.txt and Data/*.png")
    names = [child.name for child in found]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{folder}: sequence {name} is there twice")
    if spacings is None:
        tables = [one / RESOLUTIONS for one in (*unique, folder.parent) if (one / RESOLUTIONS).is_file()]
        spacings = {name: size for table in reversed(tables) for name, size in read_resolutions(table).items()}
    known = [name for name in names if name in spacings]
    if known and len(known) < len(names):
        missing = next(name for name in names if name not in spacings)
        raise InputError(f"{folder}: there is no pixel size for sequence {missing}; state all of them or none")
    return tuple(
        ClustSequence(child, scanner_of(child.name, groups), patient_of(child.name), spacings.get(child.name))
        for child in found
    )


def scanner_of(name: str, groups: Mapping[str, str] | None = None) -> str:
    """Returns the scanner of a sequence: what `groups` says of it, else of its patient (`MED-01` of `MED-01-1`), else
    the beginning of its name.
    """
    groups = groups or {}
    return groups.get(name, groups.get(patient_of(name), group_of(name)))


def group_of(name: str) -> str:
    """Returns the scanner at the beginning of a sequence's or landmark's name, or the whole name without one."""
    found = _NAME.match(name)
    return found.group("group").upper() if found else name


def patient_of(name: str) -> str:
    """Returns scanner and number of the patient, or the whole name without them."""
    found = _NAME.match(name)
    return f"{found.group('group').upper()}-{found.group('patient')}" if found else name


def groups_note(sequences: Sequence[ClustSequence]) -> str:
    """A note where names do not tell the scanners of MED apart; empty otherwise."""
    untold = [one.name for one in sequences if one.group == UNTOLD]
    if not untold:
        return ""
    return (
        f"{len(untold)} sequences are named MED ({untold[0]} ...), which are of two scanners, MED1 and MED2: give "
        "--groups with lines of sequence,group to tell them apart"
    )


def read_groups(path: str | Path) -> dict[str, str]:
    """Reads a table `sequence,group`, of sequences or patients: `MED-01-2,MED1` or `MED-01,MED1`.

    Raises:
        InputError: no such table, or a sequence given twice; the line is named.
    """
    path = Path(path)
    groups: dict[str, str] = {}
    for line, values in table_lines(path, ("sequence", "group")):
        if not values["sequence"] or not values["group"]:
            raise InputError(f"{path}: line {line}: sequence and group must not be empty")
        if values["sequence"] in groups:
            raise InputError(f"{path}: line {line}: sequence {values['sequence']} is given twice")
        groups[values["sequence"]] = values["group"]
    return groups


def read_resolutions(path: str | Path) -> dict[str, tuple[float, float]]:
    """Reads pixel sizes in mm: lines of a sequence's name and two numbers, with or without a line of column names, such
    as `scan, res_x, res_y`.

    Raises:
        InputError: no such file, or a line without two positive numbers.
    """
    path = Path(path)
    sizes: dict[str, tuple[float, float]] = {}
    for number, line in enumerate(read_text_file(path, encoding="utf-8-sig").splitlines(), start=1):
        cells = [cell.strip() for cell in line.split(",")]
        if not any(cells):
            continue
        try:
            name, x, y = cells
            size = float(x.replace("_", "?")), float(y.replace("_", "?"))
        except ValueError as error:
            if number == 1 and len(cells) == 3 and all(_COLUMN_NAME.match(cell) for cell in cells[1:]):
                continue
            raise InputError(
                f"{path}: line {number}: expected `sequence,sx,sy` in mm, got {line.strip()[:60]!r}"
            ) from error
        if not all(np.isfinite(size)) or min(size) <= 0:
            raise InputError(f"{path}: line {number}: a pixel size must be positive, got {x} x {y} mm")
        sizes[name] = size
    return sizes


def track_clust_sequence(
    folder: Path,
    request: TrackRequest,
    *,
    progress: Progress = no_progress,
    on_group: Callable[[PointTracks], None] | None = None,
) -> tuple[PointTracks, ...]:
    """Follows every landmark of a sequence from its own first annotated frame on: together those that begin on one
    frame.

    Args:
        request: its query frame and direction are set here.
        on_group: called with each group's tracks as soon as they are found.

    Raises:
        InputError: see `read_sequence`, `read_clust_tracks` and `track_points`.
    """
    from dataclasses import replace

    from UltrasoundMotionLib.images import read_sequence
    from UltrasoundMotionLib.tracking.track import track_points

    sequence = read_sequence(folder)
    truth = read_clust_tracks(clust_files(folder), frame_count=len(sequence))
    first = truth.visible.argmax(axis=0)
    found = []
    for frame in np.unique(first).tolist():
        chosen = np.flatnonzero(first == frame)
        labels = [truth.labels[index] for index in chosen]
        if frame == len(sequence) - 1:
            raise InputError(f"{folder}: landmark {labels[0]} begins on the last frame, {frame + 1}")
        tracks = track_points(
            sequence,
            truth.positions_px[frame, chosen],
            labels=labels,
            progress=progress,
            request=replace(request, query_frame=frame, direction="forward"),
        )
        found.append(tracks)
        if on_group is not None:
            on_group(tracks)
    return tuple(found)
