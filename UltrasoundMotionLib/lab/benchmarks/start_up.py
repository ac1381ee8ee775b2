"""`benchmark start-up`: processor seconds of whole processes that have next to nothing to do."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.benchmarks.command import add_output_arguments, show, whole_number
from UltrasoundMotionLib.lab.benchmarks.swaying_speckle import SwayingSpeckle
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, Column
from UltrasoundMotionLib.progress import Progress, no_progress

_SIZE_PX, _FRAMES = 32, 3
_HERE = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class StartUpRow:
    """Processor seconds (user and system) of one command, a value for each run.

    Attributes:
        command: as it is shown.
        checkout: "this", or the folder of the other one.
        seconds: of each run.
    """

    command: str
    checkout: str
    seconds: tuple[float, ...]

    @property
    def least(self) -> float:
        """The smallest of all runs, which other work on the machine disturbed least."""
        return min(self.seconds)

    @property
    def median(self) -> float:
        """The median of all runs."""
        return median(self.seconds)


_COLUMNS: tuple[Column[StartUpRow], ...] = (
    Column("command", "command"),
    Column("checkout", "checkout"),
    Column("least", "least", 2, "CPU s"),
    Column("median", "median", 2, "CPU s"),
)


def benchmark_start_up(
    *, runs: int = 5, beside: Path | None = None, progress: Progress = no_progress
) -> BenchmarkResult[StartUpRow]:
    """Runs Python alone, the imports that cannot be avoided, and commands on images of 32 x 32 pixels, in turns.

    Args:
        runs: of each command, after one that compiles the modules.
        beside: root of another checkout of this project, whose commands run in turns with those of this one.

    Raises:
        InputError: the system does not report a child's processor time (Windows), no other checkout there, or a command
            that failed.
    """
    if sys.platform == "win32":
        raise InputError("the processor time of a process that has ended cannot be measured on Windows")
    if beside is not None and not (beside / "UltrasoundMotionLib" / "__main__.py").exists():
        raise InputError(f"{beside}: no checkout of this project")
    checkouts = {"this": _HERE} | ({} if beside is None else {str(beside): beside.resolve()})
    with TemporaryDirectory() as folder:
        commands = _commands(Path(folder))
        seconds: dict[tuple[str, str], list[float]] = {}
        for run_number in range(runs + 1):
            for number, (name, command) in enumerate(commands.items()):
                progress(run_number * len(commands) + number, (runs + 1) * len(commands), name)
                for checkout, root in checkouts.items():
                    if command[0] == "-c" and checkout != "this":
                        continue
                    measured = _processor_seconds(command, root)
                    if run_number:
                        seconds.setdefault((name, checkout), []).append(measured)
    rows = tuple(StartUpRow(name, checkout, tuple(values)) for (name, checkout), values in seconds.items())
    return BenchmarkResult(_COLUMNS, rows, details={"runs": runs})


def _commands(folder: Path) -> Mapping[str, Sequence[str]]:
    """Writes what the commands read, and returns their arguments to Python by the names that the table shows."""
    import SimpleITK as sitk

    frames = np.stack([SwayingSpeckle(_FRAMES, _SIZE_PX)[index] for index in range(_FRAMES)])
    fixed, moving, clip, points = (folder / name for name in ("f.nrrd", "m.nrrd", "clip.nrrd", "points.csv"))
    for path, image in ((fixed, frames[0]), (moving, frames[1]), (clip, frames)):
        sitk.WriteImage(sitk.GetImageFromArray(image), str(path))
    points.write_text(f"label,x,y\na,{_SIZE_PX / 2},{_SIZE_PX / 2}\n", encoding="ascii")
    pair = ["register", str(fixed), str(moving), "--out-displacement", str(folder / "u.nrrd"), "--quiet", "--method"]
    verbs = {
        "--version": ["--version"],
        "models list": ["models", "list"],
        "track": ["track", str(clip), "--points", str(points), "--out", str(folder / "t.csv"), "--quiet"],
        "register --method demons": [*pair, "demons"],
        "register --method instance": [*pair, "instance"],
    }
    programs = {"Python alone": "pass", "import numpy": "import numpy", "import torch": "import torch"}
    return {name: ["-c", program] for name, program in programs.items()} | {
        name: ["-m", "UltrasoundMotionLib", *arguments] for name, arguments in verbs.items()
    }


def _processor_seconds(command: Sequence[str], root: Path) -> float:
    environment = {**os.environ, "PYTHONPATH": str(root)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # each run would compile all modules anew
    before = os.times()
    done = subprocess.run(
        [sys.executable, *command], env=environment, cwd=root, capture_output=True, text=True, check=False
    )
    after = os.times()
    if done.returncode != 0:
        raise InputError(f"{' '.join(command)} in {root} failed: {done.stderr.strip()}")
    return after.children_user - before.children_user + after.children_system - before.children_system


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser("start-up", help="processor seconds of whole processes on tiny images")
    parser.add_argument("--runs", metavar="N", type=whole_number, default=5, help="of each command (default 5)")
    parser.add_argument(
        "--beside", metavar="FOLDER", type=Path, help="another checkout of this project, run in turns with this one"
    )
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    with TerminalProgress("benchmark", "runs") as progress:
        result = benchmark_start_up(runs=arguments.runs, beside=arguments.beside, progress=progress)
    show(result, arguments)
    return 0
