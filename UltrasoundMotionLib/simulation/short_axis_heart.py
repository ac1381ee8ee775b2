"""Simulated short-axis cine MRI of a heart at end-diastole and end-systole, with labels, for registration demos.

Drawn from simple shapes: bright blood and a dark wall that thickens at constant volume, a base that descends by a
slice, papillary muscles that move inwards, and almost static surroundings. The labels measure the registration.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import ndimage

from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.simulation.texture import soft_step

RV, MYOCARDIUM, LV = 1, 2, 3
_LV_BLOOD, _RV_BLOOD, _WALL, _PAPILLARY = 1.0, 0.85, 0.33, 0.42
_FAT, _MUSCLE, _LIVER, _LUNG = 1.15, 0.3, 0.36, 0.05
_SUBSLICES = 4
_EDGE_MM = 1.2


@dataclass(frozen=True)
class ShortAxisHeart:
    """A heart and its image geometry; lengths at end-diastole.

    Attributes:
        size: slices, rows, columns.
        spacing_mm: (x, y, z).
        endocardium_mm, wall_mm: radius of the left ventricle's cavity at its widest, and thickness of its wall there.
        length_mm: distance from the base to the apex.
        shortening: fractional shortening of the cavity's radius at end-systole.
        descent_mm: descent of the base at end-systole.
        trabecula_count: number of trabeculae along the wall, which fill the cavity as it narrows.
        breath_hold_mm: standard deviation of each slice's shift by its own breath-hold.
        noise: standard deviation of the noise, relative to the blood.
    """

    size: tuple[int, int, int] = (10, 208, 192)
    spacing_mm: tuple[float, float, float] = (1.6, 1.6, 9.0)
    endocardium_mm: float = 25.0
    wall_mm: float = 8.5
    length_mm: float = 82.0
    shortening: float = 0.36
    descent_mm: float = 11.0
    trabecula_count: int = 16
    breath_hold_mm: float = 1.5
    noise: float = 0.05


@dataclass(frozen=True, eq=False)
class ShortAxisPair:
    """End-diastole (fixed) and end-systole (moving) on one grid, with labels.

    1 right ventricle, 2 myocardium, 3 left ventricle.
    """

    fixed: Volume
    moving: Volume
    fixed_labels: Volume
    moving_labels: Volume


def simulate_short_axis(
    heart: ShortAxisHeart | None = None, *, seed: int = 0, progress: Progress = no_progress
) -> ShortAxisPair:
    """Simulates a pair; the same seed gives the same pair. Reports each slice to `progress`."""
    heart = heart or ShortAxisHeart()
    rng = np.random.default_rng(seed)
    scan = _Scan(heart, rng)
    volumes = []
    for index, (name, phase) in enumerate((("end-diastole", 0.0), ("end-systole", 1.0))):
        image, labels = scan.draw(phase, partial(_report, progress, index * heart.size[0], 2 * heart.size[0]))
        noisy = np.hypot(
            image + heart.noise * rng.standard_normal(image.shape), heart.noise * rng.standard_normal(image.shape)
        )
        origin_mm, direction = (0.0, 0.0, 0.0), np.eye(3)
        values = np.round(1000 * noisy).astype(np.int16)
        volumes += [
            Volume(values, heart.spacing_mm, origin_mm, direction, f"Simulated {name}"),
            Volume(labels.astype(np.uint8), heart.spacing_mm, origin_mm, direction, f"Simulated {name}, labels"),
        ]
    fixed, fixed_labels, moving, moving_labels = volumes
    return ShortAxisPair(fixed, moving, fixed_labels, moving_labels)


def _report(progress: Progress, before: int, total: int, done: int) -> None:
    progress(before + done, total, "drawing the heart")


class _Scan:
    """The common part of both phases: grid, torso, irregularities of the heart, and shift of each slice."""

    def __init__(self, heart: ShortAxisHeart, rng: np.random.Generator) -> None:
        self.heart = heart
        count, rows, columns = heart.size
        lines = [
            (np.arange(size) - size / 2) * step
            for size, step in zip((rows, columns), heart.spacing_mm[1::-1], strict=True)
        ]
        self.y, self.x = np.meshgrid(*lines, indexing="ij")
        self.torso = _Torso(self.x, self.y, rng)
        self.axis = rng.uniform(-0.09, 0.09, 2)
        self.shifts = heart.breath_hold_mm * rng.standard_normal((count, 2))
        self.waves = [(order, rng.uniform(0, 2 * np.pi), rng.uniform(0.01, 0.035)) for order in (2, 3, 4)]
        self.trabeculae = [
            (rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.8), rng.uniform(1.5, 3.0))
            for _ in range(heart.trabecula_count)
        ]

    def draw(self, phase: float, report: Callable[[int], None]) -> tuple[np.ndarray, np.ndarray]:
        """Draws the image, relative to the left ventricle's blood, and the labels.

        A slice is the mean over its thickness; its labels are those of its middle. `report` is called after each.
        """
        heart, thickness = self.heart, self.heart.spacing_mm[2]
        image, labels = np.zeros(heart.size), np.zeros(heart.size, dtype=np.int64)
        for index in range(heart.size[0]):
            middle = (index - 0.5) * thickness
            parts = [middle + ((part + 0.5) / _SUBSLICES - 0.5) * thickness for part in range(_SUBSLICES)]
            drawn = np.mean(
                [_HeartPlane(self, phase, z, self.shifts[index]).paint(self.torso.at(z)) for z in parts], axis=0
            )
            image[index] = ndimage.gaussian_filter(drawn, 0.6)
            labels[index] = _HeartPlane(self, phase, middle, self.shifts[index]).labels()
            report(index + 1)
        return image * self.torso.shading, labels


class _HeartPlane:
    """The heart's shapes in one plane, at a phase of 0 (end-diastole) or 1 (end-systole)."""

    def __init__(self, scan: _Scan, phase: float, z_mm: float, shift_mm: np.ndarray) -> None:
        heart = scan.heart
        shorter = 1 - heart.descent_mm * phase / heart.length_mm
        # the material plane in this image plane: the apex is fixed, the base descends
        material = heart.length_mm - (heart.length_mm - z_mm) / shorter
        self.beyond_base = material < 0
        self.level = np.clip(material / heart.length_mm, 0, 1.2)
        self.x, self.y = (
            line - offset for line, offset in zip((scan.x, scan.y), scan.axis * z_mm + shift_mm, strict=True)
        )
        self.radius, angle = np.hypot(self.x, self.y), np.arctan2(self.y, self.x)
        around = 1 + np.sum([size * np.cos(order * angle + turn) for order, turn, size in scan.waves], axis=0)
        taper = np.sqrt(max(0.0, 1 - self.level**2.4))
        cavity = heart.endocardium_mm * taper
        outer = cavity + heart.wall_mm * (0.75 + 0.25 * taper) * np.clip(1.15 - self.level, 0, 0.15) / 0.15
        # the wall keeps its volume: its area in a plane grows as the heart shortens
        self.cavity = cavity * (1 - heart.shortening * phase) * around
        self.outer = np.sqrt(self.cavity**2 + (outer**2 - cavity**2) / shorter) if outer > 0 else 0 * around
        self.rv = self._right_ventricle(heart, phase)
        self.papillary = self._papillary(scan, phase)

    def _right_ventricle(self, heart: ShortAxisHeart, phase: float) -> np.ndarray:
        """Returns the distance to the right ventricle's border, positive inside.

        A crescent on the left of the image, whose free wall moves towards the septum.
        """
        reach = np.sqrt(max(0.0, 1 - (self.level / 0.9) ** 2.2))
        wide, high = (30 - 8.5 * phase) * reach, (40 - 8.0 * phase) * reach
        if min(wide, high) < 3:
            return np.full(self.x.shape, -100.0)
        middle = -(heart.endocardium_mm + 2 - 2.5 * phase) * (0.55 + 0.45 * reach)
        return (1 - np.hypot((self.x - middle) / wide, (self.y - 4) / high)) * min(wide, high)

    def _papillary(self, scan: _Scan, phase: float) -> np.ndarray:
        """Returns the distance to the border of papillary muscles and trabeculae, positive inside.

        They do not thin as the cavity narrows.
        """
        present = np.clip((self.level - 0.25) / 0.15, 0, 1) * np.clip((0.85 - self.level) / 0.15, 0, 1)
        muscles = [(turn, 0.62, 4.2 * present * (1 + 0.25 * phase)) for turn in (0.3 * np.pi, -0.3 * np.pi)]
        muscles += [
            (turn, 0.96, size * np.clip(1 - 4 * abs(self.level - at), 0, 1)) for turn, at, size in scan.trabeculae
        ]
        mean = float(self.cavity.mean())
        distances = [
            size - np.hypot(self.x - share * mean * np.cos(turn), self.y - share * mean * np.sin(turn))
            for turn, share, size in muscles
        ]
        return np.max(distances, axis=0)

    def labels(self) -> np.ndarray:
        """Returns the labels; 0 outside the heart and above the base (atria and valves are not labelled)."""
        labels = np.zeros(self.x.shape, dtype=np.int64)
        if self.beyond_base:
            return labels
        labels[(self.rv > 0) & (self.radius > self.outer)] = RV
        labels[self.radius < self.outer] = MYOCARDIUM
        labels[self.radius < self.cavity] = LV
        return labels

    def paint(self, around: np.ndarray) -> np.ndarray:
        """Paints the heart over the intensities of its surroundings."""
        image = _over(around, self.rv + 6.5, _FAT * 0.75)  # epicardial fat
        image = _over(image, self.outer + 2.5 - self.radius, _FAT * 0.6)
        image = _over(image, self.rv + 3.5, _WALL)
        if self.beyond_base:  # atria and the roots of the great vessels
            image = _over(image, self.outer - 1.0 - self.radius, 0.9)
            return _over(image, self.rv - 2, _RV_BLOOD)
        image = _over(image, self.rv, _RV_BLOOD)
        image = _over(image, self.outer - self.radius, _WALL)
        image = _over(image, self.cavity - self.radius, _LV_BLOOD)
        return _over(image, np.minimum(self.papillary, self.cavity - self.radius), _PAPILLARY)


