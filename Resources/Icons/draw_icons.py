"""Draws the icons of the extension and its modules: `python Resources/Icons/draw_icons.py` (needs the extra `plot`)."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIZE, SCALE = 128, 8  # drawn large and made smaller, for smooth edges
HERE = Path(__file__).resolve().parent
MODULE_ICONS = HERE.parents[1] / "UltrasoundMotion" / "Resources" / "Icons"
NIGHT, ECHO, YELLOW, ORANGE, TEAL, WHITE = (
    (30, 56, 98),
    (128, 160, 200),
    (255, 206, 48),
    (255, 122, 60),
    (56, 214, 190),
    (255, 255, 255),
)

Points = list[tuple[float, float]]


class Drawing:
    """A transparent square of 128 units with the origin at the top left."""

    def __init__(self) -> None:
        self._image = Image.new("RGBA", (SIZE * SCALE, SIZE * SCALE))
        self._draw = ImageDraw.Draw(self._image)

    def line(self, points: Points, color: tuple[int, int, int], width: float) -> None:
        """A line with round ends and joints."""
        scaled = [(x * SCALE, y * SCALE) for x, y in points]
        self._draw.line(scaled, fill=color, width=round(width * SCALE), joint="curve")
        for x, y in (points[0], points[-1]):
            self.disc(x, y, width / 2, color)

    def disc(self, x: float, y: float, radius: float, color: tuple[int, int, int]) -> None:
        """A filled circle."""
        self._draw.ellipse([(value * SCALE) for value in (x - radius, y - radius, x + radius, y + radius)], fill=color)

    def shape(self, points: Points, color: tuple[int, int, int]) -> None:
        """A filled polygon."""
        self._draw.polygon([(x * SCALE, y * SCALE) for x, y in points], fill=color)

    def write(self, path: Path) -> None:
        """Writes the picture at its final size."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._image.resize((SIZE, SIZE), Image.Resampling.LANCZOS).save(path, optimize=True)


def sector(drawing: Drawing, *, color: tuple[int, int, int] = NIGHT) -> None:
    """The field of an ultrasound probe, with the probe's face at the top."""
    drawing.shape(_arc(64, -6, 128, 131, 49), color)
    drawing.shape([(64 - 15, 8), (64 + 15, 8), (64 + 26, 30), (64 - 26, 30)], color)


def _arc(x: float, y: float, radius: float, middle_deg: float, half_deg: float) -> Points:
    """A pie slice that opens downwards, its tip cut off by the caller."""
    angles = np.deg2rad(np.linspace(90 - half_deg * 0.86, 90 + half_deg * 0.86, 60))
    outer = [(x + radius * np.cos(angle), y + radius * np.sin(angle)) for angle in angles]
    inner = [(x + 22 * np.cos(angle), y + 22 * np.sin(angle)) for angle in angles[::-1]]
    return outer + inner


def landmark_tracking(drawing: Drawing) -> None:
    """A point that left a path."""
    sector(drawing)
    for rest, reach, color in (((22, 84), (52, 46), YELLOW), ((62, 106), (96, 72), TEAL)):
        along = np.linspace(0, np.pi / 2, 40)
        path = [
            (rest[0] + (reach[0] - rest[0]) * np.sin(angle), reach[1] + (rest[1] - reach[1]) * np.cos(angle))
            for angle in along
        ]
        drawing.line(path, ECHO, 9)
        drawing.disc(*reach, 16, WHITE)
        drawing.disc(*reach, 12.5, color)


def myocardial_tracking(drawing: Drawing) -> None:
    """The wall of the left ventricle from base to base, coloured as strain is."""
    sector(drawing)
    angles = np.linspace(np.deg2rad(28), np.deg2rad(332), 140) + np.pi / 2
    wall = [(64 + 31 * np.cos(angle), 75 + 39 * np.sin(angle)) for angle in angles]
    for number in range(len(wall) - 3):
        share = number / (len(wall) - 4)
        hue = (0.62, 0.98)[int(share > 0.5)] if not 0.25 < share < 0.75 else 0.62 + (share - 0.25) * 0.72
        color = tuple(round(255 * value) for value in colorsys.hsv_to_rgb(hue % 1.0, 0.78, 1.0))
        drawing.line(wall[number : number + 4], color, 16)


