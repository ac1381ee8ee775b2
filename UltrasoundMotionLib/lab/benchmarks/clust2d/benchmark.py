"""`benchmark clust2d`: CLUST2D's annotated sequences tracked, with networks that never saw their patients or scanners,
and the tables of the LSDM paper; and the challenge's test sequences, ready to be submitted.
"""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress, print_notes
from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.evaluation.clust_evaluation import ClustTable, evaluate_clust
from UltrasoundMotionLib.evaluation.clust_set import (
    ClustSequence,
    clust_sequences,
    groups_note,
    read_groups,
    read_resolutions,
    track_clust_sequence,
)
from UltrasoundMotionLib.evaluation.track_measures import TrackMeasures, flat_measures
from UltrasoundMotionLib.lab.benchmarks.clust2d.fold_training import train_on, trains_on_clust
from UltrasoundMotionLib.lab.benchmarks.clust2d.folds import Fold, patient_folds, scanner_folds
from UltrasoundMotionLib.lab.benchmarks.command import add_output_arguments, check_against, show, whole_number
from UltrasoundMotionLib.lab.benchmarks.failure_cases import (
    FAILURE_CASES,
    LARGE_MM,
    PLAIN,
    FailureRow,
    failure_result,
    large_errors,
    late,
)
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, CaseMeasure, Column
from UltrasoundMotionLib.progress import Progress
from UltrasoundMotionLib.tracking.files.clust_annotation import clust_files, write_clust_tracks
from UltrasoundMotionLib.tracking.registry import TrackerEntry, find_tracker
from UltrasoundMotionLib.tracking.request import TrackRequest

MODELS = ("kcf", "lct", "siamfc", "siamrpn", "lsdm")
"""The trackers of the paper's Table I, in its order."""
OVERALL, NO_TRACKING, SHIPPED = "overall", "no tracking", "shipped"
DESCRIPTION = """Follows the landmarks of CLUST's annotated sequences with the trackers of Liu et al., Table I, each
landmark from its own first annotation on, and prints the tracking error in mm: of all annotations (Tables I and S6)
and of each scanner (Tables II and S4), with that of no tracking. With --train, networks are trained first, on other
patients (--folds) or other scanners (--in-house, Supplement D). With --submission, the sequences without annotations
are tracked too and written as the challenge takes them. With --failure-cases, a second table has each tracker watching
shadows, offline, and acting a frame late with and without prediction (Supplement G). What has been tracked is kept in
--out and not tracked again."""


