"""Maps from a few points, their inversion, smoothing over time and measures, against VTK and SciPy."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from scipy.signal import savgol_filter

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.propagation import (
    SmoothingMethod,
    enclosed_area_mm2,
    fit_point_map,
    invert_points,
    mesh_measures,
    polyline_length_mm,
    smoothing_matrix,
)

vtk = pytest.importorskip("vtk", reason="needs slicer-core: pip install --editable '.[slicer]'")


def points(count, *, flat, seed=0):
    random = np.random.default_rng(seed)
    source = random.uniform(-20, 20, (count, 3))
    target = source + random.normal(size=source.shape)
    if flat:
        source[:, 2] = target[:, 2] = 0
    return source, target


@pytest.mark.parametrize(("flat", "normal"), [(True, (0, 0, 1)), (True, None), (False, None)])
def test_a_spline_is_vtk_s(flat, normal):
    source, target = points(9, flat=flat)
    found = fit_point_map(source, target, normal)
    assert found.kind == "thin-plate spline"
    spline = vtk.vtkThinPlateSplineTransform()
    landmarks = [vtk.vtkPoints(), vtk.vtkPoints()]
    for one, places in zip(landmarks, (source, target), strict=True):
        for place in places:
            one.InsertNextPoint(*place)
    spline.SetSourceLandmarks(landmarks[0])
    spline.SetTargetLandmarks(landmarks[1])
    spline.SetBasisToR2LogR() if flat else spline.SetBasisToR()
    probed = points(60, flat=flat, seed=1)[0] * 1.3
    np.testing.assert_allclose(found(probed), [spline.TransformPoint(*place) for place in probed], atol=1e-4)
    np.testing.assert_allclose(found(source), target, atol=1e-9)


def test_an_affine_motion_of_many_points_is_affine_everywhere():
    source, _ = points(12, flat=False)
    matrix, shift = np.array([[1.1, 0.2, 0], [-0.1, 0.9, 0.05], [0, 0.1, 1.2]]), np.array([3, -2, 1])
    found = fit_point_map(source, source @ matrix.T + shift)
    probed = points(40, flat=False, seed=2)[0] * 3
    np.testing.assert_allclose(found(probed), probed @ matrix.T + shift, atol=1e-8)


@pytest.mark.parametrize(
    ("count", "normal", "kind"),
    [
        (1, None, "translation"),
        (1, (0, 0, 1), "translation"),
        (2, None, "linear"),
        (2, (0, 0, 1), "similarity"),
        (3, (0, 0, 1), "affine"),
        (3, None, "affine"),
    ],
)
def test_few_points_give_what_they_can_and_are_met(count, normal, kind):
    source, target = points(count, flat=True)
    found = fit_point_map(source, target, normal)
    assert found.kind == kind
    np.testing.assert_allclose(found(source), target, atol=1e-9)
    assert found.inside(source.mean(axis=0)[None])[0] == (kind == "affine")


def test_two_points_in_a_plane_turn_and_scale():
    source = np.array([[1.0, 1, 0], [3, 1, 0]])
    target = np.array([[0.0, 0, 0], [0, 4, 0]])
    found = fit_point_map(source, target, (0, 0, 1))
    np.testing.assert_allclose(found(np.array([[1.0, 2, 5]])), [[-2.0, 0, 5]], atol=1e-12)


def test_points_on_each_other_and_on_a_line_do_no_harm():
    source = np.array([[0.0, 0, 0], [0, 0, 0], [4, 0, 0], [8, 0, 0], [8, 0, 0], [2, 0, 0]])
    found = fit_point_map(source, source + np.array([1, 2, 0]), (0, 0, 1))
    np.testing.assert_allclose(found(np.array([[5.0, 5, 1]])), [[6.0, 7, 1]], atol=1e-9)


def test_the_hull_is_known():
    square = np.array([[0.0, 0, 0], [4, 0, 0], [4, 4, 0], [0, 4, 0], [2, 2, 0]])
    found = fit_point_map(square, square * 1.1, (0, 0, 1))
    probed = np.array([[1.0, 1, 0], [1, 1, 30], [5, 1, 0], [0, 0, 0]])
    assert found.inside(probed).tolist() == [True, True, False, True]


def test_wrong_points_are_refused():
    for source, target in (
        (np.zeros((0, 3)), np.zeros((0, 3))),
        (np.zeros((2, 3)), np.zeros((3, 3))),
        (np.full((2, 3), np.nan), np.zeros((2, 3))),
    ):
        with pytest.raises(InputError):
            fit_point_map(source, target)


def test_the_way_back_is_found_and_a_fold_is_told():
    source, target = points(15, flat=False)
    forward = fit_point_map(source, target)
    probed = points(80, flat=False, seed=5)[0]
    found = invert_points(forward, forward(probed))
    assert found.residual_mm.max() <= 1e-4
    np.testing.assert_allclose(found.points_mm, probed, atol=2e-3)
    folded = invert_points(lambda places: places * [0.0, 1, 1], np.array([[5.0, 0, 0], [0, 1, 1]]))
    assert folded.residual_mm[0] > 1 and folded.residual_mm[1] <= 1e-4


def test_smoothing_is_scipy_s():
    values, frames = np.random.default_rng(0).normal(size=(30, 4)), np.arange(30.0)
    gaussian = smoothing_matrix(frames, 1.5, periodic=True) @ values
    np.testing.assert_allclose(gaussian, gaussian_filter1d(values, 1.5, axis=0, mode="wrap", truncate=9), atol=1e-9)
    parabola = smoothing_matrix(frames, 3, SmoothingMethod.SAVITZKY_GOLAY, periodic=True) @ values
    np.testing.assert_allclose(parabola, savgol_filter(values, 7, 2, axis=0, mode="wrap"), atol=1e-12)
    open_ended = smoothing_matrix(frames, 3, SmoothingMethod.SAVITZKY_GOLAY) @ values
    np.testing.assert_allclose(open_ended[3:-3], savgol_filter(values, 7, 2, axis=0)[3:-3], atol=1e-12)
    seconds = smoothing_matrix(frames * 0.02, 0.03, periodic=True) @ values
    np.testing.assert_allclose(seconds, gaussian, atol=1e-9)


@pytest.mark.parametrize("method", SmoothingMethod)
@pytest.mark.parametrize("periodic", [False, True])
def test_smoothing_keeps_what_rests_on_irregular_times(method, periodic):
    times = np.cumsum(np.random.default_rng(1).uniform(0.5, 1.5, 20))
    weights = smoothing_matrix(times, 3.0, method, periodic=periodic)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-9)
    if method is SmoothingMethod.SAVITZKY_GOLAY and not periodic:
        np.testing.assert_allclose(weights @ (2 + times**2), 2 + times**2, atol=1e-8)


def test_impossible_smoothing_is_refused():
    frames = np.arange(10.0)
    for times, width, method, reason in (
        (frames[:1], 1, SmoothingMethod.GAUSSIAN, "two frames"),
        (frames[::-1], 1, SmoothingMethod.GAUSSIAN, "increase"),
        (frames, 0, SmoothingMethod.GAUSSIAN, "positive"),
        (frames, 1, SmoothingMethod.SAVITZKY_GOLAY, "widen"),
    ):
        with pytest.raises(InputError, match=reason):
            smoothing_matrix(times, width, method)


def test_measures_of_surfaces_are_vtk_s():
    source = vtk.vtkSphereSource()
    source.SetRadius(7)
    source.SetCenter(40, -3, 8)
    source.SetThetaResolution(24)
    source.SetPhiResolution(20)
    source.Update()
    surface, properties = source.GetOutput(), vtk.vtkMassProperties()
    properties.SetInputData(surface)
    from vtkmodules.util.numpy_support import vtk_to_numpy

    places = vtk_to_numpy(surface.GetPoints().GetData())
    triangles = vtk_to_numpy(surface.GetPolys().GetConnectivityArray()).reshape(-1, 3)
    measured = mesh_measures(places, triangles)
    assert measured.area_mm2 == pytest.approx(properties.GetSurfaceArea(), rel=1e-5)
    assert measured.volume_mm3 == pytest.approx(properties.GetVolume(), rel=1e-4)
    assert mesh_measures(places, triangles[1:]).volume_mm3 is None
    assert mesh_measures(places, triangles[:0]).area_mm2 == 0


def test_measures_of_lines():
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    tilt = np.array([[1, 0, 0], [0, 0.6, 0.8]])
    circle = 5 * np.column_stack([np.cos(angles), np.sin(angles)]) @ tilt + [100, 50, -3]
    assert enclosed_area_mm2(circle) == pytest.approx(np.pi * 25, rel=1e-3)
    assert polyline_length_mm(circle, closed=True) == pytest.approx(10 * np.pi, rel=1e-3)
    assert polyline_length_mm(circle[:101]) == pytest.approx(5 * np.pi, rel=1e-3)
