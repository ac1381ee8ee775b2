"""Where points of the heart go, seen from each phase of the beat: the directional bias of what there is to learn from,
before and after augmentation.

Azad et al., "Taming Modern Point Tracking for Speckle Tracking Echocardiography via Impartial Motion", Sec. 4.3, Eqs.
2-3 and Fig. 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.lab.benchmarks.target import Target
from UltrasoundMotionLib.lab.training.motion_augmentation import MotionRanges, draw_affine
from UltrasoundMotionLib.lab.training.phantom_clips import DIFFICULTY_WEIGHTS, check_training_seed
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.simulation import phantom_set
from UltrasoundMotionLib.simulation.heart import heart_motion, wall_contour
from UltrasoundMotionLib.simulation.motion import trajectories
from UltrasoundMotionLib.text_table import format_number, markdown_table, text_table

PHASES = (0.0, 0.15, 0.36, 0.55, 0.72, 0.9)
SIZE = 256


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


@dataclass(frozen=True)
class MotionBias:
    """Motion from each phase, as the phantoms have it and as training sees it."""

    before: tuple[PhaseMotion, ...]
    after: tuple[PhaseMotion, ...]

    def table(self, markdown: bool = False) -> str:
        """A line for each phase."""
        header = ["phase", "mean px before", "after", "one way before", "after", "one axis before", "after"]
        rows = [
            [
                f"{100 * old.phase:.0f} %",
                *(format_number(number) for number in (old.radius_px.mean(), new.radius_px.mean())),
                *(format_number(number) for number in (old.one_way, new.one_way, old.one_axis, new.one_axis)),
            ]
            for old, new in zip(self.before, self.after, strict=True)
        ]
        return (markdown_table if markdown else text_table)(header, rows)

    def targets(self) -> tuple[Target, ...]:
        """That augmentation leaves no direction preferred, at the phase where it is preferred most."""
        worst = max(range(len(self.before)), key=lambda place: self.before[place].one_way)
        measured = self.after[worst].one_way
        return (
            Target(
                "directional bias left at the worst phase (0: none, 1: all one way)",
                "under 0.2",
                f"{measured:.3f}",
                measured < 0.2,
            ),
        )

    def as_dict(self) -> dict:
        """For JSON."""
        return {
            name: [
                {
                    "phase": one.phase,
                    "mean_px": float(one.radius_px.mean()),
                    "one_way": one.one_way,
                    "one_axis": one.one_axis,
                }
                for one in motions
            ]
            for name, motions in (("before", self.before), ("after", self.after))
        }


def measure_motion_bias(
    count: int = 200,
    seed: int = 1,
    *,
    ranges: MotionRanges | None = None,
    steps: int = 50,
    progress: Progress = no_progress,
) -> MotionBias:
    """One beat of the mid-wall of `count` training hearts, with and without the motion augmentation of training; no
    frames are made.

    Raises:
        InputError: a seed that belongs to tuning or evaluation.
    """
    check_training_seed(seed)
    rng = np.random.default_rng(seed)
    current = [round(phase * steps) % steps for phase in PHASES]
    collected: dict[str, list[list[tuple[np.ndarray, np.ndarray]]]] = {
        "before": [[] for _ in PHASES],
        "after": [[] for _ in PHASES],
    }
    difficulties = list(DIFFICULTY_WEIGHTS)
    for number in range(count):
        phantom = phantom_set("heart", difficulties[number % len(difficulties)], 1, int(rng.integers(200, 9000)))[
            0
        ].phantom
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
    return MotionBias(before, after)


def write_motion_bias_picture(path: Path | str, bias: MotionBias) -> None:
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
    for row, (name, motions) in enumerate((("as taken", bias.before), ("as trained", bias.after))):
        for panel, motion in zip(axes[row], motions, strict=True):
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
                f"{100 * motion.phase:.0f} % of the beat, {name}\none way {motion.one_way:.2f}, one axis {motion.one_axis:.2f}",
                fontsize=9,
            )
    figure.colorbar(mesh, ax=axes, shrink=0.7, label="part of all displacements in a bin")
    figure.suptitle(
        "Where points of the left ventricle's wall are at all other times, seen from one phase (px at 256 x 256)",
        fontsize=12,
    )
    with atomic_output(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
