"""Echogenicity of the heart in an apical view at end-diastole."""

from __future__ import annotations

import numpy as np

from UltrasoundMotionLib.simulation.texture import (
    Canvas,
    ellipse_distance,
    random_field,
    random_line,
    random_slice,
    ridge,
    soft_step,
)
from UltrasoundMotionLib.simulation.ventricle_motion import Ventricle

BLOOD_DB = -34.0
_CAVITY_DB = -25.0  # reverberation and side lobes brighten the left ventricle's blood
_REFERENCE_LENGTH_MM = 82.0  # length of the left ventricle for the sizes below


def heart_echogenicity(
    positions: np.ndarray,
    elevation_phase: np.ndarray,
    ventricle: Ventricle,
    *,
    right_heart: bool,
    rng: np.random.Generator,
) -> Canvas:
    """Returns the echogenicity at (N, 2) material positions in the ventricle's frame (x sideways, y to the apex, mm).

    `elevation_phase` is (N,). With `right_heart` (a four-chamber view) the right ventricle and atrium are on the left
    of the image.
    """
    size = ventricle.shape.length_mm / _REFERENCE_LENGTH_MM
    radius, angle = ventricle.coordinates(positions)
    outside_mm = (radius - ventricle.epi) * ventricle.shape.length_mm
    canvas = Canvas(_surroundings(positions, outside_mm, size, rng))
    chambers = [ellipse_distance(positions, (2 * size, -27 * size), (23 * size, 26 * size))]
    if right_heart:
        chambers += _right_heart(canvas, positions, outside_mm, ventricle, rng)
    _chambers(canvas, positions, chambers, rng)
    _left_ventricle(canvas, positions, elevation_phase, ventricle, rng)
    patches = random_field(positions, 12.0, rng)
    pericardium = (
        ridge(outside_mm - 1.2, 0.9)
        * (np.abs(angle) < np.deg2rad(100))
        * np.where(angle > 0, 1.0, 0.0 if right_heart else 0.8)
    )
    canvas.brighten(pericardium > 0.2, -4 + (6 + 6 * patches) * pericardium)
    for side in (-1, 1):  # the fibrous ring at both ends of the wall
        hinge = ventricle.ellipse(np.array([ventricle.mid]), np.array([side * ventricle.base]))[0]
        near = ridge(np.hypot(*(positions - hinge).T), 2.4 * size)
        canvas.brighten(near > 0.2, -4 + 9 * near)
    return canvas


