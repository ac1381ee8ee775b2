"""`benchmark motion-bias`: directions in which points of the heart go, seen from each phase of the beat, before and
after augmentation: the directional bias of what there is to learn from.

Azad et al., "Taming Modern Point Tracking for Speckle Tracking Echocardiography via Impartial Motion", Sec. 4.3, Eqs.
2-3 and Fig. 6.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.atomic_output import atomic_output, check_output_path
from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.benchmarks.command import add_output_arguments, check_arguments, show
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, Column, Target
from UltrasoundMotionLib.progress import Progress, no_progress

if TYPE_CHECKING:
    from UltrasoundMotionLib.lab.training.data.motion_augmentation import MotionRanges

PHASES = (0.0, 0.15, 0.36, 0.55, 0.72, 0.9)
SIZE = 256
GOAL_ONE_WAY = 0.2


def polar_motion(trajectories_px: np.ndarray, current_frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Radius (T, N) in px and angle (T, N) in radians of trajectories (T, N, 2) about their places on `current_frame`
    (Eqs. 2 and 3).

    The angle is arctan2(y - y_c, -(x - x_c)), as the paper has it: pi/2 is towards the bottom of the image, 0 towards
    its left.
    """
    away = trajectories_px - trajectories_px[current_frame]
    return np.hypot(away[..., 0], away[..., 1]), np.arctan2(away[..., 1], -away[..., 0])


@dataclass(frozen=True)
class PhaseMotion:
    """All motion seen from one phase, over all phantoms.

    Attributes:
        radius_px / angle: (M,) of every point at every other time.
    """

    phase: float
    radius_px: np.ndarray
    angle: np.ndarray

    @property
    def one_way(self) -> float:
        """Length of the mean displacement over the mean length: 0 when no direction is preferred, 1 when all go the
        same way.
        """
        return float(np.abs(np.mean(self.radius_px * np.exp(1j * self.angle))) / np.mean(self.radius_px))

    @property
    def one_axis(self) -> float:
        """The same for axes (angles doubled, squared lengths): 0 when motion is alike along all axes, 1 when all is
        along one.
        """
        return float(np.abs(np.mean(self.radius_px**2 * np.exp(2j * self.angle))) / np.mean(self.radius_px**2))

    def as_dict(self) -> dict[str, float]:
        """Returns what JSON keeps of it."""
        mean_px = float(self.radius_px.mean())
        return {"phase": self.phase, "mean_px": mean_px, "one_way": self.one_way, "one_axis": self.one_axis}


@dataclass(frozen=True)
class MotionBias:
    """Motion seen from one phase, as the phantoms have it and as training sees it."""

    before: PhaseMotion
    after: PhaseMotion

    def as_dict(self) -> dict[str, dict[str, float]]:
        """Returns what JSON keeps of it."""
        return {"before": self.before.as_dict(), "after": self.after.as_dict()}


COLUMNS: tuple[Column[MotionBias], ...] = (
    Column("phase", lambda row: f"{100 * row.before.phase:.0f} %"),
    Column("mean px before", lambda row: row.before.radius_px.mean()),
    Column("after", lambda row: row.after.radius_px.mean()),
    Column("one way before", "before.one_way"),
    Column("after", "after.one_way"),
    Column("one axis before", "before.one_axis"),
    Column("after", "after.one_axis"),
)


def motion_bias_targets(rows: Sequence[MotionBias]) -> tuple[Target, ...]:
    """Augmentation leaves no direction preferred, at the phase where it is preferred most."""
    measured = max(rows, key=lambda row: row.before.one_way).after.one_way
    what = "directional bias left at the worst phase (0: none, 1: all one way)"
    return (Target(what, f"under {GOAL_ONE_WAY:g}", f"{measured:.3f}", measured < GOAL_ONE_WAY),)


