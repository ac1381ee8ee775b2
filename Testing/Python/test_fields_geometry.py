"""Displacement fields in LPS mm, against SimpleITK's transforms and resampling on rotated, anisotropic grids, and
through files.
"""

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from UltrasoundMotionLib import fields
from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.fields import DisplacementField, ImageGrid
from UltrasoundMotionLib.images.volume import Volume

TOLERANCE_MM = 1e-4
by_dimension = pytest.mark.parametrize("dimension", [2, 3], ids=["2D", "3D"])


def rotation(dimension, angle=0.5):
    if dimension == 2:
        return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    transform = sitk.Euler3DTransform((0, 0, 0), angle, -0.8, 0.3)
    return np.reshape(transform.GetMatrix(), (3, 3))


def oblique_grid(dimension, flip=False):
    shape, spacing, origin = (23, 31, 19)[:dimension], (0.7, 1.3, 2.1)[:dimension], (-12.0, 7.5, 31.0)[:dimension]
    direction = rotation(dimension)
    if flip:
        direction = direction @ np.diag([-1.0] + [1.0] * (dimension - 1))
    return ImageGrid(shape, spacing, origin, direction)


def affine(dimension):
    transform = sitk.AffineTransform(dimension)
    generator = np.random.default_rng(0)
    transform.SetMatrix((np.eye(dimension) + generator.normal(0, 0.03, (dimension, dimension))).ravel().tolist())
    transform.SetTranslation(generator.normal(0, 1, dimension).tolist())
    transform.SetCenter(oblique_grid(dimension).points_lps_mm().reshape(-1, dimension).mean(0).tolist())
    return transform


def wavy_field(grid, amplitude_mm=1.5):
    points = grid.points_lps_mm()
    values = [
        amplitude_mm * np.sin(0.11 * points[..., 0] + axis) * np.cos(0.13 * points[..., -1] - axis)
        for axis in range(grid.dimension)
    ]
    return DisplacementField(np.stack(values, axis=-1), grid)


def image_on(grid, seed=1):
    generator = np.random.default_rng(seed)
    smooth = sitk.SmoothingRecursiveGaussian(
        grid.copy_geometry_to(sitk.GetImageFromArray(generator.random(grid.shape))), 2.0
    )
    return Volume.from_sitk(smooth)


@by_dimension
def test_the_grid_is_simpleitks(dimension):
    grid = oblique_grid(dimension, flip=True)
    image = grid.copy_geometry_to(sitk.GetImageFromArray(np.zeros(grid.shape)))
    index = (3, 5, 2)[:dimension]
    point = image.TransformIndexToPhysicalPoint(index)
    assert np.allclose(grid.points_lps_mm()[index[::-1]], point, atol=1e-10)
    assert np.allclose(grid.to_index(np.array(point)), index, atol=1e-10)
    assert ImageGrid.of(image).matches(grid)
    assert ImageGrid.of(Volume.from_sitk(image)).matches(grid)
    moved = ImageGrid(grid.shape, grid.spacing_mm, tuple(np.array(grid.origin_mm) + 0.01), grid.direction)
    assert not moved.matches(grid)


@by_dimension
@pytest.mark.parametrize("flip", [False, True])
def test_voxels_and_millimetres_are_one_field(dimension, flip):
    grid = oblique_grid(dimension, flip)
    voxels = torch.from_numpy(np.random.default_rng(2).normal(size=(1, dimension, *grid.shape)))
    field = DisplacementField.from_voxels(voxels, grid)
    assert torch.allclose(field.to_voxels(torch.float64), voxels, atol=1e-12)
    # one voxel along x is the spacing along the first column of the direction
    along_x = DisplacementField.from_voxels(
        torch.eye(dimension)[0].view(dimension, *[1] * dimension).expand(dimension, *grid.shape), grid
    )
    assert np.allclose(along_x.displacement_mm, grid.direction[:, 0] * grid.spacing_mm[0], atol=1e-6)


@by_dimension
def test_an_affine_transform_becomes_a_field_and_back(dimension):
    grid, transform = oblique_grid(dimension), affine(dimension)
    field = DisplacementField.from_sitk_transform(transform, grid)
    generator = np.random.default_rng(3)
    index = generator.uniform(0.5, np.array(grid.shape[::-1]) - 1.5, (40, dimension))
    matrix = grid.index_to_lps_mm
    points = index @ matrix[:-1, :-1].T + matrix[:-1, -1]
    expected = np.array([transform.TransformPoint(point) for point in points.tolist()])
    assert np.abs(field.apply_to_points(points) - expected).max() < TOLERANCE_MM
    back = field.to_sitk_transform()
    assert np.abs(np.array([back.TransformPoint(point) for point in points.tolist()]) - expected).max() < TOLERANCE_MM


