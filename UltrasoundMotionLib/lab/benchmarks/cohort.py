"""`benchmark cohort`: what a cohort costs of processor time, disk and memory, and what its pool of processes adds.

Each run is made twice in turn, in one process and by the pool, on the same simulated clips. Other work on the machine
lengthens both by the clock; the processor time, from which the throughput on idle cores follows, it hardly changes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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
_NOTES = "notes"
_MANY = 1000
_MARGIN = 0.2
"""Points lie this share of the image from its border, at least."""


@dataclass(frozen=True)
class CohortRow:
    """One run of all cases.

    Attributes:
        run: its name.
        seconds: by the clock.
        case_s: processor time of a case's command line, but for the first of each process.
        between_s: processor time of a case outside of its command line: records, files, the parent process.
        fixed_s: processor time of the whole run outside of its cases: the start of the processes, with what their first
            case imports, and the tables.
        processes: number of processes.
        peak_mb: largest memory of one process that runs cases, in MB (1e6 bytes).
        disk_kb: room on the disk that a case takes, in kB (1000 bytes).
    """

    run: str
    seconds: float
    case_s: float
    between_s: float
    fixed_s: float
    processes: int
    peak_mb: float
    disk_kb: float

    @property
    def overhead_percent(self) -> float:
        """Time outside of the command lines as a share of that inside."""
        return 100 * self.between_s / self.case_s

    def seconds_for(self, cases: int) -> float:
        """Returns the time of so many cases on idle cores, one for each process."""
        return (cases * (self.case_s + self.between_s) + self.fixed_s) / self.processes

    def as_dict(self) -> dict[str, Any]:
        """Returns what JSON keeps of it."""
        return {**asdict(self), "overhead_percent": self.overhead_percent}


COLUMNS: tuple[Column[CohortRow], ...] = (
    Column("run", "run", names_method=True),
    Column("by the clock", "seconds", 1, unit="s"),
    Column("a case", "case_s", 4, unit="s"),
    Column("between cases", "between_s", 4, unit="s"),
    Column("overhead", "overhead_percent", 1, unit="%"),
    Column("start and tables", "fixed_s", 2, unit="s"),
    Column("peak memory", "peak_mb", 0, unit="MB"),
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
    inside: list[float] = []

    def run_line(words: Sequence[str]) -> int:
        """Runs a command line and notes its processor time."""
        begun = time.process_time()
        code = main(words)
        inside.append(time.process_time() - begun)
        return code

    clock, begun = time.perf_counter(), time.process_time()
    for case in cases:
        record = run_case(case, out, run_line)
        if record.reason:
            raise InputError(f"{record.name}: {record.reason}")
    done = time.process_time()
    write_summary(out, cases, collect(cases, out))
    count, ended = len(cases), time.process_time()
    seconds, disk, peak = time.perf_counter() - clock, _disk_kb(out, count), own_peak_bytes() / 1e6
    each = sum(inside[1:]) / (count - 1)
    between, fixed = (done - begun - sum(inside)) / count, inside[0] - each + ended - done
    return CohortRow("one process", seconds, each, between, fixed, 1, peak, disk)


def run_in_a_worker(words: Sequence[str]) -> int:
    """Runs a command line of a case, and notes beside the cases what this worker has used so far."""
    begun = time.process_time()
    code = main(words)
    ended = time.process_time()
    path = Path(words[words.index("--out") + 1]).parents[2] / _NOTES / f"{os.getpid()}.json"
    path.parent.mkdir(exist_ok=True)
    note: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"start": begun, "inside": []}
    note |= {"inside": [*note["inside"], ended - begun], "end": ended, "peak": own_peak_bytes()}
    path.write_text(json.dumps(note))
    return code


def run_by_pool(cases: Sequence[CohortCase], out: Path, workers: int) -> CohortRow:
    """Runs cases by the pool, its start and the tables included."""
    clock, begun = time.perf_counter(), time.process_time()
    outcome = run_cohort(cases, out, run_in_a_worker, workers=workers)
    done = time.process_time()
    write_summary(out, cases, outcome)
    seconds, ended = time.perf_counter() - clock, time.process_time()
    if outcome.failures:
        raise InputError(f"{outcome.failures[0].name}: {outcome.failures[0].reason}")
    notes = [json.loads(path.read_text()) for path in (out / _NOTES).iterdir()]
    count, start = len(cases), sum(note["start"] for note in notes)
    inside, first = sum(sum(note["inside"]) for note in notes), sum(note["inside"][0] for note in notes)
    each = (inside - first) / (count - len(notes))
    between = (sum(note["end"] for note in notes) - inside - start + done - begun) / count
    fixed = start + first - len(notes) * each + ended - done
    peak = max(note["peak"] for note in notes) / 1e6
    return CohortRow(f"{workers} workers", seconds, each, between, fixed, workers, peak, _disk_kb(out, count))


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
    if len(cases) <= workers:
        raise InputError(
            f"{manifest}: {len(cases)} cases for {workers} workers; give more, as the first of each is left out"
        )
    rows: list[CohortRow] = []
    for number in range(repeats):
        progress(2 * number, 2 * repeats, "one after the other")
        rows.append(run_in_one_process(cases, out))
        shutil.rmtree(out)
        progress(2 * number + 1, 2 * repeats, "several at a time")
        rows.append(run_by_pool(cases, out, workers))
        shutil.rmtree(out)
    return BenchmarkResult(COLUMNS, tuple(rows), cohort_targets(rows))


def cohort_targets(rows: Sequence[CohortRow]) -> tuple[Target, ...]:
    """Throughput of the pool against one process by the clock, and by processor time for 1,000 cases; overhead."""
    pairs = list(zip(rows[0::2], rows[1::2], strict=True))
    clock = float(np.median([one.seconds / other.seconds for one, other in pairs]))
    used = float(np.median([one.seconds_for(_MANY) / other.seconds_for(_MANY) for one, other in pairs]))
    overhead = float(np.median([row.overhead_percent for row in rows]))
    return (
        Target("throughput by the clock", f"{GOAL_THROUGHPUT} x", f"{clock:.2f} x", clock >= GOAL_THROUGHPUT),
        Target(
            f"throughput by processor time, {_MANY} cases",
            f"{GOAL_THROUGHPUT} x",
            f"{used:.2f} x",
            used >= GOAL_THROUGHPUT,
        ),
        Target(
            "overhead of a case",
            f"{GOAL_OVERHEAD_PERCENT} %",
            f"{overhead:.1f} %",
            overhead <= GOAL_OVERHEAD_PERCENT,
        ),
    )


def cost_model(row: CohortRow, cases: int = MODEL_CASES) -> str:
    """Returns what so many cases cost, at the processor time, disk and memory of a row."""
    hours = row.processes * row.seconds_for(cases) / 3600
    return (
        f"{cases} such cases: {hours:.3g} hours of one core, {cases * row.disk_kb / 1e6:.3g} GB of results, "
        f"{row.peak_mb:.0f} MB of memory for each process"
    )


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
    print(f"\n{cost_model(result.rows[1])}")
    return 0
