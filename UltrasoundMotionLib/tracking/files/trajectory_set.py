"""A set of clips with the known trajectories of tissue points: a folder with a table of its cases.

    SET/cases.csv      case,patient,clip,tracks      one line for each clip; paths are relative to SET
    SET/...            clips in any format that `track` reads, tracks as `track` writes them

Further columns of `cases.csv` may be missing or empty: `cycle_start` and `cycle_end`, the frames of a heart cycle (of
two end-diastoles; without them the whole clip is one cycle), `view`, that of strain (A4C, A2C, APLAX), and `repeat_of`,
the case of which this one is a second recording (test-retest).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.tracking.files.table_lines import check_label, parse_number, table_lines
from UltrasoundMotionLib.tracking.files.tracks_csv import COLUMNS as TRACK_COLUMNS
from UltrasoundMotionLib.tracking.files.tracks_csv import TRACKER_COLUMN, read_tracks_csv
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

TABLE = "cases.csv"
COLUMNS = ("case", "patient", "clip", "tracks")
OPTIONAL = ("cycle_start", "cycle_end", "view", "repeat_of")
_NOT_IN_FILE_NAMES = '/\\:*?"<>|'


@dataclass(frozen=True)
class TrajectoryCase:
    """One line of `cases.csv`.

    Attributes:
        name: of the case, unique in its set.
        patient: whom the clip is of.
        clip, tracks: the files.
        cycle: first and last frame of the cycle, or None: the whole clip.
        view: of strain; empty where it is not given.
        repeat_of: the case that this one repeats; empty for none.
    """

    name: str
    patient: str
    clip: Path
    tracks: Path
    cycle: tuple[int, int] | None = None
    view: str = ""
    repeat_of: str = ""

    def read(self) -> tuple[ImageSequence, PointTracks]:
        """Reads the clip and its trajectories, which get the clip's spacing and times.

        Raises:
            InputError: a file cannot be read, or the trajectories do not fit the clip; the line and the reason are
                named.
        """
        from UltrasoundMotionLib.images import read_sequence

        sequence = read_sequence(self.clip)
        tracks = read_tracks_csv(self.tracks)
        _check_fit(self.tracks, self.clip, sequence)
        if self.cycle is not None and self.cycle[1] >= len(sequence):
            raise InputError(
                f"{self.clip}: has {len(sequence)} frames, but case {self.name} ends its cycle at {self.cycle[1]}"
            )
        return sequence, _on_all_frames(tracks, sequence)

    def frame_at(self, phase: float, frame_count: int) -> int:
        """Returns the frame at a phase of the cycle, 0 its first frame and 1 its last."""
        first, last = self.cycle or (0, frame_count - 1)
        return round(first + phase * (last - first))


@dataclass(frozen=True)
class TrajectorySet:
    """The cases of one folder.

    Attributes:
        name: for tables.
        folder: that holds `cases.csv`.
        cases: in the order of the table.
    """

    name: str
    folder: Path
    cases: tuple[TrajectoryCase, ...]

    @property
    def patients(self) -> tuple[str, ...]:
        """All patients, each once, in the order of the table."""
        return tuple(dict.fromkeys(case.patient for case in self.cases))

    def split(self, held_out_share: float, seed: int) -> tuple[TrajectorySet, TrajectorySet]:
        """Divides the set by patients, so that no patient is on both sides.

        Args:
            held_out_share: part of the patients held out, rounded up to at least one.
            seed: of the draw.

        Returns:
            The cases to learn from, and those held out.

        Raises:
            InputError: fewer than two patients, or a share that leaves none to learn from.
        """
        patients = sorted(self.patients)
        held = max(1, round(held_out_share * len(patients)))
        if len(patients) <= held:
            raise InputError(
                f"{self.folder / TABLE}: has {len(patients)} patients, and {held} of them would be held out; "
                "give more patients or a smaller share"
            )
        chosen = set(np.random.default_rng(seed).permutation(patients)[:held].tolist())
        parts = [tuple(case for case in self.cases if (case.patient in chosen) == out) for out in (False, True)]
        return replace(self, cases=parts[0]), replace(self, cases=parts[1])


def read_trajectory_set(folder: str | Path, name: str = "") -> TrajectorySet:
    """Reads the table of a folder; the clips themselves are read case by case.

    Args:
        folder: with `cases.csv` in it.
        name: for tables; the folder's own by default.

    Raises:
        InputError: no such folder or table, a case given twice, a file that is missing, a wrong value; the line is
            named.
    """
    folder = Path(folder)
    path = folder / TABLE
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of trajectories; it needs a table {TABLE} ({','.join(COLUMNS)})")
    if not path.is_file():
        raise InputError(f"{path}: no such table; it has the columns {','.join(COLUMNS)}, one line for each clip")
    cases: dict[str, TrajectoryCase] = {}
    lines: dict[str, int] = {}
    for line, values in table_lines(path, COLUMNS, OPTIONAL):
        case = _parse_case(path, line, values)
        if case.name in cases:
            raise InputError(f"{path}: line {line}: case {case.name} is given twice, first on line {lines[case.name]}")
        cases[case.name], lines[case.name] = case, line
    if not cases:
        raise InputError(f"{path}: holds no case, only the column names")
    for case in cases.values():
        if case.repeat_of and (case.repeat_of not in cases or case.repeat_of == case.name):
            raise InputError(
                f"{path}: line {lines[case.name]}: repeat_of must be another case of the table, got {case.repeat_of!r}"
            )
        if case.repeat_of and cases[case.repeat_of].patient != case.patient:
            raise InputError(
                f"{path}: line {lines[case.name]}: {case.name} is of patient {case.patient}, but repeats "
                f"{case.repeat_of} of patient {cases[case.repeat_of].patient}"
            )
    return TrajectorySet(name or folder.resolve().name, folder, tuple(cases.values()))


def _parse_case(path: Path, line: int, values: dict[str, str]) -> TrajectoryCase:
    names = {column: check_label(path, f"line {line}", values[column]) for column in ("case", "patient")}
    if any(character in names["case"] for character in _NOT_IN_FILE_NAMES) or names["case"].startswith("."):
        raise InputError(f"{path}: line {line}: case names files, so it cannot be {names['case'][:40]!r}")
    files = {}
    for column in ("clip", "tracks"):
        files[column] = path.parent / values[column]
        if not values[column] or not files[column].exists():
            raise InputError(f"{path}: line {line}: {column} {values[column] or '(empty)'}: no such file")
    cycle = None
    bounds = [values.get(column, "") for column in ("cycle_start", "cycle_end")]
    if any(bounds):
        first, last = (
            int(
                parse_number(
                    path,
                    line,
                    column,
                    text,
                    allowed=lambda value: value.is_integer() and value >= 0,
                    expected="a whole number from 0",
                )
            )
            for column, text in zip(("cycle_start", "cycle_end"), bounds, strict=True)
        )
        if last - first < 2:
            raise InputError(f"{path}: line {line}: the cycle ends at frame {last}, too soon after its start {first}")
        cycle = first, last
    return TrajectoryCase(
        names["case"],
        names["patient"],
        files["clip"],
        files["tracks"],
        cycle,
        values.get("view", ""),
        values.get("repeat_of", ""),
    )


def _check_fit(path: Path, clip: Path, sequence: ImageSequence) -> None:
    """Raises InputError where a line of a table of tracks is beyond the clip's last frame or outside its image."""
    width, height = sequence.frame_size
    for line, values in table_lines(path, TRACK_COLUMNS, (TRACKER_COLUMN,)):
        frame, x, y = (float(values[column]) for column in ("frame", "x", "y"))
        if frame >= len(sequence):
            raise InputError(
                f"{path}: line {line}: frame {frame:g}, but {clip.name} has {len(sequence)} frames (0 to "
                f"{len(sequence) - 1})"
            )
        seen = values["visible"].lower() in ("1", "true")
        if seen and not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
            raise InputError(
                f"{path}: line {line}: point {values['label']} is visible at ({x:g}, {y:g}), outside {clip.name}, "
                f"which is {width} x {height} pixels"
            )


def _on_all_frames(tracks: PointTracks, sequence: ImageSequence) -> PointTracks:
    """Returns trajectories with as many frames as the clip, and with its times and spacing."""
    missing = len(sequence) - len(tracks.positions_px)
    return replace(
        tracks,
        positions_px=np.pad(tracks.positions_px, ((0, missing), (0, 0), (0, 0)), constant_values=np.nan),
        confidence=np.pad(tracks.confidence, ((0, missing), (0, 0))),
        visible=np.pad(tracks.visible, ((0, missing), (0, 0))),
        times_s=sequence.times_s,
        spacing_mm=sequence.spacing_mm,
    )
