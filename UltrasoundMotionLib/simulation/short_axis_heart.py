"""A heart in short-axis cine MRI at end-diastole and end-systole, drawn from simple shapes: two volumes to register,
with their labels.

It is for demonstrations: no patient's image is needed, and the labels tell how well the two were put together. Blood is
bright, the wall dark; the wall thickens at the volume it has, the base comes down by a slice, the papillary muscles
move inwards, and what lies around hardly moves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.simulation.texture import soft_step

RV, MYOCARDIUM, LV = 1, 2, 3
LV_BLOOD, RV_BLOOD, WALL, PAPILLARY = 1.0, 0.85, 0.33, 0.42
FAT, MUSCLE, LIVER, LUNG = 1.15, 0.3, 0.36, 0.05
SUBSLICES = 4
EDGE_MM = 1.2


@dataclass(frozen=True)
class ShortAxisHeart:
    """The heart and how it is imaged; lengths at end-diastole.

    Attributes:
        size: slices, rows, columns.
        spacing_mm: (x, y, z).
        endocardium_mm, wall_mm: radius of the left ventricle's cavity at its widest, and thickness of its wall there.
        length_mm: from the base to the apex.
        shortening: share of the radius that the cavity has lost at end-systole.
        descent_mm: how far the base has come down then.
        trabecula_count: small muscles along the wall, which fill the cavity as it narrows.
        breath_hold_mm: how far each slice lies from its place, having its own breath-hold (standard deviation).
        noise: standard deviation, relative to the blood.
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
    """End-diastole (fixed) and end-systole (moving) on one grid, and their labels: 1 right ventricle, 2 myocardium, 3
    left ventricle.
    """

    fixed: Volume
    moving: Volume
    fixed_labels: Volume
    moving_labels: Volume


def simulate_short_axis(heart: ShortAxisHeart | None = None, *, seed: int = 0) -> ShortAxisPair:
    """Draws both moments; the same seed gives the same pair."""
    heart = heart or ShortAxisHeart()
    rng = np.random.default_rng(seed)
    scan = _Scan(heart, rng)
    found = []
    for name, phase in (("end-diastole", 0.0), ("end-systole", 1.0)):
        image, labels = scan.draw(phase)
        noisy = np.hypot(
            image + heart.noise * rng.standard_normal(image.shape), heart.noise * rng.standard_normal(image.shape)
        )
        values = (np.round(1000 * noisy).astype(np.int16), labels.astype(np.uint8))
        names = (f"Simulated {name}", f"Simulated {name}, labels")
        found += [
            Volume(array, heart.spacing_mm, (0.0, 0.0, 0.0), np.eye(3), one)
            for array, one in zip(values, names, strict=True)
        ]
    fixed, fixed_labels, moving, moving_labels = found
    return ShortAxisPair(fixed, moving, fixed_labels, moving_labels)


class _Scan:
    """What the two moments share: the grid, the body around the heart, its irregularities, and where each slice's
    breath-hold has put it.
    """

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

    def draw(self, phase: float) -> tuple[np.ndarray, np.ndarray]:
        """Image, relative to the left ventricle's blood, and labels; a slice is the mean over its thickness, its labels
        are those of its middle.
        """
        heart, thickness = self.heart, self.heart.spacing_mm[2]
        image, labels = np.zeros(heart.size), np.zeros(heart.size, dtype=np.int64)
        for index in range(heart.size[0]):
            middle = (index - 0.5) * thickness
            parts = [middle + ((part + 0.5) / SUBSLICES - 0.5) * thickness for part in range(SUBSLICES)]
            drawn = np.mean([_Plane(self, phase, z, self.shifts[index]).paint(self.torso.at(z)) for z in parts], axis=0)
            image[index] = ndimage.gaussian_filter(drawn, 0.6)
            labels[index] = _Plane(self, phase, middle, self.shifts[index]).labels()
        return image * self.torso.shading, labels