class _Torso:
    """The surroundings of the heart: chest wall and fat, lungs with vessels, liver, spine and aorta."""

    def __init__(self, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> None:
        self._x, self._y = x, y
        self._vessels = [(*rng.uniform(-130, 130, 2), rng.uniform(1.5, 4.0), rng.uniform(0.2, 0.7)) for _ in range(60)]
        self._grain = [
            ndimage.gaussian_filter(rng.standard_normal(x.shape), scale) * 2 * np.sqrt(np.pi) * scale
            for scale in (1.5, 4.0)
        ]
        shading = ndimage.gaussian_filter(rng.standard_normal(x.shape), 50)
        self.shading = np.exp(0.12 * shading / np.abs(shading).max()) * np.exp(-0.0016 * y)  # the coil is in front

    def at(self, z_mm: float) -> np.ndarray:
        """Returns the intensities (H, W) in a plane."""
        x, y = self._x, self._y

        def ellipse(centre: tuple[float, float], half: tuple[float, float]) -> np.ndarray:
            return (1 - np.hypot((x - centre[0]) / half[0], (y - centre[1]) / half[1])) * min(half)

        chest, organs = ellipse((18, 20), (165, 128)), ellipse((18, 16), (128, 92))
        image = _over(np.zeros_like(x), chest, _FAT)
        image = _over(image, chest - 11 - 6 * np.cos(np.arctan2(y, x) * 2) ** 2, _MUSCLE * (1 + 0.12 * self._grain[0]))
        lungs = np.full(x.shape, _LUNG)
        for px, py, radius, level in self._vessels:
            lungs = _over(lungs, radius - np.hypot(x - px, y - py - 0.2 * z_mm), level)
        image = _over(image, organs, lungs)
        liver = y - 62 + 0.32 * z_mm + 0.12 * x
        image = _over(image, np.minimum(organs, liver), _LIVER * (1 + 0.08 * self._grain[1]))
        image = _over(image, ellipse((38, 104), (21, 19)), 0.5 * (1 + 0.1 * self._grain[0]))  # the spine
        return _over(image, 10 - np.hypot(x - 44, y - 72), _RV_BLOOD)  # the aorta


def _over(image: np.ndarray, inside_mm: np.ndarray, value: float | np.ndarray) -> np.ndarray:
    """Blends from the image, where the distance is negative, to the value, where it is positive."""
    share = soft_step(inside_mm, _EDGE_MM)
    return image * (1 - share) + share * value
