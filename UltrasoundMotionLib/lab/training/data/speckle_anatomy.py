"""Drawn anatomy for training clips that `simulation` has no organ for: muscle, kidney, right ventricle, vessels.

It is not to scale with a patient; it gives a network borders, streaks, holes and plain speckle in many mixtures.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from UltrasoundMotionLib.simulation.texture import Canvas, ellipse_distance, random_field, ridge, soft_step

_BLOOD_DB = -32.0
Paint = Callable[[np.ndarray, float, np.random.Generator], Canvas]
"""A function of (N, 2) material places in mm in the probe frame, the depth of the image in mm and random numbers."""


def _paint_muscle(places: np.ndarray, depth_mm: float, rng: np.random.Generator) -> Canvas:
    """Draws fascicles as slanted streaks between two or three bright aponeuroses; skin and fat above."""
    slant = rng.uniform(-0.5, 0.5)
    along = (
        np.stack([places @ [np.cos(slant), np.sin(slant)], places @ [-np.sin(slant), np.cos(slant)]], axis=1) / depth_mm
    )
    decibels = rng.uniform(-14, -6) + 6 * random_field(along, (0.5, 0.03), rng) + 2 * random_field(along, 0.2, rng)
    canvas = Canvas(decibels)
    borders = np.sort(rng.uniform(0.12, 0.9, rng.integers(2, 4)))
    for border in borders:
        line = (
            border
            + rng.uniform(-0.1, 0.1) * places[:, 0] / depth_mm
            + 0.012 * random_field(places[:, :1].repeat(2, 1) / depth_mm, 0.4, rng)
        )
        distance = (places[:, 1] / depth_mm - line) / rng.uniform(0.008, 0.02)
        canvas.brighten(np.abs(distance) < 2, -3 + 9 * ridge(distance, 1.0))
    fat = places[:, 1] < borders[0] * depth_mm * 0.6
    canvas.cover(fat, -9 + 5 * random_field(places / depth_mm, (0.25, 0.04), rng))
    return canvas


def _paint_kidney(places: np.ndarray, depth_mm: float, rng: np.random.Generator) -> Canvas:
    """Draws capsule, cortex and dark pyramids around a bright sinus, in fat and liver."""
    canvas = Canvas(
        -7 + 3 * random_field(places / depth_mm, 0.3, rng) + 2 * random_field(places / depth_mm, (0.1, 0.04), rng)
    )
    tilt = rng.uniform(-0.6, 0.6)
    centre = np.array([rng.uniform(-0.1, 0.1), rng.uniform(0.4, 0.65)]) * depth_mm
    local = (places - centre) @ np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    axes = np.array([rng.uniform(0.28, 0.42), rng.uniform(0.14, 0.22)]) * depth_mm
    kidney = ellipse_distance(local, (0, 0), tuple(axes))
    canvas.cover(kidney < 0, -12 + 2 * random_field(places / depth_mm, 0.08, rng))
    count = int(rng.integers(6, 11))
    for angle in np.arange(count) * 2 * np.pi / count + rng.uniform(0, 1):
        pyramid = ellipse_distance(
            local, tuple(0.62 * axes * [np.cos(angle), np.sin(angle)]), tuple(axes * rng.uniform(0.12, 0.2, 2))
        )
        canvas.cover(pyramid < 0, -19 + random_field(places / depth_mm, 0.05, rng))
    sinus = ellipse_distance(local, (0, 0), tuple(0.4 * axes)) + 0.02 * depth_mm * random_field(
        places / depth_mm, 0.08, rng
    )
    canvas.cover(sinus < 0, -2 + 4 * random_field(places / depth_mm, 0.05, rng))
    canvas.brighten(np.abs(kidney) < 3, -5 + 8 * ridge(kidney, 0.9))
    return canvas


def _paint_right_ventricle(places: np.ndarray, depth_mm: float, rng: np.random.Generator) -> Canvas:
    """Draws a thin curved wall around a dark, trabeculated chamber; uneven tissue outside."""
    canvas = Canvas(-17 + 6 * random_field(places / depth_mm, 0.25, rng))
    chamber = np.array([rng.uniform(-0.15, 0.15), rng.uniform(0.45, 0.6)]) * depth_mm
    axes = np.array([rng.uniform(0.16, 0.26), rng.uniform(0.26, 0.38)]) * depth_mm
    distance = ellipse_distance(places, tuple(chamber), tuple(axes)) + 0.008 * depth_mm * random_field(
        places / depth_mm, 0.15, rng
    )
    thickness = rng.uniform(0.025, 0.06) * depth_mm
    wall = (distance >= 0) & (distance < thickness)
    canvas.cover(wall, -5 + 4 * random_field(places / depth_mm, (0.05, 0.12), rng))
    canvas.cover(distance < 0, _BLOOD_DB + 2 * random_field(places / depth_mm, 0.2, rng), blood=True)
    cords = random_field(places / depth_mm, (0.05, 0.1), rng)
    canvas.brighten((distance < 0) & (distance > -0.1 * depth_mm) & (cords > 1.3), -12 + 3 * cords)
    return canvas


def _paint_vessels(places: np.ndarray, depth_mm: float, rng: np.random.Generator) -> Canvas:
    """Draws even tissue with a few vessels across the plane and patches of other brightness."""
    patches = soft_step(random_field(places / depth_mm, rng.uniform(0.1, 0.4), rng) - rng.uniform(0, 1), 0.6)
    canvas = Canvas(
        rng.uniform(-10, -3) + rng.uniform(-8, 8) * patches + 2 * random_field(places / depth_mm, (0.08, 0.04), rng)
    )
    for _ in range(int(rng.integers(0, 7))):
        centre = np.array([rng.uniform(-0.4, 0.4), rng.uniform(0.15, 0.9)]) * depth_mm
        vessel = ellipse_distance(places, tuple(centre), tuple(rng.uniform(0.01, 0.04, 2) * depth_mm))
        canvas.brighten(np.abs(vessel - 0.5) < 2, -4 + 5 * ridge(vessel - 0.5, 0.6))
        canvas.cover(vessel < 0, _BLOOD_DB, blood=True)
    return canvas


ANATOMIES: dict[str, Paint] = {
    "muscle": _paint_muscle,
    "kidney": _paint_kidney,
    "right ventricle": _paint_right_ventricle,
    "vessels": _paint_vessels,
}