@dataclass(frozen=True)
class ClustRow:
    """Results of one tracker on the landmarks of one scanner, or of all.

    Attributes:
        group: of the landmarks.
        tracker: its name.
        measures: of all annotations pooled, as the challenge counts them.
        by_landmark: mean tracking error of each landmark.
    """

    group: str
    tracker: str
    measures: TrackMeasures
    by_landmark: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Returns what JSON keeps of it."""
        return {"group": self.group, "tracker": self.tracker, **flat_measures(self.measures)}


CASES: CaseMeasure[ClustRow] = CaseMeasure(
    "mean of a landmark",
    values=lambda row: row.by_landmark,
    method=lambda row: row.tracker,
    group=lambda row: row.group,
    digits=2,
)


def clust_rows(tracker: str, table: ClustTable) -> list[ClustRow]:
    """Returns the rows of a tracker: of all landmarks, then of each scanner."""
    means = {label: one.tracking_error.mean for label, one in table.landmarks.items()}
    groups = {OVERALL: tuple(means), **table.members}
    measures = {OVERALL: table.pooled, **table.groups}
    return [ClustRow(group, tracker, measures[group], {one: means[one] for one in groups[group]}) for group in groups]


def no_tracking_rows(table: ClustTable) -> list[ClustRow]:
    """Returns the rows of landmarks that stay where they began (Eq. 19)."""
    rows = []
    for row in clust_rows(NO_TRACKING, table):
        of_landmarks = {label: table.landmarks[label].no_tracking_error.mean for label in row.by_landmark}
        rows.append(
            replace(
                row,
                measures=replace(row.measures, tracking_error=row.measures.no_tracking_error),
                by_landmark=of_landmarks,
            )
        )
    return rows


def clust_result(rows: Sequence[ClustRow], against: str | None) -> BenchmarkResult[ClustRow]:
    """Lays out the rows: all landmarks first, then scanner by scanner."""
    groups = list(dict.fromkeys(row.group for row in rows))
    ordered = tuple(row for group in groups for row in rows if row.group == group)
    unit = ordered[0].measures.tracking_error.unit
    columns: list[Column[ClustRow]] = [
        Column("landmarks", lambda row: f"{row.group} ({len(row.by_landmark)})"),
        Column("tracker", "tracker", names_method=True),
        Column("mean", "measures.tracking_error.mean", 2, unit=unit),
        Column("std", "measures.tracking_error.std", 2),
        Column("95th", "measures.tracking_error.percentile_95", 2),
        Column("min", "measures.tracking_error.min", 2),
        Column("max", "measures.tracking_error.max", 2),
    ]
    if unit == "mm":
        columns.append(Column(f"over {LARGE_MM:g} mm", lambda row: large_errors(row.by_landmark)))
    return BenchmarkResult(columns, ordered, cases=CASES, against=against)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser(
        "clust2d", help="CLUST2D's protocol on your own copy of its data", description=DESCRIPTION
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="sequence folders, or Training/2D and Test/2D")
    parser.add_argument("--out", metavar="OUT", type=Path, required=True, help="folder for weights and tracks")
    parser.add_argument(
        "--models", metavar="M", nargs="+", default=MODELS, help=f"trackers by name (default: {' '.join(MODELS)})"
    )
    parser.add_argument(
        "--train", metavar="STEPS", type=whole_number, help="train the networks first, so many steps (default: shipped)"
    )
    parser.add_argument("--phantoms", metavar="N", type=whole_number, help="with --train: simulated clips as well")
    division = parser.add_mutually_exclusive_group()
    division.add_argument(
        "--folds", metavar="K", type=whole_number, default=4, help="parts of the patients, for --train (default 4)"
    )
    division.add_argument("--in-house", action="store_true", help="with --train: hold out each scanner in turn")
    parser.add_argument("--seed", metavar="S", type=int, default=1, help="of folds and trainings (default 1)")
    parser.add_argument("--spacings", metavar="S.csv", type=Path, help="pixel sizes (default: resolution.csv)")
    parser.add_argument("--groups", metavar="G.csv", type=Path, help="scanners: sequence,group (default: by name)")
    parser.add_argument(
        "--failure-cases",
        action="store_true",
        help="a second table: each tracker watching shadows, offline, and acting a frame late, with prediction or not",
    )
    parser.add_argument("--submission", action="store_true", help="track the test sequences, and pack the results")
    parser.add_argument("--device", metavar="D", default="auto", help="auto (default), cpu, cuda, ...")
    add_output_arguments(parser, against=MODELS[-1])
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Trains if asked to, tracks what is missing, and prints the table.

    Raises:
        InputError: data, trackers or arguments that cannot be used.
        OutputError: a file cannot be written.
    """
    entries = [find_tracker(name) for name in arguments.models]
    check_against(arguments, arguments.models)
    if arguments.train is None and (arguments.in_house or arguments.phantoms):
        raise InputError(f"--{'in-house' if arguments.in_house else 'phantoms'}: needs --train STEPS")
    groups = read_groups(arguments.groups) if arguments.groups else None
    spacings = read_resolutions(arguments.spacings) if arguments.spacings else None
    sequences = clust_sequences(arguments.folder, groups=groups, spacings=spacings)
    annotated = [one for one in sequences if one.annotated]
    rest = [one for one in sequences if not one.annotated]
    if not annotated and not (arguments.submission and rest):
        raise InputError(f"{arguments.folder}: no landmark has more than its first annotation; add --submission")
    notes = [groups_note(sequences)]
    if annotated and annotated[0].spacing_mm is None:
        notes.append("no pixel sizes: errors are in px; give --spacings, or resolution.csv beside the sequences")
    print_notes([note for note in notes if note])
    folds: tuple[Fold, ...] = (Fold(SHIPPED, (), tuple(annotated)),)
    if arguments.train is not None and annotated:
        folds = (
            scanner_folds(annotated)
            if arguments.in_house
            else patient_folds(annotated, arguments.folds, arguments.seed)
        )
    _make_folder(arguments.out)
    with TerminalProgress("benchmark", "sequences") as progress:
        rows, failures = _measure(arguments, entries, folds, annotated, progress) if annotated else ([], [])
        if arguments.submission:
            if not rest:
                raise InputError(
                    f"{arguments.folder}: --submission: every sequence is annotated; there is none to submit"
                )
            for entry in entries:
                path = _submit(arguments, entry, annotated, rest, progress)
                print(f"wrote {path}")
    if rows:
        result = clust_result(rows, getattr(arguments, "against", None) or arguments.models[-1])
        if failures:
            table = failure_result(failures)
            result = replace(result, details={**result.details, table.rows_key: table.as_dict()[table.rows_key]})
        show(result, arguments)
        if failures:
            print()
            print(table.table(markdown=arguments.markdown))
    return 0