@by_dimension
def test_the_tensors_move_points_and_images_as_simpleitk_does(dimension):
    grid = oblique_grid(dimension)
    field = wavy_field(grid)
    voxels, transform, moving = field.to_voxels(torch.float64), field.to_sitk_transform(), image_on(grid)
    points = np.random.default_rng(4).uniform(0.5, np.array(grid.shape[::-1]) - 1.5, (40, dimension))
    matrix = grid.index_to_lps_mm
    there = (
        fields.points_through(voxels, torch.from_numpy(points)[None])[0].numpy() @ matrix[:-1, :-1].T + matrix[:-1, -1]
    )
    expected = [transform.TransformPoint(point) for point in (points @ matrix[:-1, :-1].T + matrix[:-1, -1]).tolist()]
    assert np.abs(there - expected).max() < TOLERANCE_MM
    image = torch.from_numpy(moving.array)[None, None]
    limits = torch.tensor(grid.shape[::-1]).view(-1, *[1] * dimension) - 1
    coordinates = fields.voxel_coordinates(voxels)[0]
    between_centres = (
        ((coordinates >= 0) & (coordinates <= limits)).all(0).numpy()
    )  # beyond, ITK mirrors the cubic spline
    within_voxels = fields.inside_image(voxels, image.shape[2:])[0, 0].numpy()
    assert 0.5 < between_centres.mean() < within_voxels.mean() < 1
    for mode, interpolator in (
        ("linear", sitk.sitkLinear),
        ("cubic", sitk.sitkBSpline),
        ("nearest", sitk.sitkNearestNeighbor),
    ):
        ours = fields.warp(image, voxels, mode)[0, 0].numpy()
        theirs = sitk.GetArrayFromImage(sitk.Resample(moving.to_sitk(), transform, interpolator, 0.0))
        assert np.abs(ours - theirs)[between_centres if mode == "cubic" else within_voxels].max() < 1e-6
        assert np.abs(field.warp(moving, mode).array - theirs).max() == 0


@by_dimension
def test_composition_and_inverse_in_millimetres(dimension):
    grid = oblique_grid(dimension)
    inner, outer = (
        wavy_field(grid),
        DisplacementField.from_sitk_transform(affine(dimension), oblique_grid(dimension, flip=True)),
    )
    # the affine's grid is mirrored, so only points inside both are compared
    composed = outer.after(inner).displacement_mm
    chain = sitk.CompositeTransform([affine(dimension), inner.to_sitk_transform()])  # the last one is applied first
    expected = DisplacementField.from_sitk_transform(chain, grid).displacement_mm
    index = outer.grid.to_index(inner.apply_to_points(grid.points_lps_mm()))
    inside = ((index >= 0) & (index <= np.array(grid.shape[::-1]) - 1)).all(axis=-1)
    assert inside.any()
    assert np.abs(composed - expected)[inside].max() < TOLERANCE_MM
    inverse = DisplacementField.from_voxels(
        fields.invert(inner.to_voxels(torch.float64), tolerance=1e-6).displacement, grid
    )
    assert np.abs(inner.after(inverse).displacement_mm).max() < TOLERANCE_MM


@by_dimension
def test_a_field_resampled_to_a_finer_rotated_grid_is_simpleitks(dimension):
    field = wavy_field(oblique_grid(dimension))
    centre = field.grid.points_lps_mm().reshape(-1, dimension).mean(0)
    direction = rotation(dimension, -0.2)
    spacing = np.array([0.4, 0.5, 0.6][:dimension])
    shape = (9, 8, 7)[:dimension]
    fine = ImageGrid(
        shape, tuple(spacing), tuple(centre - direction @ (spacing * np.array(shape[::-1]) / 2)), direction
    )
    expected = DisplacementField.from_sitk_transform(field.to_sitk_transform(), fine)
    assert np.abs(field.resample(fine).displacement_mm - expected.displacement_mm).max() < TOLERANCE_MM


def test_outside_the_grid_the_border_continues_or_is_the_identity():
    field = DisplacementField(np.full((4, 5, 2), 2.0), ImageGrid((4, 5), (1.0, 1.0), (0.0, 0.0), np.eye(2)))
    far = np.array([[100.0, 1.0], [4.4, 3.4]])
    assert field.apply_to_points(far).tolist() == [[102.0, 3.0], [6.4, 5.4]]
    assert field.apply_to_points(far, outside="zero").tolist() == [[100.0, 1.0], [6.4, 5.4]]
    assert np.allclose(
        [field.to_sitk_transform().TransformPoint(point) for point in far.tolist()], [[100.0, 1.0], [6.4, 5.4]]
    )


@by_dimension
def test_a_moving_volume_on_another_grid_is_carried_onto_the_fixed_one(dimension):
    moving_grid = oblique_grid(dimension)
    slope = np.arange(1.0, dimension + 1)
    moving = Volume(
        moving_grid.points_lps_mm() @ slope, moving_grid.spacing_mm, moving_grid.origin_mm, moving_grid.direction
    )
    centre = moving_grid.points_lps_mm().reshape(-1, dimension).mean(0)
    fixed_grid = ImageGrid((5, 6, 7)[:dimension], (0.5,) * dimension, tuple(centre - 1.5), np.eye(dimension))
    field = wavy_field(fixed_grid, amplitude_mm=0.8)
    warped = field.warp(moving)
    expected = (
        fixed_grid.points_lps_mm() + field.displacement_mm
    ) @ slope  # an affine image is exact under linear interpolation
    assert ImageGrid.of(warped).matches(fixed_grid)
    assert np.abs(warped.array - expected).max() < 1e-6
    labels = Volume(np.ones(moving_grid.shape, dtype=bool), moving.spacing_mm, moving.origin_mm, moving.direction)
    carried = field.warp(labels, "nearest")
    assert carried.array.dtype == bool and carried.array.all()