def deformable_registration(drawing: Drawing) -> None:
    """A grid that bends, and what it carries."""
    drawing.shape([(6, 6), (122, 6), (122, 122), (6, 122)], NIGHT)

    def bend(x: np.ndarray, y: np.ndarray) -> Points:
        pull = 17 * np.exp(-((x - 64) ** 2 + (y - 64) ** 2) / (2 * 30**2))
        return list(
            zip(x + pull * np.sign(64 - y) * np.abs((64 - y) / 40) ** 0.8, y + pull * (x - 64) / 30, strict=True)
        )

    steps = np.linspace(18, 110, 80)
    for place in np.linspace(18, 110, 4):
        drawing.line(bend(steps, np.full_like(steps, place)), TEAL, 5)
        drawing.line(bend(np.full_like(steps, place), steps), TEAL, 5)
    drawing.line([(26, 102), (92, 36)], ORANGE, 11)
    drawing.shape([(108, 20), (70, 30), (98, 58)], ORANGE)


def motion_propagation(drawing: Drawing) -> None:
    """One drawn outline, and the same on later frames."""
    sector(drawing)
    angles = np.linspace(0, 2 * np.pi, 80)
    for x, y, size, color, width in ((46, 66, 20, ECHO, 6), (64, 76, 24, TEAL, 7), (84, 88, 28, ORANGE, 10)):
        radius = size * (1 + 0.16 * np.cos(2 * angles + 0.6))
        outline = list(zip(x + radius * np.cos(angles), y + 0.85 * radius * np.sin(angles), strict=True))
        drawing.line(outline, color, width)


def cohort_review(drawing: Drawing) -> None:
    """Many cases in rows; one is in doubt, one is ticked off."""
    for row in range(3):
        for column in range(3):
            x, y = 26 + 38 * column, 26 + 38 * row
            color = ORANGE if (row, column) == (0, 1) else NIGHT
            drawing.shape([(x - 16, y - 16), (x + 16, y - 16), (x + 16, y + 16), (x - 16, y + 16)], color)
    drawing.line([(52, 84), (72, 104), (112, 52)], WHITE, 21)
    drawing.line([(52, 84), (72, 104), (112, 52)], TEAL, 13)


def extension(drawing: Drawing) -> None:
    """The probe's field, and a point in motion."""
    sector(drawing)
    for radius, color in ((84, ECHO), (58, ECHO)):
        angles = np.deg2rad(np.linspace(60, 120, 40))
        drawing.line([(64 + radius * np.cos(angle), 4 + radius * np.sin(angle)) for angle in angles], color, 8)
    drawing.line([(38, 104), (64, 92), (84, 66)], YELLOW, 10)
    drawing.disc(86, 63, 14, WHITE)
    drawing.disc(86, 63, 10.5, YELLOW)


ICONS: dict[Path, Callable[[Drawing], None]] = {
    MODULE_ICONS / "LandmarkTracking.png": landmark_tracking,
    MODULE_ICONS / "MyocardialTracking.png": myocardial_tracking,
    MODULE_ICONS / "DeformableRegistration.png": deformable_registration,
    MODULE_ICONS / "MotionPropagation.png": motion_propagation,
    MODULE_ICONS / "CohortReview.png": cohort_review,
    HERE / "UltrasoundMotion.png": extension,
}


def main() -> None:
    """Writes them all."""
    for path, draw in ICONS.items():
        drawing = Drawing()
        draw(drawing)
        drawing.write(path)


if __name__ == "__main__":
    main()
