"""`benchmark cohort`: what a cohort costs of processor time, disk and memory, and what its pool of processes adds.

Each run is made twice in turn, in one process and by the pool, on the same simulated clips. Other work on the machine
lengthens both by the clock; the processor time, from which the throughput on idle cores follows, it hardly changes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.cohort.case_run import CASES, run_case
from UltrasoundMotionLib.cohort.manifest import CohortCase, read_manifest, write_manifest
from UltrasoundMotionLib.cohort.run import collect, run_cohort
from UltrasoundMotionLib.cohort.summary import write_summary
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.images.sequence_files import write_sequence
from UltrasoundMotionLib.lab.benchmarks.command import add_output_arguments, check_arguments, show, whole_number
from UltrasoundMotionLib.lab.benchmarks.swaying_speckle import SwayingSpeckle
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, Column, Target
from UltrasoundMotionLib.peak_memory import own_peak_bytes
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.tracking.files.query_points_file import write_query_points

GOAL_THROUGHPUT, GOAL_OVERHEAD_PERCENT = 1.8, 5.0
MODEL_CASES = 100_000
_BLOCK_BYTES = 512
_PEAKS = "peaks"
_MARGIN = 0.2
"""Points lie this share of the image from its border, at least."""


@dataclass(frozen=True)
class CohortRow:
    """One run of all cases: seconds by the clock and of the processor, the largest memory of one process in MB (1e6
    bytes), the processor time outside of the cases' command lines as a share of that inside (in one process), and the
    disk of a case.
    """

    run: str
    seconds: float
    processor_seconds: float
    seconds_a_case: float
    peak_mb: float
    overhead_percent: float
    disk_kb: float


COLUMNS: tuple[Column[CohortRow], ...] = (
    Column("run", "run", names_method=True),
    Column("by the clock", "seconds", 1, unit="s"),
    Column("processor", "processor_seconds", 1, unit="s"),
    Column("processor a case", "seconds_a_case", 3, unit="s"),
    Column("peak memory", "peak_mb", 0, unit="MB"),
    Column("overhead", "overhead_percent", 1, unit="%"),
    Column("disk a case", "disk_kb", 0, unit="kB"),
)


def write_cohort(folder: Path, cases: int, *, frames: int, size_px: int, points: int) -> Path:
    """Writes simulated clips with points and their manifest; returns the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    side = int(np.ceil(np.sqrt(points)))
    places = np.linspace(_MARGIN * size_px, (1 - _MARGIN) * size_px, side)
    grid = np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2)[:points]
    write_query_points(folder / "points.csv", [f"P{number}" for number in range(points)], grid)
    rows = []
    for number in range(cases):
        source = SwayingSpeckle(frames, size_px, seed=number)
        pixels = np.stack([source[frame] for frame in range(frames)])
        write_sequence(folder / f"{number}.seq.nrrd", ImageSequence(pixels))
        rows.append({"case": f"case-{number}", "input": f"{number}.seq.nrrd", "points": "points.csv"})
    write_manifest(folder / "cases.csv", rows)
    return folder / "cases.csv"


def run_in_one_process(cases: Sequence[CohortCase], out: Path) -> CohortRow:
    """Runs cases one after the other in this process, and writes the tables."""
    (out / CASES).mkdir(parents=True)
    inside = 0.0

    def run_line(words: Sequence[str]) -> int:
        nonlocal inside
        begun = time.process_time()
        code = main(words)
        inside += time.process_time() - begun
        return code

    before = _processor_seconds()
    begun = time.perf_counter()
    for case in cases:
        record = run_case(case, out, run_line)
        if record.reason:
            raise InputError(f"{record.name}: {record.reason}")
    write_summary(out, cases, collect(cases, out))
    seconds = time.perf_counter() - begun
    used = _processor_seconds() - before
    overhead = 100 * (used - inside) / inside
    disk = _disk_kb(out, len(cases))
    return CohortRow("one process", seconds, used, used / len(cases), own_peak_bytes() / 1e6, overhead, disk)


def run_and_note_peak(words: Sequence[str]) -> int:
    """Runs a command line of a case in a worker, and notes the worker's peak memory beside the cases."""
    code = main(words)
    peaks = Path(words[words.index("--out") + 1]).parents[2] / _PEAKS
    peaks.mkdir(exist_ok=True)
    (peaks / str(os.getpid())).write_text(str(own_peak_bytes()))
    return code


def run_by_pool(cases: Sequence[CohortCase], out: Path, workers: int) -> CohortRow:
    """Runs cases by the pool, its start and the tables included."""
    before = _processor_seconds()
    begun = time.perf_counter()
    outcome = run_cohort(cases, out, run_and_note_peak, workers=workers)
    write_summary(out, cases, outcome)
    seconds = time.perf_counter() - begun
    used = _processor_seconds() - before
    if outcome.failures:
        raise InputError(f"{outcome.failures[0].name}: {outcome.failures[0].reason}")
    peak = max(int(path.read_text()) for path in (out / _PEAKS).iterdir()) / 1e6
    return CohortRow(
        f"{workers} workers", seconds, used, used / len(cases), peak, float("nan"), _disk_kb(out, len(cases))
    )