def _surroundings(positions: np.ndarray, outside_mm: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    """Returns dB of lung and connective tissue: dark and uneven, bright near the pericardium and behind the atria."""
    x, y = positions.T
    decibels = -23 + 6 * random_field(positions, 40.0, rng) + 3 * random_field(positions, (20.0, 6.0), rng)
    side = soft_step(x - 6, 20) * soft_step(y + 45 * size, 50)
    decibels += side * (23 + 4 * random_field(positions, (30.0, 10.0), rng)) * np.exp(-np.maximum(outside_mm, 0) / 11)
    behind = soft_step(-y - 50 * size, 12)
    return decibels + behind * (20 + 6 * random_field(positions, (26.0, 9.0), rng))


def _right_heart(
    canvas: Canvas, positions: np.ndarray, outside_mm: np.ndarray, ventricle: Ventricle, rng: np.random.Generator
) -> list[np.ndarray]:
    """Paints the right ventricle's free wall and the tissue beyond.

    Returns the distances to the right atrium and ventricle, negative inside.
    """
    x, y = positions.T
    size = ventricle.shape.length_mm / _REFERENCE_LENGTH_MM
    septum_x = -ventricle.focus * np.sinh(ventricle.epi)
    right_ventricle = ellipse_distance(
        positions, (septum_x + 5 * size, 15 * size), (31 * size, 50 * size)
    ) + 1.2 * random_field(positions, 14.0, rng)
    free_wall = (np.abs(right_ventricle - 2.2) < 2.4) & (y > -3) & (x < 0)
    canvas.cover(free_wall, -5 + 4 * random_field(positions, (6.0, 14.0), rng))
    beyond_mm = np.maximum(right_ventricle - 5, 0)
    beyond = soft_step(right_ventricle - 5, 2) * soft_step(septum_x - x, 8) * np.exp(-beyond_mm / 11)
    canvas.decibels = canvas.decibels + (21 + 3 * random_field(positions, (10.0, 20.0), rng)) * beyond
    return [
        ellipse_distance(positions, (septum_x - 8 * size, -25 * size), (21 * size, 24 * size)),
        np.maximum(np.maximum(right_ventricle, -y - 1), -outside_mm - 0.3),
    ]


def _chambers(canvas: Canvas, positions: np.ndarray, chambers: list[np.ndarray], rng: np.random.Generator) -> None:
    """Paints chambers given by their distance: blood within thin walls of varying brightness."""
    rough = random_field(positions, 12.0, rng)
    for chamber in chambers:
        canvas.brighten(np.abs(chamber - 1.2) < 3, -12 + (9 + 4 * rough) * ridge(chamber - 1.2, 1.1))
    cords = random_field(positions, (6.0, 14.0), rng)  # trabeculae and the moderator band of the right ventricle
    for chamber in chambers:
        inside = chamber + 0.9 * rough < 0
        canvas.cover(inside, BLOOD_DB, blood=True)
        canvas.brighten(inside & (cords > 1.9) & (positions[:, 1] > 6), -14 + 3 * cords)


def _left_ventricle(
    canvas: Canvas, positions: np.ndarray, elevation_phase: np.ndarray, ventricle: Ventricle, rng: np.random.Generator
) -> None:
    """Paints the wall: streaks along its fibres, bright spots, and a ragged inner border with trabeculae."""
    radius, angle = ventricle.coordinates(positions)
    mm_per_radius = ventricle.shape.length_mm
    thickness = ventricle.shape.thickness_mm
    along = angle * mm_per_radius
    inward_mm = (ventricle.endo - radius) * mm_per_radius
    ragged = 0.8 * random_field(np.stack([along, inward_mm], axis=1), (7.0, 12.0), rng)
    depth = (ragged - inward_mm) / thickness  # 0 at the inner border, 1 at the outer
    wall = (depth >= 0) & (radius <= ventricle.epi) & (np.abs(angle) <= ventricle.base)
    fibres = random_slice(np.stack([along, depth * thickness], axis=1), (12.0, 2.0), elevation_phase, rng)
    beads = 15 * np.clip(random_slice(positions, 2.8, elevation_phase, rng) - 1.0, 0, None)
    patches = random_slice(positions, 10.0, elevation_phase, rng)
    decibels = 2 * np.abs(np.cos(angle)) - 5 + 4 * fibres + 4 * patches + beads + 3 * random_line(along, 60.0, rng)
    # the inner half of the lateral wall is dark with trabeculae; the septum is bright throughout
    decibels += np.where(angle < 0, 0.0, 5 * np.clip(depth, 0, 1) - 4.5)
    decibels += np.clip(3 + 4 * patches, 0, 9) * ridge(depth - 0.1, 0.1) + np.where(
        rng.random(len(angle)) < 0.012, 11, 0
    )
    cavity = ~wall & (radius < ventricle.endo + 0.03) & (np.abs(angle) <= ventricle.base)
    canvas.cover(wall, decibels)
    canvas.cover(cavity, _CAVITY_DB + 2 * random_field(positions, 25.0, rng), blood=True)
    trabeculae = random_field(np.stack([along, inward_mm], axis=1), (8.0, 4.0), rng)
    grown = cavity & (trabeculae > 0.4 + inward_mm / 3.0 + 1.3 * (np.abs(angle) > np.deg2rad(60)))
    canvas.cover(grown, -7 + 3 * trabeculae + beads)