@by_dimension
@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".nii.gz"])
def test_files_come_back_as_they_were(dimension, suffix, tmp_path):
    field = wavy_field(oblique_grid(dimension, flip=True))
    path = tmp_path / f"u{suffix}"
    if dimension == 2 and suffix == ".nii.gz":
        with pytest.raises(InputError, match=r"use \.nrrd"):
            fields.write_displacement(path, field)
        assert not path.exists()
        return
    fields.write_displacement(path, field)
    back = fields.read_displacement(path)
    assert np.array_equal(back.displacement_mm, field.displacement_mm)
    assert back.grid.matches(field.grid, 1e-4)
    # ITK reads the same field from the file, one of a plane as one slice at z = 0
    image = sitk.ReadImage(str(path), sitk.sitkVectorFloat64)
    point = field.grid.points_lps_mm().reshape(-1, dimension).mean(0) + 0.1
    in_space = np.zeros(3)
    in_space[:dimension] = point
    moved = sitk.DisplacementFieldTransform(image).TransformPoint(in_space.tolist())
    assert np.allclose(moved[:dimension], field.apply_to_points(point), atol=TOLERANCE_MM)
    assert dimension == 3 or moved[2] == 0


def test_a_2d_field_becomes_one_slice_for_slicer(tmp_path):
    flat = wavy_field(oblique_grid(2))
    field = flat.as_single_slice(3.0)
    assert field.grid.shape == (1, 23, 31) and field.grid.spacing_mm == (0.7, 1.3, 3.0)
    assert (
        np.array_equal(field.displacement_mm[0, ..., :2], flat.displacement_mm)
        and not field.displacement_mm[..., 2].any()
    )
    with pytest.raises(InputError, match=r"one slice.*use \.nrrd"):
        fields.write_displacement(tmp_path / "u.nii.gz", field)
    fields.write_displacement(tmp_path / "u.nrrd", field)
    assert np.array_equal(fields.read_displacement(tmp_path / "u.nrrd").displacement_mm, field.displacement_mm)


def test_bad_input_is_one_line(tmp_path):
    grid = oblique_grid(2)
    nan = np.zeros((*grid.shape, 2))
    nan[3, 4, 0] = np.nan
    text = tmp_path / "text.nrrd"
    text.write_text("not an image")
    scalar = tmp_path / "scalar.nrrd"
    sitk.WriteImage(sitk.Image(4, 4, sitk.sitkFloat32), str(scalar))
    field = DisplacementField.zero(grid)
    cases = [
        (lambda: DisplacementField(nan, grid), InputError, "1 of .* NaN"),
        (lambda: DisplacementField(np.zeros((4, 4, 2)), grid), InputError, r"\(23, 31, 2\).*\(4, 4, 2\)"),
        (lambda: ImageGrid((4, 4), (1.0, 1.0), (0.0, 0.0), np.ones((2, 2))), InputError, "direction"),
        (lambda: ImageGrid((4, 4), (1.0, 0.0), (0.0, 0.0), np.eye(2)), InputError, "spacing"),
        (lambda: DisplacementField.from_voxels(torch.zeros(2, 2, *grid.shape), grid), InputError, r"\(2, 2, 23, 31\)"),
        (lambda: field.resample(oblique_grid(3)), InputError, "3D.*2D"),
        (lambda: field.after(wavy_field(oblique_grid(3))), InputError, "2D and 3D"),
        (lambda: field.warp(image_on(oblique_grid(3))), InputError, "3D.*2D"),
        (lambda: field.warp(image_on(grid), "sinc"), InputError, "sinc"),
        (lambda: field.apply_to_points(np.zeros((3, 3))), InputError, r"\(3, 3\)"),
        (lambda: DisplacementField.from_sitk_transform(sitk.Euler3DTransform(), grid), InputError, "3D.*2D"),
        (lambda: fields.read_displacement(tmp_path / "none.nrrd"), InputError, "no such file"),
        (lambda: fields.read_displacement(text), InputError, "text.nrrd"),
        (lambda: fields.read_displacement(scalar), InputError, "expected 2 components"),
        (lambda: fields.write_displacement(tmp_path / "u.png", field), InputError, r"\.nrrd"),
        (lambda: fields.write_displacement(tmp_path / "no" / "u.nrrd", field), OutputError, "does not exist"),
    ]
    for call, kind, message in cases:
        with pytest.raises(kind, match=message) as raised:
            call()
        assert "\n" not in str(raised.value)
