"""How strongly each place of the heart scatters, in an apical view at end-diastole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.simulation.texture import ellipse_distance, random_field, ridge, soft_step
from UltrasoundMotionLib.simulation.ventricle_motion import Ventricle

BLOOD_DB = -36.0


@dataclass(frozen=True)
class Echogenicity:
    """Per scatterer: `decibels` (N,) relative to speckle of 0 dB, and `blood` (N,) bool."""

    decibels: np.ndarray
    blood: np.ndarray


def heart_echogenicity(places: np.ndarray, ventricle: Ventricle, right_heart: bool, rng: np.random.Generator) -> Echogenicity:
    """Echogenicity at (N, 2) material places in the ventricle's own frame (x to the side, y to the apex, mm).

    With `right_heart` (a four-chamber view) a right ventricle and atrium lie on the left of the image; without it there is only the left heart.
    """
    x, y = places.T
    radius, angle = ventricle.coordinates(places)
    size = ventricle.shape.half_width_mm / 27.0  # all of the heart grows with the left ventricle
    # Around the heart: uneven connective tissue and lung, bright close to the pericardium and fading away from it.
    outside_mm = (radius - ventricle.epi) * ventricle.shape.length_mm
    decibels = -13 + 4 * random_field(places, 14.0, rng) + 2.5 * random_field(places, 4.0, rng)
    lateral = soft_step(x, 20)
    decibels += lateral * (15 * np.exp(-np.maximum(outside_mm, 0) / 14) - 6)
    posterior = soft_step(-y - 50 * size, 14)
    decibels += posterior * (13 + 4 * random_field(places, (18.0, 7.0), rng))
    blood = np.zeros(len(places), dtype=bool)
    # Atria, with thin walls.
    left_atrium = ellipse_distance(places, (2 * size, -27 * size), (23 * size, 26 * size))
    chambers = [left_atrium]
    if right_heart:
        epi_left = -ventricle.focus * np.sinh(ventricle.epi)
        right_ventricle = ellipse_distance(places, (epi_left + 2 * size, 17 * size), (33 * size, 50 * size))
        free_wall = soft_step(2.2 - np.abs(right_ventricle - 2.2), 1.5) * soft_step(y + 4, 4) * soft_step(-x, 10)
        decibels = np.where(free_wall > 0.3, -3 + 3 * random_field(places, (3.0, 7.0), rng), decibels)
        beyond = soft_step(right_ventricle - 5, 2) * soft_step(epi_left - x, 8) * np.exp(-np.maximum(right_ventricle - 5, 0) / 12)
        decibels += 11 * beyond
        chambers += [
            ellipse_distance(places, (epi_left - 12 * size, -26 * size), (22 * size, 25 * size)),
            np.maximum(np.maximum(right_ventricle, -y - 1), -outside_mm - 0.3),
        ]
    for chamber in chambers:
        rim = ridge(chamber - 1.2, 1.2)
        decibels = np.maximum(decibels, -16 + 14 * rim * (chamber < 5))
    for chamber in chambers:
        inside = chamber < 0
        decibels = np.where(inside, BLOOD_DB, decibels)
        blood |= inside
    # The wall of the left ventricle: streaks along its fibres, bright specks, brighter where the beam meets it at a right angle.
    wall = (radius >= ventricle.endo) & (radius <= ventricle.epi) & (np.abs(angle) <= ventricle.base)
    depth_in_wall = (radius - ventricle.endo) / (ventricle.epi - ventricle.endo)
    along = angle * ventricle.shape.length_mm
    fibres = random_field(np.stack([along, depth_in_wall * ventricle.shape.thickness_mm], axis=1), (9.0, 2.2), rng)
    patches = random_field(places, 11.0, rng)
    septum = np.where(angle < 0, 1.5, -1.0)
    upright = np.abs(np.cos(angle)) * 3 - 2
    wall_db = septum + upright + 3.0 * fibres + 2.5 * patches + 3 * ridge(depth_in_wall, 0.12) + np.where(rng.random(len(x)) < 0.012, 13, 0)
    decibels = np.where(wall, wall_db, decibels)
    cavity = (radius < ventricle.endo) & (np.abs(angle) <= ventricle.base)
    decibels = np.where(cavity, BLOOD_DB, decibels)
    blood = np.where(wall, False, blood | cavity)
    # Trabeculae and papillary muscles: patches of tissue on the inside of the apical half.
    inward_mm = (ventricle.endo - radius) * ventricle.shape.length_mm
    trabecula = random_field(np.stack([along, inward_mm], axis=1), (5.0, 3.0), rng)
    grown = cavity & (trabecula > 0.15 + inward_mm / 2.2 + 1.2 * (np.abs(angle) > np.deg2rad(60)))
    decibels = np.where(grown, -5 + 2 * trabecula, decibels)
    blood = blood & ~grown
    # Pericardium: a thin bright line outside of the wall, strongest at the side.
    pericardium = ridge(outside_mm - 1.0, 0.8) * (np.abs(angle) < np.deg2rad(100)) * np.where(angle > 0, 1.0, 0.0 if right_heart else 0.8)
    decibels = np.where(pericardium > 0.2, np.maximum(decibels, -2 + 9 * pericardium + 3 * patches), decibels)
    for side in (-1, 1):  # the fibrous ring at both ends of the wall
        hinge = ventricle.ellipse(np.array([ventricle.mid]), np.array([side * ventricle.base]))[0]
        near = ridge(np.hypot(*(places - hinge).T), 2.6 * size)
        decibels = np.where(near > 0.15, np.maximum(decibels, -4 + 10 * near), decibels)
        blood = blood & ~(near > 0.15)
    return Echogenicity(decibels, blood)