def benchmark_cohort(
    manifest: Path, out: Path, *, workers: int, repeats: int, limit: int | None = None, progress: Progress = no_progress
) -> BenchmarkResult[CohortRow]:
    """Runs the cases of a manifest in one process and by the pool, in turn.

    Args:
        out: folder for the results, which are removed.
        limit: only so many cases.

    Raises:
        InputError: a case fails.
    """
    cases = read_manifest(manifest)[:limit]
    rows: list[CohortRow] = []
    for number in range(repeats):
        progress(2 * number, 2 * repeats, "one after the other")
        rows.append(run_in_one_process(cases, out))
        shutil.rmtree(out)
        progress(2 * number + 1, 2 * repeats, "several at a time")
        rows.append(run_by_pool(cases, out, workers))
        shutil.rmtree(out)
    return BenchmarkResult(COLUMNS, tuple(rows), cohort_targets(rows, workers))


def cohort_targets(rows: Sequence[CohortRow], workers: int) -> tuple[Target, ...]:
    """Throughput of the pool against one process by the clock and by the processor, and the overhead of a case."""
    alone, pooled = rows[0::2], rows[1::2]
    clock = float(np.median([one.seconds / other.seconds for one, other in zip(alone, pooled, strict=True)]))
    used = float(
        np.median(
            [
                workers * one.processor_seconds / other.processor_seconds
                for one, other in zip(alone, pooled, strict=True)
            ]
        )
    )
    overhead = float(np.median([one.overhead_percent for one in alone]))
    return (
        Target("throughput by the clock", f"{GOAL_THROUGHPUT} x", f"{clock:.2f} x", clock >= GOAL_THROUGHPUT),
        Target("throughput by processor time", f"{GOAL_THROUGHPUT} x", f"{used:.2f} x", used >= GOAL_THROUGHPUT),
        Target(
            "overhead of a case, tables included",
            f"{GOAL_OVERHEAD_PERCENT} %",
            f"{overhead:.1f} %",
            overhead <= GOAL_OVERHEAD_PERCENT,
        ),
    )


def cost_model(row: CohortRow, cases: int = MODEL_CASES) -> str:
    """Returns what so many cases cost, at the processor time, disk and memory of a row."""
    return (
        f"{cases} such cases: {cases * row.seconds_a_case / 3600:.3g} hours of one core, "
        f"{cases * row.disk_kb / 1e6:.1f} GB of results, {row.peak_mb / 1000:.2f} GB of memory for each process"
    )


def _processor_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _disk_kb(out: Path, cases: int) -> float:
    """Returns the room that the folder of a case takes, in kB (1000 bytes)."""
    taken = sum(getattr(path.stat(), "st_blocks", 0) * _BLOCK_BYTES or path.stat().st_size for path in _all_in(out))
    return taken / cases / 1000


def _all_in(out: Path) -> list[Path]:
    return [path for path in (out / CASES).rglob("*") if path.parent != out / CASES or path.is_dir()]


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser("cohort", help="throughput, overhead, memory and disk of a cohort")
    parser.add_argument("--manifest", metavar="CASES.csv", type=Path, help="your cases (default: simulated clips)")
    parser.add_argument("--cases", metavar="N", type=whole_number, default=100, help="how many (default 100)")
    parser.add_argument("--frames", metavar="T", type=whole_number, default=12, help="of a clip (default 12)")
    parser.add_argument("--size", metavar="PX", type=whole_number, default=64, help="of a frame (default 64)")
    parser.add_argument("--points", metavar="N", type=whole_number, default=4, help="in a clip (default 4)")
    parser.add_argument("--workers", metavar="N", type=whole_number, default=2, help="processes (default 2)")
    parser.add_argument("--repeats", metavar="N", type=whole_number, default=3, help="runs of each (default 3)")
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it, with the cost of 100,000 such cases."""
    check_arguments(arguments)
    with tempfile.TemporaryDirectory() as folder, TerminalProgress("benchmark", "runs") as progress:
        manifest = arguments.manifest or write_cohort(
            Path(folder) / "clips",
            arguments.cases,
            frames=arguments.frames,
            size_px=arguments.size,
            points=arguments.points,
        )
        result = benchmark_cohort(
            manifest,
            Path(folder) / "out",
            workers=arguments.workers,
            repeats=arguments.repeats,
            limit=arguments.cases,
            progress=progress,
        )
    show(result, arguments)
    print(f"\n{cost_model(result.rows[0])}")
    return 0
