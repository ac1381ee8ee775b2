"""`benchmark scene`: seconds to build and to save a scene of 300 frames of 512 x 512, 20 landmarks and a curve."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.lab.benchmarks.command import add_output_arguments, check_arguments, show
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, Column, Target
from UltrasoundMotionLib.progress import Progress, no_progress

FRAME_COUNT = 300
FRAME_SIZE = (512, 512)
LANDMARK_COUNT = 20
BUILD_GOAL_S = 3.0
SAVE_GOAL_S = 10.0


@dataclass(frozen=True)
class SceneRow:
    """Seconds to build, to save and to read back; milliseconds to step to another frame; size of the .mrb file in MB
    (1e6 bytes).
    """

    build_s: float
    save_s: float
    read_s: float
    step_ms: float
    file_mb: float


COLUMNS: tuple[Column[SceneRow], ...] = (
    Column("", lambda row: "scene"),
    Column("build", "build_s", 2, unit="s"),
    Column("save", "save_s", 2, unit="s"),
    Column("read", "read_s", 2, unit="s"),
    Column("step", "step_ms", 2, unit="ms"),
    Column("file", "file_mb", 2, unit="MB"),
)


def scene_targets(row: SceneRow) -> tuple[Target, ...]:
    """Built in under 3 s, saved in under 10 s."""
    scene = f"scene of {FRAME_COUNT} frames, {FRAME_SIZE[0]} x {FRAME_SIZE[1]}, {LANDMARK_COUNT} landmarks, a curve"
    return tuple(
        Target(f"{scene}: {what}", f"under {goal:g} s", f"{seconds:.2f} s", seconds < goal)
        for what, goal, seconds in (("built", BUILD_GOAL_S, row.build_s), ("saved", SAVE_GOAL_S, row.save_s))
    )


def benchmark_scene(*, progress: Progress = no_progress) -> BenchmarkResult[SceneRow]:
    """Times it once, on noise, which compresses worse than any clip.

    Raises:
        MissingPackageError: slicer-core is not installed.
    """
    from UltrasoundMotionLib.mrml.scene_timing import measure_scene

    timing = measure_scene(FRAME_COUNT, FRAME_SIZE, LANDMARK_COUNT, progress=progress)
    row = SceneRow(timing.build_s, timing.save_s, timing.read_s, timing.step_ms, timing.file_mb)
    return BenchmarkResult(COLUMNS, (row,), scene_targets(row), asdict(row))


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser("scene", help="seconds to build and to save a large Slicer scene (extra slicer)")
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    check_arguments(arguments)
    with TerminalProgress("benchmark", "steps") as progress:
        result = benchmark_scene(progress=progress)
    show(result, arguments)
    return 0
