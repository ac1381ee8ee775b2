"""`benchmark second-source`: trackers, ours and OpenCV's, on clips of another simulator and, with data at hand, on real
clips: the one table that says how trackers hold on tissue that nobody tuned or trained them on.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.json_output import write_json
from UltrasoundMotionLib.lab.benchmarks.command import (
    add_output_arguments,
    add_tracker_arguments,
    check_arguments,
    chosen_trackers,
    thread_count,
    weights_of,
    whole_number,
)
from UltrasoundMotionLib.lab.benchmarks.rows import RowFile
from UltrasoundMotionLib.lab.benchmarks.table import target_table
from UltrasoundMotionLib.lab.second_source import DIFFICULTIES, SCENES
from UltrasoundMotionLib.progress import Progress, no_progress

if TYPE_CHECKING:
    from UltrasoundMotionLib.lab.benchmarks.second_source.rows import ClipRow
    from UltrasoundMotionLib.lab.benchmarks.trackers import BenchmarkTracker

WITHOUT_BOXES = ("opencv-lk", "opencv-dis", "opencv-dis-fine", "opencv-dis-chained", "opencv-template")
"""OpenCV's trackers that run unless others are named; those of boxes take minutes for a clip of 48 points."""

DESCRIPTION = """Follows tissue on clips of a simulator that shares no scene, motion or physics with the one that
trackers are tuned and trained on, and on real clips where their folders are given. Use a seed for one report only, and
name it there: whoever looks at its figures and then changes a tracker takes another seed for the next."""

Measure = Callable[["BenchmarkTracker"], "ClipRow"]


def benchmark_second_source(
    clips: Iterator[tuple[str, str, Measure]],
    trackers: Sequence[BenchmarkTracker],
    *,
    kept: RowFile[ClipRow] | None = None,
    progress: Progress = no_progress,
) -> tuple[ClipRow, ...]:
    """Runs every tracker on every clip.

    Args:
        clips: group and name of each, and what measures a tracker on it.
        kept: where rows are read from and written to.
    """
    rows: list[ClipRow] = []
    for number, (group, name, measure) in enumerate(clips):
        for tracker in trackers:
            progress(number, 0, f"{name}: {tracker.name}")
            one = partial(measure, tracker)
            rows.append(one() if kept is None else kept.row((group, name, tracker.name), one))
    return tuple(rows)


