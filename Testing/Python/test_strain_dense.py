"""Green-Lagrange strain of displacement fields, against deformations whose tensor is known."""

import numpy as np
import pytest

from UltrasoundMotionLib.fields import DisplacementField, ImageGrid
from UltrasoundMotionLib.strain.dense_strain import green_lagrange_strain


def turn(angle_deg: float) -> np.ndarray:
    c, s = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    return np.array([[c, -s], [s, c]])


def grid_2d() -> ImageGrid:
    return ImageGrid((20, 30), (0.7, 0.4), (5.0, -3.0), turn(25))


def field_of(deformation: np.ndarray, grid: ImageGrid) -> DisplacementField:
    """x -> F x + a shift."""
    points = grid.points_lps_mm()
    return DisplacementField(points @ (deformation - np.eye(grid.dimension)).T + 3.0, grid)


def test_affine_deformation_on_a_turned_grid_of_uneven_spacing():
    deformation = turn(40) @ np.array([[0.8, 0.1], [0.0, 1.2]])
    strain = green_lagrange_strain(field_of(deformation, grid_2d()))
    expected = (deformation.T @ deformation - np.eye(2)) / 2
    np.testing.assert_allclose(strain.tensor, np.broadcast_to(expected, strain.tensor.shape), atol=1e-10)
    values, vectors = np.linalg.eigh(expected)
    np.testing.assert_allclose(strain.principal, np.broadcast_to(values, strain.principal.shape), atol=1e-10)
    np.testing.assert_allclose(np.abs(np.sum(strain.directions * vectors, axis=-2)), 1, atol=1e-8)
    stretches = np.sort(np.linalg.svd(deformation, compute_uv=False))
    np.testing.assert_allclose(strain.principal_stretch_percent[3, 4], 100 * (stretches - 1), atol=1e-8)


@pytest.mark.parametrize("angle", [10, 90, 170])
def test_rigid_motion_gives_zero(angle):
    np.testing.assert_allclose(green_lagrange_strain(field_of(turn(angle), grid_2d())).tensor, 0, atol=1e-10)


def test_strain_along_a_fibre_is_its_change_of_length():
    deformation = np.array([[0.85, 0.2], [-0.1, 1.1]])
    strain = green_lagrange_strain(field_of(deformation, grid_2d()))
    fibre = np.array([3.0, 4.0])
    expected = 100 * (np.linalg.norm(deformation @ fibre) / 5 - 1)
    np.testing.assert_allclose(strain.along_percent(fibre), expected, atol=1e-8)


def test_three_dimensions():
    grid = ImageGrid((5, 6, 7), (0.5, 1.0, 2.0), (0, 0, 0), np.eye(3))
    strain = green_lagrange_strain(field_of(np.diag([0.8, 1.0, 1.3]), grid))
    np.testing.assert_allclose(strain.principal[2, 3, 4], [(0.64 - 1) / 2, 0, (1.69 - 1) / 2], atol=1e-10)


def test_thickening_ring():
    """An annulus that narrows at constant area: radial stretch R / r, circumferential r / R, at every place."""
    grid = ImageGrid((121, 121), (1.0, 1.0), (-60.0, -60.0), np.eye(2))
    points = grid.points_lps_mm()
    radius = np.maximum(np.hypot(*np.moveaxis(points, -1, 0)), 1.0)
    new_radius = np.sqrt(np.maximum(radius**2 - 300.0, 0.0))
    strain = green_lagrange_strain(DisplacementField(points * (new_radius / radius - 1)[..., None], grid))
    inside = (radius > 35) & (radius < 55)
    outer, inner = radius[inside], new_radius[inside]
    stretch = strain.principal_stretch_percent[inside]
    np.testing.assert_allclose(stretch[:, 0], 100 * (inner / outer - 1), atol=0.1)
    np.testing.assert_allclose(stretch[:, 1], 100 * (outer / inner - 1), atol=0.1)
    np.testing.assert_allclose(strain.along_percent(points + 1e-9)[inside], 100 * (outer / inner - 1), atol=0.1)
