"""`evaluate clust`: CLUST's sequences tracked, written in its format, and its tables."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import TYPE_CHECKING

from UltrasoundMotionLib.cli.output_files import check_no_input, check_outputs
from UltrasoundMotionLib.cli.request_arguments import add_arguments, from_arguments, positive_number
from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.input_files import read_text_file
from UltrasoundMotionLib.tracking.request import TrackRequest

if TYPE_CHECKING:
    from UltrasoundMotionLib.tracking import PointTracks

DESCRIPTION = """Compares results in CLUST's format (RESULTS/<landmark>.txt, lines of `frame x y`) with the
annotations of sequence folders (FOLDER/Annotation/<landmark>.txt, FOLDER/Data/*.png), and prints mean, standard
deviation, 95th percentile, min and max of the tracking error and of no tracking (NoTE), for each landmark, each group
and pooled. With --model, first tracks each sequence from its first annotations and writes RESULTS, ready to be
submitted."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the kind of result."""
    parser = subparsers.add_parser("clust", help="CLUST's tables and submission files", description=DESCRIPTION)
    parser.add_argument("folders", metavar="FOLDER", type=Path, nargs="+", help="folder of one sequence")
    parser.add_argument(
        "--results", metavar="RESULTS", type=Path, required=True, help="folder of result files; written with --model"
    )
    parser.add_argument("--model", metavar="M", help="track with this model first; see `ultrasound-motion models list`")
    add_arguments(parser, TrackRequest, only=("weights", "watch_shadows", "offline", "device", "hide_graphics"))
    parser.add_argument(
        "--spacing-mm", metavar=("SX", "SY"), nargs=2, type=positive_number, help="pixel size of all sequences"
    )
    parser.add_argument(
        "--spacings",
        metavar="S.csv",
        type=Path,
        help="pixel sizes: sequence,sx,sy (folder's name, mm); else errors are in px",
    )
    parser.add_argument("--json", metavar="OUT.json", type=Path, help="also write everything as JSON")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Tracks if asked to, compares, prints, and writes the JSON file if asked to."""
    from UltrasoundMotionLib.evaluation.clust_evaluation import evaluate_clust
    from UltrasoundMotionLib.json_output import write_json
    from UltrasoundMotionLib.tracking import read_clust_tracks, write_clust_tracks

    _check_outputs(arguments)
    spacings = _read_spacings(arguments)
    if arguments.model:
        from UltrasoundMotionLib.tracking.registry import find_tracker

        find_tracker(arguments.model)
        for folder in arguments.folders:
            tracks = _track_sequence(folder, arguments)
            make_folder(arguments.results)
            for path in write_clust_tracks(arguments.results, tracks):
                print(f"wrote {path}")
    if arguments.model and all(
        (read_clust_tracks(folder).visible.sum(axis=0) < 2).all() for folder in arguments.folders
    ):
        print("No table: no landmark has more than its first annotation, as in the challenge's test sequences.")
        return 0
    table = evaluate_clust(arguments.folders, arguments.results, spacing_mm=spacings)
    if arguments.json:
        write_json(arguments.json, table.as_dict())
    print(table.table(markdown=arguments.markdown))
    return 0


def _check_outputs(arguments: argparse.Namespace) -> None:
    """Checks that neither the report nor, with --model, the results would overwrite annotations, frames or each other.

    Raises:
        OutputError: they would; see `check_outputs`.
    """
    from UltrasoundMotionLib.tracking.files.clust_annotation import clust_files

    inputs = [*arguments.folders, *(path for path in (arguments.spacings, arguments.weights) if path)]
    if arguments.json:
        results = [] if arguments.model or not arguments.results.is_dir() else [*arguments.results.iterdir()]
        check_outputs([("report", arguments.json)], {}, (*inputs, *results))
    if arguments.model:
        for path in (path for folder in arguments.folders for path in clust_files(folder)):
            check_no_input("result", arguments.results / path.name, inputs)


def _track_sequence(folder: Path, arguments: argparse.Namespace) -> PointTracks:
    """All landmarks of a sequence from its first annotated frame on.

    Raises:
        InputError: its landmarks are first annotated on different frames; see `read_sequence` and `read_clust_tracks`.
    """
    from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
    from UltrasoundMotionLib.images import read_sequence
    from UltrasoundMotionLib.tracking import read_clust_tracks, track_points

    sequence = read_sequence(folder)
    truth = read_clust_tracks(folder, frame_count=len(sequence))
    late = [label for label, there in zip(truth.labels, truth.visible[truth.query_frame], strict=True) if not there]
    if late:
        raise InputError(
            f"{folder}: landmark {late[0]} is not annotated on frame {truth.query_frame + 1}, where others begin;"
            " track it by itself"
        )
    request = from_arguments(TrackRequest, arguments, query_frame=truth.query_frame, direction="forward")
    points = truth.positions_px[truth.query_frame]
    with TerminalProgress(folder.name, quiet=arguments.quiet) as progress:
        return track_points(sequence, points, labels=truth.labels, progress=progress, request=request)


def make_folder(folder: Path) -> None:
    """Makes the folder and those above it where they are missing.

    Raises:
        OutputError: that cannot be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made: {error.strerror or error}") from error


def _read_spacings(arguments: argparse.Namespace) -> dict[str, tuple[float, float]] | None:
    """Pixel sizes by sequence; None when they are unknown.

    Raises:
        InputError: the file cannot be read, or a line is not `sequence,sx,sy` with positive numbers.
    """
    if arguments.spacings is None:
        return (
            {folder.name: tuple(arguments.spacing_mm) for folder in arguments.folders} if arguments.spacing_mm else None
        )
    try:
        lines = list(csv.reader(read_text_file(arguments.spacings).splitlines()))
    except csv.Error as error:
        raise InputError(f"{arguments.spacings}: cannot be read: {error}") from error
    spacings = {}
    for number, line in enumerate(lines, start=1):
        if not line or (number == 1 and line[1:] == ["sx", "sy"]):
            continue
        try:
            name, x, y = line
            spacings[name.strip()] = (positive_number(x), positive_number(y))
        except (ValueError, argparse.ArgumentTypeError) as error:
            raise InputError(
                f"{arguments.spacings}: line {number}: expected `sequence,sx,sy` in mm, got {','.join(line)[:60]!r}"
            ) from error
    return spacings
