"""Algebra that holds for every displacement: identity, composition, flows, Jacobian, resampling and geometry."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import (
    DisplacementField,
    ImageGrid,
    bspline_exact,
    compose,
    control_shape,
    integrate_velocity,
    invert,
    jacobian_determinant,
    read_displacement,
    resample_displacement,
    voxel_coordinates,
    warp,
    write_displacement,
)

SHAPES = st.one_of(st.tuples(*[st.integers(12, 24)] * 2), st.tuples(*[st.integers(10, 14)] * 3))
SMALL_SHAPES = st.one_of(st.tuples(*[st.integers(1, 7)] * 2), st.tuples(*[st.integers(1, 5)] * 3))
SEEDS = st.integers(0, 2**32 - 1)
RIM = 4
"""Voxels at the border that a displacement of the tests can reach across; beyond it fields continue their border value,
which no composition of two grids can know."""


def random_values(seed, shape, scale=1.0):
    """Uniform in [-scale, scale), float64."""
    return torch.from_numpy(np.random.default_rng(seed).uniform(-scale, scale, shape))


@st.composite
def smooth_fields(draw, count=1, largest=1.0):
    """Displacements in voxels (1, n, *spatial) of one shape, splines of control points 5 voxels apart."""
    spatial, amplitude = draw(SHAPES), draw(st.floats(0.1, largest))
    shape = (1, len(spatial), *control_shape(spatial, 5))
    return [bspline_exact(random_values(draw(SEEDS), shape, amplitude), spatial, 5) for _ in range(count)]


def affine_field(matrix, spatial):
    """The displacement (1, n, *spatial) of x -> matrix x about the centre of the grid."""
    dimension = len(spatial)
    centre = torch.tensor([(size - 1) / 2 for size in reversed(spatial)], dtype=torch.float64)
    points = voxel_coordinates(torch.zeros(1, dimension, *spatial, dtype=torch.float64))
    points = points - centre.view(1, -1, *[1] * dimension)
    return torch.einsum("ij,bj...->bi...", matrix, points) - points


def near_identity(seed, dimension, largest):
    return torch.eye(dimension, dtype=torch.float64) + random_values(seed, (dimension, dimension), largest)


def inner(field):
    """The field without its rim."""
    return field[(..., *[slice(RIM, -RIM)] * (field.ndim - 2))]


def interpolation_error(*fields):
    """The most by which linear interpolation of any of the fields differs from a smooth field through its voxels."""
    bends = [
        sum(float(torch.diff(field, n=2, dim=axis).abs().max()) for axis in range(2, field.ndim)) for field in fields
    ]
    return sum(bends) / 8


@given(smooth_fields())
def test_zero_is_neutral(fields):
    (field,) = fields
    zero = torch.zeros_like(field)
    torch.testing.assert_close(compose(field, zero), field, rtol=0, atol=1e-12)
    torch.testing.assert_close(compose(zero, field), field, rtol=0, atol=1e-12)
    assert torch.equal(integrate_velocity(zero), zero)
    assert invert(zero).maximum_error == 0


@given(smooth_fields(count=3))
def test_composition_is_associative(fields):
    first, second, third = fields
    left = compose(compose(third, second), first)
    right = compose(third, compose(second, first))
    tolerance = 2 * interpolation_error(*fields)
    assert float(inner(left - right).abs().max()) <= tolerance


@given(SHAPES, SEEDS, SEEDS)
def test_composition_of_affine_maps_is_the_product_of_their_matrices(spatial, seed, other_seed):
    outer, first = (near_identity(one, len(spatial), 0.15) for one in (seed, other_seed))
    found = compose(affine_field(outer, spatial), affine_field(first, spatial))
    torch.testing.assert_close(inner(found), inner(affine_field(outer @ first, spatial)), rtol=0, atol=1e-9)


@given(smooth_fields())
def test_a_velocity_backwards_is_the_inverse_of_its_flow(fields):
    (velocity,) = fields
    forwards, backwards = integrate_velocity(velocity), integrate_velocity(-velocity)
    tolerance = 4 * interpolation_error(velocity) + 1e-9
    assert float(inner(compose(backwards, forwards)).abs().max()) <= tolerance
    assert float(inner(compose(forwards, backwards)).abs().max()) <= tolerance


@given(smooth_fields(), st.integers(0, 6))
def test_a_flow_for_twice_as_long_is_the_flow_after_itself(fields, steps):
    (velocity,) = fields
    once = integrate_velocity(velocity, steps)
    torch.testing.assert_close(integrate_velocity(2 * velocity, steps + 1), compose(once, once), rtol=0, atol=1e-12)


@given(smooth_fields(largest=0.5))
def test_an_inverse_is_as_good_as_it_says(fields):
    (field,) = fields
    inverse = invert(field)
    error = torch.linalg.vector_norm(compose(field, inverse.displacement), dim=1)
    assert float(error.max()) == pytest.approx(inverse.maximum_error, abs=1e-9)
    assert inverse.maximum_error < 1e-3


@given(SMALL_SHAPES, SEEDS, st.sampled_from(["linear", "nearest", "cubic"]), st.sampled_from(["border", "zeros"]))
def test_warping_by_zero_changes_nothing(spatial, seed, mode, padding):
    image = random_values(seed, (1, 2, *spatial))
    warped = warp(image, torch.zeros(1, len(spatial), *spatial, dtype=torch.float64), mode, padding)
    torch.testing.assert_close(warped, image, rtol=0, atol=1e-9)


@given(SMALL_SHAPES, SEEDS, st.sampled_from(["linear", "nearest"]), st.data())
def test_warping_by_whole_voxels_takes_the_values_there(spatial, seed, mode, data):
    image = random_values(seed, (1, 1, *spatial))
    shift = [data.draw(st.integers(-size, size)) for size in spatial]  # in the order of the axes
    displacement = torch.tensor(shift[::-1], dtype=torch.float64).view(1, -1, *[1] * len(spatial))
    warped = warp(image, displacement.expand(1, -1, *spatial).contiguous(), mode)
    index = np.ix_(*[np.clip(np.arange(size) + by, 0, size - 1) for size, by in zip(spatial, shift, strict=True)])
    np.testing.assert_allclose(warped[0, 0].numpy(), image[0, 0].numpy()[index], rtol=0, atol=1e-12)


@given(SHAPES, SEEDS)
def test_the_jacobian_of_an_affine_map_is_its_determinant(spatial, seed):
    matrix = near_identity(seed, len(spatial), 0.5)
    determinant = jacobian_determinant(affine_field(matrix, spatial))
    torch.testing.assert_close(determinant, torch.linalg.det(matrix).expand_as(determinant), rtol=0, atol=1e-9)


@given(SMALL_SHAPES, SEEDS, st.sampled_from([1, 2, 3, 5]), st.booleans())
def test_a_finer_grid_holds_all_of_a_coarser_one(spatial, seed, factor, align_corners):
    """Where the voxels of the coarse grid are voxels of the fine one as well, coming back loses nothing."""
    if align_corners:
        finer = tuple((size - 1) * factor + 1 for size in spatial)
    else:
        finer = tuple(size * (factor | 1) for size in spatial)  # an odd factor
    field = random_values(seed, (1, len(spatial), *spatial))
    there = resample_displacement(field, finer, align_corners=align_corners)
    back = resample_displacement(there, spatial, align_corners=align_corners)
    torch.testing.assert_close(back, field, rtol=0, atol=1e-12)


@st.composite
def grids(draw, shapes=SMALL_SHAPES):
    """Grids anywhere in space, turned, with axes of different spacing."""
    shape = draw(shapes)
    dimension = len(shape)
    random = np.random.default_rng(draw(SEEDS))
    direction = Rotation.random(random_state=random).as_matrix()
    if dimension == 2:
        angle = random.uniform(0, 2 * np.pi)
        direction = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    direction = direction * random.choice([-1, 1], dimension)
    return ImageGrid(shape, random.uniform(0.05, 5, dimension), random.uniform(-300, 300, dimension), direction)


@given(grids())
def test_a_grid_finds_the_index_of_its_own_points(grid):
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij")[::-1], axis=-1)
    np.testing.assert_allclose(grid.to_index(grid.points_lps_mm()), index, rtol=0, atol=1e-8)


@given(grids(), SEEDS)
def test_millimetres_become_voxels_and_come_back(grid, seed):
    field = DisplacementField(random_values(seed, (*grid.shape, grid.dimension), 20).numpy(), grid)
    back = DisplacementField.from_voxels(field.to_voxels(torch.float64), grid)
    np.testing.assert_allclose(back.displacement_mm, field.displacement_mm, rtol=0, atol=1e-9)
    np.testing.assert_allclose(field.displacement_at(grid.points_lps_mm()), field.displacement_mm, rtol=0, atol=1e-7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fields")


@pytest.mark.parametrize("name", ["u.nrrd", "u.mha"])
@given(grids(), SEEDS, st.sampled_from([np.float32, np.float64]))
def test_a_written_field_is_read_back(folder, name, grid, seed, dtype):
    field = DisplacementField(random_values(seed, (*grid.shape, grid.dimension), 20).numpy().astype(dtype), grid)
    write_displacement(folder / name, field)
    back = read_displacement(folder / name)
    assert back.displacement_mm.dtype == dtype
    assert np.array_equal(back.displacement_mm, field.displacement_mm)
    assert back.grid.matches(grid)


@pytest.mark.parametrize("name", ["t.nrrd", "t.mha", "t.nii", "t.nii.gz"])
@given(grids(st.tuples(*[st.integers(2, 5)] * 3)), SEEDS, st.floats(0, 1, exclude_max=True))
def test_a_field_whose_file_ends_early_is_refused_or_whole(folder, name, grid, seed, share):
    path = folder / name
    field = DisplacementField(random_values(seed, (*grid.shape, 3), 20).numpy(), grid)
    write_displacement(path, field)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    try:
        read = read_displacement(path)
    except InputError as error:
        assert path.name in str(error)
        assert "\n" not in str(error)
    else:
        assert np.array_equal(read.displacement_mm, field.displacement_mm)