def chosen_clips(arguments: argparse.Namespace) -> Iterator[tuple[str, str, Measure]]:
    """Simulates or reads the clips asked for, one after the other.

    Raises:
        InputError: see `second_source_cases`; a clip that is missing or cannot be read.
        MissingPackageError: PyMUST is asked for and is not installed.
    """
    from UltrasoundMotionLib.lab.benchmarks.second_source.clips import echo_clip, labelled_cases, wire_case
    from UltrasoundMotionLib.lab.benchmarks.second_source.medicaid import medicaid_cases
    from UltrasoundMotionLib.lab.benchmarks.second_source.rows import (
        measure_case,
        measure_round_trip,
        measure_strain,
        strain_group,
    )
    from UltrasoundMotionLib.lab.second_source.cases import second_source_cases

    cases = second_source_cases(
        arguments.scene,
        arguments.difficulty,
        count=arguments.count,
        seed=arguments.seed,
        pymust_count=arguments.pymust,
        cache=arguments.cache,
    )
    for drawn in cases:
        case = drawn.benchmark_case(arguments.points)
        yield case.group, case.name, partial(measure_case, case)
        if drawn.scene == "echo" and not arguments.no_strain:
            group = strain_group(case)
            yield group, case.name, partial(measure_strain, drawn.strain_case(), group=group)
    if arguments.medicaid is not None:
        for case in medicaid_cases(arguments.medicaid):
            yield case.group, case.name, partial(measure_case, case)
    if arguments.data is not None:
        wires = wire_case(arguments.data)
        yield wires.group, wires.name, partial(measure_case, wires, rescale=False)
        clip = echo_clip(arguments.data)
        yield clip.group, clip.sequence.name, partial(measure_round_trip, clip)
    if arguments.labels is not None:
        for case in labelled_cases(arguments.labels):
            yield case.group, case.name, partial(measure_case, case, rescale=False)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser(
        "second-source", help="trackers on clips of another simulator, and on real ones", description=DESCRIPTION
    )
    parser.add_argument("--scene", nargs="+", choices=SCENES, default=SCENES, help="what is simulated (default: all)")
    parser.add_argument(
        "--difficulty", nargs="+", choices=DIFFICULTIES, default=("hard",), help="of the clips (default: hard)"
    )
    parser.add_argument(
        "--count", metavar="N", type=int, default=6, help="clips of each scene and difficulty, 0 for none (default 6)"
    )
    parser.add_argument(
        "--pymust",
        metavar="N",
        type=int,
        default=0,
        help="so many further clips of each whose images PyMUST forms, seconds a frame (default 0)",
    )
    parser.add_argument(
        "--seed", metavar="S", type=int, required=True, help="of the clips; name it beside the figures, and use it once"
    )
    parser.add_argument(
        "--points", metavar="N", type=whole_number, default=48, help="at most so many points a clip (default 48)"
    )
    parser.add_argument("--no-strain", action="store_true", help="leave out the strain of the hearts")
    parser.add_argument("--cache", metavar="DIR", type=Path, help="keep simulated clips in this folder")
    parser.add_argument(
        "--medicaid",
        metavar="DIR",
        type=Path,
        help="also synthetic echocardiograms of others: folder with their files and a layout.json that describes them",
    )
    parser.add_argument(
        "--data",
        metavar="DIR",
        type=Path,
        help="also real clips: folder that holds plus-tracked-ultrasound and echo-video",
    )
    parser.add_argument(
        "--labels",
        metavar="DIR",
        type=Path,
        help="also clips labelled by hand: folder of DeepLabCut tables (CSV), each beside a clip of its name",
    )
    parser.add_argument(
        "--rows", metavar="FILE.jsonl", type=Path, help="keep what was measured here, and do not measure it again"
    )
    add_tracker_arguments(parser)
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    from UltrasoundMotionLib.lab.benchmarks.second_source.rows import ClipRow
    from UltrasoundMotionLib.lab.benchmarks.second_source.tables import detail_result, summary_result

    check_arguments(arguments)
    for option in ("cache", "medicaid", "data", "labels"):
        folder = getattr(arguments, option)
        if folder is not None and not folder.is_dir():
            raise InputError(f"--{option} {folder}: is no folder" + ("; make it first" if option == "cache" else ""))
    for option in ("count", "pymust"):
        if getattr(arguments, option) < 0:
            raise InputError(f"--{option} {getattr(arguments, option)} must not be negative")
    if arguments.peers is None:
        arguments.peers = list(WITHOUT_BOXES)
    chosen = chosen_trackers(arguments)
    kept = None
    if arguments.rows is not None:
        settings = {
            "seed": arguments.seed,
            "points": arguments.points,
            "weights": {k: str(v) for k, v in weights_of(arguments.weights).items()},
        }
        kept = RowFile(arguments.rows, ClipRow, settings, lambda row: (row.group, row.clip, row.tracker), one_run=True)
        kept.read()
    with TerminalProgress("benchmark", "clips") as progress:
        rows = benchmark_second_source(chosen_clips(arguments), chosen.trackers, kept=kept, progress=progress)
    if not rows:
        raise InputError("no clip to measure on: --count 0 and no other source")
    detail = detail_result(rows)
    print(f"seed {arguments.seed}, {thread_count()} threads, device {arguments.device}")
    print(summary_result(rows).table(markdown=arguments.markdown))
    print()
    print(detail.table(markdown=arguments.markdown))
    if detail.targets:
        print()
        print(target_table(detail.targets, markdown=arguments.markdown))
    for name, reason in chosen.missing.items():
        print(f"{name}: skipped: {reason}")
    if arguments.json:
        clips = [{key: value for key, value in vars(row).items() if key != "errors_px"} for row in rows]
        write_json(arguments.json, {"seed": arguments.seed, **detail.as_dict(), "clips": clips})
    return 0
