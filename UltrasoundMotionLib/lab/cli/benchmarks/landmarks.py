"""`benchmark landmarks`: vessels of breathing livers followed for hundreds of frames, ours and OpenCV's trackers."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.benchmarks.landmark_benchmark import FRAME_COUNT, benchmark_landmarks, landmark_cases
from UltrasoundMotionLib.lab.benchmarks.tracking_benchmark import DIFFICULTIES, EVALUATION_SEED
from UltrasoundMotionLib.lab.cli.benchmarks.result_output import add_output_arguments, check_output, show
from UltrasoundMotionLib.lab.cli.benchmarks.tracker_arguments import (
    add_tracker_arguments,
    chosen_trackers,
    whole_number,
)

DESCRIPTION = f"""Simulates livers that breathe irregularly for hundreds of frames while their speckle changes, shadows pass and the probe drifts,
and follows the vessels and forks that the first frame shows. Errors are in mm, over all positions where the truth is seen, as CLUST reports them.
Seeds from {EVALUATION_SEED} on are kept for this; nothing is tuned or trained on them."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser(
        "landmarks", help="landmark trackers on minutes of simulated breathing, in mm", description=DESCRIPTION
    )
    parser.add_argument("--difficulty", nargs="+", choices=DIFFICULTIES, default=DIFFICULTIES, help="default: all")
    parser.add_argument(
        "--count", metavar="N", type=whole_number, default=2, help="phantoms of each difficulty (default 2)"
    )
    parser.add_argument(
        "--seed",
        metavar="S",
        type=int,
        default=EVALUATION_SEED,
        help=f"of the set of phantoms (default {EVALUATION_SEED})",
    )
    parser.add_argument(
        "--frames", metavar="T", type=whole_number, default=FRAME_COUNT, help=f"of each phantom (default {FRAME_COUNT})"
    )
    parser.add_argument(
        "--watch-shadows", action="store_true", help="a second row for each of ours with `track --watch-shadows`"
    )
    parser.add_argument(
        "--tracks",
        metavar="DIR",
        type=Path,
        help="keep what each tracker found in this folder (one a seed); what is there is not tracked again",
    )
    add_tracker_arguments(parser)
    add_output_arguments(parser)
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it; of ours those that are made for landmarks, unless named."""
    from UltrasoundMotionLib.tracking.registry import available_trackers
    from UltrasoundMotionLib.tracking.wrappers.watched_tracker import WatchedTracker

    if arguments.seed < 0:
        raise InputError(f"--seed {arguments.seed} must not be negative")
    if arguments.frames < 2:
        raise InputError("--frames 1: there is nothing to follow; take 2 or more")
    check_output(arguments)
    if arguments.tracks is not None and not arguments.tracks.is_dir():
        raise InputError(f"--tracks {arguments.tracks}: is no folder; make it first")
    if arguments.models is None:
        arguments.models = [entry.name for entry in available_trackers() if entry.kind == "landmarks"]
    trackers = chosen_trackers(arguments)
    if arguments.watch_shadows:
        ours = [one for one in trackers if one.ours]
        watched = [
            replace(one, name=f"{one.name} watched", create=lambda one=one: WatchedTracker(one.create()))
            for one in ours
        ]
        trackers = (*ours, *watched, *(one for one in trackers if not one.ours))
    cases = landmark_cases(
        arguments.difficulty, count=arguments.count, seed=arguments.seed, frame_count=arguments.frames
    )
    case_count = len(arguments.difficulty) * arguments.count
    with TerminalProgress("benchmark", "runs") as progress:
        options = {"wall_clock": arguments.device != "cpu", "tracks_folder": arguments.tracks}
        result = benchmark_landmarks(cases, trackers, case_count=case_count, **options, progress=progress)
    print(
        f"{case_count} livers of seed {arguments.seed}, {arguments.frames} frames each, device {arguments.device}; fps of {result.speed_of} time"
    )
    show(result, arguments, table=result.table(markdown=arguments.markdown))
    return 0
