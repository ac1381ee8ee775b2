"""`evaluate clust`: CLUST's sequences tracked, written in its format, and its tables."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from UltrasoundMotionLib.cli.output_files import check_no_input, check_outputs
from UltrasoundMotionLib.cli.request_arguments import add_arguments, from_arguments, positive_number
from UltrasoundMotionLib.errors import OutputError
from UltrasoundMotionLib.tracking.request import TrackRequest

if TYPE_CHECKING:
    pass

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
        help="pixel sizes: sequence,sx,sy (folder's name, mm), such as resolution.csv; else errors are in px",
    )
    parser.add_argument(
        "--groups", metavar="G.csv", type=Path, help="scanners: sequence,group (default: by the folders' names)"
    )
    parser.add_argument("--json", metavar="OUT.json", type=Path, help="also write everything as JSON")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Tracks if asked to, compares, prints, and writes the JSON file if asked to."""
    from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
    from UltrasoundMotionLib.evaluation.clust_evaluation import evaluate_clust
    from UltrasoundMotionLib.evaluation.clust_set import read_groups, track_clust_sequence
    from UltrasoundMotionLib.json_output import write_json
    from UltrasoundMotionLib.tracking import read_clust_tracks, write_clust_tracks

    _check_outputs(arguments)
    spacings = _read_spacings(arguments)
    groups = read_groups(arguments.groups) if arguments.groups else None
    if arguments.model:
        from UltrasoundMotionLib.tracking.registry import find_tracker

        find_tracker(arguments.model)
        for folder in arguments.folders:
            with TerminalProgress(folder.name, quiet=arguments.quiet) as progress:
                found = track_clust_sequence(folder, from_arguments(TrackRequest, arguments), progress=progress)
            make_folder(arguments.results)
            for path in (path for tracks in found for path in write_clust_tracks(arguments.results, tracks)):
                print(f"wrote {path}")
    if arguments.model and all(
        (read_clust_tracks(folder).visible.sum(axis=0) < 2).all() for folder in arguments.folders
    ):
        print("No table: no landmark has more than its first annotation, as in the challenge's test sequences.")
        return 0
    table = evaluate_clust(arguments.folders, arguments.results, spacing_mm=spacings, groups=groups)
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

    inputs = [*arguments.folders, *(path for path in (arguments.spacings, arguments.weights, arguments.groups) if path)]
    if arguments.json:
        results = [] if arguments.model or not arguments.results.is_dir() else [*arguments.results.iterdir()]
        check_outputs([("report", arguments.json)], {}, (*inputs, *results))
    if arguments.model:
        for path in (path for folder in arguments.folders for path in clust_files(folder)):
            check_no_input("result", arguments.results / path.name, inputs)


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
    from UltrasoundMotionLib.evaluation.clust_set import read_resolutions

    if arguments.spacings is None:
        return (
            {folder.name: tuple(arguments.spacing_mm) for folder in arguments.folders} if arguments.spacing_mm else None
        )
    return dict(read_resolutions(arguments.spacings))
