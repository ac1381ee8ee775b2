"""Draws Docs' comparison of `lucas-kanade` and `specknet`: a simulated liver with known truth, and a real echo followed
there and back.

`python Resources/Screenshots/draw_tracker_comparison.py ECHO.mp4` (needs the extras `video` and `plot`). The phantom is
of an evaluation seed; it was taken because on it Lucas-Kanade loses points, which is what the picture is about.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from UltrasoundMotionLib import read_sequence, track_points
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.simulation import phantom_set

TRACKERS = ("lucas-kanade", "specknet")
PHANTOM = ("liver", "extreme", 2, 9000)
ECHO_FRAMES = 45
HINGE_APEX_HINGE = ((0.42, 0.62), (0.47, 0.22), (0.66, 0.62))
"""Where the wall's points are laid on the echo, as shares of its width and height."""


def main(echo_path: str) -> None:
    """Writes tracker-comparison.png beside this file."""
    case = phantom_set(*PHANTOM)[-1].simulate()
    truth = case.truth_from(0)
    chosen = np.unique(np.linspace(0, len(truth.labels) - 1, 40).round().astype(int))
    arrays = {name: getattr(truth, name)[:, chosen] for name in ("positions_px", "confidence", "visible")}
    truth = replace(truth, **arrays, labels=tuple(truth.labels[index] for index in chosen))
    echo = read_sequence(echo_path)
    clip = ImageSequence(
        np.stack([frame for _, frame in zip(range(ECHO_FRAMES), echo.frames, strict=False)]), name="echo"
    )
    width, height = clip.frame_size
    wall = laid_along([(x * width, y * height) for x, y in HINGE_APEX_HINGE], 24)
    figure = Figure(figsize=(13, 7.2), facecolor="black")
    for row, tracker in enumerate(TRACKERS):
        found = track_points(case.sequence, truth.positions_px[0], model=tracker)
        error = np.linalg.norm(found.positions_px - truth.positions_px, axis=2)
        worst = len(error) // 2 + int(np.argmax(error[len(error) // 2 :].mean(axis=1)))
        title = f"{tracker}: mean error {error.mean():.1f} px, {np.mean(error[-1] > 8):.0%} of the points off by 8 px at the end"
        panel(
            figure,
            (row, 0),
            case.sequence.frames[0],
            (truth.positions_px[0], truth.positions_px[0]),
            "simulated, points placed",
        )
        panel(
            figure,
            (row, 1),
            case.sequence.frames[worst],
            (truth.positions_px[worst], found.positions_px[worst]),
            f"frame {worst}: error as lines",
        )
        there = track_points(clip, wall, model=tracker)
        back = track_points(clip, there.positions_px[-1], query_frame=len(clip) - 1, model=tracker)
        residual = np.linalg.norm(back.positions_px[0] - wall, axis=1) * 256 / max(width, height)
        moved = np.linalg.norm(there.positions_px - wall, axis=2).max(axis=0) * 256 / max(width, height)
        middle = len(clip) // 2
        panel(
            figure,
            (row, 2),
            clip.frames[middle],
            (wall, there.positions_px[middle]),
            f"real echo, frame {middle}: way since frame 0",
        )
        text = f"there and back: {np.median(residual):.2f} px, moved {np.median(moved):.1f} px"
        panel(figure, (row, 3), clip.frames[0], (wall, back.positions_px[0]), text)
        figure.text(0.01, 0.985 - 0.5 * row, title, color="white", fontsize=12, va="top")
    figure.savefig(Path(__file__).with_name("tracker-comparison.png"), dpi=100, facecolor="black")


def laid_along(corners: list[tuple[float, float]], count: int) -> np.ndarray:
    """(count, 2) points along a half ellipse from hinge over apex to hinge."""
    left, apex, right = np.array(corners)
    middle = (left + right) / 2
    angle = np.linspace(np.pi, 0, count)
    return middle + np.cos(angle)[:, None] * (right - middle) + np.sin(angle)[:, None] * (apex - middle)


def panel(
    figure: Figure, place: tuple[int, int], frame: np.ndarray, points: tuple[np.ndarray, np.ndarray], caption: str
) -> None:
    """One frame, at (row, column), with rings where points are expected, dots where they were found, and lines between."""
    (row, column), (expected, found) = place, points
    axes = figure.add_axes((0.005 + 0.25 * column, 0.505 - 0.5 * row, 0.24, 0.4))
    axes.imshow(np.asarray(frame), cmap="gray")
    axes.plot(*np.stack([expected, found]).transpose(2, 0, 1), color="#ff5a3c", linewidth=1)
    axes.plot(*expected.T, "o", markersize=5, markerfacecolor="none", markeredgecolor="#38d6b8", linewidth=0)
    axes.plot(*found.T, "o", markersize=2.5, color="#ffcf33")
    low, high = np.vstack([expected, found]).min(axis=0) - 25, np.vstack([expected, found]).max(axis=0) + 25
    axes.set_xlim(max(low[0], 0), min(high[0], frame.shape[1] - 1))
    axes.set_ylim(min(high[1], frame.shape[0] - 1), max(low[1], 0))
    axes.set_axis_off()
    axes.set_title(caption, color="white", fontsize=9)


if __name__ == "__main__":
    main(sys.argv[1])
