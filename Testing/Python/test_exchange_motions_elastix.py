"""elastix' transform parameters, compared with transformix where it is installed, and with its manual's arithmetic."""

import numpy as np
import pytest
import SimpleITK as sitk

from motion_pairs import AFFINE, FIXED, MOVING, centre_of, smooth_field, texture, write_pair
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.exchange.motions import Motion, read_motion

POINTS = FIXED.points_lps_mm()[::3, ::4, ::5].reshape(-1, 3)


def write_parameters(path, transform, numbers, dimension=3, **entries):
    """Writes transform parameters as elastix does: `(Name value ...)`, texts quoted."""
    lines = {
        "Transform": transform,
        "NumberOfParameters": len(numbers),
        "TransformParameters": numbers,
        "InitialTransformParametersFileName": "NoInitialTransform",
        "HowToCombineTransforms": "Compose",
        "FixedImageDimension": dimension,
        "MovingImageDimension": dimension,
        "UseDirectionCosines": "true",
    } | entries
    with path.open("w") as file:
        for name, value in lines.items():
            values = value if isinstance(value, list | tuple | np.ndarray) else [value]
            words = " ".join(f'"{one}"' if isinstance(one, str) else f"{one:.12g}" for one in values)
            file.write(f"({name} {words})\n")
    return path


def test_an_affine_transform_turns_about_its_centre(tmp_path):
    """Manual, eq. 2.12: T(x) = A (x - c) + t + c."""
    centre = centre_of(FIXED)
    numbers = [*AFFINE[:3, :3].ravel(), *AFFINE[:3, 3]]
    path = write_parameters(tmp_path / "t.txt", "AffineTransform", numbers, CenterOfRotationPoint=centre)
    expected = (POINTS - centre) @ AFFINE[:3, :3].T + AFFINE[:3, 3] + centre
    np.testing.assert_allclose(read_motion(path).points(POINTS), expected, atol=1e-8)


@pytest.mark.parametrize("zyx", ["false", "true"])
def test_euler_angles_are_those_of_itk(zyx, tmp_path):
    angles, shift, centre = (0.1, -0.2, 0.15), (1.0, 2.0, -3.0), centre_of(FIXED)
    path = write_parameters(
        tmp_path / "t.txt", "EulerTransform", [*angles, *shift], CenterOfRotationPoint=centre, ComputeZYX=zyx
    )
    x, y, z = (rotation(axis, angle) for axis, angle in enumerate(angles))
    matrix = z @ y @ x if zyx == "true" else z @ x @ y
    np.testing.assert_allclose(
        read_motion(path).points(POINTS), (POINTS - centre) @ matrix.T + shift + centre, atol=1e-8
    )


def rotation(axis, angle):
    a, b = [(1, 2), (2, 0), (0, 1)][axis]
    matrix = np.eye(3)
    matrix[a, a] = matrix[b, b] = np.cos(angle)
    matrix[b, a], matrix[a, b] = np.sin(angle), -np.sin(angle)
    return matrix


def test_a_spline_is_a_sum_of_bsplines_after_its_initial_transform(tmp_path):
    """Manual, eq. 2.16: T(x) = x + sum over control points of p_k B3((x - x_k) / spacing), on an oblique grid."""
    initial = write_parameters(tmp_path / "t0.txt", "TranslationTransform", [0.5, -1.0, 1.5])
    size, spacing = np.array([9, 10, 11]), np.array([6.0, 7.0, 6.5])
    direction = FIXED.direction
    origin = centre_of(FIXED) - direction @ ((size - 1) / 2 * spacing)
    weights = np.random.default_rng(2).normal(scale=1.5, size=(3, *size[::-1]))
    path = write_parameters(
        tmp_path / "t1.txt",
        "BSplineTransform",
        weights.ravel(),
        GridSize=size,
        GridIndex=[0, 0, 0],
        GridSpacing=spacing,
        GridOrigin=origin,
        GridDirection=direction.T.ravel(),  # column by column
        BSplineTransformSplineOrder=3,
        InitialTransformParametersFileName="/elsewhere/t0.txt",
    )
    points = POINTS + np.array([0.5, -1.0, 1.5])
    index = (points - origin) @ direction / spacing
    basis = [cubic(index[:, axis, None] - np.arange(size[axis])) for axis in range(3)]
    expected = points + np.einsum("ni,nj,nk,ckji->nc", *basis, weights)
    assert initial.exists()
    np.testing.assert_allclose(read_motion(path).points(POINTS), expected, atol=1e-7)


