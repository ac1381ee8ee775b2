"""`evaluate tracks --dataset`: trackers run on folders of clips with known trajectories."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from UltrasoundMotionLib.cli.output_files import check_outputs
from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.progress import Progress

if TYPE_CHECKING:
    from UltrasoundMotionLib.evaluation.tracker_runs import TrackerChoice, TrackerRun
    from UltrasoundMotionLib.tracking.files.trajectory_set import TrajectorySet

_ONLY_WITH_SETS = ("models", "query_phase", "phases", "against", "device", "threads", "plot")
_ONLY_WITH_TRACKS = ("tracks", "truth", "spacing_mm", "query_frame", "image_size", "lost_px")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of trackers run on sets of trajectories."""
    group = parser.add_argument_group("trackers on sets of trajectories")
    add_run_arguments(group)
    group.add_argument(
        "--phases",
        metavar="N",
        type=partial(_whole, least=2),
        help="accuracy for points placed at N phases of the cycle, evenly spread, in place of the one table",
    )
    group.add_argument("--against", metavar="M", help="tracker that all others are compared with (default: the first)")
    group.add_argument("--plot", metavar="P.png", type=Path, help="also draw accuracy and error against the phase")


def add_run_arguments(group: argparse._ArgumentGroup) -> None:
    """Adds what says which trackers are run on which sets, and how."""
    group.add_argument(
        "--dataset",
        metavar="[NAME=]FOLDER",
        action="append",
        help="folder with cases.csv, clips and their trajectories; give it again for a further set",
    )
    group.add_argument(
        "--models",
        metavar="M[=W]",
        nargs="+",
        help="trackers by name, each with its own weights or those given after =",
    )
    group.add_argument(
        "--query-phase",
        metavar="P",
        type=_phase,
        help="phase of the cycle at which points are placed, 0 to 1 (default 0)",
    )
    group.add_argument("--device", metavar="NAME", help="auto, cpu, cuda, ... (default auto)")
    group.add_argument(
        "--threads", metavar="N", type=_whole, help="threads on the CPU (default: the libraries' choice)"
    )


def refuse_without_sets(arguments: argparse.Namespace) -> None:
    """Raises InputError for an argument that needs `--dataset`."""
    _refuse(arguments, _ONLY_WITH_SETS, "needs --dataset")


def run(arguments: argparse.Namespace) -> int:
    """Runs the trackers, prints the tables, and writes the files asked for.

    Raises:
        InputError: arguments that do not go together, a set or a tracker that cannot be used.
    """
    from UltrasoundMotionLib.evaluation.trajectory_report import accuracy_table, measure_sets, phase_table
    from UltrasoundMotionLib.json_output import write_json

    _refuse(arguments, _ONLY_WITH_TRACKS, "does not go with --dataset")
    if arguments.plot and not arguments.phases:
        raise InputError("--plot draws accuracy against the phase: add --phases N")
    if arguments.phases and arguments.query_phase is not None:
        raise InputError("--query-phase and --phases: give one of them")
    if arguments.plot:
        from UltrasoundMotionLib.pictures.plot_packages import require_plot_packages

        require_plot_packages("--plot")
    sets, choices = read_sets(arguments.dataset), read_choices(arguments.models)
    if arguments.against and arguments.against not in [one.name for one in choices]:
        raise InputError(f"--against {arguments.against}: is none of --models")
    outputs = [(name, path) for name, path in (("report", arguments.json), ("plot", arguments.plot)) if path]
    check_outputs(outputs, {}, [one.folder for one in sets])
    count = arguments.phases
    phases = [number / count for number in range(count)] if count else [arguments.query_phase or 0.0]
    runs = run_trackers(sets, choices, phases, arguments)
    rows = measure_sets(sets, runs)
    print(
        phase_table(rows, markdown=arguments.markdown)
        if count
        else accuracy_table(rows, sets, against=arguments.against, markdown=arguments.markdown)
    )
    if arguments.json:
        write_json(arguments.json, {"rows": [row.as_dict() for row in rows]})
    if arguments.plot:
        from UltrasoundMotionLib.pictures.phase_plot import write_phase_plot

        write_phase_plot(arguments.plot, rows)
    return 0


def run_trackers(
    sets: Sequence[TrajectorySet],
    choices: Sequence[TrackerChoice],
    phases: Sequence[float],
    arguments: argparse.Namespace,
) -> dict[str, list[TrackerRun]]:
    """Runs each tracker on each set; the runs of each set by its name.

    Raises:
        InputError: a tracker or a case that cannot be used.
    """
    from UltrasoundMotionLib.evaluation.tracker_runs import run_tracker

    clips = sum(len(one.cases) for one in sets) * len(phases)
    runs: dict[str, list[TrackerRun]] = {one.name: [] for one in sets}
    before = 0
    with TerminalProgress("evaluate", "clips") as progress:
        for choice in choices:
            for one in sets:
                runs[one.name].append(
                    run_tracker(
                        choice,
                        one,
                        phases,
                        device=arguments.device or "auto",
                        threads=arguments.threads,
                        progress=_part(progress, before, clips * len(choices)),
                    )
                )
                before += len(one.cases) * len(phases)
        progress(before, before, "done")
    return runs


def read_sets(texts: Sequence[str]) -> list[TrajectorySet]:
    """Reads the sets given as `FOLDER` or `NAME=FOLDER`.

    Raises:
        InputError: see `read_trajectory_set`; two sets of one name.
    """
    from UltrasoundMotionLib.tracking.files.trajectory_set import read_trajectory_set

    sets = []
    for text in texts:
        name, equals, folder = text.partition("=")
        sets.append(read_trajectory_set(folder, name) if equals else read_trajectory_set(text))
    names = [one.name for one in sets]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"--dataset: two sets are named {name}; name them apart: --dataset A={name} ...")
    return sets


def read_choices(texts: Sequence[str] | None) -> list[TrackerChoice]:
    """Reads the trackers given as `MODEL` or `MODEL=WEIGHTS`; none is the default tracker.

    Raises:
        InputError: a tracker that does not exist, or given twice.
    """
    from UltrasoundMotionLib.evaluation.tracker_runs import TrackerChoice
    from UltrasoundMotionLib.tracking.registry import find_tracker
    from UltrasoundMotionLib.tracking.request import TrackRequest

    choices = [TrackerChoice.parse(text) for text in texts or (TrackRequest().model,)]
    for choice in choices:
        find_tracker(choice.model)
        if choices.count(choice) > 1:
            raise InputError(f"--models: {choice.name} is given twice")
    return choices


def _part(progress: Progress, before: int, total: int) -> Progress:
    """Returns the progress of a part as that of the whole."""
    whole = total

    def report(done: int, total: int, message: str) -> None:
        progress(before + done, whole, message)

    return report


def _refuse(arguments: argparse.Namespace, names: Sequence[str], reason: str) -> None:
    for name in names:
        if getattr(arguments, name) not in (None, []):
            flag = "TRACKS" if name == "tracks" else f"--{name.replace('_', '-')}"
            raise InputError(f"{flag}: {reason}")


def _phase(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a phase from 0 to 1, got {text!r}")
    return value


def _whole(text: str, least: int = 1) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"expected a whole number from {least}, got {text!r}")
    return int(text)