def _measure(
    arguments: argparse.Namespace,
    entries: Sequence[TrackerEntry],
    folds: Sequence[Fold],
    annotated: Sequence[ClustSequence],
    progress: Progress,
) -> tuple[list[ClustRow], list[FailureRow]]:
    """Tracks what is missing and compares it with the annotations, and, where asked for, in each failure case."""
    rows: list[ClustRow] = []
    failures: list[FailureRow] = []
    folders = [one.folder for one in annotated]
    sizes = {one.name: one.spacing_mm for one in annotated if one.spacing_mm is not None}
    scanners = {one.name: one.group for one in annotated}
    for entry in entries:
        for case in FAILURE_CASES if arguments.failure_cases else (PLAIN,):
            name = entry.name if case is PLAIN else f"{entry.name}-{case.name.replace(',', '').replace(' ', '-')}"
            files: dict[str, Path] = {}
            for fold in folds:
                weights = _weights(arguments, entry, fold, progress)
                kept = (
                    arguments.out / "tracks" / name / (SHIPPED if weights is None else _training_name(arguments, fold))
                )
                for sequence in fold.held_out:
                    request = TrackRequest(
                        model=entry.name, weights=weights, device=arguments.device, **dict(case.options)
                    )
                    _track(sequence, request, kept, progress, late_frames=case.late_frames)
                    files |= {path.stem: kept / path.name for path in clust_files(sequence.folder)}
            table = evaluate_clust(folders, files, spacing_mm=sizes or None, groups=scanners)
            if case is PLAIN:
                rows += (
                    clust_rows(entry.name, table)
                    if rows
                    else [*no_tracking_rows(table), *clust_rows(entry.name, table)]
                )
            if arguments.failure_cases:
                means = {label: one.tracking_error.mean for label, one in table.landmarks.items()}
                failures.append(FailureRow(entry.name, case.name, table.pooled.tracking_error, means))
    return rows, failures


def _training_name(arguments: argparse.Namespace, fold: Fold) -> str:
    """Returns a folder's name for weights and tracks that depend on all of this."""
    return f"{fold.name}-steps-{arguments.train}-seed-{arguments.seed}-phantoms-{arguments.phantoms or 0}"


def _weights(arguments: argparse.Namespace, entry: TrackerEntry, fold: Fold, progress: Progress) -> Path | None:
    """Returns the weights trained on a fold; None: the tracker's own."""
    if arguments.train is None or not trains_on_clust(entry):
        return None
    folder = arguments.out / "weights" / _training_name(arguments, fold) / str(entry.weights)
    done = folder / f"{entry.weights}.json"
    if done.is_file():
        return folder / f"{entry.weights}.safetensors"
    _make_folder(folder)
    return train_on(
        entry,
        fold.learning,
        folder,
        steps=arguments.train,
        seed=arguments.seed,
        phantoms=arguments.phantoms or 0,
        clips=arguments.out / "clips" if arguments.phantoms else None,
        on_line=lambda line: progress(0, 1, f"{fold.name}, {line}"),
    )


def _track(
    sequence: ClustSequence, request: TrackRequest, folder: Path, progress: Progress, *, late_frames: int = 0
) -> None:
    """Tracks a sequence whose results are not all there, and writes them, `late_frames` late."""
    if all((folder / path.name).is_file() for path in clust_files(sequence.folder)):
        return
    _make_folder(folder)

    def report(done: int, total: int, message: str) -> None:
        progress(done, total, f"{sequence.name}, {request.model}: {message}")

    for tracks in track_clust_sequence(sequence.folder, request, progress=report):
        write_clust_tracks(folder, late(tracks, late_frames))


def _submit(
    arguments: argparse.Namespace,
    entry: TrackerEntry,
    annotated: Sequence[ClustSequence],
    rest: Sequence[ClustSequence],
    progress: Progress,
) -> Path:
    """Tracks the test sequences, with a network trained on all annotated ones where --train says so, and packs the text
    files.
    """
    everything = Fold("all", tuple(annotated), ())
    weights = _weights(arguments, entry, everything, progress) if annotated else None
    trained = SHIPPED if weights is None else _training_name(arguments, everything)
    folder = arguments.out / "submission" / f"{entry.name}-{trained}"
    for sequence in rest:
        request = TrackRequest(model=entry.name, weights=weights, device=arguments.device)
        _track(sequence, request, folder, progress)
    path = arguments.out / f"submission-{entry.name}.zip"
    files = [folder / file.name for sequence in rest for file in clust_files(sequence.folder)]
    with atomic_output(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.name)
    return path


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made: {error.strerror or error}") from error