def cubic(x):
    x = np.abs(x)
    return np.where(x < 1, 2 / 3 - x**2 + x**3 / 2, np.where(x < 2, (2 - x) ** 3 / 6, 0.0))


def test_what_cannot_be_read_is_said(tmp_path):
    path = write_parameters(tmp_path / "t.txt", "SplineKernelTransform", [1.0])
    with pytest.raises(InputError, match="holds a SplineKernelTransform; known are TranslationTransform"):
        read_motion(path)
    write_parameters(path, "TranslationTransform", [1.0, 2.0])
    with pytest.raises(InputError, match=r"\(TransformParameters \.\.\.\) has 2 numbers, expected 3"):
        read_motion(path)
    write_parameters(path, "TranslationTransform", [1.0, 2.0, 3.0], InitialTransformParametersFileName="gone.txt")
    with pytest.raises(InputError, match=r"its initial transform 'gone\.txt' is missing"):
        read_motion(path)
    write_parameters(path, "TranslationTransform", [1.0, 2.0, 3.0], InitialTransformParametersFileName="t.txt")
    with pytest.raises(InputError, match="lead back to itself"):
        read_motion(path)
    write_parameters(path, "TranslationTransform", [1.0, 2.0, 3.0], UseDirectionCosines="false")
    with pytest.raises(InputError, match="without direction cosines"):
        read_motion(path)


@pytest.mark.parametrize("kinds", [["rigid"], ["translation", "affine"], ["affine", "bspline"]])
def test_transformix_resamples_as_we_do(kinds, tmp_path):
    if not hasattr(sitk, "ElastixImageFilter"):
        pytest.skip("a SimpleITK with elastix (PyPI's SimpleITK-SimpleElastix)")
    pair = write_pair(tmp_path)
    moving = sitk.ReadImage(str(pair.moving_path), sitk.sitkFloat32)
    truth = Motion.of_field(smooth_field()).field(FIXED).warp(texture(MOVING))
    elastix = sitk.ElastixImageFilter()
    elastix.LogToConsoleOff()
    elastix.SetFixedImage(sitk.Cast(truth.to_sitk(), sitk.sitkFloat32))
    elastix.SetMovingImage(moving)
    maps = sitk.VectorOfParameterMap()
    for kind in kinds:
        settings = sitk.GetDefaultParameterMap(kind, 2)
        settings["MaximumNumberOfIterations"] = ["40"]
        settings["FinalGridSpacingInPhysicalUnits"] = ["8"]
        settings["ImageSampler"] = ["RandomCoordinate"]
        settings["NumberOfSpatialSamples"] = ["1000"]
        maps.append(settings)
    elastix.SetParameterMap(maps)
    elastix.SetOutputDirectory(str(tmp_path))
    elastix.Execute()
    found = elastix.GetTransformParameterMap()
    linear = sitk.VectorOfParameterMap()
    for number, one in enumerate(found):
        one["FinalBSplineInterpolationOrder"] = ["1"]
        linear.append(one)
        if number:
            one["InitialTransformParameterFileName"] = [str(tmp_path / f"TransformParameters.{number - 1}.txt")]
        sitk.WriteParameterFile(one, str(tmp_path / f"TransformParameters.{number}.txt"))
    transformix = sitk.TransformixImageFilter()
    transformix.LogToConsoleOff()
    transformix.SetMovingImage(moving)
    transformix.SetTransformParameterMap(linear)
    transformix.Execute()
    theirs = sitk.GetArrayFromImage(transformix.GetResultImage())
    motion = read_motion(tmp_path / f"TransformParameters.{len(kinds) - 1}.txt")
    assert np.linalg.norm(motion.points(POINTS) - POINTS, axis=1).max() > 0.5
    ours = motion.field(FIXED).warp(texture(MOVING)).array
    index = MOVING.to_index(FIXED.points_lps_mm() + motion.field(FIXED).displacement_mm)
    # half a voxel outside, elastix' interpolator mirrors the image where ITK's continues its border
    inside = ((index >= 0) & (index <= np.array(MOVING.shape[::-1]) - 1)).all(axis=-1)
    assert inside.mean() > 0.3
    assert np.abs(ours - theirs)[inside].max() < 0.05