def measure_motion_bias(
    count: int = 200,
    seed: int = 1,
    *,
    ranges: MotionRanges | None = None,
    steps: int = 50,
    progress: Progress = no_progress,
) -> tuple[MotionBias, ...]:
    """One beat of the mid-wall of `count` training hearts, with and without the motion augmentation of training; no
    frames are made.

    Returns:
        One for each of `PHASES`.

    Raises:
        InputError: a seed that belongs to tuning or evaluation.
    """
    from UltrasoundMotionLib.lab.training.data.motion_augmentation import MotionRanges, draw_affine
    from UltrasoundMotionLib.lab.training.data.phantom_clips import DIFFICULTY_WEIGHTS, check_training_seed
    from UltrasoundMotionLib.simulation import phantom_set
    from UltrasoundMotionLib.simulation.heart import HeartPhantom, heart_motion, wall_contour
    from UltrasoundMotionLib.simulation.motion import trajectories

    check_training_seed(seed)
    rng = np.random.default_rng(seed)
    current = [round(phase * steps) % steps for phase in PHASES]
    collected: dict[str, list[list[tuple[np.ndarray, np.ndarray]]]] = {
        "before": [[] for _ in PHASES],
        "after": [[] for _ in PHASES],
    }
    difficulties = list(DIFFICULTY_WEIGHTS)
    for number in range(count):
        (case,) = phantom_set("heart", difficulties[number % len(difficulties)], 1, int(rng.integers(200, 9000)))
        phantom = case.phantom
        assert isinstance(phantom, HeartPhantom)
        motion = heart_motion(phantom)
        times = (np.arange(steps) / steps - phantom.course.start) * phantom.course.period_s
        places = phantom.imaging.pixels_from_mm(trajectories(motion, wall_contour(motion, "mid", 21), times))
        affine = draw_affine(ranges or MotionRanges(), SIZE, rng)
        moved = places @ affine[:, :2].T + affine[:, 2]
        for name, points in (("before", places), ("after", moved)):
            for place, frame in enumerate(current):
                others = np.arange(steps) != frame
                radius, angle = polar_motion(points, frame)
                collected[name][place].append((radius[others].ravel(), angle[others].ravel()))
        progress(number + 1, count, "following walls")
    before, after = (
        tuple(
            PhaseMotion(phase, *(np.concatenate(part) for part in zip(*parts, strict=True)))
            for phase, parts in zip(PHASES, each, strict=True)
        )
        for each in collected.values()
    )
    return tuple(MotionBias(*pair) for pair in zip(before, after, strict=True))


def write_motion_bias_picture(path: Path | str, bias: Sequence[MotionBias]) -> None:
    """The paper's Fig. 6 for our hearts: polar histograms by phase, before (top) and after (below).

    Raises:
        MissingPackageError: the extra `plot` is not installed.
        OutputError: the file cannot be written.
    """
    from UltrasoundMotionLib.pictures.plot_packages import require_plot_packages

    require_plot_packages("the picture of motion bias")
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.7 * len(PHASES), 6.2), layout="constrained")
    axes = figure.subplots(2, len(PHASES), subplot_kw={"projection": "polar"})
    edges = np.linspace(-np.pi, np.pi, 73), np.linspace(0, 40, 41)
    for column, seen in enumerate(bias):
        for panel, name, motion in zip(
            axes[:, column], ("as taken", "as trained"), (seen.before, seen.after), strict=True
        ):
            histogram = np.histogram2d(motion.angle, motion.radius_px, bins=edges)[0] / len(motion.angle)
            mesh = panel.pcolormesh(
                *edges, np.ma.masked_equal(histogram.T, 0), cmap="viridis", norm=LogNorm(1e-5, 2e-2)
            )
            panel.set_theta_zero_location("W")  # the paper's angle 0 is to the left of the image, pi/2 down
            panel.set_theta_direction(1)
            panel.set_rmax(40)
            panel.set_rticks([10, 20, 30, 40])
            panel.set_xticks(np.deg2rad([0, 90, 180, 270]), ["left", "down", "right", "up"], fontsize=8)
            panel.tick_params(axis="y", labelsize=7)
            panel.set_title(
                f"{100 * motion.phase:.0f} % of the beat, {name}\n"
                f"one way {motion.one_way:.2f}, one axis {motion.one_axis:.2f}",
                fontsize=9,
            )
    figure.colorbar(mesh, ax=axes, shrink=0.7, label="part of all displacements in a bin")
    figure.suptitle(
        "Where points of the left ventricle's wall are at all other times, seen from one phase (px at 256 x 256)",
        fontsize=12,
    )
    with atomic_output(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser(
        "motion-bias",
        help="directions of motion in training hearts, before and after augmentation, by phase of the beat",
    )
    parser.add_argument("--out", metavar="BIAS.png", type=Path, help="also draw it (extra plot)")
    parser.add_argument("--count", type=int, default=200, metavar="N", help="training hearts (default 200)")
    parser.add_argument(
        "--seed", type=int, default=1, metavar="S", help="of the hearts and of the augmentation (default 1)"
    )
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    from UltrasoundMotionLib.pictures.plot_packages import require_plot_packages

    check_arguments(arguments)
    if arguments.count < 1:
        raise InputError(f"--count must be at least 1, got {arguments.count}")
    if arguments.out:
        check_output_path(arguments.out)
        require_plot_packages("the picture of motion bias")
    with TerminalProgress("benchmark", "hearts") as progress:
        bias = measure_motion_bias(arguments.count, arguments.seed, progress=progress)
    if arguments.out:
        write_motion_bias_picture(arguments.out, bias)
    details = {name: [getattr(one, name).as_dict() for one in bias] for name in ("before", "after")}
    show(BenchmarkResult(COLUMNS, bias, motion_bias_targets(bias), details), arguments)
    return 0
