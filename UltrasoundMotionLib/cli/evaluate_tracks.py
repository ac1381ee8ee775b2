"""`evaluate tracks`: tracks against truth, sequence by sequence and pooled; or trackers run on sets of trajectories."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from UltrasoundMotionLib.cli import evaluate_sets
from UltrasoundMotionLib.cli.output_files import check_outputs
from UltrasoundMotionLib.cli.request_arguments import positive_number
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

DESCRIPTION = """Compares tracks with truth by label and frame and prints position accuracy (TAP-Vid), median trajectory
error (PIPs++), tracking error and no-tracking error (CLUST), and points lost for good, for each sequence and pooled
over all positions. A truth is a table like the tracks', a CLUST annotation (one .txt per landmark, or their folder) or
any format of `convert` that holds frames; it may leave out frames. Only points that the truth has and shows count; the
query frame never does. With --dataset, trackers are run on folders of clips with known trajectories, and the table has
their accuracy, time and memory (Azad et al., Table 2), or their accuracy against the phase of placement."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the kind of result."""
    parser = subparsers.add_parser("tracks", help="tracks against truth", description=DESCRIPTION)
    parser.add_argument(
        "tracks",
        metavar="TRACKS",
        type=Path,
        nargs="*",
        help="one .csv of `track` per sequence (or a folder in CLUST's format)",
    )
    parser.add_argument(
        "--truth",
        metavar="TRUTH",
        type=Path,
        nargs="+",
        help="in the same order: a .csv, a CLUST .txt or a folder of them, COCO, CVAT, DeepLabCut ...",
    )
    parser.add_argument(
        "--spacing-mm",
        metavar=("SX", "SY"),
        nargs=2,
        type=positive_number,
        help="pixel size in mm; without it errors are in px",
    )
    parser.add_argument(
        "--query-frame",
        metavar="K",
        type=int,
        help="frame on which the points were given, from 0 (default: what the tracks say)",
    )
    parser.add_argument(
        "--image-size",
        metavar=("W", "H"),
        nargs=2,
        type=positive_number,
        help="size of the images; pixel errors are then those of images resized to 256 x 256, for "
        "which TAP-Vid's thresholds are meant",
    )
    parser.add_argument(
        "--lost-px",
        metavar="PX",
        type=positive_number,
        help="a point is lost for good above this in the last tenth (default 8)",
    )
    parser.add_argument("--json", metavar="OUT.json", type=Path, help="also write everything as JSON")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    evaluate_sets.add_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Reads, compares, prints, and writes the JSON file if asked to."""
    if arguments.dataset:
        return evaluate_sets.run(arguments)
    if not (arguments.tracks and arguments.truth):
        raise InputError("give TRACKS and --truth TRUTH, or --dataset NAME=FOLDER with --models")
    evaluate_sets.refuse_without_sets(arguments)
    from UltrasoundMotionLib.evaluation.track_errors import compare_tracks
    from UltrasoundMotionLib.evaluation.track_measures import LOST_PX
    from UltrasoundMotionLib.evaluation.track_report import report_tracks
    from UltrasoundMotionLib.json_output import write_json

    if arguments.json:
        check_outputs([("report", arguments.json)], {}, (*arguments.tracks, *arguments.truth))
    compared = []
    for path, truths in _pair_files(arguments.tracks, arguments.truth):
        tracks = _read_positions([path])
        if arguments.query_frame is not None:
            tracks = replace(tracks, query_frame=arguments.query_frame)
        truth = _read_positions(truths)
        name = str(path) if len({other.stem for other in arguments.tracks}) < len(arguments.tracks) else path.stem
        try:
            compared.append(
                compare_tracks(
                    tracks,
                    truth,
                    name=name,
                    spacing_mm=tuple(arguments.spacing_mm) if arguments.spacing_mm else None,
                    rescale_from=tuple(arguments.image_size) if arguments.image_size else None,
                )
            )
        except InputError as error:
            raise InputError(f"{path}: {str(error).removeprefix(f'{name}: ')}") from error
    report = report_tracks(compared, lost_px=arguments.lost_px or LOST_PX)
    if arguments.json:
        write_json(arguments.json, report.as_dict())
    print(report.table(markdown=arguments.markdown))
    return 0


def _pair_files(tracks: Sequence[Path], truths: Sequence[Path]) -> list[tuple[Path, list[Path]]]:
    """Each file of tracks with its truth: one each, in order; or, for a single file of tracks, several CLUST files, one
    for each landmark.

    Raises:
        InputError: the numbers do not fit.
    """
    if len(tracks) == 1 and all(path.suffix.lower() == ".txt" for path in truths):
        return [(tracks[0], list(truths))]
    if len(tracks) != len(truths):
        raise InputError(
            f"{len(tracks)} files of tracks but {len(truths)} of truth; give one truth for each, in the same order"
        )
    return [(path, [truth]) for path, truth in zip(tracks, truths, strict=True)]


def _read_positions(paths: Sequence[Path]) -> PointTracks:
    """Tracks or truth of one sequence: a CSV table, CLUST's text files or folder, or any other format of labels.

    Raises:
        InputError: see the readers and `recognise`; a format without frames.
    """
    from UltrasoundMotionLib.exchange.labels.registry import recognise
    from UltrasoundMotionLib.tracking.files.clust_annotation import read_clust_tracks
    from UltrasoundMotionLib.tracking.files.tracks_csv import read_tracks_csv

    first = paths[0]
    if first.is_dir():
        return read_clust_tracks(first)
    if first.suffix.lower() == ".txt":
        return read_clust_tracks(paths)
    try:
        form = recognise(first)
    except InputError:
        if first.suffix.lower() == ".csv":
            return read_tracks_csv(first)  # says which columns are missing
        raise
    if form.one_frame:
        raise InputError(f"{first}: {form.name} does not say on which frame its points lie; `convert` it to tracks")
    return form.read(first, None).tracks
