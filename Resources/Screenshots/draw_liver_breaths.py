"""Draws Docs' picture of `lsdm` on a real liver that breathes: landmarks on six frames, and how each moves.

`python Resources/Screenshots/draw_liver_breaths.py FRAMES` (a folder of PNGs; needs the extra `plot`). There is no
truth for this clip: the picture is how one judges. `lucas-kanade`, which knows nothing of the network, is drawn beside
it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from UltrasoundMotionLib import read_sequence, track_points

LANDMARKS = {
    "vessel": (447, 422),
    "wall of a vein": (392, 403),
    "under the vessel": (452, 453),
    "small vessel": (402, 314),
    "capsule": (485, 97),
    "bright speck": (432, 265),
    "upper liver": (365, 150),
}
"""Chosen by eye on frame 0, (x, y) in pixels; all are shown."""
COLOURS = ("#ffcf33", "#38d6b8", "#ff7a5c", "#8ab4ff", "#e58cff", "#b6e35a", "#ffffff")
SPACING_MM, FRAME_RATE = 0.2732, 18.0
SHOWN = (0, 15, 30, 45, 60, 99)
LEFT, RIGHT, TOP, BOTTOM = 230, 560, 45, 535


def main(folder: str) -> None:
    """Writes liver-breaths.png beside this file."""
    sequence = read_sequence(folder)
    paths, others = (
        track_points(sequence, list(LANDMARKS.values()), model=model).positions_px for model in ("lsdm", "lucas-kanade")
    )
    figure = Figure(figsize=(14, 11), facecolor="black")
    for place, index in enumerate(SHOWN):
        row, column = divmod(place, 3)
        axes = figure.add_axes((0.005 + 0.217 * column, 0.5 - 0.495 * row, 0.213, 0.47))
        axes.imshow((np.asarray(sequence.frame(index), dtype=np.float32) / 255) ** 0.55, cmap="gray", vmin=0, vmax=1)
        for number, (path, colour) in enumerate(zip(paths.transpose(1, 0, 2), COLOURS, strict=True)):
            axes.plot(
                *path[index], "o", markersize=9, markerfacecolor="none", markeredgecolor=colour, markeredgewidth=1.2
            )
            axes.text(path[index, 0] + 9, path[index, 1], str(number + 1), color=colour, fontsize=9, va="center")
        axes.set(xlim=(LEFT, RIGHT), ylim=(BOTTOM, TOP))
        axes.set_title(f"frame {index}, {index / FRAME_RATE:.1f} s", color="white", fontsize=10)
        axes.set_axis_off()
    seconds = np.arange(len(paths)) / FRAME_RATE
    for number, (name, colour) in enumerate(zip(LANDMARKS, COLOURS, strict=True)):
        axes = figure.add_axes((0.70, 0.862 - 0.138 * number, 0.29, 0.095), facecolor="black")
        for found, style in ((others, "--"), (paths, "-")):
            way = SPACING_MM * (found[:, number] - found[0, number])
            axes.plot(seconds, way[:, 0], style, color=colour, linewidth=1.3)
            axes.plot(seconds, way[:, 1], style, color="#808080", linewidth=1.0)
        axes.set_title(f"{number + 1} {name}", color="white", fontsize=8, loc="left")
        axes.tick_params(colors="white", labelsize=7)
        axes.spines[:].set_color("#606060")
        for index in SHOWN:
            axes.axvline(index / FRAME_RATE, color="#404040", linewidth=0.7, zorder=0)
    figure.text(
        0.70,
        0.988,
        "mm to the right (colour) and down (grey); dashed: lucas-kanade",
        color="white",
        fontsize=9,
        va="top",
    )
    figure.savefig(Path(__file__).with_name("liver-breaths.png"), dpi=80, facecolor="black")


if __name__ == "__main__":
    main(sys.argv[1])