class _Plane:
    """The heart's shapes in one plane, at a phase of 0 (end-diastole) or 1 (end-systole)."""

    def __init__(self, scan: _Scan, phase: float, z_mm: float, shift_mm: np.ndarray) -> None:
        heart = scan.heart
        shorter = 1 - heart.descent_mm * phase / heart.length_mm
        # which material plane is seen here: the apex stays, the base comes down
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
        # the wall keeps its volume: its area in a plane grows as the heart gets shorter
        self.cavity = cavity * (1 - heart.shortening * phase) * around
        self.outer = np.sqrt(self.cavity**2 + (outer**2 - cavity**2) / shorter) if outer > 0 else 0 * around
        self.rv = self._right_ventricle(heart, phase)
        self.papillary = self._papillary(scan, phase)

    def _right_ventricle(self, heart: ShortAxisHeart, phase: float) -> np.ndarray:
        """Distance to its border, positive inside: a crescent on the left of the image, whose free wall comes to the
        septum.
        """
        reach = np.sqrt(max(0.0, 1 - (self.level / 0.9) ** 2.2))
        wide, high = (30 - 8.5 * phase) * reach, (40 - 8.0 * phase) * reach
        if min(wide, high) < 3:
            return np.full(self.x.shape, -100.0)
        middle = -(heart.endocardium_mm + 2 - 2.5 * phase) * (0.55 + 0.45 * reach)
        return (1 - np.hypot((self.x - middle) / wide, (self.y - 4) / high)) * min(wide, high)

    def _papillary(self, scan: _Scan, phase: float) -> np.ndarray:
        """Distance to the border of the papillary muscles and trabeculae, positive inside; they do not thin as the
        cavity narrows.
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
        """0 outside, and everywhere above the base: atria and valves are not labelled."""
        found = np.zeros(self.x.shape, dtype=np.int64)
        if self.beyond_base:
            return found
        found[(self.rv > 0) & (self.radius > self.outer)] = RV
        found[self.radius < self.outer] = MYOCARDIUM
        found[self.radius < self.cavity] = LV
        return found

    def paint(self, around: np.ndarray) -> np.ndarray:
        """Its intensities over what lies around."""
        image = _over(around, self.rv + 6.5, FAT * 0.75)  # fat on the heart
        image = _over(image, self.outer + 2.5 - self.radius, FAT * 0.6)
        image = _over(image, self.rv + 3.5, WALL)
        if self.beyond_base:  # atria and the roots of the great vessels
            image = _over(image, self.outer - 1.0 - self.radius, 0.9)
            return _over(image, self.rv - 2, RV_BLOOD)
        image = _over(image, self.rv, RV_BLOOD)
        image = _over(image, self.outer - self.radius, WALL)
        image = _over(image, self.cavity - self.radius, LV_BLOOD)
        return _over(image, np.minimum(self.papillary, self.cavity - self.radius), PAPILLARY)


class _Torso:
    """What lies around the heart: chest wall and its fat, lungs with vessels, liver, spine and aorta."""

    def __init__(self, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> None:
        self._x, self._y = x, y
        self._vessels = [(*rng.uniform(-130, 130, 2), rng.uniform(1.5, 4.0), rng.uniform(0.2, 0.7)) for _ in range(60)]
        self._grain = [
            ndimage.gaussian_filter(rng.standard_normal(x.shape), scale) * 2 * np.sqrt(np.pi) * scale
            for scale in (1.5, 4.0)
        ]
        shading = ndimage.gaussian_filter(rng.standard_normal(x.shape), 50)
        self.shading = np.exp(0.12 * shading / np.abs(shading).max()) * np.exp(-0.0016 * y)  # the coil lies in front

    def at(self, z_mm: float) -> np.ndarray:
        """(H, W) intensities in a plane."""
        x, y = self._x, self._y

        def ellipse(centre: tuple[float, float], half: tuple[float, float]) -> np.ndarray:
            return (1 - np.hypot((x - centre[0]) / half[0], (y - centre[1]) / half[1])) * min(half)

        chest, organs = ellipse((18, 20), (165, 128)), ellipse((18, 16), (128, 92))
        image = _over(np.zeros_like(x), chest, FAT)
        image = _over(image, chest - 11 - 6 * np.cos(np.arctan2(y, x) * 2) ** 2, MUSCLE * (1 + 0.12 * self._grain[0]))
        lungs = np.full(x.shape, LUNG)
        for px, py, radius, level in self._vessels:
            lungs = _over(lungs, radius - np.hypot(x - px, y - py - 0.2 * z_mm), level)
        image = _over(image, organs, lungs)
        liver = y - 62 + 0.32 * z_mm + 0.12 * x
        image = _over(image, np.minimum(organs, liver), LIVER * (1 + 0.08 * self._grain[1]))
        image = _over(image, ellipse((38, 104), (21, 19)), 0.5 * (1 + 0.1 * self._grain[0]))  # the spine
        return _over(image, 10 - np.hypot(x - 44, y - 72), RV_BLOOD)  # the aorta


def _over(image: np.ndarray, inside_mm: np.ndarray, value: float | np.ndarray) -> np.ndarray:
    """The image where the distance is negative, the value where it is positive."""
    share = soft_step(inside_mm, EDGE_MM)
    return image * (1 - share) + share * value
